# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The broker's snapshot as sights. Pure."""

from __future__ import annotations

from ha_agent.history.entry import ClusterSight, HostSight
from ha_broker.api.snapshot import HostView, Publication, Snapshot
from metadata.liveness import Liveness

WHY = "why"


def this_host(snapshot: Snapshot, record: Publication, host_name: str) -> HostSight:
    """This host, as its agent has just decided."""
    status = record.engine_status
    return HostSight(
        host_id=snapshot.host_id,
        name=host_name,
        state=record.state,
        score=record.score,
        vm=status.vm.value,
        health=status.health.value,
        live=True,
        liveness=(snapshot.own.liveness if snapshot.own else Liveness.UNKNOWN).value,
        maintenance=snapshot.local_maintenance,
        stopped=record.stopped,
        why=record.why,
    )


def cluster(snapshot: Snapshot, engine: str) -> ClusterSight:
    """What concerns all; `engine` is the engine's name for people."""
    lease = snapshot.lease
    return ClusterSight(lease.state, lease.holder_id, snapshot.global_maintenance, engine)


def other_host(view: HostView) -> HostSight:
    """A host that is not this one, as the broker sees it."""
    record = view.record
    if record is None:
        return HostSight(view.host_id, liveness=view.liveness.value, why=view.error)
    status = record.engine_status
    return HostSight(
        host_id=view.host_id,
        name=record.hostname,
        state=record.state,
        score=record.score,
        vm=status.vm.value,
        health=status.health.value,
        live=view.is_current,
        liveness=view.liveness.value,
        maintenance=record.maintenance,
        stopped=record.stopped,
        why=dict(record.notes).get(WHY, ""),
    )
