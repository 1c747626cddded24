"""The broker's loop: what comes while it gathers is in the next cycle, and makes no other one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ha_broker import running
from ha_broker.metrics.counters import Counters
from ha_broker.running import BrokerDaemon
from tests.unit.broker_host import JOIN_S, TICK_S, Cluster
from world.host.wake import Wake


class Ticked:
    """A broker with nothing to do; tells what had come in by each of its cycles."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self.waiting = 0
        self.is_calm = False

    def tick(self) -> float:
        self.came.append(self.waiting)
        self.waiting = 0
        return time.monotonic()

    def may_gather(self, _due_s: float) -> bool:
        return self.is_calm


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


@pytest.mark.parametrize("is_calm", [True, False])
def test_a_cycle_in_step_waits_for_what_comes_with_it_and_no_other_one_does(
    monkeypatch: pytest.MonkeyPatch, is_calm: bool
) -> None:
    daemon, broker, gathered = object.__new__(BrokerDaemon), Ticked(), []
    daemon._wake, broker.is_calm = Wake(), is_calm
    monkeypatch.setattr(running.time, "sleep", gathered.append)
    try:
        daemon._cycle(broker, time.monotonic, Counters())  # type: ignore[arg-type]
    finally:
        daemon._wake.close()
    assert gathered == ([running.GATHER_S] if is_calm else [])


def test_only_while_another_living_host_holds_the_lease_a_cycle_in_step_waits(
    tmp_path: Path,
) -> None:
    cluster = Cluster()
    owner = cluster.peer(1)
    cluster.clock.advance(JOIN_S)
    cluster.san.settle()
    host = cluster.host(2, tmp_path)
    in_step_s = 1000 * TICK_S
    assert not host.broker.may_gather(in_step_s)  # no member yet
    cluster.run(JOIN_S + 3 * TICK_S)
    assert not host.broker.may_gather(in_step_s)  # the lease is free: this host may start
    owner.acquire(4711)
    cluster.run(2 * TICK_S)
    assert host.broker.may_gather(in_step_s)
    for apart_s in (0.5, 1.0, TICK_S / 2, -0.01):
        assert not host.broker.may_gather(in_step_s + apart_s)
    owner.power_off()
    cluster.run(10 * TICK_S)
    assert not host.broker.may_gather(in_step_s)  # it may be free soon
