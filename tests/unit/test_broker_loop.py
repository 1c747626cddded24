# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The broker's loop: what comes while it gathers is in the next cycle, and makes no other one."""

from __future__ import annotations

import time

import pytest

from ha_broker import running
from ha_broker.metrics.counters import Counters
from ha_broker.running import BrokerDaemon
from world.host.wake import Wake


class Ticked:
    """A broker with nothing to do; tells what had come in by each of its cycles."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self.waiting = 0

    def tick(self) -> float:
        self.came.append(self.waiting)
        self.waiting = 0
        return time.monotonic()


def test_whoever_calls_while_others_are_gathered_makes_no_cycle_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daemon, broker, gathered = object.__new__(BrokerDaemon), Ticked(), []
    daemon._wake = Wake()

    def call() -> None:
        broker.waiting += 1
        daemon._wake.wake()

    def gather(seconds: float) -> None:
        gathered.append(seconds)
        call()

    monkeypatch.setattr(running.time, "sleep", gather)
    try:
        call()
        for _ in range(3):
            daemon._cycle(broker, time.monotonic, Counters())  # type: ignore[arg-type]
    finally:
        daemon._wake.close()
    assert broker.came == [1, 1, 0]
    assert gathered == [running.GATHER_S]
