"""The configuration that all hosts share."""

from __future__ import annotations

from ha_agent.command.catalogue.base import Group

GROUP = Group("The shared configuration", ())
