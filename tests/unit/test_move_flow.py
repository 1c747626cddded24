# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A move from the order to its end, on whole simulated hosts: what is told of it on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

import pytest

from ha_broker.api.snapshot import MAINTENANCE, MovePhase, MoveReport
from ha_broker.server.mailbox import Refusal
from metadata.states import State
from simulation.host import SimHost
from tests.unit.test_agent_cluster import Watched

TOLD_S = 40.0


@pytest.fixture
def watched() -> Iterator[Watched]:
    found = Watched()
    found.cluster.bring_up()
    found.cluster.run_for(20)
    yield found
    found.close()


def reports(watched: Watched, host: SimHost, seconds: float) -> list[MoveReport]:
    """All that this host's broker shows of moves in that time, without repetitions."""
    told: list[MoveReport] = []
    for _ in range(round(seconds / 0.1)):
        watched.cluster.run_for(0.1)
        agent = host.snapshot.agent if host.snapshot is not None else None
        if agent is not None and agent.move is not None and agent.move not in told:
            told.append(agent.move)
    return told


def phases(told: list[MoveReport]) -> list[str]:
    found = [report.phase for report in told]
    return [phase for place, phase in enumerate(found) if place == 0 or found[place - 1] != phase]


def source_of(watched: Watched) -> SimHost:
    host = watched.runner()
    assert host is not None
    assert host.broker is not None
    return host


def wake(host: SimHost) -> None:
    """Its broker has got a request."""
    host.broker_process.wake()
    host.plan()


def runs_on(watched: Watched) -> Optional[str]:
    host = watched.runner()
    return host.name if host is not None else None


def test_local_maintenance_moves_the_engine_first(watched: Watched) -> None:
    source = source_of(watched)
    assert source.broker is not None
    source.broker.mailbox.ask_maintenance("local", True)
    wake(source)
    told = reports(watched, source, TOLD_S)
    assert source.state is State.LOCAL_MAINTENANCE
    assert phases(told)[-2:] == [MovePhase.MOVING, MovePhase.MOVED]
    last = told[-1]
    assert (last.what_for, last.tries, last.refusals) == (MAINTENANCE, 1, ())
    assert last.target == runs_on(watched) != source.name
    assert last.took_s is not None


def test_a_persons_order_is_carried_out_and_is_over(watched: Watched) -> None:
    source = source_of(watched)
    others = sorted(set(watched.cluster.hosts) - {source.name})
    assert source.broker is not None
    ticket = source.broker.mailbox.ask_move(others[-1])
    wake(source)
    told = reports(watched, source, TOLD_S)
    assert ticket.order is not None
    assert {report.what_for for report in told} == {ticket.order.request_id}
    assert phases(told) == [MovePhase.MOVING, MovePhase.MOVED]
    assert told[-1].target == others[-1] == runs_on(watched)
    assert source.snapshot is not None
    assert source.snapshot.move_order is None


def test_an_order_works_in_global_maintenance(watched: Watched) -> None:
    source = source_of(watched)
    assert source.broker is not None
    source.broker.mailbox.ask_maintenance("global", True)
    wake(source)
    watched.cluster.run_for(20)
    assert source.state is State.GLOBAL_MAINTENANCE
    source.broker.mailbox.ask_move(None)
    wake(source)
    told = reports(watched, source, TOLD_S)
    assert phases(told) == [MovePhase.MOVING, MovePhase.MOVED]
    (engine,) = watched.cluster.running_engines()
    assert engine.host == told[-1].target != source.name


def test_local_maintenance_is_taken_back_when_nobody_takes_it(watched: Watched) -> None:
    source = source_of(watched)
    for host in watched.cluster.hosts.values():
        if host is not source:
            watched.cluster.part(source.name, host.name, "cut")
    assert source.broker is not None
    ticket = source.broker.mailbox.ask_maintenance("local", True)
    wake(source)
    told = reports(watched, source, 2 * TOLD_S)
    assert ticket.is_done(), "both say that they take it"
    assert told[-1].phase == MovePhase.REFUSED
    assert len(told[-1].refusals) == 2
    assert source.snapshot is not None
    assert source.snapshot.local_maintenance is False
    assert not source.in_local_maintenance
    assert [engine.host for engine in watched.cluster.running_engines()] == [source.name]


def test_where_nobody_can_take_it_the_order_is_refused(watched: Watched) -> None:
    source = source_of(watched)
    for host in watched.cluster.hosts.values():
        if host is not source:
            assert host.broker is not None
            host.broker.mailbox.ask_maintenance("local", True)
            wake(host)
    watched.cluster.run_for(20)
    assert source.broker is not None
    ticket = source.broker.mailbox.ask_move(None)
    wake(source)
    watched.cluster.run_for(1)
    with pytest.raises(Refusal, match="it is in local maintenance; h"):
        ticket.wait(0)
