"""Which changes of a snapshot an agent may act on: only those raise its sequence."""

from __future__ import annotations

from typing import Optional

from ha_broker.api.monitors import MonitorView, network_failed_fraction
from ha_broker.api.snapshot import HostView, LeaseState, Snapshot, WitnessView
from metadata.reach import is_network_good, reach_notes
from metadata.records import HostRecord
from world.ports.libvirt import DomainState


class Significance:
    """`matters` of one snapshot after the other.

    Of hosts that are the very same tuple of views as before it is not worked out again.
    """

    def __init__(self) -> None:
        self._views: tuple[HostView, ...] = ()
        self._own_id: Optional[int] = None
        self._hosts: tuple[object, ...] = ()

    def matters(self, snapshot: Snapshot) -> tuple[object, ...]:
        """As the function."""
        if snapshot.hosts is not self._views or snapshot.host_id != self._own_id:
            self._views, self._own_id = snapshot.hosts, snapshot.host_id
            self._hosts = _of_hosts(snapshot)
        return (*_of_the_rest(snapshot), self._hosts)


def matters(snapshot: Snapshot) -> tuple[object, ...]:
    """All of `snapshot` that an agent may act on; never ages, stamps or texts for people."""
    return (*_of_the_rest(snapshot), _of_hosts(snapshot))


def _of_hosts(snapshot: Snapshot) -> tuple[object, ...]:
    return tuple([_host(view, view.host_id == snapshot.host_id) for view in snapshot.hosts])


def _of_the_rest(snapshot: Snapshot) -> tuple[object, ...]:
    return (
        snapshot.lease.state,
        snapshot.lease.owner_id,
        snapshot.lease.seen_at_s if is_denied(snapshot) else None,
        snapshot.engine.domain,
        snapshot.engine.health,
        _witness(snapshot.witness),
        _network(snapshot.monitors),
        snapshot.lockspace.membership,
        bool(snapshot.lockspace.error),
        snapshot.config.sequence,
        bool(snapshot.config.error),
        snapshot.storage.last_read_at_s is not None,
        bool(snapshot.storage.error),
        snapshot.global_maintenance,
        bool(snapshot.global_error),
        snapshot.local_maintenance,
    )


def is_denied(snapshot: Snapshot) -> bool:
    """Does a VM run here whose lease on the storage is not this host's?

    Then each look counts, also one that says the same as the one before.
    """
    known = snapshot.lease.state != LeaseState.UNKNOWN
    runs_here = snapshot.engine.domain == DomainState.RUNNING
    return runs_here and known and not snapshot.holds_lease


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
        reach_notes(record.notes),
    )


def _witness(view: Optional[WitnessView]) -> object:
    """Seen again a second later it says nothing new."""
    return view and (view.engine_host_id, view.sight)


def _network(monitors: tuple[MonitorView, ...]) -> object:
    """Whether all is well, nothing is, or something between."""
    failed = network_failed_fraction(monitors)
    return None if failed is None else (is_network_good(failed), failed >= 1)
