"""Which changes of a snapshot an agent may act on: only those raise its sequence."""

from __future__ import annotations

from typing import Optional

from ha_broker.snapshot import HostView, Snapshot
from metadata.records import HostRecord


def matters(snapshot: Snapshot) -> tuple[object, ...]:
    """All of `snapshot` that an agent may act on; never ages, stamps or texts for people."""
    return (
        snapshot.lease.state,
        snapshot.lease.owner_id,
        snapshot.engine.domain,
        snapshot.engine.health,
        snapshot.lockspace.membership,
        bool(snapshot.lockspace.error),
        snapshot.config.sequence,
        bool(snapshot.config.error),
        snapshot.storage.last_read_at_s is not None,
        bool(snapshot.storage.error),
        snapshot.global_maintenance,
        bool(snapshot.global_error),
        snapshot.local_maintenance,
        tuple(_host(view, view.host_id == snapshot.host_id) for view in snapshot.hosts),
    )


def _host(view: HostView, own: bool) -> tuple[object, ...]:
    """The agent wrote its own record itself, so its changes are no news."""
    seen = (view.host_id, view.liveness, bool(view.error))
    return seen if own else (*seen, view.fresh, _record(view.record))


def _record(record: Optional[HostRecord]) -> Optional[tuple[object, ...]]:
    if record is None:
        return None
    status = record.engine_status
    return (
        record.score,
        status.vm,
        status.health,
        record.state,
        record.maintenance,
        record.stopped,
        record.hostname,
    )
