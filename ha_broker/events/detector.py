# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What happened to the cluster: one pure step from picture to picture.

::

    memory, happenings = watch(memory, picture, now_s, hold)

Nothing happens at a first look: what is there is learnt. What changes counts once it has held for
`hold.hold_s`, so what flaps faster is never told, and what a restart shows for a moment is not
either. The engine may start slowly: between its VM's start and its first health it is in between,
which is no event, until `hold.starting_s` have passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from math import inf
from typing import Optional, TypeVar

from ha_broker.api.event import Event, EventKind
from ha_broker.events.cluster_state import (
    ClusterPicture,
    EngineCondition,
    EnginePicture,
    HostPicture,
    Presence,
)
from ha_broker.events.debounce import Debounced
from ha_broker.events.text import figures
from metadata.moved_note import MovedNote
from metadata.value_class import replaced, value_class

T = TypeVar("T")

UNATTENDED_S = 120.0  # an update of the program is no news
_GONE = (Presence.LOST, Presence.LEFT)


@value_class(frozen=True)
class Hold:
    """How long something must hold (seconds).

    starting_s   how long an engine may take from its start to health
    alive_s      how long others take this host for working although it writes nothing
    """

    hold_s: float
    starting_s: float
    alive_s: float


@value_class(frozen=True)
class EngineValue:
    """`restarted`: the VM was gone meanwhile."""

    condition: EngineCondition
    host_id: Optional[int] = None
    restarted: bool = False


@value_class(frozen=True)
class HostMemory:
    """What is known of one host.

    It has told events since `tells_since_s` (None: it does not), in the life `generation`.
    """

    name: str = ""
    presence: Debounced[Presence] = field(default_factory=Debounced)
    maintenance: Debounced[bool] = field(default_factory=Debounced)
    tells_since_s: Optional[float] = None
    generation: int = 0


@value_class(frozen=True)
class WatchMemory:
    """All that a step needs of the past; made by `watch` alone.

    engine_host   where the engine was last known to be healthy
    was_absent    the VM was seen to be gone since then
    healthy_at_s  when it was last seen healthy; None: not in this life of the process
    pictured      the hosts as they were seen last
    hosts_rest    nothing is about to change with any of them
    began_at_s    when this process took its first look
    gap_s         for how long this host had not worked when this process began; None: not known
    saw_at_s      when this process could see the others for the first time
    away          this host had not worked for so long that others told what happened meanwhile
    """

    engine: Debounced[EngineValue] = field(default_factory=Debounced)
    engine_host: Optional[int] = None
    engine_host_name: str = ""
    was_absent: bool = False
    healthy_at_s: Optional[float] = None
    hosts: dict[int, HostMemory] = field(default_factory=dict)
    pictured: tuple[HostPicture, ...] = ()
    hosts_rest: bool = False
    global_maintenance: Debounced[bool] = field(default_factory=Debounced)
    storage_ok: Debounced[bool] = field(default_factory=Debounced)
    two_engines: Debounced[bool] = field(default_factory=Debounced)
    unattended: Debounced[int] = field(default_factory=Debounced)
    began_at_s: Optional[float] = None
    gap_s: Optional[float] = None
    saw_at_s: Optional[float] = None
    away: bool = False
    count: int = 0

    @property
    def rests(self) -> bool:
        """Is nothing about to change? Then time alone brings no event."""
        tracks = (
            self.engine,
            self.global_maintenance,
            self.storage_ok,
            self.two_engines,
            self.unattended,
        )
        return self.hosts_rest and all(track.resting for track in tracks)


@value_class(frozen=True)
class Happening:
    """An event, and whom it is first to be told by (None: the lowest id).

    not_by_id  this host can't know of it
    tellers    the hosts that had worked for a while when it began, lowest id first: they know it
    own        only the host that sees it can know of it
    witnessed  this host saw it happen; else it found it so, and others may have told it
    """

    event: Event
    teller_id: Optional[int] = None
    not_by_id: Optional[int] = None
    tellers: tuple[int, ...] = ()
    own: bool = False
    witnessed: bool = True


def watch(
    memory: WatchMemory, picture: ClusterPicture, now_s: float, hold: Hold
) -> tuple[WatchMemory, tuple[Happening, ...]]:
    """One step. `now_s` is monotonic; events are numbered on from `memory.count`."""
    if memory.began_at_s is None:
        memory = replaced(memory, began_at_s=now_s)
    memory = _note_sight(memory, picture, now_s, hold)
    found: list[Happening] = []
    memory, engine = _engine(memory, picture, now_s, hold)
    found += engine
    memory, hosts = _hosts(memory, picture, now_s, hold)
    found += hosts
    memory, others = _flags(memory, picture, now_s, hold)
    found += others
    if not found:
        return memory, ()
    numbered = tuple(
        replaced(
            item,
            event=replaced(item.event, number=memory.count + place),
            tellers=_tellers(memory, picture, item, hold),
        )
        for place, item in enumerate(found, 1)
    )
    return replaced(memory, count=memory.count + len(numbered)), numbered


def _tellers(
    memory: WatchMemory, picture: ClusterPicture, item: Happening, hold: Hold
) -> tuple[int, ...]:
    """A host that came just before it, or after it, may not know what was before it.

    Where all have just come, all of them count. The one whose own doing it is always knows.
    """
    latest_s = item.event.at_s - max(hold.alive_s, 2 * hold.hold_s)
    since_s = {host_id: memory.hosts[host_id].tells_since_s for host_id in picture.tellers}
    settled = tuple(
        host_id
        for host_id, began_s in since_s.items()
        if began_s is not None and (began_s <= latest_s or host_id == item.teller_id)
    )
    return settled or picture.tellers


# --- sight --------------------------------------------------------------------------------


def _note_sight(
    memory: WatchMemory, picture: ClusterPicture, now_s: float, hold: Hold
) -> WatchMemory:
    if memory.gap_s is None and picture.own_written_s is not None:
        # The slot is read before it is written, so this stamp is of the time before. After a
        # reboot it is another clock's: hardly ever a short while ago.
        memory = replaced(memory, gap_s=now_s - picture.own_written_s)
    if not picture.sees or memory.saw_at_s is not None:
        # Behind a dead storage the others may be as blind: what is found after it counts as seen.
        return memory
    short = memory.gap_s is not None and 0 <= memory.gap_s <= hold.alive_s
    return replaced(memory, saw_at_s=now_s, away=not short)


# --- the engine ---------------------------------------------------------------------------


def _engine(
    memory: WatchMemory, picture: ClusterPicture, now_s: float, hold: Hold
) -> tuple[WatchMemory, list[Happening]]:
    memory = _note_absence(memory, picture.engine)
    value = _engine_value(memory, picture.engine)
    track = memory.engine.look(value, now_s)
    if track.resting and value is not None and value.condition is EngineCondition.HEALTHY:
        return replaced(memory, engine=track, healthy_at_s=now_s), []
    if not track.has_held(now_s, _engine_hold_s(memory, value, hold)) or value is None:
        return replaced(memory, engine=track), []
    found = _engine_happening(memory, picture, track, value)
    return _settle_engine(memory, picture, track, value), found


def _note_absence(memory: WatchMemory, engine: EnginePicture) -> WatchMemory:
    ill = engine.condition is EngineCondition.UNHEALTHY
    boots_elsewhere = ill and memory.engine_host not in (None, engine.host_id)
    if (engine.absent or boots_elsewhere) and not memory.was_absent:
        return replaced(memory, was_absent=True)
    return memory


def _engine_value(memory: WatchMemory, engine: EnginePicture) -> Optional[EngineValue]:
    if engine.condition is None:
        return None
    healthy = engine.condition is EngineCondition.HEALTHY
    return EngineValue(engine.condition, engine.host_id, healthy and memory.was_absent)


def _engine_hold_s(memory: WatchMemory, value: Optional[EngineValue], hold: Hold) -> float:
    boots = value is not None and value.condition is EngineCondition.UNHEALTHY
    return max(hold.hold_s, hold.starting_s) if boots and memory.was_absent else hold.hold_s


def _settle_engine(
    memory: WatchMemory, picture: ClusterPicture, track: Debounced[EngineValue], value: EngineValue
) -> WatchMemory:
    if value.condition is not EngineCondition.HEALTHY:
        return replaced(memory, engine=track.settle())
    return replaced(
        memory,
        engine=track.settle(replaced(value, restarted=False)),
        engine_host=value.host_id,
        engine_host_name=picture.name(value.host_id),
        was_absent=False,
        healthy_at_s=None,
    )


def _engine_happening(
    memory: WatchMemory, picture: ClusterPicture, track: Debounced[EngineValue], value: EngineValue
) -> list[Happening]:
    kind = _engine_kind(memory, track.settled, value)
    if kind is None:
        return []
    moved = picture.moved(memory.engine_host, value.host_id)
    if kind is EventKind.TAKEN_OVER and moved is not None:
        kind = EventKind.MOVED
    about = memory.engine_host if kind is EventKind.STOPPED else value.host_id
    name = memory.engine_host_name if kind is EventKind.STOPPED else picture.name(value.host_id)
    event = Event(
        number=0,
        kind=kind,
        at_s=track.since_s,
        host_id=about,
        host_name=name,
        detail=_engine_detail(memory, kind, moved),
        outage_s=_outage_s(memory, track, value),
    )
    return [Happening(event, value.host_id, witnessed=_witnessed(memory, track))]


def _engine_kind(
    memory: WatchMemory, settled: Optional[EngineValue], value: EngineValue
) -> Optional[EventKind]:
    before = settled.condition if settled else None
    if value.condition is EngineCondition.DOWN:
        return EventKind.STOPPED if before not in (None, EngineCondition.DOWN) else None
    if value.condition is EngineCondition.UNHEALTHY:
        return EventKind.UNHEALTHY if before not in (None, EngineCondition.UNHEALTHY) else None
    if memory.engine_host is not None and memory.engine_host != value.host_id:
        return EventKind.TAKEN_OVER
    if value.restarted or before is EngineCondition.DOWN:
        return EventKind.STARTED
    return EventKind.HEALTHY if before is EngineCondition.UNHEALTHY else None


def _engine_detail(memory: WatchMemory, kind: EventKind, moved: Optional[MovedNote]) -> str:
    if kind is EventKind.MOVED and moved is not None:
        return "; ".join([f"it ran on {memory.engine_host_name} before", *figures(moved)])
    if kind is EventKind.TAKEN_OVER:
        return f"it ran on {memory.engine_host_name} before"
    if kind is EventKind.STOPPED and memory.engine_host is not None:
        return f"it ran on {memory.engine_host_name} before"
    return ""


def _outage_s(
    memory: WatchMemory, track: Debounced[EngineValue], value: EngineValue
) -> Optional[float]:
    if value.condition is not EngineCondition.HEALTHY or memory.healthy_at_s is None:
        return None
    return max(0.0, track.since_s - memory.healthy_at_s)


# --- the hosts ----------------------------------------------------------------------------


def _hosts(
    memory: WatchMemory, picture: ClusterPicture, now_s: float, hold: Hold
) -> tuple[WatchMemory, list[Happening]]:
    if not picture.hosts or (memory.hosts_rest and picture.hosts == memory.pictured):
        return memory, []
    known = memory.hosts
    # Those that are seen to work just after this process began may have done so for long.
    early = memory.began_at_s is not None and now_s - memory.began_at_s < hold.alive_s
    arrived_s = -inf if early else now_s
    found: list[Happening] = []
    hosts: dict[int, HostMemory] = {}
    for host in picture.hosts:
        before = known.get(host.host_id) or HostMemory()
        hosts[host.host_id] = after = _host(before, host, now_s, hold)
        if picture.sees:
            was_gone = before.presence.settled in _GONE
            since_s = now_s if was_gone else arrived_s
            # This process itself lives on when its host has lost the lockspace and joined anew.
            life = 0 if host.host_id == picture.own_id else host.generation
            after, reborn = _note_life(after, life)
            # One in a new life may be back before its record was missed.
            after = _note_telling(after, host.tells, since_s, now_s if reborn else None)
            hosts[host.host_id] = after
        if after is not before:
            found += _host_happenings(memory, before, after, host, picture)
    # One whose slot can't be seen now is not forgotten for that.
    kept = {} if picture.sees else {key: known[key] for key in known if key not in hosts}
    hosts = {**kept, **hosts}
    rest = all(host.presence.resting and host.maintenance.resting for host in hosts.values())
    return replaced(memory, hosts=hosts, pictured=picture.hosts, hosts_rest=rest), found


def _host(before: HostMemory, host: HostPicture, now_s: float, hold: Hold) -> HostMemory:
    presence = _settled(before.presence.look(_presence(before, host), now_s), now_s, hold)
    maintenance = _settled(before.maintenance.look(host.maintenance, now_s), now_s, hold)
    name = host.name or before.name
    same = presence is before.presence and maintenance is before.maintenance
    if same and name == before.name:
        return before
    return replaced(before, name=name, presence=presence, maintenance=maintenance)


def _note_telling(
    memory: HostMemory, tells: bool, arrived_s: float, reborn_at_s: Optional[float]
) -> HostMemory:
    if reborn_at_s is not None:
        return replaced(memory, tells_since_s=reborn_at_s if tells else None)
    if tells == (memory.tells_since_s is not None):
        return memory
    return replaced(memory, tells_since_s=arrived_s if tells else None)


def _note_life(memory: HostMemory, generation: int) -> tuple[HostMemory, bool]:
    """The memory with the life that is known now, and whether it is another one than before."""
    if generation in (0, memory.generation):
        return memory, False
    return replaced(memory, generation=generation), memory.generation != 0


def _presence(before: HostMemory, host: HostPicture) -> Optional[Presence]:
    """How a host went is decided when it goes: only one that is back to stay can go anew."""
    both = before.presence.settled in _GONE and host.presence in _GONE
    return before.presence.settled if both else host.presence


def _host_happenings(
    memory: WatchMemory,
    before: HostMemory,
    after: HostMemory,
    host: HostPicture,
    picture: ClusterPicture,
) -> Iterator[Happening]:
    kind = _PRESENCE_KINDS.get((before.presence.settled, after.presence.settled))
    if kind is not None:
        event = _host_event(kind, host, after, after.presence)
        witnessed = _witnessed(memory, after.presence)
        yield Happening(event, not_by_id=host.host_id, witnessed=witnessed)
    was, is_on = before.maintenance.settled, after.maintenance.settled
    if was is not None and was != is_on:
        own = host.host_id == picture.own_id
        witnessed = own or _witnessed(memory, after.maintenance)
        event = _host_event(_maintenance_kind(is_on), host, after, after.maintenance)
        yield Happening(event, host.host_id, witnessed=witnessed)


def _host_event(
    kind: EventKind, host: HostPicture, after: HostMemory, track: Debounced[T]
) -> Event:
    name = after.name or f"host {host.host_id}"
    return Event(0, kind, track.since_s, host.host_id, name)


# A host that left in order is not missed, and nobody waits for its return.
_PRESENCE_KINDS: dict[tuple[Optional[Presence], Optional[Presence]], EventKind] = {
    (Presence.ALIVE, Presence.LOST): EventKind.HOST_LOST,
    (Presence.LOST, Presence.ALIVE): EventKind.HOST_BACK,
}


def _maintenance_kind(on: Optional[bool]) -> EventKind:
    return EventKind.MAINTENANCE_ON if on else EventKind.MAINTENANCE_OFF


# --- the cluster's maintenance, and this host's storage ---------------------------------------


def _flags(
    memory: WatchMemory, picture: ClusterPicture, now_s: float, hold: Hold
) -> tuple[WatchMemory, list[Happening]]:
    found = []
    before = memory.global_maintenance
    after = _settled(before.look(picture.global_maintenance, now_s), now_s, hold)
    if before.settled is not None and after.settled != before.settled:
        event = Event(0, _maintenance_kind(after.settled), after.since_s)
        found.append(Happening(event, witnessed=_witnessed(memory, after)))
    storage = _settled(memory.storage_ok.look(picture.storage_ok, now_s), now_s, hold)
    if memory.storage_ok.settled is not None and storage.settled != memory.storage_ok.settled:
        found.append(_storage_happening(storage, picture))
    two = _settled(memory.two_engines.look(picture.two_engines, now_s), now_s, hold)
    if two.settled and not memory.two_engines.settled:
        event = Event(0, EventKind.TWO_ENGINES, two.since_s, detail=picture.two_engines_why)
        found.append(Happening(event, witnessed=_witnessed(memory, two)))
    if (after, storage, two) != (before, memory.storage_ok, memory.two_engines):
        memory = replaced(memory, global_maintenance=after, storage_ok=storage, two_engines=two)
    return _attendance(memory, picture, found, now_s, hold)


def _attendance(
    memory: WatchMemory, picture: ClusterPicture, found: list[Happening], now_s: float, hold: Hold
) -> tuple[WatchMemory, list[Happening]]:
    before = memory.unattended
    after = before.look(picture.unattended, now_s)
    hold_s = max(hold.hold_s, UNATTENDED_S) if picture.unattended else hold.hold_s
    if after.has_held(now_s, hold_s):
        after = after.settle()
    if after is before:
        return memory, found
    now = after.settled
    if before.settled is not None and before.settled != now:
        kind = EventKind.UNATTENDED if now else EventKind.ATTENDED
        about = now or picture.engine.host_id
        event = Event(0, kind, after.since_s, about, picture.name(about))
        found.append(Happening(event, not_by_id=about, witnessed=_witnessed(memory, after)))
    return replaced(memory, unattended=after), found


def _storage_happening(track: Debounced[bool], picture: ClusterPicture) -> Happening:
    kind = EventKind.STORAGE_BACK if track.settled else EventKind.STORAGE_LOST
    event = Event(0, kind, track.since_s, picture.own_id, picture.name(picture.own_id))
    return Happening(event, picture.own_id, own=True)


# --- both ---------------------------------------------------------------------------------


def _settled(track: Debounced[T], now_s: float, hold: Hold) -> Debounced[T]:
    return track.settle() if track.has_held(now_s, hold.hold_s) else track


def _witnessed(memory: WatchMemory, track: Debounced[T]) -> bool:
    """Was this host there? After a short absence it must take itself for one that was."""
    return track.witnessed or not memory.away
