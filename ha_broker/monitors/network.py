# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The network: what fraction of the latest probes succeeded."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Callable, Optional, cast

from ha_broker.api.monitors import NETWORK
from ha_broker.cycle.part import BrokerPorts, Settings
from ha_broker.monitors.base import Measurement, Monitor
from metadata.settings.network_target import host_and_port
from metadata.value_class import value_class
from world.ports.network import NetworkProbe, ProbeReading


@value_class(frozen=True)
class Question:
    """What is tried, and on whom."""

    test: str
    target: str

    def ask(self, network: NetworkProbe, timeout_s: float) -> ProbeReading:
        """Try once; raises WorldError when it can't even be tried."""
        if self.test == "dns":
            return network.dns(self.target, timeout_s)
        if self.test == "tcp":
            host, port = host_and_port(self.target)
            return network.tcp(host, port, timeout_s)
        return network.ping(self.target, timeout_s)

    def __str__(self) -> str:
        if self.test == "dns":
            whom = self.target or "the name servers of resolv.conf"
            return f"DNS over TCP, question '. NS', to {whom}"
        return f"{self.test} to {self.target}"


class NetworkMonitor(Monitor):
    """One probe per tick; the value is over the window, so one lost probe weighs little.

    A probe that could not be made at all is no failed one. Another test, or another target,
    begins a new window.
    """

    name, unit = NETWORK.name, NETWORK.unit

    def __init__(self, world: BrokerPorts, settings: Settings) -> None:
        self._network = world.network
        self._settings = settings
        self._question: Optional[Question] = None
        self._answered: deque[bool] = deque()
        self._latest_loss = ""

    def interval_s(self) -> float:
        """One probe per tick."""
        return self._settings.timing.tick_s

    def timeout_s(self) -> float:
        """Resolving a name may take longer than the probe itself."""
        return 2 * self._settings.cluster.network.probe_timeout_s

    def job(self) -> Optional[Callable[[], object]]:
        """One probe; None where nothing is to be tried."""
        question = self._wanted()
        if question != self._question:
            self._question = question
            self._answered.clear()
            self._latest_loss = ""
        if question is None:
            return None
        timeout_s = self._settings.cluster.network.probe_timeout_s
        return partial(question.ask, self._network, timeout_s)

    def _wanted(self) -> Optional[Question]:
        network = self._settings.cluster.network
        if network.test == "none":
            return None
        target = network.target
        if network.test == "ping":
            target = target or self._settings.host.gateway or network.gateway
        return Question(network.test, target) if target or network.test == "dns" else None

    def read(self, result: object, at_s: float) -> Measurement:
        """Over the window. Of a window that is not full yet, the rest counts as answered."""
        size = self._settings.cluster.network.probes
        reading = cast(ProbeReading, result)
        self._answered.append(reading.answered)
        while len(self._answered) > size:
            self._answered.popleft()
        lost = self._answered.count(False)
        if not reading.answered:
            self._latest_loss = reading.detail
        detail = f"{lost} of {size} probes unanswered: {self._question}"
        if lost and self._latest_loss:
            detail += f" ({self._latest_loss})"
        return Measurement(1 - lost / size, detail)
