"""The gateway: what fraction of the latest probes failed."""

from __future__ import annotations

from collections import deque
from functools import partial

from ha_broker.parts import Settings, Task, World
from ha_broker.snapshot import NetworkView
from ha_broker.world.ports import Outcome

GATEWAY = "gateway"
WINDOW = 5  # probes: one lost ping is a fifth of the penalty, and gone after five ticks
PROBE_TIMEOUT_S = 2.0


class GatewayMonitor:
    """One probe per tick; without a configured gateway nothing is known, and nothing lost."""

    keys = (GATEWAY,)

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self._settings = settings
        self._task = Task(world.runner, GATEWAY)
        self._failed: deque[bool] = deque(maxlen=WINDOW)
        self._view = NetworkView()

    def view(self) -> NetworkView:
        """The window's result."""
        return self._view

    def harvest(self, outcome: Outcome[object]) -> None:
        """A job of this part ended."""
        self._failed.append(outcome.error is not None or not outcome.value)
        fraction = sum(self._failed) / len(self._failed)
        self._view = NetworkView(fraction, outcome.finished_at_s)

    def work(self, now_s: float) -> None:
        """Submit what is due."""
        address = self._address()
        if address:
            job = partial(self._world.gateway.probe, address, PROBE_TIMEOUT_S)
            self._task.start(now_s, job, self._settings.timing.tick_s)

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens."""
        return self._task.next_due_s(now_s) if self._address() else float("inf")

    def _address(self) -> str:
        return self._settings.host.gateway or self._settings.cluster.network.gateway
