# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host that was renamed, and copies of its disk: who may join, and who may write the slot.

A stopped record of another name is no rival for whom sanlock has under the id. So all hangs on
who gets that far: a copy must not, whatever it calls itself, while the other one is a member.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ha_broker.api.snapshot import LeaseState
from ha_broker.lockspace.same_id import watch_s
from metadata.settings.timing import lease_floor_s
from simulation.world import SimLockspace
from tests.unit.broker_host import (
    IO_TIMEOUT_S,
    JOIN_S,
    PUBLICATION,
    SETTINGS,
    TICK_S,
    Cluster,
    Host,
)
from world.ports.sanlock import LeaseOwner, Membership

ENGINE_PID = 77
LONG_S = lease_floor_s(IO_TIMEOUT_S, 60) + 2 * watch_s(SETTINGS.timing)
STOPPED = replace(PUBLICATION, stopped=True)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def machine(
    cluster: Cluster, state_dir: Path, board: str, name: str = "h1", sanlock_name: str = ""
) -> Host:
    """A machine with the host id 1, and the installation that all copies have."""
    host = cluster.host(1, state_dir, name=name)
    if sanlock_name:
        host.lockspace = SimLockspace(cluster.san, sanlock_name)
    host.vitals.machine_id, host.vitals.hardware_id = "disk", board
    host.vitals.reboot()
    host.start()
    return host


def live(cluster: Cluster, seconds: float, *hosts: Host) -> None:
    """Their agents publish once a tick."""
    for _ in range(int(seconds / TICK_S)):
        for host in hosts:
            host.publish()
        cluster.run(TICK_S)


def joined(cluster: Cluster, host: Host) -> None:
    live(cluster, JOIN_S + 2 * TICK_S, host)
    assert host.snapshot.lockspace.membership == Membership.JOINED


def stop_agent(cluster: Cluster, host: Host) -> None:
    """In order; broker, lockspace and VM are left as they are."""
    host.publish(STOPPED)
    cluster.run(1)
    assert cluster.stored(1).stopped


def assert_kept_out(cluster: Cluster, copy: Host, original: Host, generation: int = 1) -> None:
    """It has not joined, has written nothing, and the other one's lease is untouched."""
    assert copy.snapshot.lockspace.membership == Membership.OUT
    assert copy.store.writes == []
    assert original.snapshot.lockspace.membership == Membership.JOINED
    assert cluster.san.slots[1].generation == generation


@pytest.mark.parametrize("name", ["h1", "h9"])
@pytest.mark.parametrize("sanlock_name", ["h1", "h9"])
@pytest.mark.parametrize("board", ["board 2", ""], ids=["another board", "no board of its own"])
def test_a_copy_beside_a_member_whose_agent_has_stopped(
    cluster: Cluster, tmp_path: Path, name: str, sanlock_name: str, board: str
) -> None:
    """The record says "stopped", and the engine runs on there: stopping leaves VM and lockspace."""
    original = machine(cluster, tmp_path / "original", "board 1")
    joined(cluster, original)
    original.lockspace.acquire(ENGINE_PID)
    stop_agent(cluster, original)
    copy = machine(cluster, tmp_path / "copy", board, name, sanlock_name)
    live(cluster, LONG_S, copy)
    assert_kept_out(cluster, copy, original)
    assert original.lockspace.process_holds_lease(ENGINE_PID)
    assert cluster.stored(1).hostname == "h1"
    assert cluster.stored(1).stopped


def test_the_stop_of_a_copy_stands_nowhere(cluster: Cluster, tmp_path: Path) -> None:
    """Else the original's slot would say "stopped" while it runs."""
    original = machine(cluster, tmp_path / "original", "board 1")
    joined(cluster, original)
    copy = machine(cluster, tmp_path / "copy", "board 2", "h9")
    live(cluster, 2 * TICK_S, original, copy)
    copy.publish(STOPPED)
    live(cluster, LONG_S, original)
    assert_kept_out(cluster, copy, original)
    assert (cluster.stored(1).hostname, cluster.stored(1).stopped) == ("h1", False)


def left_in_order(cluster: Cluster, host: Host) -> None:
    """As at a shutdown: the agent stops, and the lockspace is left."""
    stop_agent(cluster, host)
    assert host.lockspace.leave_if_unused(1)
    cluster.hosts.remove(host)


@pytest.mark.parametrize("sanlock_name", ["h1", "h9"])
def test_the_old_names_host_that_is_switched_on_again_later(
    cluster: Cluster, tmp_path: Path, sanlock_name: str
) -> None:
    """A copy was given another name while the first one was off, and has the id now."""
    first = machine(cluster, tmp_path / "first", "board 1")
    joined(cluster, first)
    left_in_order(cluster, first)
    renamed = machine(cluster, tmp_path / "renamed", "board 2", "h9", sanlock_name)
    joined(cluster, renamed)
    live(cluster, 2 * TICK_S, renamed)
    assert cluster.stored(1).hostname == "h9"
    renamed.lockspace.acquire(ENGINE_PID)
    back = machine(cluster, tmp_path / "back", "board 1")
    live(cluster, LONG_S, back, renamed)
    assert_kept_out(cluster, back, renamed, cluster.san.slots[1].generation)
    assert renamed.lockspace.process_holds_lease(ENGINE_PID)
    assert cluster.stored(1).hostname == "h9"
    told = f"{back.snapshot.lockspace.error} {back.view(1).error}"
    assert "h9" in told, "it says who has its id"


def test_an_old_disk_beside_the_machine_that_was_renamed(cluster: Cluster, tmp_path: Path) -> None:
    host = machine(cluster, tmp_path / "host", "board 1")
    joined(cluster, host)
    left_in_order(cluster, host)
    renamed = machine(cluster, tmp_path / "host", "board 1", "h9")
    joined(cluster, renamed)
    generation = cluster.san.slots[1].generation
    old_disk = machine(cluster, tmp_path / "old", "board 2")
    live(cluster, LONG_S, old_disk, renamed)
    assert_kept_out(cluster, old_disk, renamed, generation)
    assert (cluster.stored(1).hostname, cluster.stored(1).stopped) == ("h9", False)


@pytest.mark.parametrize("board", ["board 2", ""], ids=["another board", "no board of its own"])
def test_who_lost_its_storage_stopped_its_agent_and_has_a_copy(
    cluster: Cluster, tmp_path: Path, board: str
) -> None:
    """Its place does not move for a while and its record says "stopped": both look like an end."""
    peer = cluster.host(2, tmp_path / "peer")
    original = machine(cluster, tmp_path / "original", "board 1")
    joined(cluster, original)
    original.lockspace.acquire(ENGINE_PID)
    cluster.run(2 * TICK_S)
    assert peer.snapshot.lease.state == LeaseState.HELD
    stop_agent(cluster, original)
    hung_at_s = cluster.clock.monotonic_s()
    original.lockspace.hang_storage()
    original.store.hang()
    copy = machine(cluster, tmp_path / "copy", board, "h9", "h1")
    while copy.snapshot.lockspace.membership != Membership.JOINED:
        live(cluster, TICK_S, copy)
        runs = bool(original.lockspace.holders)
        assert not (runs and cluster.san.slots[1].generation > 1), "two could have the lease"
        assert not (runs and peer.snapshot.lease.state == LeaseState.FREE)
        assert cluster.clock.monotonic_s() - hung_at_s < 2 * LONG_S
    assert not original.lockspace.holders
    assert cluster.san.lease in (None, LeaseOwner(1, 1))
