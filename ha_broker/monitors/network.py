"""The network: what fraction of the latest probes succeeded."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Callable, Optional

from ha_broker.monitors.base import Monitor, Reading
from ha_broker.parts import Settings, World
from ha_broker.snapshot import Unit

NETWORK = "network"


class NetworkMonitor(Monitor):
    """One probe per tick; the value is over the window, so one lost probe weighs little."""

    name = NETWORK
    unit = Unit.FRACTION

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self._settings = settings
        self._answered: deque[bool] = deque()

    def interval_s(self) -> float:
        """One probe per tick."""
        return self._settings.timing.tick_s

    def timeout_s(self) -> float:
        """Resolving a name may take longer than the probe itself."""
        return 2 * self._settings.cluster.network.probe_timeout_s

    def job(self) -> Optional[Callable[[], object]]:
        """One probe; None without an address to ask."""
        network = self._settings.cluster.network
        address = self._settings.host.gateway or network.gateway
        if not address or network.test == "none":
            return None
        return partial(self._world.gateway.probe, address, network.probe_timeout_s)

    def read(self, result: object, at_s: float) -> Reading:
        """Over the window."""
        self._answered.append(bool(result))
        while len(self._answered) > self._settings.cluster.network.probes:
            self._answered.popleft()
        share = sum(self._answered) / len(self._answered)
        return Reading(share, f"{share:.0%} of the latest {len(self._answered)} probes answered")
