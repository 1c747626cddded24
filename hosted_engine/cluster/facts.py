# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What ``--explain`` goes by: the broker's snapshot, host by host. Pure.

This host is described by what its own agent handed to the broker, the others by their records.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Optional

from ha_broker.api import penalties_line
from ha_broker.api.penalties_line import NotedPenalty
from ha_broker.api.snapshot import HostView, Publication, Snapshot
from ha_broker.api.times import moment_text
from hosted_engine.cluster.other_clock import CTIME, NO_CLOCK, OtherClock
from metadata.liveness import Liveness
from metadata.notes import WHY
from metadata.penalties import Penalty
from metadata.records import PAUSED, STRANDED, EngineStatus, EngineVm, Health, HostRecord
from metadata.sanlock_usual import USUAL_FIRE_TIMEOUT_S
from metadata.settings.parse import ClusterSettings
from metadata.settings.timing import lease_floor_s
from metadata.start_notes import StartNotes, read_start_notes, started_from_in
from metadata.states import State
from world.ports.libvirt import DomainState

QUIET_TICKS = 3
STATES_OF_MAINTENANCE = (
    State.GLOBAL_MAINTENANCE,
    State.LOCAL_MAINTENANCE,
    State.LOCAL_MAINTENANCE_MIGRATE_VM,
)
"""In which an agent says that its host is in maintenance, or on its way there."""


class HostLife(Enum):
    """What this host knows of another one's being there."""

    SPEAKS = "speaks"
    QUIET = "quiet"  # its record still counts, and is older than it should be
    SILENT = "silent"  # its record counts no more
    FAILING = "failing"  # sanlock has not heard of it, and does not count it as dead yet
    DEAD = "dead"
    LEFT = "left"  # in good order
    STOPPED = "stopped"  # its agent, in good order; what it said before is all there is
    UNREADABLE = "unreadable"  # there is no record that could be read


@dataclass(frozen=True)
class EngineWord:
    """What a host says of the engine's VM on it; `paused` or `up` or neither."""

    up: bool = False
    paused: bool = False
    known: bool = True
    health: Health = Health.UNKNOWN
    detail: str = ""

    @property
    def stranded(self) -> bool:
        """Is it paused, and can nobody let it go on?"""
        return self.paused and STRANDED in self.detail


@dataclass(frozen=True)
class HostFacts:
    """One host, told in one way: this one by its own agent and broker, another one by its record.

    view          as the broker sees it
    own_name      of this host alone: its record may be one that another host left
    silent_s      since its latest word; None: not known
    state         by name; `None` where nobody said it; "" is never used
    since_s       how long it has been in that state, where that is known
    left_s        how long until the state's time-out, where it has one
    entered_why   why it went into that state, where that is known
    starts        what it says of its own starts
    started_from  which older version of the shared configuration its VM runs from; None: the one
                  in use, or not known
    """

    view: HostView
    life: HostLife
    this: bool = False
    own_name: str = ""
    silent_s: Optional[float] = None
    state: Optional[str] = None
    score: Optional[int] = None
    why: str = ""
    engine: EngineWord = EngineWord(known=False)
    maintenance: bool = False
    stopped: bool = False
    penalties: tuple[NotedPenalty, ...] = ()
    since_s: Optional[float] = None
    left_s: Optional[float] = None
    entered_why: str = ""
    starts: StartNotes = field(default_factory=StartNotes)
    started_from: Optional[int] = None

    @property
    def host_id(self) -> int:
        """Its id."""
        return self.view.host_id

    @property
    def name(self) -> str:
        """As it calls itself; its id where that is not known."""
        return self.own_name or self.view.name

    @property
    def liveness(self) -> Liveness:
        """sanlock's word on it."""
        return self.view.liveness

    @property
    def error(self) -> str:
        """What is wrong with its slot."""
        return self.view.error

    @property
    def speaks(self) -> bool:
        """Does what it said last still count?"""
        return self.life in (HostLife.SPEAKS, HostLife.QUIET)

    @property
    def known_state(self) -> Optional[State]:
        """The state, if this version knows it."""
        return next((state for state in State if state.value == self.state), None)

    @property
    def has_vm(self) -> bool:
        """Does it say that the engine's VM is on it?"""
        return self.engine.up or self.engine.paused


class Cluster:
    """All that is known, at monotonic second `now_s`; `wall_s` is the wall clock then.

    `libvirt_unit` is the service by which libvirt works on this host.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        settings: ClusterSettings,
        now_s: float,
        wall_s: float,
        libvirt_unit: str = "libvirtd",
    ) -> None:
        self.snapshot = snapshot
        self.settings = settings
        self.now_s = now_s
        self.wall_s = wall_s
        self.libvirt_unit = libvirt_unit
        self.hosts = tuple(
            self._this(view) if view.host_id == snapshot.host_id else self._other(view)
            for view in snapshot.hosts
        )
        if not any(host.this for host in self.hosts):
            self.hosts = (self._this(HostView(snapshot.host_id)), *self.hosts)

    @property
    def this(self) -> HostFacts:
        """The host that is asked."""
        return next(host for host in self.hosts if host.this)

    @property
    def fire_timeout_s(self) -> int:
        """sanlock's watchdog_fire_timeout here; before it is known, the usual one."""
        return self.snapshot.lockspace.fire_timeout_s or USUAL_FIRE_TIMEOUT_S

    @property
    def floor_s(self) -> float:
        """How long after a host's last sign of life nobody else can have its lease."""
        return lease_floor_s(self.settings.timing.io_timeout_s, self.fire_timeout_s)

    @property
    def owner(self) -> Optional[HostFacts]:
        """Who holds the engine's lease; None: nobody, or it is not known."""
        return self.host(self.snapshot.lease.holder_id)

    @property
    def runner(self) -> Optional[HostFacts]:
        """On whom the engine's VM is, as far as somebody says so whose word counts."""
        found = [host for host in self.hosts if host.has_vm and host.speaks]
        found.sort(key=lambda host: (host is not self.owner, not host.this, host.host_id))
        return found[0] if found else None

    @property
    def blind_s(self) -> Optional[float]:
        """How old all that is known of others is, when that is too old; else None."""
        storage = self.snapshot.storage
        if storage.last_read_at_s is None:
            return self.now_s - self.snapshot.started_at_s
        age_s = self.now_s - storage.last_read_at_s
        return age_s if age_s > QUIET_TICKS * self.settings.timing.tick_s else None

    @property
    def agent_silent_s(self) -> Optional[float]:
        """How long this host's agent has said nothing, when that is too long; else None."""
        published_at_s = self.snapshot.agent_published_at_s
        since_s = self.snapshot.started_at_s if published_at_s is None else published_at_s
        silent_s = self.now_s - since_s
        return silent_s if silent_s > QUIET_TICKS * self.settings.timing.tick_s else None

    def host(self, host_id: Optional[int]) -> Optional[HostFacts]:
        """The host of that id; one that never wrote anything has only its id."""
        if host_id is None:
            return None
        found = [host for host in self.hosts if host.host_id == host_id]
        if found:
            return found[0]
        return HostFacts(HostView(host_id), HostLife.UNREADABLE)

    def moment(self, at_s: float) -> str:
        """A monotonic second as a local time."""
        return moment_text(at_s, self.now_s, self.wall_s)

    # --- one host -----------------------------------------------------------------------------

    def _this(self, view: HostView) -> HostFacts:
        snapshot, agent = self.snapshot, self.snapshot.agent
        silent_s = self.agent_silent_s
        stopped = agent is not None and agent.stopped
        facts = HostFacts(
            view,
            HostLife.SPEAKS,
            this=True,
            own_name=snapshot.host_name,
            silent_s=silent_s,
            engine=_own_engine(snapshot),
            maintenance=snapshot.local_maintenance,
            stopped=stopped,
        )
        return facts if agent is None or silent_s is not None else self._told(facts, agent)

    def _told(self, facts: HostFacts, agent: Publication) -> HostFacts:
        """With what its agent says of itself."""
        since_at_s, ends_at_s = agent.in_state_since_s, agent.timeout_at_s
        # What an earlier agent did led to no state of this one.
        own_ones = [one for one in agent.transitions if one.number > 0]
        latest = own_ones[-1] if own_ones else None
        return replace(
            facts,
            state=agent.state,
            score=agent.score,
            why=agent.why,
            engine=_engine_told(facts.engine, agent.engine_status),
            penalties=tuple(self._own_penalty(one) for one in agent.penalties),
            since_s=None if since_at_s is None else self.now_s - since_at_s,
            left_s=None if ends_at_s is None else max(0.0, ends_at_s - self.now_s),
            entered_why=latest.why if latest is not None else "",
            starts=read_start_notes(agent.notes),
            started_from=started_from_in(agent.notes),
        )

    def _own_penalty(self, penalty: Penalty) -> NotedPenalty:
        since = "" if penalty.began_at_s is None else self.moment(penalty.began_at_s)
        until = "" if penalty.ends_at_s is None else self.moment(penalty.ends_at_s)
        return NotedPenalty(penalty.name, penalty.points, penalty.reason, since, until)

    def _other(self, view: HostView) -> HostFacts:
        record = view.record
        silent_s = None if view.changed_at_s is None else self.now_s - view.changed_at_s
        life = self._life(view, silent_s)
        if record is None:
            return HostFacts(view, life)
        notes = dict(record.notes)
        return HostFacts(
            view,
            life,
            silent_s=silent_s,
            state=record.state,
            score=record.score,
            why=notes.get(WHY, ""),
            engine=_engine_word(record.engine_status),
            maintenance=record.maintenance,
            stopped=record.stopped,
            penalties=self._noted(record, silent_s),
            left_s=_left_s(record, silent_s),
            starts=read_start_notes(record.notes),
            started_from=started_from_in(record.notes),
        )

    def _noted(self, record: HostRecord, silent_s: Optional[float]) -> tuple[NotedPenalty, ...]:
        """Its own local times as ours; another program's line is shown as it is."""
        text = dict(record.notes).get(penalties_line.KEY, "")
        found = penalties_line.read_note(text)
        if text and not found:
            return (NotedPenalty("", 0, text),)
        clock = OtherClock(record.wall_time, None if silent_s is None else self.wall_s - silent_s)
        return tuple(
            replace(
                one,
                since=self._shown(one.since, clock.past(one.since)),
                until=self._shown(one.until, clock.future(one.until)),
            )
            for one in found
        )

    def _shown(self, theirs: str, at_wall_s: Optional[float]) -> str:
        if not theirs:
            return ""
        if at_wall_s is None:
            return f"{theirs} {NO_CLOCK}"
        return self.moment(self.now_s + at_wall_s - self.wall_s)

    def _life(self, view: HostView, silent_s: Optional[float]) -> HostLife:
        if view.liveness is Liveness.DEAD:
            return HostLife.DEAD
        if view.record is None:
            return HostLife.UNREADABLE
        if view.liveness is Liveness.FAIL:
            return HostLife.FAILING
        if view.record.stopped:
            return HostLife.LEFT if view.liveness is Liveness.FREE else HostLife.STOPPED
        if view.fresh:
            late_s = QUIET_TICKS * self.settings.timing.tick_s
            return HostLife.QUIET if silent_s is not None and silent_s > late_s else HostLife.SPEAKS
        return HostLife.LEFT if view.liveness is Liveness.FREE else HostLife.SILENT


def _own_engine(snapshot: Snapshot) -> EngineWord:
    engine = snapshot.engine
    return EngineWord(
        up=engine.domain is DomainState.RUNNING,
        paused=engine.domain is DomainState.PAUSED,
        known=engine.domain is not DomainState.UNKNOWN,
        health=engine.health,
        detail=engine.detail,
    )


def _engine_told(seen: EngineWord, said: EngineStatus) -> EngineWord:
    """libvirt alone, which the broker asks, does not know that it can't let the VM go on."""
    stranded = seen.paused and STRANDED in said.reason
    return replace(seen, detail=STRANDED) if stranded else seen


def _engine_word(status: EngineStatus) -> EngineWord:
    paused = status.is_up and status.detail == PAUSED
    known = status.vm is not EngineVm.UNKNOWN
    return EngineWord(status.is_up and not paused, paused, known, status.health, _detail(status))


def _detail(status: EngineStatus) -> str:
    """The reason; that it is paused is told by itself."""
    return status.reason.removeprefix("paused: ") if status.detail == PAUSED else status.reason


def _left_s(record: HostRecord, silent_s: Optional[float]) -> Optional[float]:
    """By the writer's own clock and the age of its word, so that no two clocks are compared."""
    if not record.timeout_wall_time or not record.wall_time:
        return None
    try:
        ends = time.mktime(time.strptime(record.timeout_wall_time, CTIME))
        said = time.mktime(time.strptime(record.wall_time, CTIME))
    except (ValueError, OverflowError):
        return None
    return max(0.0, ends - said - (silent_s or 0.0))
