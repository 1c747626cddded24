# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Everything the agent knows, made into one `Observation`: a pure function.

What is old is not known: a snapshot older than `STALE_TICKS` ticks says nothing any more of
the lease or the engine's health, and blocks a start.
"""

from __future__ import annotations

from dataclasses import field
from functools import cached_property
from operator import is_
from typing import Callable, NamedTuple, Optional

from fsm.observation import (
    HostCondition,
    HostStop,
    Lease,
    MoveRequest,
    Observation,
    Peer,
    PluginCost,
    Vm,
    VmEnding,
)
from ha_agent import host_shutdown
from ha_agent.actions.execute import LatestStart
from ha_agent.actions.migrate_engine import LatestMove
from ha_agent.ports import BrokerLook
from ha_broker.api.monitors import (
    BRIDGE,
    CPU_LOAD,
    MEMORY_FREE,
    network_failed_fraction,
    plugin_name,
    view_of,
)
from ha_broker.api.snapshot import (
    HostView,
    LeaseState,
    LeaseView,
    Snapshot,
    alike_but_score,
)
from metadata import better_note, moving_note, reach, start_notes, takes_note
from metadata.better_note import decode_better_moves
from metadata.moving_note import MovingNote, decode_moving
from metadata.notes import Notes
from metadata.own_slot import rival
from metadata.reach import GAVE_AWAY, Testimony, is_network_good, read_testimony
from metadata.records import STRANDED, Health
from metadata.settings.parse import ClusterSettings, HostSettings
from metadata.start_notes import StartNotes, read_start_notes
from metadata.takes_note import TakesNote, takes_told
from metadata.value_class import value_class
from world.ports.host import ProcessStart
from world.ports.libvirt import Domain, DomainState, Ending, Pause
from world.ports.sanlock import Membership

STALE_TICKS = 3
NO_PAGE = "health is not looked at: no health page is configured"

# The pauses that libvirt ends by itself, and the setting that says how long that may take.
_PASSING_PAUSES: dict[Optional[Pause], str] = {
    Pause.MIGRATION: "migration_s",
    Pause.POSTCOPY: "migration_s",
    Pause.SNAPSHOT: "save_s",
    Pause.FROM_SNAPSHOT: "save_s",
    Pause.SAVE: "save_s",
    Pause.DUMP: "save_s",
    Pause.SHUTTING_DOWN: "stop_s",
}
_VMS = {
    DomainState.RUNNING: Vm.RUNNING,
    DomainState.PAUSED: Vm.PAUSED,
    DomainState.ABSENT: Vm.ABSENT,
    DomainState.UNKNOWN: Vm.UNKNOWN,
}


_ENDINGS = {ending: VmEnding(ending.value) for ending in Ending}


@value_class(frozen=True)
class Inputs:
    """What `collect` looks at.

    started_at_s      when this agent started (monotonic)
    look              the latest of the broker, with the moment of its arrival
    domain            libvirt's word; UNKNOWN with the reason in `detail`
    domain_asked      libvirt's first answer, error or deadline is in
    vm_since_s        since when the VM is this very process; None: it ran before us
    vm_seen_at_s      when libvirt was asked for `domain`
    vm_running_since_s  since when each answer has shown this process running
    vm_same_since_s   since when libvirt has said the very same of it
    vm_ran            that process has been seen running here
    vm_process        which process the VM is
    vm_holds_lease    sanlock's word on that process
    vm_stranded       nothing can let the VM go on, by libvirt and sanlock (`stranded_vm`)
    vm_lease_why      what there is to say of a False besides
    move              the latest live migration that this agent asked for
    move_announced    this host's record on the storage says that the engine is moving
    unfinished_why    an order of ours that libvirt has not ended
    config_why        why nothing can be started from the shared configuration
    config_refused    why the shared configuration can never be started from
    config_current    what is held is the newest configuration
    host_shuts_down   this host is being shut down; `host_stops`: what becomes of the engine by
                      that; `host_stop_told`: the others have had the time to read it
    woke_at_s         when this machine woke up last; None: it has not slept since we started
    peers             the other hosts in `look`, where they are known already (`PeerList`)
    """

    now_s: float
    host: HostSettings
    settings: ClusterSettings
    started_at_s: float
    look: BrokerLook = field(default_factory=BrokerLook)
    domain: Domain = field(default_factory=lambda: Domain(DomainState.UNKNOWN))
    domain_asked: bool = False
    vm_since_s: Optional[float] = None
    vm_seen_at_s: Optional[float] = None
    vm_running_since_s: Optional[float] = None
    vm_same_since_s: Optional[float] = None
    vm_ran: bool = False
    vm_process: Optional[ProcessStart] = None
    vm_holds_lease: Optional[bool] = None
    vm_lease_why: str = ""
    vm_stranded: bool = False
    start: LatestStart = field(default_factory=LatestStart)
    move: LatestMove = field(default_factory=LatestMove)
    move_announced: bool = False
    unfinished_why: str = ""
    config_why: str = ""
    config_refused: str = ""
    config_current: Optional[bool] = None
    host_shuts_down: bool = False
    host_stops: Optional[HostStop] = None
    host_stop_told: bool = True
    stop_requested: bool = False
    woke_at_s: Optional[float] = None
    peers: Optional[tuple[Peer, ...]] = None

    @cached_property
    def stale(self) -> bool:
        """Is the latest snapshot too old to say anything (or was there never one)?"""
        age_s = self.look.age_s(self.now_s)
        return age_s is None or age_s > STALE_TICKS * self.settings.timing.tick_s

    @cached_property
    def snapshot(self) -> Optional[Snapshot]:
        """The snapshot while it counts."""
        return None if self.stale else self.look.snapshot

    @property
    def alive_s(self) -> float:
        """The window within which something silent still counts as alive."""
        return self.settings.timing.alive_s


Reason = Callable[[Inputs, Snapshot], str]


def collect(inputs: Inputs) -> Observation:
    """One look at everything; no I/O, no clock."""
    snapshot = inputs.snapshot
    lease, owner_id = _lease(inputs)
    health, health_detail = _health(inputs)
    stranded = inputs.vm_stranded and lease is Lease.OURS
    vm, vm_detail = (Vm.PAUSED, STRANDED) if stranded else _vm(inputs)
    # Only where they can matter: looks without news must not look like news.
    contradicted = vm is Vm.RUNNING and lease in (Lease.FREE, Lease.THEIRS)
    snapshot_lease = snapshot.lease if snapshot and contradicted else None
    latest, condition = inputs.look.snapshot, _condition(inputs)
    return Observation(
        now_s=inputs.now_s,
        host_id=inputs.host.host_id,
        complete=inputs.domain_asked and snapshot is not None and _has_looked(snapshot),
        blocked_why=blocked_why(inputs),
        cannot_start_why=_first_of(_LASTING_REASONS, inputs) or inputs.config_refused,
        vm=vm,
        vm_ending=_ENDINGS[inputs.domain.ending],
        vm_detail=vm_detail,
        vm_leaving=_is_leaving(inputs, vm),
        vm_stranded=stranded,
        moving_limit_s=inputs.settings.timing.away_s,
        vm_id=inputs.vm_process.identity if inputs.vm_process else "",
        vm_began_s=inputs.vm_process.began_s if inputs.vm_process else None,
        health=health,
        health_detail=health_detail,
        lease=lease,
        lease_owner="" if owner_id is None else _owner_name(inputs, owner_id),
        lease_owner_id=owner_id,
        lease_seen_at_s=snapshot_lease.seen_at_s if snapshot_lease else None,
        vm_seen_at_s=inputs.vm_seen_at_s if contradicted else None,
        vm_running_since_s=inputs.vm_running_since_s if contradicted else None,
        vm_holds_lease=inputs.vm_holds_lease,
        vm_lease_why=inputs.vm_lease_why,
        # The last word on maintenance holds until there is a newer one: a silent broker
        # does not end it.
        global_maintenance=latest.global_maintenance if latest else None,
        local_maintenance=latest.local_maintenance if latest else False,
        start=inputs.start.outcome,
        start_why=inputs.start.why,
        move_request=_move_request(snapshot),
        move_outcome=inputs.move.outcome,
        move_why=inputs.move.why,
        move_announced=inputs.move_announced,
        host_stops=inputs.host_stops,
        host_stop_told=inputs.host_stop_told,
        stop_requested=inputs.stop_requested,
        condition=condition,
        peers=peers_of(latest, inputs.host.host_id) if inputs.peers is None else inputs.peers,
        testimony=_testimony(snapshot, condition),
    )


def vm_of(domain: Domain) -> Vm:
    """The domain in the decision's words."""
    if domain.state is DomainState.PAUSED and domain.pause in _PASSING_PAUSES:
        return Vm.IN_TRANSIT
    return _VMS[domain.state]


def _vm(inputs: Inputs) -> tuple[Vm, str]:
    """The domain, and libvirt's words; one that libvirt holds for too long is just paused."""
    vm, detail = vm_of(inputs.domain), inputs.domain.detail
    if vm is not Vm.IN_TRANSIT or inputs.vm_same_since_s is None:
        return vm, detail
    setting = _PASSING_PAUSES[inputs.domain.pause]
    limit_s: float = getattr(inputs.settings.timing, setting)
    if inputs.now_s - inputs.vm_same_since_s < limit_s:
        return vm, detail
    return Vm.PAUSED, f"{detail}, for longer than timing.{setting} ({limit_s:g} s) allows"


def _is_leaving(inputs: Inputs, vm: Vm) -> bool:
    if vm is Vm.RUNNING:
        return inputs.domain.leaving
    # At a migration's target it has not run yet.
    return vm is Vm.IN_TRANSIT and inputs.domain.pause is Pause.MIGRATION and inputs.vm_ran


# --- why nothing can be started -------------------------------------------------------


def blocked_why(inputs: Inputs) -> str:
    """The first thing that stands against starting the engine here; empty: nothing does."""
    return (
        _broker_why(inputs)
        or _first_of(_REASONS, inputs)
        or inputs.config_why
        or inputs.unfinished_why
    )


def _first_of(reasons: tuple[Reason, ...], inputs: Inputs) -> str:
    """Without a snapshot none of them can be told; that the broker is silent, goes first."""
    snapshot = inputs.look.snapshot
    if snapshot is None:
        return ""
    return next((why for reason in reasons if (why := reason(inputs, snapshot))), "")


def _broker_why(inputs: Inputs) -> str:
    if not inputs.stale:
        return ""
    suffix = f" ({inputs.look.error})" if inputs.look.error else ""
    age_s = inputs.look.age_s(inputs.now_s)
    if age_s is None:
        return f"the broker has not answered yet{suffix}"
    return f"the broker has not answered for {age_s:.0f} s{suffix}"


def _shutdown_why(inputs: Inputs, _snapshot: Snapshot) -> str:
    return host_shutdown.WHY if inputs.host_shuts_down else ""


def _host_id_why(inputs: Inputs, snapshot: Snapshot) -> str:
    own = inputs.host.host_id
    if snapshot.host_id == own:
        return ""
    return f"the broker works as host id {snapshot.host_id}, this agent as host id {own}"


def _storage_why(inputs: Inputs, snapshot: Snapshot) -> str:
    if snapshot.storage.error:
        return f"the shared storage fails: {snapshot.storage.error}"
    read_at_s = snapshot.storage.last_read_at_s
    if read_at_s is None:
        return "the broker has not read the shared storage yet"
    if inputs.now_s - read_at_s > inputs.alive_s:
        return f"the shared storage was last read {inputs.now_s - read_at_s:.0f} s ago"
    return ""


def _sleep_why(inputs: Inputs, snapshot: Snapshot) -> str:
    """What was read before a sleep looks fresh after it, for the clock stood still."""
    read_at_s, woke_at_s = snapshot.storage.last_read_at_s, inputs.woke_at_s
    if woke_at_s is None or (read_at_s is not None and read_at_s >= woke_at_s):
        return ""
    return "this machine has slept; the broker has not read the shared storage since"


def _lockspace_why(inputs: Inputs, snapshot: Snapshot) -> str:
    if snapshot.lockspace.membership is Membership.JOINED:
        return ""
    suffix = f": {snapshot.lockspace.error}" if snapshot.lockspace.error else ""
    if snapshot.lockspace.membership is Membership.JOINING:
        return f"this host is still joining the sanlock lockspace{suffix}"
    return f"this host has not joined the sanlock lockspace{suffix}"


def _same_id_why(inputs: Inputs, snapshot: Snapshot) -> str:
    """Our slot carries another host's name, and that host may live."""
    own = snapshot.own
    if own is None or own.record is None or own.record.hostname == inputs.host.host_name:
        return ""
    if own.error:
        return own.error
    other = rival(own.record, inputs.host.host_name, not _lockspace_why(inputs, snapshot))
    if other is not None and own.fresh:
        return f"another host, {other.hostname}, also uses host id {own.host_id}"
    return ""


def _write_why(inputs: Inputs, snapshot: Snapshot) -> str:
    """Peers that can't read of us would take us for dead, and so the best host would differ."""
    # Agent and broker that have just started get the same time for their first record.
    since_s = max(inputs.started_at_s, snapshot.started_at_s)
    if snapshot.storage.last_write_at_s is not None:
        since_s = max(since_s, snapshot.storage.last_write_at_s)
    silent_s = inputs.now_s - since_s
    if silent_s <= inputs.alive_s:
        return ""
    return f"this host's own record could not be written for {silent_s:.0f} s"


# Hosts that boot together are all still joining, and none of them shall be passed over for that.
_LASTING_REASONS: tuple[Reason, ...] = (_shutdown_why, _host_id_why, _same_id_why)
_REASONS: tuple[Reason, ...] = (
    _shutdown_why,
    _host_id_why,
    _storage_why,
    _sleep_why,
    _lockspace_why,
    _same_id_why,
    _write_why,
)


# --- parts of the observation ---------------------------------------------------------


def _has_looked(snapshot: Snapshot) -> bool:
    return snapshot.storage.last_read_at_s is not None or bool(snapshot.storage.error)


def _lease(inputs: Inputs) -> tuple[Lease, Optional[int]]:
    """The lease, and its owner's host id while somebody holds it."""
    lease = inputs.snapshot.lease if inputs.snapshot else LeaseView()
    if lease.seen_at_s is None or inputs.now_s - lease.seen_at_s > inputs.alive_s:
        return Lease.UNKNOWN, None
    if lease.state == LeaseState.FREE:
        return (Lease.UNKNOWN if _seen_before_refusal(lease, inputs) else Lease.FREE), None
    if lease.holder_id is None:
        return Lease.UNKNOWN, None
    if lease.holder_id == inputs.host.host_id:
        return Lease.OURS, lease.holder_id
    if _seen_before_vm(lease, inputs):
        return Lease.UNKNOWN, None
    return Lease.THEIRS, lease.holder_id


def _seen_before_vm(lease: LeaseView, inputs: Inputs) -> bool:
    """Was that owner seen before the VM came here? It may have given the lease to this VM."""
    since_s = inputs.vm_since_s
    if inputs.domain.pid is None or since_s is None or lease.seen_at_s is None:
        return False
    return lease.seen_at_s < since_s


def _seen_before_refusal(lease: LeaseView, inputs: Inputs) -> bool:
    """Has sanlock refused the lease since it was seen free? Then somebody held it later than that.

    A lease of our own that was left over is no such case: nobody else can have taken it.
    """
    refused_at_s = inputs.start.lease_held_at_s
    if refused_at_s is None or lease.seen_at_s is None:
        return False
    return lease.seen_at_s <= refused_at_s


def _health(inputs: Inputs) -> tuple[Health, str]:
    """The engine's health, unless what is known is older than the VM itself."""
    if inputs.snapshot is None:
        return Health.UNKNOWN, "the broker does not answer"
    if not inputs.settings.engine.page_url:
        return Health.UNKNOWN, NO_PAGE
    engine = inputs.snapshot.engine
    since_s = inputs.vm_since_s
    if engine.seen_at_s is None or (since_s is not None and engine.seen_at_s < since_s):
        return Health.UNKNOWN, "its health page has not been asked yet"
    timing = inputs.settings.timing
    limit_s = STALE_TICKS * timing.tick_s + inputs.settings.engine.health_timeout_s
    age_s = inputs.now_s - engine.seen_at_s
    if age_s > limit_s:
        return Health.UNKNOWN, f"its health page has not been asked for {age_s:.0f} s"
    if engine.domain in (DomainState.PAUSED, DomainState.ABSENT):
        return engine.health, "the broker has not seen the VM run yet"  # not what it says of that
    return engine.health, engine.detail


def _condition(inputs: Inputs) -> HostCondition:
    """What the monitors say; a monitor without a value says nothing."""
    views = inputs.snapshot.monitors if inputs.snapshot else ()
    bridge, memory = view_of(BRIDGE, views), view_of(MEMORY_FREE, views)
    sufficient = None
    if memory.value is not None and memory.limit is not None:
        sufficient = memory.value >= memory.limit
    costs = [
        PluginCost(plugin_name(view), view.points, view.value, view.detail)
        for view in views
        if view.points and view.value
    ]
    return HostCondition(
        network_failed_fraction=network_failed_fraction(views),
        cpu_load_without_engine=view_of(CPU_LOAD, views).value,
        memory_sufficient=sufficient,
        bridge_up=bridge.flag,
        config_current=inputs.config_current,
        memory_free_bytes=memory.value,
        memory_needed_bytes=memory.limit,
        bridge_detail=bridge.detail,
        plugins=tuple(costs),
    )


def _testimony(snapshot: Optional[Snapshot], condition: HostCondition) -> Optional[Testimony]:
    if snapshot is None or snapshot.witness is None:
        return None
    network = is_network_good(condition.network_failed_fraction)
    return Testimony(snapshot.witness.sight, snapshot.witness.engine_host_id, network)


def _move_request(snapshot: Optional[Snapshot]) -> Optional[MoveRequest]:
    """A broker that is silent orders nothing."""
    order = snapshot.move_order if snapshot else None
    return None if order is None else MoveRequest(order.request_id, order.to_id)


def _owner_name(inputs: Inputs, owner_id: int) -> str:
    if owner_id == inputs.host.host_id:
        return inputs.host.host_name
    view = inputs.look.snapshot.host(owner_id) if inputs.look.snapshot else None
    return (view or HostView(owner_id)).name


def peers_of(snapshot: Optional[Snapshot], own_id: int) -> tuple[Peer, ...]:
    """The others as last seen: a silent broker must not look like an empty cluster.

    Nothing is started on what they said then, for a silent broker blocks a start.
    """
    views = snapshot.hosts if snapshot else ()
    others = [view for view in views if view.host_id != own_id]
    return tuple([_peer(view, _told(view.record.notes if view.record else ())) for view in others])


class _Told(NamedTuple):
    """What follows from the notes of a record; most say nothing of it."""

    moving: Optional[MovingNote] = None
    start: StartNotes = StartNotes()
    testimony: Optional[Testimony] = None
    gave_away: bool = False
    takes: TakesNote = TakesNote()
    better_moves: int = 0


_TOLD_KEYS = frozenset(
    {moving_note.KEY, takes_note.KEY, better_note.KEY, *start_notes.KEYS, *reach.KEYS}
)
_NOTHING_TOLD = _Told()


class PeerList:
    """`peers_of` the latest snapshot, made anew only where it differs.

    `_known` has each host's peer, which holds for the same view of it: none is ever changed. Where
    another view differs in the score alone, all else of the peer is taken over; `_told`, what
    follows from the notes of a record, holds for equal notes. `_peers` is given again while every
    one of them is what it was, so that all of them are compared at once by who has compared them
    before.

    `alike` has, by the id of a host, the view of it before the present one where the two are
    `alike_but_score`, until `forget_alike`.
    """

    def __init__(self, own_id: int) -> None:
        self._own_id = own_id
        self._views: tuple[HostView, ...] = ()
        self._peers: tuple[Peer, ...] = ()
        self._known: dict[int, Peer] = {}
        self._told: dict[int, tuple[Notes, _Told]] = {}
        self.alike: dict[int, HostView] = {}

    def look(self, snapshot: Optional[Snapshot]) -> tuple[Peer, ...]:
        """The other hosts in `snapshot`."""
        views = snapshot.hosts if snapshot else ()
        before, self._views = self._views, views
        if views is not before and not self._are_same_hosts(before, views):
            self._look_at_all(views)
        return self._peers

    def forget_alike(self) -> None:
        """Who wants to know it has looked: keep no views of the past."""
        self.alike.clear()

    def _are_same_hosts(self, before: tuple[HostView, ...], views: tuple[HostView, ...]) -> bool:
        """Look at those that have other views; False: other hosts are there."""
        if len(before) != len(views):
            return False
        known, own_id, news = self._known, self._own_id, False
        for was, view in zip(before, views):
            if was is view:
                continue
            host_id = view.host_id
            if host_id != was.host_id:
                return False
            if host_id != own_id:
                former = known[host_id]
                peer = self._peer_after(former, was, view)
                if peer is not former:
                    known[host_id], news = peer, True
        if news:
            self._peers = tuple(known.values())
        return True

    def _look_at_all(self, views: tuple[HostView, ...]) -> None:
        """Hosts have come or gone."""
        known, self._known = self._known, {}
        self.alike.clear()
        for view in views:
            if view.host_id != self._own_id:
                peer, before = _peer(view, self._told_by(view)), known.get(view.host_id)
                self._known[view.host_id] = (
                    before if before is not None and before == peer else peer
                )
        self._told = {one: told for one, told in self._told.items() if one in self._known}
        peers = tuple(self._known.values())
        if len(peers) != len(self._peers) or not all(map(is_, peers, self._peers)):
            self._peers = peers

    def _peer_after(self, before: Peer, was: HostView, view: HostView) -> Peer:
        """The peer in `view`; the very one of `was` where it is the same."""
        host_id, record = view.host_id, view.record
        if record is not None and alike_but_score(was, view):
            self.alike[host_id] = was
            known = self._told.get(host_id)
            if known is not None and known[0] == record.notes and known[1].moving is None:
                return before if record.score == before.score else _with_score(before, record.score)
        else:
            self.alike.pop(host_id, None)
        peer = _peer(view, self._told_by(view))
        return before if peer == before else peer

    def _told_by(self, view: HostView) -> _Told:
        notes = view.record.notes if view.record else ()
        before = self._told.get(view.host_id)
        if before is None or before[0] != notes:
            before = self._told[view.host_id] = notes, _told(notes)
        return before[1]


def _with_score(peer: Peer, score: int) -> Peer:
    """As `dataclasses.replace`, at a tenth of the cost."""
    values = peer.__dict__.copy()
    values["score"] = score
    other = object.__new__(Peer)
    object.__setattr__(other, "__dict__", values)
    return other


def _told(notes: Notes) -> _Told:
    found = dict(notes)
    if _TOLD_KEYS.isdisjoint(found):
        return _NOTHING_TOLD
    return _Told(
        moving=decode_moving(found.get(moving_note.KEY, "")),
        start=read_start_notes(notes),
        testimony=read_testimony(notes),
        gave_away=GAVE_AWAY in found,
        takes=takes_told(notes),
        better_moves=decode_better_moves(found.get(better_note.KEY, "")),
    )


def _peer(view: HostView, told: _Told) -> Peer:
    liveness = view.liveness
    record, moving = view.record, told.moving
    if record is None:
        return Peer(view.host_id, view.name, liveness)
    return Peer(
        host_id=view.host_id,
        name=view.name,
        liveness=liveness,
        fresh=view.fresh,
        score=record.score,
        maintenance=record.maintenance,
        stopped=record.stopped,
        engine_up=record.engine_status.is_up,
        engine_healthy=record.engine_status.is_healthy,
        state=record.state,
        moving_limit_s=moving.limit_s if moving else None,
        moving_to=moving.to if moving else "",
        told_at_s=view.changed_at_s if moving else None,
        cannot_start=told.start.cannot_start,
        takes_at=told.takes.address,
        takes_not=told.takes.why_not,
        better_moves=told.better_moves,
        tries=told.start.tries,
        testimony=told.testimony,
        gave_away=told.gave_away,
    )
