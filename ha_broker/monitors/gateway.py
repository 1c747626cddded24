"""The gateway: what fraction of the latest probes failed."""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import Optional

from ha_broker.parts import Settings, Task, Teller, World, error_text
from ha_broker.snapshot import NetworkView
from ha_broker.world.ports import Outcome

GATEWAY = "gateway"
WINDOW = 5  # probes: one lost ping is a fifth of the penalty, and gone after five ticks
PROBE_TIMEOUT_S = 2.0


class GatewayMonitor:
    """One probe per tick; without a configured gateway nothing is known, and nothing lost."""

    keys = (GATEWAY,)

    def __init__(self, world: World, settings: Settings, teller: Teller) -> None:
        self._world = world
        self._settings = settings
        self._teller = teller
        self._task = Task(world.runner, GATEWAY)
        self._failed: deque[Optional[bool]] = deque(maxlen=WINDOW)
        self._view = NetworkView()

    def view(self) -> NetworkView:
        """The window's result."""
        return self._view

    def harvest(self, outcome: Outcome[object]) -> None:
        """A job of this part ended."""
        if outcome.error is not None:  # no probe could be made: that says nothing of the gateway
            self._failed.append(None)
            self._teller.tell("gateway", error_text(outcome.error), logging.WARNING)
        else:
            self._failed.append(not outcome.value)
            self._teller.tell("gateway", "")
        known = [failed for failed in self._failed if failed is not None]
        fraction = sum(known) / len(known) if known else None
        self._view = NetworkView(fraction, outcome.finished_at_s)

    def work(self, now_s: float) -> None:
        """Submit what is due."""
        address = self._address()
        if address and self._task.is_due(now_s):
            job = partial(self._world.gateway.probe, address, PROBE_TIMEOUT_S)
            self._task.start(now_s, job, self._settings.timing.tick_s)

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens."""
        return self._task.next_due_s(now_s) if self._address() else float("inf")

    def _address(self) -> str:
        return self._settings.host.gateway or self._settings.cluster.network.gateway
