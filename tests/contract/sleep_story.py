# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host sleeps for longer than its lease lasts: what it believes then, and what is so (ADR 23).

Its clock stands still meanwhile. So its sanlock goes on as if nothing had happened, and only the
storage tells that the lease is another host's. It takes the floor, 68 s at io_timeout 1.
"""

from __future__ import annotations

from metadata.liveness import Liveness
from tests.contract.clusters import (
    IO_TIMEOUT_S,
    Cluster,
    Host,
    failure,
    joined,
    liveness,
    wait_for,
)
from tests.contract.slow_story import DEAD_S
from world.ports.sanlock import LeaseOwner, Membership
from world.storage.sanlock_lockspace import ACQUIRE_IDLIVE

# A host that has noticed would end its holders within 8 io_timeouts; a renewal takes two.
RENEWALS_AWAKE = 8 // 2 + 1


def tell(cluster: Cluster) -> None:
    """h1 holds the lease and sleeps, h2 takes it, h1 wakes."""
    cluster.host("h1").call("format_lockspace", IO_TIMEOUT_S)
    cluster.host("h1").call("format_lease")
    sleeper, other = joined(cluster, "h1", "h2")
    theirs = sleeper.acquire()
    version = sleeper.call("held_version", theirs)
    assert sleeper.call("lease_owner") == LeaseOwner(1, 1)
    wait_for(cluster, lambda: liveness(other, 1) == Liveness.LIVE, 10)

    sleeper.fall_asleep()
    slept_s = wait_for(cluster, lambda: liveness(other, 1) == Liveness.DEAD, DEAD_S + 5)
    assert slept_s > DEAD_S - 2 * IO_TIMEOUT_S - 1
    ours = other.acquire()
    sleeper.wake()

    _check_memory(sleeper, theirs, version)
    _check_storage(sleeper, version + 1)
    _wait_for_renewals(cluster, other, RENEWALS_AWAKE)
    assert liveness(other, 1) == Liveness.LIVE
    _check_memory(sleeper, theirs, version)
    _check_storage(sleeper, version + 1)
    sleeper.release(theirs)
    wait_for(cluster, lambda: sleeper.call("holders") == [], 10)
    _check_storage(sleeper, version + 1)
    assert failure(sleeper.acquire).errno == ACQUIRE_IDLIVE
    assert other.call("process_holds_lease", ours)
    assert not other.is_killed(ours)


def _check_memory(sleeper: Host, pid: int, version: int) -> None:
    """Its daemon knows nothing of what was while it slept, and ends nobody."""
    assert sleeper.call("membership", 1) == Membership.JOINED
    assert sleeper.call("process_holds_lease", pid)
    assert sleeper.call("holders") == [pid]
    assert sleeper.call("held_version", pid) == version
    assert not sleeper.is_killed(pid)


def _check_storage(host: Host, version: int) -> None:
    """The question that decides: the lease is h2's, who has taken it once more since."""
    assert host.call("lease_owner") == LeaseOwner(2, 1)
    assert host.call("lease_version") == version


def _wait_for_renewals(cluster: Cluster, watcher: Host, count: int) -> None:
    """Until h1 has renewed its place so many times."""
    for _ in range(count):
        _wait_for_renewal(cluster, watcher)


def _wait_for_renewal(cluster: Cluster, watcher: Host) -> None:
    before = watcher.call("place", 1)
    wait_for(cluster, lambda: watcher.call("place", 1) != before, 10)
