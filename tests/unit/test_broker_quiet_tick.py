# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A tick in which nothing is new: one cycle, on what its jobs have brought; what is shown is as
fresh as ever, and a world that hangs is told of in time."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from ha_broker.api.snapshot import Snapshot
from ha_broker.broker import SETTLE_S
from metadata.notes import WHY
from tests.unit.broker_host import JOIN_S, PUBLICATION, TICK_S, UP, Cluster, Host
from world.ports.jobs import Outcome


class Cycles:
    """Counts a broker's cycles: each shows a snapshot."""

    def __init__(self) -> None:
        self.shown_at_s: list[float] = []

    def job_ended(self, outcome: Outcome[object]) -> None:
        pass

    def shown(self, snapshot: Snapshot) -> None:
        self.shown_at_s.append(snapshot.taken_at_s)


@pytest.fixture
def cycles() -> Cycles:
    return Cycles()


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster()
    owner = cluster.peer(2)
    cluster.clock.advance(JOIN_S)
    cluster.san.settle()
    owner.acquire(4711)
    return cluster


@pytest.fixture
def host(cluster: Cluster, tmp_path: Path, cycles: Cycles) -> Host:
    """Joined, its record written twice, so that the next one says nothing new; a healthy engine
    runs on host 2, which writes in each tick."""
    host = cluster.host(1, tmp_path, observer=cycles)
    for _ in range(int(JOIN_S / TICK_S) + 6):
        host_2_writes(cluster)
        host.publish()
        cluster.run(TICK_S)
    assert host.snapshot.lease.owner_id == 2
    host_2_writes(cluster)
    # Just before the next tick.
    cluster.run(TICK_S - cluster.clock.monotonic_s() % TICK_S - 0.001)
    cycles.shown_at_s.clear()
    return host


def host_2_writes(cluster: Cluster) -> None:
    now_s = int(cluster.clock.monotonic_s())
    cluster.put_record(2, now_s, engine_status=UP, state="EngineUp")


def beat(cluster: Cluster, host: Host) -> None:
    """What an agent does in each tick, just after the broker has begun its jobs."""
    cluster.run(0.002)
    host.publish()


def test_a_tick_with_nothing_new_is_one_cycle(cluster: Cluster, host: Host, cycles: Cycles) -> None:
    for _ in range(3):
        beat(cluster, host)
        host_2_writes(cluster)
        cluster.run(TICK_S - 0.002)
    assert len(cycles.shown_at_s) == 3, cycles.shown_at_s


def test_that_cycle_shows_what_the_ticks_jobs_have_brought(cluster: Cluster, host: Host) -> None:
    due_s = cluster.clock.monotonic_s() + 0.001
    cluster.run(0.1)
    snapshot = host.snapshot
    assert snapshot.taken_at_s >= due_s
    assert snapshot.storage.last_read_at_s is not None
    assert snapshot.storage.last_read_at_s >= due_s
    assert snapshot.lease.seen_at_s is not None
    assert snapshot.lease.seen_at_s >= due_s


def test_a_record_that_says_the_same_is_written_and_shown_at_once(
    cluster: Cluster, host: Host, cycles: Cycles
) -> None:
    cluster.run(1.0)
    shown, before = len(cycles.shown_at_s), host.snapshot.sequence
    published_at_s = cluster.clock.monotonic_s()
    host.publish()
    cluster.run(0.1)
    snapshot = host.snapshot
    assert len(cycles.shown_at_s) == shown, "a cycle for nothing"
    assert snapshot.sequence == before
    assert snapshot.storage.last_write_at_s is not None
    assert snapshot.storage.last_write_at_s >= published_at_s
    assert snapshot.agent_published_at_s == published_at_s
    assert snapshot.own is not None
    assert snapshot.own.record is not None
    assert snapshot.own.record.timestamp_s == int(published_at_s)
    assert cluster.stored(1).timestamp_s == int(published_at_s)


@pytest.mark.parametrize(
    "changed",
    [
        replace(PUBLICATION, score=1),
        replace(PUBLICATION, why="another"),
        replace(PUBLICATION, stopped=True),
        replace(PUBLICATION, notes=((WHY, "another"),)),
    ],
    ids=["score", "why", "stopped", "notes"],
)
def test_a_record_that_says_more_is_a_cycle(
    cluster: Cluster, host: Host, cycles: Cycles, changed: object
) -> None:
    cluster.run(1.0)
    shown = len(cycles.shown_at_s)
    host.publish(changed)  # type: ignore[arg-type]
    assert len(cycles.shown_at_s) > shown


def test_a_write_that_fails_is_a_cycle(cluster: Cluster, host: Host, cycles: Cycles) -> None:
    cluster.run(1.0)
    shown = len(cycles.shown_at_s)
    host.store.fail(errno.EIO)
    host.publish()
    cluster.run(0.1)
    assert len(cycles.shown_at_s) > shown
    assert "writing" in host.snapshot.storage.error


def test_the_end_of_a_failure_to_write_is_news(cluster: Cluster, host: Host) -> None:
    cluster.run(1.0)
    host.store.fail(errno.EIO)
    host.publish()
    cluster.run(TICK_S)
    host.store.heal()
    before = after = host.snapshot
    assert "writing" in before.storage.error
    for _ in range(int(2 * TICK_S / 0.05)):
        before = after
        cluster.run(0.05)
        after = host.snapshot
        if not after.storage.error:
            break
    assert not after.storage.error
    assert after.sequence > before.sequence, "no agent is told"


def test_a_record_that_says_the_same_hides_no_request(cluster: Cluster, host: Host) -> None:
    cluster.run(1.0)
    host.broker.mailbox.publish(PUBLICATION)
    ticket = host.ask("local", True)
    assert ticket.is_done()
    assert host.snapshot.local_maintenance


def test_where_every_job_hangs_what_is_known_is_looked_at_after_a_moment(
    cluster: Cluster, host: Host, cycles: Cycles
) -> None:
    """However short a time ago that was done."""
    cluster.run(TICK_S / 2)
    host.publish(replace(PUBLICATION, why="a cycle of its own"))
    cluster.run(TICK_S / 2 - 0.001)
    cycles.shown_at_s.clear()
    host.runner.frozen = True
    due_s = cluster.clock.monotonic_s() + 0.001
    cluster.run(TICK_S / 4)
    assert cycles.shown_at_s, "nobody has looked"
    assert cycles.shown_at_s[0] <= due_s + SETTLE_S + 0.011


def test_a_job_that_is_late_is_told_of_when_it_is(cluster: Cluster, host: Host) -> None:
    """Nothing can be begun then, and nothing ends: the look is at once."""
    host.store.hang()
    begun_s = cluster.clock.monotonic_s()
    while not host.snapshot.storage.error:
        cluster.run(0.05)
        assert cluster.clock.monotonic_s() < begun_s + 60, "never"
    late_s = cluster.clock.monotonic_s() - begun_s
    timing = host.broker._settings.timing
    assert late_s <= max(2 * timing.tick_s, timing.io_timeout_s) + 0.2, late_s
