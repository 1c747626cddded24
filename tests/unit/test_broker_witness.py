# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host looks at the engine's page on another host, if it is one of the next in line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ha_broker.api.snapshot import HostView, WitnessView
from ha_broker.monitors.witness import next_in_line
from metadata.liveness import Liveness
from metadata.reach import Sight
from tests.unit.broker_host import JOIN_S, PUBLICATION, TICK_S, UP, Cluster, Host, record
from world.ports.network import HealthReading

URL = "http://engine/health"
DARK = HealthReading(False, "no answer within 5 s")
ILL = HealthReading(False, "HTTP status 503", answered=True)
NO_LOOK = HealthReading(False, "engine can't be resolved", known=False)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def witness(cluster: Cluster, tmp_path: Path) -> Host:
    """Host 2, whose agent speaks; the engine's lease is host 1's."""
    owner = cluster.peer(1)
    cluster.clock.advance(JOIN_S)
    cluster.san.settle()
    host = cluster.host(2, tmp_path)
    host.page.set(True)
    cluster.run(JOIN_S + 3 * TICK_S)
    owner.acquire(4711)
    cluster.put_record(1, 7, engine_status=UP)
    host.publish()
    for second in range(8, 12):
        cluster.put_record(1, second, engine_status=UP)
        host.publish()
        cluster.run(TICK_S)
    return host


def live_on(cluster: Cluster, host: Host, ticks: int) -> None:
    """Both hosts go on writing."""
    for _ in range(ticks):
        cluster.put_record(1, int(cluster.clock.monotonic_s()), engine_status=UP)
        host.publish()
        cluster.run(TICK_S)


def seen(host: Host) -> WitnessView:
    view = host.snapshot.witness
    assert view is not None
    return view


def test_an_engine_on_another_host_is_looked_at(cluster, witness) -> None:
    assert seen(witness).sight is Sight.REACHED
    assert seen(witness).engine_host_id == 1
    assert witness.page.calls[-1] == URL


def test_two_looks_make_it_dark_and_one_ends_that(cluster, witness) -> None:
    witness.page.reading = DARK
    before = witness.snapshot.sequence
    live_on(cluster, witness, 2)
    assert (seen(witness).sight, seen(witness).detail) == (Sight.DARK, DARK.detail)
    assert witness.snapshot.sequence > before
    witness.page.set(True)
    live_on(cluster, witness, 1)
    assert seen(witness).sight is Sight.REACHED


def test_one_failed_look_is_not_believed(cluster, witness) -> None:
    views = []
    witness.page.answer = lambda: (len(views) != 0, "timed out")

    def answer() -> tuple[bool, str]:
        views.append(seen(witness).sight)
        return len(views) > 1, "timed out"

    witness.page.answer = answer
    live_on(cluster, witness, 2)
    assert set(views) == {Sight.REACHED}


def test_what_answers_otherwise_is_in_reach(cluster, witness) -> None:
    witness.page.reading = ILL
    live_on(cluster, witness, 2)
    assert seen(witness).sight is Sight.REACHED


def test_a_look_that_can_not_be_made_says_nothing(cluster, witness) -> None:
    witness.page.reading = NO_LOOK
    live_on(cluster, witness, 2)
    assert seen(witness).sight is Sight.UNKNOWN


def test_a_host_that_would_not_take_over_does_not_look(cluster, witness) -> None:
    witness.publish(replace(PUBLICATION, score=0))
    cluster.run(2 * TICK_S)
    assert witness.snapshot.witness is None
    asked = len(witness.page.calls)
    cluster.run(2 * TICK_S)
    assert len(witness.page.calls) == asked


def test_while_the_lease_is_free_there_is_nothing_to_be_seen(cluster, witness) -> None:
    cluster.san.lease = None
    live_on(cluster, witness, 3)
    assert (seen(witness).engine_host_id, seen(witness).sight) == (1, Sight.UNKNOWN)
    asked = len(witness.page.calls)
    live_on(cluster, witness, 2)
    assert len(witness.page.calls) == asked


# --- who looks ------------------------------------------------------------------------


def view(host_id: int, score: int = 3400, **fields) -> HostView:
    told = {
        "maintenance": fields.pop("maintenance", False),
        "stopped": fields.pop("stopped", False),
    }
    whole = {"liveness": Liveness.LIVE, "fresh": True, **fields}
    return HostView(host_id, record=record(host_id, score=score, **told), **whole)


def test_the_best_three_look_and_never_the_owner() -> None:
    hosts = (view(1), view(2, 3000), view(3), view(4, 3300), view(5), view(6))
    assert next_in_line(hosts, 1) == [3, 5, 6]


@pytest.mark.parametrize(
    "fields",
    [
        {"score": 0},
        {"maintenance": True},
        {"stopped": True},
        {"fresh": False},
        {"liveness": Liveness.DEAD},
        {"liveness": Liveness.UNKNOWN},
    ],
)
def test_who_could_not_take_over_does_not(fields) -> None:
    assert next_in_line((view(1), view(2, **fields), view(3)), 1) == [3]


def test_a_host_without_a_record_does_not() -> None:
    assert next_in_line((HostView(2, Liveness.LIVE, fresh=True),), 1) == []
