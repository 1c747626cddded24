# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What takes sanlock's 68 s at io_timeout 1: a death certificate, and an id used twice."""

from __future__ import annotations

import pytest

from metadata.liveness import Liveness
from tests.contract.clusters import (
    IO_TIMEOUT_S,
    Cluster,
    Join,
    failure,
    joined,
    liveness,
    wait_for,
)
from tests.contract.places import TIME_FACTOR
from world.ports.errors import LockspaceError
from world.ports.sanlock import LeaseOwner, Membership
from world.storage.sanlock_lockspace import ACQUIRE_IDLIVE, HOSTID_BUSY

DEAD_S = 8 * IO_TIMEOUT_S + 60


def tell(cluster: Cluster) -> None:
    """A host dies, and another host wants an id in use: both take as long, so they share it."""
    cluster.host("h1").call("format_lockspace", IO_TIMEOUT_S)
    cluster.host("h1").call("format_lease")
    first, second = joined(cluster, "h1", "h2")
    wait_for(cluster, lambda: liveness(first, 2) == Liveness.LIVE, 10)
    second.acquire()
    assert failure(first.acquire).errno == ACQUIRE_IDLIVE
    second.kill_daemon()
    died_at_s = cluster.now_s()
    intruding = cluster.host("h3").begin_join(1)

    took_s = wait_for(cluster, lambda: liveness(first, 2) == Liveness.FAIL, 20)
    assert took_s > (8 - 2) * IO_TIMEOUT_S - 1
    assert first.call("lease_owner") == LeaseOwner(2, 1)
    first.acquire()  # sanlock waits until the owner is surely dead
    silent_s = cluster.now_s() - died_at_s
    assert DEAD_S - 2 * IO_TIMEOUT_S - 1 < silent_s < DEAD_S + 5 * TIME_FACTOR
    # sanlock gives the lease away up to a renewal before it says so of the host.
    wait_for(cluster, lambda: liveness(first, 2) == Liveness.DEAD, 2 * IO_TIMEOUT_S + 1)
    assert first.call("lease_owner") == LeaseOwner(1, 1)
    _check_intruder(cluster, intruding)


def _check_intruder(cluster: Cluster, intruding: Join) -> None:
    with pytest.raises(LockspaceError) as caught:
        intruding.finish()
    assert caught.value.errno == HOSTID_BUSY
    assert cluster.host("h3").call("membership", 1) == Membership.OUT
    assert cluster.host("h1").call("membership", 1) == Membership.JOINED
