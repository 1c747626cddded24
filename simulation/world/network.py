# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine's health page, and whoever the network is tried on."""

from __future__ import annotations

from typing import Callable, Optional

from world.ports.network import HealthReading, ProbeReading

REFUSED = "Connection refused"
SILENT = "no answer"
_ADDRESS = "192.0.2.10"


class SimHealthPage:
    """A `HealthPage` that says `reading`, or what `answer` gives: good or not, and
    why not (`REFUSED`; `SILENT` where nobody answers in time)."""

    def __init__(self, good: bool = False, detail: str = REFUSED, keep_log: bool = True) -> None:
        self.set(good, detail)
        self.answer: Optional[Callable[[], tuple[bool, str]]] = None
        self.calls: list[str] = []
        self._keep_log = keep_log

    def set(self, good: bool, detail: str = "") -> None:
        self.reading = HealthReading(good, detail, answered=detail == REFUSED)

    def check(
        self, url: str, expected_text: str, timeout_s: float, ca_file: str = ""
    ) -> HealthReading:
        if self._keep_log:
            self.calls.append(f"{url} ({ca_file})" if ca_file else url)
        if self.answer is None:
            return self.reading
        good, why = self.answer()
        if good:
            return HealthReading(True, "")
        # In the words of the real look, with the address that was asked.
        told = f"no answer within {timeout_s:g} s" if why == SILENT else why
        return HealthReading(False, f"{_ADDRESS}: {told}", answered=why == REFUSED)


class SimNetworkProbe:
    """A `NetworkProbe`; `answers` is what each does, or `script` gives the next answers first.

    `detail` is what each says. `dns_takes_s` is how long the name server takes to answer;
    `before_answer` is called first in each probe, and what it raises is passed on.
    """

    def __init__(self, answers: bool = True, keep_log: bool = True) -> None:
        self.answers = answers
        self.dns_takes_s = 0.0
        self.script: list[bool] = []
        self.detail = ""
        self.calls: list[str] = []
        self.before_answer: Callable[[], None] = lambda: None
        self._keep_log = keep_log

    def ping(self, address: str, timeout_s: float) -> ProbeReading:
        return self._probe(f"ping {address}")

    def tcp(self, host: str, port: int, timeout_s: float) -> ProbeReading:
        return self._probe(f"tcp {host} {port}")

    def tls(self, host: str, port: int, timeout_s: float) -> ProbeReading:
        return self._probe(f"tls {host} {port}")

    def dns(self, server: str, timeout_s: float) -> ProbeReading:
        answered = self._probe(f"dns {server}").answered
        return ProbeReading(answered and self.dns_takes_s <= timeout_s)

    def _probe(self, what: str) -> ProbeReading:
        if self._keep_log:
            self.calls.append(what)
        self.before_answer()
        return ProbeReading(self.script.pop(0) if self.script else self.answers, self.detail)
