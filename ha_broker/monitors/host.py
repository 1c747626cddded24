"""What the monitors of the host itself have in common: they measure as the settings say."""

from __future__ import annotations

from ha_broker.monitors.base import Monitor
from ha_broker.parts import Settings, World


class HostMonitor(Monitor):
    """A monitor that goes by the section ``monitors`` of the cluster's settings."""

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self._settings = settings

    def interval_s(self) -> float:
        """The same for all of them, so that one wake-up of the broker does for all."""
        return self._settings.cluster.monitors.interval_s

    def timeout_s(self) -> float:
        """The same for all of them."""
        return self._settings.cluster.monitors.timeout_s
