# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The guest agent: does the engine's guest itself answer, whatever its page says?

It decides nothing. It tells people whether an engine whose page fails is a service that hangs or
a guest that does.
"""

from __future__ import annotations

from functools import partial
from typing import Callable, Optional, cast

from ha_broker.api.monitors import GUEST_AGENT
from ha_broker.cycle.part import BrokerPorts, Settings
from ha_broker.monitors.base import Measurement
from ha_broker.monitors.engine import EngineMonitor
from ha_broker.monitors.host import HostMonitor
from metadata.records import Health
from world.ports.libvirt import DomainState

NOT_RUNNING = "the engine does not run on this host"


class GuestAgentMonitor(HostMonitor):
    """1 while the engine's guest agent answers, 0 while it does not."""

    name, unit = GUEST_AGENT.name, GUEST_AGENT.unit

    def __init__(self, world: BrokerPorts, settings: Settings, engine: EngineMonitor) -> None:
        super().__init__(world, settings)
        self._engine = engine

    def interval_s(self) -> float:
        """Each tick while the engine is not well, so that what is told of it is of now."""
        usual_s = super().interval_s()
        if self._engine.health == Health.GOOD:
            return usual_s
        return min(usual_s, self._settings.timing.tick_s)

    def timeout_s(self) -> float:
        """libvirt is given the page's time, and may take some of its own."""
        return 2 * self._settings.cluster.engine.health_timeout_s

    def job(self) -> Optional[Callable[[], object]]:
        """Ask it; None where the settings say that there is none."""
        engine, hypervisor = self._settings.cluster.engine, self._engine.hypervisor
        if not engine.guest_agent or hypervisor is None:
            return None
        if self._engine.domain != DomainState.RUNNING:
            return lambda: None
        return partial(hypervisor.ping_guest, engine.health_timeout_s)

    def read(self, result: object, at_s: float) -> Measurement:
        """None: there is no guest to be asked."""
        answers = cast(Optional[bool], result)
        if answers is None:
            return Measurement(None, NOT_RUNNING)
        return Measurement.of_flag(answers, "it answers" if answers else "it does not answer")

    def failed(self, error: Exception) -> Optional[Measurement]:
        """A guest that can't be asked (paused, no channel) is not the one that answered before."""
        return Measurement(None)
