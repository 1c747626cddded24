# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which changes of a snapshot an agent may act on: only those raise its sequence."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Optional

from ha_broker.api.monitors import MonitorView, network_failed_fraction
from ha_broker.api.snapshot import HostView, LeaseState, Publication, Snapshot, WitnessView
from metadata.moving_note import moving_to
from metadata.reach import is_network_good, reach_notes
from metadata.records import HostRecord
from metadata.start_notes import read_start_notes
from metadata.states import State
from metadata.takes_note import takes_told
from world.ports.libvirt import DomainState


class SignificantChanges:
    """Compares each snapshot with the one before it.

    `_hosts`, what matters of each host, holds until `HostChanges` finds the host changed.
    """

    def __init__(self, first: Snapshot) -> None:
        self._hosts = {view.host_id: _host_of(first, view) for view in first.hosts}
        self._rest = _rest(first)

    def found_in(self, snapshot: Snapshot, changed: AbstractSet[int]) -> bool:
        """Is there anything new that an agent may act on? `changed`: by `HostChanges`."""
        hosts_differ = bool(changed) and self._note_hosts(snapshot, changed)
        before, self._rest = self._rest, _rest(snapshot)
        return hosts_differ or self._rest != before

    def _note_hosts(self, snapshot: Snapshot, changed: AbstractSet[int]) -> bool:
        now = {v.host_id: _host_of(snapshot, v) for v in snapshot.hosts if v.host_id in changed}
        before = {one: self._hosts[one] for one in changed if one in self._hosts}
        for host_id in changed - now.keys():
            self._hosts.pop(host_id, None)
        self._hosts.update(now)
        return now != before


def matters(snapshot: Snapshot) -> tuple[object, ...]:
    """All of `snapshot` that an agent may act on; never ages, stamps or texts for people."""
    return (*_rest(snapshot), tuple([_host_of(snapshot, view) for view in snapshot.hosts]))


def _rest(snapshot: Snapshot) -> tuple[object, ...]:
    """What matters beside the hosts."""
    return (
        snapshot.lease.state,
        snapshot.lease.owner_id,
        snapshot.lease.seen_at_s if is_denied(snapshot) else None,
        _start_looked_after_s(snapshot),
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
        snapshot.move_order,
    )


def is_denied(snapshot: Snapshot) -> bool:
    """Does a VM run here whose lease on the storage is not this host's?

    Then each look counts, also one that says the same as the one before.
    """
    known = snapshot.lease.state != LeaseState.UNKNOWN
    runs_here = snapshot.engine.domain == DomainState.RUNNING
    return runs_here and known and not snapshot.holds_lease


def starts_in_vain_s(agent: Optional[Publication]) -> tuple[float, ...]:
    """When starts came to nothing, of the changes of state that the agent tells; latest last."""
    in_vain = (State.ENGINE_START.value, State.ENGINE_DOWN.value)
    changes = agent.transitions if agent is not None else ()
    return tuple([one.at_s for one in changes if (one.before, one.after) == in_vain])


def _start_looked_after_s(snapshot: Snapshot) -> Optional[float]:
    """The latest start in vain since whose end the lease has been looked at.

    Where sanlock refused it, the looks before say nothing any more: the first one afterwards
    counts, also where it says the same.
    """
    seen_at_s = snapshot.lease.seen_at_s
    if seen_at_s is None:
        return None
    return max(
        [at_s for at_s in starts_in_vain_s(snapshot.agent) if at_s < seen_at_s], default=None
    )


def _host_of(snapshot: Snapshot, view: HostView) -> tuple[object, ...]:
    return _host(view, view.host_id == snapshot.host_id)


def _host(view: HostView, own: bool) -> tuple[object, ...]:
    """The agent wrote its own record itself, so its changes are no news; but for that the storage
    has it now that the engine moves: the agent waits for that."""
    seen = (view.host_id, view.liveness, bool(view.error))
    if own:
        return (*seen, moving_to(view.record.notes) if view.record else None)
    return (*seen, view.fresh, _record(view.record))


def _record(record: Optional[HostRecord]) -> Optional[tuple[object, ...]]:
    if record is None:
        return None
    status = record.engine_status
    starts = read_start_notes(record.notes)
    return (
        record.score,
        status.vm,
        status.health,
        record.state,
        record.maintenance,
        record.stopped,
        record.hostname,
        reach_notes(record.notes),
        bool(starts.cannot_start),
        starts.tries,
        moving_to(record.notes),
        takes_told(record.notes).address,
    )


def _witness(view: Optional[WitnessView]) -> object:
    """Seen again a second later it says nothing new."""
    return view and (view.engine_host_id, view.sight)


def _network(monitors: tuple[MonitorView, ...]) -> object:
    """Whether all is well, nothing is, or something between."""
    failed = network_failed_fraction(monitors)
    return None if failed is None else (is_network_good(failed), failed >= 1)
