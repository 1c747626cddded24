# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""After a sleep of its machine the broker asks the storage at once who holds the lease."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha_broker.api.snapshot import LeaseState
from ha_broker.significant_changes import matters
from simulation.world import VirtualClock
from tests.unit.broker_host import JOIN_S, TICK_S, Cluster, Host
from world.host.clock import SystemClock
from world.ports.libvirt import Domain, DomainState
from world.ports.sanlock import LeaseOwner
from world.ports.sleep_watch import SHORTEST_S, SleepWatch


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def host(cluster: Cluster, tmp_path: Path) -> Host:
    """Runs the engine, and has come to rest."""
    host = cluster.host(1, tmp_path)
    cluster.run(JOIN_S + 5 * TICK_S)
    host.lockspace.acquire(4001)
    host.hypervisor.set_domain(Domain(DomainState.RUNNING, pid=4001))
    cluster.run(5 * TICK_S)
    assert host.snapshot.lease.state == LeaseState.HELD
    return host


def test_a_sleep_is_what_boottime_counts_and_monotonic_does_not() -> None:
    clock = VirtualClock()
    watch = SleepWatch(clock)
    clock.advance(500)
    assert watch.slept_s() == 0
    clock.sleep(SHORTEST_S / 2)
    assert watch.slept_s() == 0
    clock.sleep(90)
    assert watch.slept_s() == 90
    assert watch.slept_s() == 0


def test_the_machines_boottime_is_never_behind() -> None:
    clock = SystemClock()
    before_s = clock.monotonic_s()
    assert clock.boottime_s() >= before_s


def test_what_was_read_before_a_sleep_is_void_and_read_again_at_once(
    cluster: Cluster, host: Host
) -> None:
    cluster.san.lease = LeaseOwner(2, 1)
    cluster.clock.sleep(200)
    woke_at_s = cluster.clock.monotonic_s()
    host.broker.tick()  # its first turn after that
    assert host.snapshot.lease.state == LeaseState.UNKNOWN
    cluster.run(0.5)
    lease = host.snapshot.lease
    assert (lease.state, lease.owner_id) == (LeaseState.HELD, 2)
    assert lease.seen_at_s is not None
    assert woke_at_s <= lease.seen_at_s <= woke_at_s + 0.1
    read_at_s = host.snapshot.storage.last_read_at_s
    assert read_at_s is not None
    assert read_at_s >= woke_at_s


def test_a_read_that_was_under_way_when_the_machine_slept_is_void(
    cluster: Cluster, host: Host
) -> None:
    host.runner.hang("lease")
    cluster.run(2 * TICK_S)
    cluster.clock.sleep(200)
    host.broker.tick()
    assert host.snapshot.lease.state == LeaseState.UNKNOWN
    woke_at_s = cluster.clock.monotonic_s()
    host.runner.release("lease")
    cluster.run(1)
    seen_at_s = host.snapshot.lease.seen_at_s
    assert seen_at_s is not None
    assert seen_at_s >= woke_at_s


def test_while_the_lease_of_the_vm_here_is_anothers_each_look_is_news(
    cluster: Cluster, host: Host
) -> None:
    before = host.snapshot
    cluster.run(3 * TICK_S)
    assert matters(host.snapshot) == matters(before)
    cluster.san.lease = LeaseOwner(2, 1)
    cluster.run(TICK_S)
    first = host.snapshot
    assert first.lease.owner_id == 2
    cluster.run(1.1)
    assert host.snapshot.sequence > first.sequence
    assert host.snapshot.lease.seen_at_s > first.lease.seen_at_s
