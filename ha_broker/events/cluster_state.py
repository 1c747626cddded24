# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The few facts of a snapshot that events are made of. Pure.

`None` always means: not known now. It neither begins nor ends anything.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import field
from enum import Enum
from typing import Optional

from ha_broker.api.snapshot import HostView, LeaseState, Snapshot, way_out_of_two
from metadata.liveness import Liveness
from metadata.moved_note import MovedNote, moved_of
from metadata.records import EngineVm, Health
from metadata.value_class import value_class
from world.ports.libvirt import DomainState
from world.ports.sanlock import Membership


class EngineCondition(str, Enum):
    """How the engine is doing."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DOWN = "down"


class Presence(str, Enum):
    """Is a host there?"""

    ALIVE = "alive"  # its record is fresh, or sanlock says LIVE
    LOST = "lost"  # it has a record, which is stale, and sanlock says FAIL, DEAD or FREE
    LEFT = "left"  # its services were stopped in order, and it left the lockspace


@value_class(frozen=True)
class EnginePicture:
    """The engine as far as it can be told; `absent`: it is seen that no VM runs now."""

    condition: Optional[EngineCondition] = None
    host_id: Optional[int] = None
    absent: bool = False


@value_class(frozen=True)
class HostPicture:
    """One host.

    tells     its record is fresh, so its broker works and tells events
    generation  its life in sanlock's lockspace; 0: not known
    says_up   its record says that the engine is up there
    moved     its record says that the engine has left it alive, and where to
    """

    host_id: int
    name: str = ""
    presence: Optional[Presence] = None
    maintenance: Optional[bool] = None
    tells: bool = False
    generation: int = 0
    says_up: bool = field(default=False, compare=False)
    moved: Optional[MovedNote] = field(default=None, compare=False)


@value_class(frozen=True)
class ClusterPicture:
    """All of it, as this host sees it.

    sees            the storage can be read and sanlock be asked: other hosts can be seen
    unattended      the host that has the engine while no agent speaks there; 0: one does
    own_written_s   the time stamp in this host's own record: when it was last known to work
                    (this machine's monotonic second, if it was not rebooted since)
    two_engines_why which hosts say that the engine runs there, and the way out
    views           what `hosts` was made of
    """

    own_id: int
    sees: bool = False
    engine: EnginePicture = EnginePicture()
    hosts: tuple[HostPicture, ...] = ()
    global_maintenance: Optional[bool] = None
    storage_ok: Optional[bool] = None
    two_engines: Optional[bool] = None
    two_engines_why: str = field(default="", compare=False)
    unattended: Optional[int] = None
    own_written_s: Optional[float] = field(default=None, compare=False)
    views: tuple[HostView, ...] = field(default=(), compare=False)

    def name(self, host_id: Optional[int]) -> str:
        """What people call a host."""
        names = (host.name for host in self.hosts if host.host_id == host_id)
        return next(names, "") or f"host {host_id}"

    def moved(self, host_id: Optional[int], to_id: Optional[int]) -> Optional[MovedNote]:
        """What the one host says of the engine's way to the other one; None: nothing."""
        notes = (host.moved for host in self.hosts if host.host_id == host_id)
        note = next(notes, None)
        return note if note is not None and note.to == self.name(to_id) else None

    @property
    def wrote_s(self) -> dict[int, float]:
        """When each host's record was last seen to change, on this host's monotonic clock."""
        return {v.host_id: v.changed_at_s for v in self.views if v.changed_at_s is not None}

    @property
    def generations(self) -> dict[int, int]:
        """The hosts' lives by their ids."""
        return {host.host_id: host.generation for host in self.hosts}

    @property
    def tellers(self) -> tuple[int, ...]:
        """The hosts whose brokers tell events, lowest id first."""
        return tuple(sorted(host.host_id for host in self.hosts if host.tells))


def picture_of(
    snapshot: Snapshot,
    before: Optional[ClusterPicture] = None,
    changed: AbstractSet[int] = frozenset(),
) -> ClusterPicture:
    """The picture that this snapshot gives; of the one `before` it keeps what is the same.

    `changed`: at least the hosts that `HostChanges` has found changed since then.
    """
    sees = _sees_others(snapshot)
    hosts = _hosts(snapshot, sees, before, changed)
    several = sum([host.says_up for host in hosts]) > 1
    way_out = way_out_of_two(snapshot) if several else ""
    own = snapshot.own
    return ClusterPicture(
        own_id=snapshot.host_id,
        sees=sees,
        engine=_engine(snapshot) if sees else EnginePicture(),
        hosts=hosts,
        global_maintenance=snapshot.global_maintenance if sees else None,
        storage_ok=_storage_ok(snapshot),
        two_engines=bool(way_out) if sees else None,
        two_engines_why=way_out,
        unattended=_unattended(snapshot) if sees else None,
        own_written_s=float(own.record.timestamp_s) if own and own.record else None,
        views=snapshot.hosts,
    )


def _sees_others(snapshot: Snapshot) -> bool:
    joined = snapshot.lockspace.membership == Membership.JOINED and not snapshot.lockspace.error
    return joined and _storage_ok(snapshot) is True


def _storage_ok(snapshot: Snapshot) -> Optional[bool]:
    if snapshot.storage.error:
        return False
    return True if snapshot.storage.last_read_at_s is not None else None


# --- the hosts ----------------------------------------------------------------------------


def _hosts(
    snapshot: Snapshot, sees: bool, before: Optional[ClusterPicture], changed: AbstractSet[int]
) -> tuple[HostPicture, ...]:
    """There may be 2000 of them, and most of their records are only written again."""
    # This host's own picture is also made of what the snapshot says of it elsewhere.
    views, anew = snapshot.hosts, {*changed, snapshot.host_id}
    if before is None or before.sees != sees or len(before.hosts) != len(views):
        return tuple([_host(view, snapshot, sees) for view in views])
    hosts = [
        known
        if known.host_id == view.host_id and known.host_id not in anew
        else _host(view, snapshot, sees)
        for view, known in zip(views, before.hosts)
    ]
    return tuple(hosts)


def _host(view: HostView, snapshot: Snapshot, sees: bool) -> HostPicture:
    own = view.host_id == snapshot.host_id
    record, fresh = view.record, view.fresh_record
    maintenance = fresh.maintenance if fresh is not None and sees else None
    return HostPicture(
        host_id=view.host_id,
        name=snapshot.host_name if own else record.hostname if record is not None else "",
        presence=None if own or not sees else _presence(view),
        maintenance=snapshot.local_maintenance if own else maintenance,
        tells=view.agent_speaks and sees,
        generation=view.generation,
        says_up=view.says_up,
        moved=moved_of(record.notes) if record is not None else None,
    )


def _presence(view: HostView) -> Optional[Presence]:
    if view.shows_life:
        return Presence.ALIVE
    if view.record is None or view.liveness == Liveness.UNKNOWN:
        return None
    if view.record.stopped and view.liveness == Liveness.FREE:
        return Presence.LEFT
    return Presence.LOST


# --- the engine ---------------------------------------------------------------------------


def _unattended(snapshot: Snapshot) -> Optional[int]:
    """Of another host only: this one, where it is so, may have no broker to tell it.

    In global maintenance nobody is to act, and agents are stopped on purpose.
    """
    holder_id = snapshot.lease.holder_id
    if holder_id in (None, snapshot.host_id) or snapshot.global_maintenance:
        return None
    view = snapshot.host(holder_id)
    if view is None or view.record is None or not view.is_live:
        return None
    return 0 if view.agent_speaks else holder_id


def _engine(snapshot: Snapshot) -> EnginePicture:
    holder_id = snapshot.lease.holder_id
    if snapshot.lease.state == LeaseState.FREE:
        return EnginePicture(EngineCondition.DOWN, absent=True)
    if holder_id is None:
        return EnginePicture()
    if holder_id == snapshot.host_id:
        return _own_engine(snapshot)
    return _peers_engine(snapshot.host(holder_id), holder_id)


def _own_engine(snapshot: Snapshot) -> EnginePicture:
    engine, host_id = snapshot.engine, snapshot.host_id
    if engine.domain == DomainState.ABSENT:
        return EnginePicture(None, host_id, absent=True)
    if engine.domain == DomainState.PAUSED:
        return EnginePicture(EngineCondition.UNHEALTHY, host_id)
    if engine.domain != DomainState.RUNNING:
        return EnginePicture(None, host_id)
    return EnginePicture(_condition(engine.health), host_id)


def _peers_engine(view: Optional[HostView], host_id: int) -> EnginePicture:
    record = view.sure_record if view is not None else None
    if record is None:
        return EnginePicture(None, host_id)
    status = record.engine_status
    if status.is_up:
        return EnginePicture(_condition(status.health), host_id)
    return EnginePicture(None, host_id, absent=status.vm != EngineVm.UNKNOWN)


def _condition(health: Health) -> Optional[EngineCondition]:
    known = {Health.GOOD: EngineCondition.HEALTHY, Health.BAD: EngineCondition.UNHEALTHY}
    return known.get(health)
