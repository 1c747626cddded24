# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The snapshot's sequence rises with what an agent may act on, and with nothing else."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from ha_broker.api.snapshot import LeaseState, Publication, Snapshot, TransitionView
from metadata.records import EngineStatus, EngineVm, Health
from metadata.settings.parse import ClusterSettings
from metadata.states import State
from tests.unit.broker_host import (
    ALIVE_S,
    CONFIG,
    DOWN,
    JOIN_S,
    PUBLICATION,
    TICK_S,
    UP,
    Cluster,
    Host,
)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def host(cluster: Cluster, tmp_path: Path) -> Host:
    """A member that has seen a peer's record change."""
    host = cluster.host(1, tmp_path)
    cluster.peer(2)
    cluster.put_record(2, timestamp_s=1)
    cluster.run(JOIN_S + 60)
    cluster.put_record(2, timestamp_s=2)
    cluster.run(TICK_S)
    return host


def test_it_starts_above_that_of_an_earlier_life(cluster: Cluster, host: Host) -> None:
    earlier = host.snapshot.sequence
    cluster.run(0.5)
    host.start()
    assert host.snapshot.sequence > earlier


def test_time_alone_changes_nothing(cluster: Cluster, host: Host) -> None:
    before = host.snapshot
    for timestamp_s in range(3, 40):
        cluster.put_record(2, timestamp_s=timestamp_s)
        host.publish(replace(PUBLICATION, vm_conf_refresh_s=timestamp_s))
        cluster.run(TICK_S)
    assert host.snapshot.sequence == before.sequence
    assert host.snapshot.taken_at_s > before.taken_at_s
    assert host.view(2).record.timestamp_s == 39  # type: ignore[union-attr]


def test_our_own_record_is_no_news(cluster: Cluster, host: Host) -> None:
    host.publish()
    cluster.run(TICK_S)
    before = host.snapshot.sequence
    host.publish(replace(PUBLICATION, score=1, state="EngineUp", engine_status=UP))
    cluster.run(TICK_S)
    assert host.snapshot.sequence == before


def test_that_the_engine_moves_is_news_once_it_is_on_the_storage(
    cluster: Cluster, host: Host
) -> None:
    """The agent waits for it, and for what the others say after that, before it has libvirt move
    the engine."""
    host.publish()
    cluster.run(TICK_S)
    for to in ("h2", "h3"):
        before = host.snapshot.sequence
        told = (("moving", f"to {to}, others wait 40 s"),)
        host.store.hang()
        host.publish(replace(PUBLICATION, notes=told))
        assert host.snapshot.sequence == before
        host.store.heal()
        cluster.run(TICK_S)
        assert told[0] in host.snapshot.own.record.notes  # type: ignore[union-attr]
        assert host.snapshot.sequence == before + 2
        host.publish(replace(PUBLICATION, notes=told))
        cluster.run(TICK_S)
        assert host.snapshot.sequence == before + 2


@pytest.mark.parametrize(
    "fields",
    [
        {"score": 3399},
        {"state": "EngineUp"},
        {"maintenance": True},
        {"stopped": True},
        {"engine_status": UP},
        {"engine_status": EngineStatus(EngineVm.UP, Health.BAD, "Up", "x")},
        {"notes": (("cannot-start", "its domain XML is refused"),)},
        {"notes": (("start-tries", "1"),)},
        {"notes": (("moving", "to h1, others wait 40 s"),)},
        {"notes": (("takes", "at qemu+tls://h2/system"),)},
    ],
)
def test_a_peers_change_is_news(cluster: Cluster, host: Host, fields: dict[str, Any]) -> None:
    before = host.snapshot.sequence
    cluster.put_record(2, timestamp_s=3, **fields)
    cluster.run(TICK_S)
    assert host.snapshot.sequence == before + 1


def test_a_peers_words_for_people_are_not(cluster: Cluster, host: Host) -> None:
    before = host.snapshot.sequence
    status = replace(DOWN, detail="other words")
    cluster.put_record(2, timestamp_s=3, engine_status=status, notes=(("why", "so"),))
    cluster.run(TICK_S)
    assert host.snapshot.sequence == before


def test_staleness_is_news(cluster: Cluster, host: Host) -> None:
    before = host.snapshot.sequence
    cluster.run(ALIVE_S + TICK_S)
    assert host.snapshot.sequence == before + 1


def change_global(cluster: Cluster, host: Host) -> None:
    host.ask("global", True).wait(0)


def change_local(cluster: Cluster, host: Host) -> None:
    host.ask("local", True).wait(0)


def change_config(cluster: Cluster, host: Host) -> None:
    cluster.put_config(replace(CONFIG, sequence=5, settings=ClusterSettings()))
    host.broker.mailbox.ask_reread()


def break_storage(cluster: Cluster, host: Host) -> None:
    host.store.fail(errno.EIO)


def start_engine(cluster: Cluster, host: Host) -> None:
    host.hypervisor.start("<domain/>")


def kill_sanlock(cluster: Cluster, host: Host) -> None:
    host.lockspace.kill_daemon()


def add_host(cluster: Cluster, host: Host) -> None:
    cluster.put_record(3)
    host.broker.mailbox.ask_reread()


def damage_peer(cluster: Cluster, host: Host) -> None:
    cluster.put(2, b"garbage")


@pytest.mark.parametrize(
    "change",
    [
        change_global,
        change_local,
        change_config,
        break_storage,
        start_engine,
        kill_sanlock,
        add_host,
        damage_peer,
    ],
)
def test_news(cluster: Cluster, host: Host, change: Callable[[Cluster, Host], None]) -> None:
    before = host.snapshot.sequence
    change(cluster, host)
    cluster.run(TICK_S)
    assert host.snapshot.sequence > before
    settled = host.snapshot.sequence
    cluster.put_record(2, timestamp_s=77)
    cluster.run(TICK_S + 1)
    cluster.put_record(2, timestamp_s=78)
    cluster.run(TICK_S + 1)
    if change is not damage_peer:
        assert host.snapshot.sequence <= settled + 1


def test_a_snapshot_is_never_changed_afterwards(cluster: Cluster, host: Host) -> None:
    kept: Snapshot = host.snapshot
    copy = replace(kept)
    cluster.put_record(2, timestamp_s=9, score=1)
    host.ask("global", True)
    cluster.run(TICK_S)
    assert kept == copy
    assert host.snapshot is not kept


def after_a_change(before: State, after: State, at_s: float) -> Publication:
    change = TransitionView(1, at_s, before.value, after.value, "so it went")
    return replace(PUBLICATION, transitions=(change,))


def test_the_first_look_at_the_lease_after_a_start_in_vain_is_at_once_and_news(
    cluster: Cluster, host: Host
) -> None:
    """Though it finds the lease free as before: the agent goes by no look before its start."""
    cluster.run(0.5)
    before, ended_at_s = host.snapshot, cluster.clock.monotonic_s() - 0.01
    assert before.lease.state == LeaseState.FREE
    record = after_a_change(State.ENGINE_START, State.ENGINE_DOWN, ended_at_s)
    host.publish(record)
    cluster.run(0.1)
    first = host.snapshot
    assert first.lease.seen_at_s is not None and first.lease.seen_at_s > ended_at_s
    assert (first.sequence, first.lease.state) == (before.sequence + 1, LeaseState.FREE)
    host.publish(record)
    cluster.run(3 * TICK_S)
    later = TransitionView(2, cluster.clock.monotonic_s(), "EngineDown", "EngineStart", "again")
    host.publish(replace(record, transitions=(*record.transitions, later)))
    cluster.run(3 * TICK_S)
    assert host.snapshot.sequence == first.sequence


@pytest.mark.parametrize(
    "before, after",
    [
        (State.ENGINE_START, State.ENGINE_STARTING),
        (State.REINITIALIZE_FSM, State.ENGINE_DOWN),
        (State.ENGINE_DOWN, State.ENGINE_START),
    ],
)
def test_other_changes_of_the_agent_are_no_reason_to_look(
    cluster: Cluster, host: Host, before: State, after: State
) -> None:
    cluster.run(0.5)
    old = host.snapshot
    host.publish(after_a_change(before, after, cluster.clock.monotonic_s() - 0.01))
    cluster.run(0.1)
    assert host.snapshot.lease.seen_at_s == old.lease.seen_at_s
    assert host.snapshot.sequence == old.sequence
