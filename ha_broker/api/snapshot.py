# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the broker knows at one moment: the value that travels to the agent and the command.

Times are seconds of this machine's CLOCK_MONOTONIC (the same for all its processes), so a
reader computes ages itself, and an old snapshot can't look young. `None` means "not yet" or
"not known", never zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any, Optional

from ha_broker.api.event import Event
from ha_broker.api.monitors import MonitorView
from metadata import moving_note
from metadata.liveness import Liveness
from metadata.penalties import Penalty
from metadata.reach import Sight
from metadata.records import PAUSED, EngineStatus, Health, HostRecord
from metadata.value_class import value_class
from world.ports.domain_state import DomainState
from world.ports.membership import Membership


@value_class(frozen=True)
class StorageView:
    """How the broker's own I/O is doing."""

    last_read_at_s: Optional[float] = None
    last_write_at_s: Optional[float] = None  # own slot, confirmed by read-back
    busy_since_s: Optional[float] = None  # an I/O that has not ended yet
    latency_s: Optional[float] = None
    error: str = ""


@value_class(frozen=True)
class LockspaceView:
    """This host's membership in the sanlock lockspace.

    `fire_timeout_s` is its sanlock's watchdog_fire_timeout; None: not known yet.
    """

    membership: Membership = Membership.OUT
    error: str = ""
    fire_timeout_s: Optional[int] = None


class LeaseState:
    """Whether the engine's lease can be taken (plain strings, as they stand in the JSON).

    The rules: `ha_broker.lockspace.lease_state`. sanlock decides again when somebody takes it.
    """

    # This host is no member, sanlock does not answer, or the owner on the storage can't be read or
    # was read more than two ticks and an io_timeout ago.
    UNKNOWN = "unknown"
    # No owner, or one that is surely over: DEAD, FREE, in an earlier life, not listed for long, or
    # FAIL and silent for 8 x io_timeout + watchdog_fire_timeout by our own clock.
    FREE = "free"
    # An owner that lives, or of whom nothing better is known.
    HELD = "held"


@value_class(frozen=True)
class LeaseView:
    """The engine's lease: `owner_id` is kept for people even when that owner is dead.

    `generation` is the owner's life in the lockspace in which it took the lease.
    """

    state: str = LeaseState.UNKNOWN
    owner_id: Optional[int] = None
    seen_at_s: Optional[float] = None
    why: str = ""
    generation: Optional[int] = None

    @property
    def holder_id(self) -> Optional[int]:
        """Who holds it now; None: nobody, or it is not known."""
        return self.owner_id if self.state == LeaseState.HELD else None


@value_class(frozen=True)
class EngineView:
    """The broker's own look at the engine's domain and health page on this host."""

    domain: DomainState = DomainState.UNKNOWN
    health: Health = Health.UNKNOWN
    detail: str = ""
    seen_at_s: Optional[float] = None

    @property
    def is_here(self) -> bool:
        """Is the VM on this host, running or paused?"""
        return self.domain in (DomainState.RUNNING, DomainState.PAUSED)


@value_class(frozen=True)
class WitnessView:
    """The engine's page as seen from here, while the engine is on the host `engine_host_id`."""

    engine_host_id: int
    sight: Sight = Sight.UNKNOWN
    detail: str = ""
    seen_at_s: Optional[float] = None


@value_class(frozen=True)
class HostView:
    """One host of the cluster as this broker sees it, itself included.

    `record` is the last good record (kept, with its age, while the slot is damaged);
    `error` says what is wrong with the slot now. `fresh` means that the record's timestamp
    changed within the alive window, on our clock; it changed last at `changed_at_s`.
    `undecided` means that nobody can know that yet: the record had no such window to change, since
    this broker's start, and sanlock says nothing.

    A host gives two signs of life: its record (the broker and the agent there work) and its place
    in the lockspace, of which sanlock tells (the host and its storage work). Who asks "does it
    live?" needs one, the other or both, so each of the questions below has its own name. That
    a damaged slot can be `fresh` is why those about the record ask for a record, too.
    """

    host_id: int
    liveness: Liveness = Liveness.UNKNOWN
    generation: int = 0
    record: Optional[HostRecord] = None
    error: str = ""
    fresh: bool = False
    changed_at_s: Optional[float] = None
    undecided: bool = False

    @property
    def name(self) -> str:
        """As the host calls itself; its id where that is not known."""
        known = self.record.hostname if self.record is not None else ""
        return known or f"host {self.host_id}"

    @property
    def is_live(self) -> bool:
        """Does sanlock call it alive?"""
        return self.liveness is Liveness.LIVE

    @property
    def shows_life(self) -> bool:
        """Is there either sign, a fresh record or sanlock's word? Without both it is gone."""
        return self.fresh or self.is_live

    @property
    def fresh_record(self) -> Optional[HostRecord]:
        """What its record says, while that is fresh, whatever sanlock says."""
        return self.record if self.fresh else None

    @property
    def sure_record(self) -> Optional[HostRecord]:
        """What its record says, while that is fresh and sanlock calls the host alive."""
        return self.record if self.fresh and self.is_live else None

    @property
    def is_current(self) -> bool:
        """May its record be shown as what is so now ("live-data")? Not once it counts as dead."""
        return self.fresh_record is not None and self.liveness is not Liveness.DEAD

    @property
    def agent_speaks(self) -> bool:
        """Is its record fresh, and its agent not stopped in order?"""
        record = self.fresh_record
        return record is not None and not record.stopped

    @property
    def says_up(self) -> bool:
        """Does its record say that the engine is up there, with the host in the lockspace?

        Nobody who is dead, or has left, has an engine: leaving ends it.
        """
        record = self.fresh_record
        gone = self.liveness in (Liveness.DEAD, Liveness.FREE)
        return record is not None and not gone and record.engine_status.is_up

    @property
    def is_able(self) -> bool:
        """Could it run the engine, by the plainest look: alive, with points, in no maintenance?

        An agent that decides looks closer, and waits for hosts that sanlock does not know yet
        (`fsm.peers.is_candidate`).
        """
        record = self.sure_record
        if record is None or record.stopped or record.maintenance:
            return False
        return record.score > 0


def alike_but_score(was: HostView, view: HostView) -> bool:
    """Are both views of one host with a record that says the same of it, but for its score, what it
    says in words (notes, details) and when it was written?"""
    before, record = was.record, view.record
    if before is None or record is None:
        return False
    if before.engine_status is not record.engine_status:
        status, now = before.engine_status, record.engine_status
        if status.vm is not now.vm or status.health is not now.health:
            return False
    return (
        was.liveness is view.liveness
        and was.fresh == view.fresh
        and before.state == record.state
        and before.maintenance == record.maintenance
        and before.stopped == record.stopped
        and before.hostname == record.hostname
    )


def made_view(values: dict[str, Any]) -> HostView:
    """A `HostView` of all its fields, as its class makes it, at a sixth of the cost; a cluster may
    have 2000 in each tick. `values` is its own from now on (see `metadata.records.made_record`)."""
    view = object.__new__(HostView)
    object.__setattr__(view, "__dict__", values)
    return view


@value_class(frozen=True)
class ConfigView:
    """The shared configuration as last read: its sequence number, or what is wrong with it."""

    sequence: Optional[int] = None
    error: str = ""


@value_class(frozen=True)
class TransitionView:
    """One change of the agent's state; `number` rises by one within one agent's life, from 1.

    Those of 0 and below happened in earlier lives of it, in this boot of the machine.
    """

    number: int
    at_s: float
    before: str
    after: str
    why: str


MAINTENANCE = "maintenance"
"""What a move is for (`MoveReport.what_for`) that this host's local maintenance asks for."""
OWN_PURPOSES = (MAINTENANCE, "shutdown", "cut-off", "dark", "better-host")
"""What moves are for that no person's order asks for: the agent's words."""


class MovePhase:
    """How far a move is (plain strings, as they stand in the JSON)."""

    WAITING = "waiting"  # for a target, or for the record that announces it
    MOVING = "moving"  # libvirt is at it, or about to begin
    MOVED = "moved"  # the VM has left
    REFUSED = "refused"  # the engine stays: no target is left


@value_class(frozen=True)
class MoveReport:
    """What the agent says of the latest live migration of the engine away from here.

    what_for      ``maintenance``, ``shutdown``, ``cut-off``, ``dark``, ``better-host``, or the id
                  of a person's order
    phase         one of `MovePhase`
    target        the host to which it goes, or went last, by name; empty: none is chosen yet
    tries         how many times it was tried for that
    refusals      the hosts that did not get it, each as "host: reason"
    copied        how much of the VM's memory the target has (0 to 1); None: not known
    took_s, downtime_s, copied_bytes   of the move that succeeded, as libvirt reports them: the
                  whole of it, how long the VM did not run, what went over the network
    """

    what_for: str
    phase: str
    target: str = ""
    tries: int = 0
    refusals: tuple[str, ...] = ()
    copied: Optional[float] = None
    took_s: Optional[float] = None
    downtime_s: Optional[float] = None
    copied_bytes: Optional[int] = None

    @property
    def is_over(self) -> bool:
        """Is nothing more to come of it?"""
        return self.phase in (MovePhase.MOVED, MovePhase.REFUSED)


@value_class(frozen=True)
class Publication:
    """What the agent hands to the broker: this host's record, and what else others may know.

    The broker adds host id, host name, timestamp, wall time and local maintenance to the
    record, and writes it at once; `notes` are further lines of its text part. What follows
    `vm_conf_refresh_s` is not written: it goes to status, mails and metrics of this host.
    `life_at_s` is when the agent started (monotonic): a new one counts transitions anew.
    """

    score: int
    engine_status: EngineStatus
    state: str
    stopped: bool = False
    timeout_wall_time: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    conf_on_shared_storage: bool = True
    vm_conf_refresh_s: int = 0
    why: str = ""
    in_state_since_s: Optional[float] = None
    timeout_at_s: Optional[float] = None
    penalties: tuple[Penalty, ...] = ()
    transitions: tuple[TransitionView, ...] = ()
    life_at_s: Optional[float] = None
    move: Optional[MoveReport] = None  # none was wanted yet


@value_class(frozen=True)
class MoveOrder:
    """A person's order to move the engine alive from here, to the host `to_id` (None: the best).

    Held in the broker's memory alone, until the agent says what became of it.
    """

    request_id: str
    to_id: Optional[int] = None
    asked_at_s: float = 0.0


@value_class(frozen=True)
class NotificationCounts:
    """What became of this broker's notifications since it started; `queued` wait now.

    sent      delivered to one target each
    failed    attempts that failed, whether they were tried again or not
    dropped   given up: the queue was full, the daily limit was reached, or they were too old
    """

    queued: int = 0
    sent: int = 0
    failed: int = 0
    dropped: int = 0


@value_class(frozen=True)
class Snapshot:
    """All that the broker knows. `sequence` rises with every change an agent may act on."""

    sequence: int
    taken_at_s: float
    host_id: int
    host_name: str
    started_at_s: float
    storage: StorageView = field(default_factory=StorageView)
    lockspace: LockspaceView = field(default_factory=LockspaceView)
    lease: LeaseView = field(default_factory=LeaseView)
    engine: EngineView = field(default_factory=EngineView)
    witness: Optional[WitnessView] = None  # this host does not look at another one's engine
    monitors: tuple[MonitorView, ...] = ()
    config: ConfigView = field(default_factory=ConfigView)
    hosts: tuple[HostView, ...] = ()
    global_maintenance: Optional[bool] = None
    global_error: str = ""
    local_maintenance: bool = False
    move_order: Optional[MoveOrder] = None  # nobody has ordered one, or it is over
    agent_published_at_s: Optional[float] = None
    agent: Optional[Publication] = None
    events: tuple[Event, ...] = ()
    notifications: NotificationCounts = field(default_factory=NotificationCounts)
    metrics_error: str = ""  # why the metrics are not served over TCP as the settings say

    def host(self, host_id: Optional[int]) -> Optional[HostView]:
        """The host of that id; None: nothing is known of it."""
        return next((view for view in self.hosts if view.host_id == host_id), None)

    @property
    def own(self) -> Optional[HostView]:
        """This host, as the others see it."""
        return self.host(self.host_id)

    @property
    def holds_lease(self) -> bool:
        """Does this host hold the engine's lease?"""
        return self.lease.holder_id == self.host_id


def with_hosts(snapshot: Snapshot, hosts: tuple[HostView, ...]) -> Snapshot:
    """As `dataclasses.replace`, at a tenth of the cost."""
    other = object.__new__(Snapshot)
    values = other.__dict__
    values.update(snapshot.__dict__)
    values["hosts"] = hosts
    return other


def hosts_that_say_up(snapshot: Snapshot) -> tuple[HostView, ...]:
    """The hosts whose fresh records say that the engine's VM runs there.

    More than one is one too many: the engine runs twice (a host has slept), or somebody has started
    it past sanlock. In a live migration both hosts have its VM, which is paused on one of them:
    that one is left out while a host says that the engine is moving.
    """
    found = [view for view in snapshot.hosts if view.says_up]
    if len(found) > 1 and any(_says_moving(view) for view in found):
        found = [view for view in found if not _says_paused(view)] or found
    return tuple(found)


def _says_moving(view: HostView) -> bool:
    return view.record is not None and any(key == moving_note.KEY for key, _ in view.record.notes)


def _says_paused(view: HostView) -> bool:
    return view.record is not None and view.record.engine_status.detail == PAUSED


def way_out_of_two(snapshot: Snapshot) -> str:
    """Which of those hosts is right, and what to do on the others; empty: there are not two."""
    found = hosts_that_say_up(snapshot)
    if len(found) < 2:
        return ""
    owner_id = snapshot.lease.holder_id
    owner = next((view.name for view in found if view.host_id == owner_id), "")
    said = f"{listed_hosts(found)} both say that the engine runs there"
    if len(found) > 2:
        said = f"{listed_hosts(found)} all say that the engine runs there"
    if not owner:
        end = "look with 'virsh list' on each; the one without the engine's lease must go"
        return f"{said}: {end} ('hosted-engine --vm-poweroff' there)"
    others = listed_hosts([view for view in found if view.host_id != owner_id])
    return f"{said}: its lease is {owner}'s; on {others}: 'hosted-engine --vm-poweroff'"


def listed_hosts(views: Sequence[HostView]) -> str:
    """Their names, with "and" before the last."""
    names = [view.name for view in views]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
