"""The shared storage."""

from __future__ import annotations

from ha_agent.command.catalogue.base import Group

GROUP = Group("The shared storage", ())
