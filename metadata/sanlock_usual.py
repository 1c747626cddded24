"""What sanlock takes where nobody has set it otherwise. Loaded by each look at a record."""

from __future__ import annotations

USUAL_FIRE_TIMEOUT_S = 60
"""Its ``watchdog_fire_timeout``."""
