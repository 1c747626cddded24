"""What the names of all metrics begin with."""

from __future__ import annotations

PREFIX = "hosted_engine_"
