# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What may happen to one host: faults, people, libvirt, sanlock, the passing of time.

A move is a function of this host, its id and the lease; it never touches another host.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Callable, NamedTuple, Optional

from fsm.observation import HostStop, MoveOutcome, StartOutcome, VmEnding
from metadata.states import State
from tests.fsm.model.concrete import THRESHOLDS, can_ask, kept
from tests.fsm.model.shape import (
    FREE,
    Agent,
    Dom,
    Hold,
    Host,
    Job,
    Lease,
    Left,
    Life,
    Mem,
)


class Kind(IntEnum):
    FAIR = 0  # sure to happen in the end, while it can
    EITHER = 1  # may happen or not, also when nothing is wrong
    FAULT = 2  # trouble, or a person who interferes
    HEAL = 3  # trouble that ends
    LAG = 4  # an agent falls behind the world


class Move(NamedTuple):
    name: str
    kind: Kind
    host: Host
    lease: Lease


Moves = Iterator[Move]


class Waits(NamedTuple):
    """What EngineDown waits for, as far as its broker's word decides that."""

    turns: int = 0  # hosts that could go first for a free lease
    left_over: bool = False
    undecided: bool = False
    moving: bool = False  # a host says that the engine is leaving it


def moves_of(host: Host, host_id: int, lease: Lease, waits: Waits) -> list[Move]:
    """All of this host's moves, those that change nothing left out."""
    sources = (_asleep,) if host.asleep else _ON if host.on else _OFF
    found = [move for source in sources for move in source(host, host_id, lease)]
    if host.on and not host.asleep:
        found += _time(host, lease, waits)
    return [move for move in found if (move.host, move.lease) != (host, lease)]


# --- what a move is made of -----------------------------------------------------------


def ended(host: Host, host_id: int, lease: Lease, ending: VmEnding) -> tuple[Host, Lease]:
    """The VM's process is gone; its lease is yet to be released."""
    told = ending if host.agent_lives else VmEnding.NONE
    if lease == Lease(host_id, Left.HELD):
        lease = Lease(host_id, Left.LEFT)
    gone = host._replace(
        dom=Dom.ABSENT, hold=Hold.NO, ending=told, asked=False, kill=False, wake=False, to=0,
        moved=over_move(host.moved),
    )  # fmt: skip
    return gone, lease


def over_move(moved: MoveOutcome, arrived: bool = False) -> MoveOutcome:
    """The job of a migration has ended; an outcome that was given up is not heard."""
    if moved is not MoveOutcome.RUNNING:
        return moved
    return MoveOutcome.DONE if arrived else MoveOutcome.FAILED


def _can_take(host: Host, host_id: int, lease: Lease) -> bool:
    """Would sanlock give the lease to a process of this host now?"""
    usable = host.storage and host.life is Life.LIVE
    left_over = lease.owner == host_id and lease.left is not Left.HELD
    return usable and (lease == FREE or left_over)


def _runs(host: Host, host_id: int, dom: Dom) -> tuple[Host, Lease]:
    return host._replace(dom=dom, hold=Hold.YES, ending=VmEnding.NONE), Lease(host_id)


def _own_freed(host_id: int, lease: Lease) -> Lease:
    return FREE if lease.owner == host_id else lease


def _had_its_time(host: Host) -> bool:
    """Has the agent done all that it does about a VM that has lost its lease?

    The inequalities of `metadata.settings.timing` see to it that it comes before the lease is
    free. An agent that is dead, stopped or cut off from libvirt does nothing: there the watchdog
    under sanlock resets the host, which is a power cut here.
    """
    if not host.runs or host.hold is Hold.NO:
        return True
    able = host.agent is Agent.RUNS and host.libvirt and not host.slow
    busy = host.kill or (host.mem is not None and host.mem.state is State.ENGINE_FORCE_STOP)
    return able and not busy


# --- power and the agent --------------------------------------------------------------


def _power(host: Host, host_id: int, lease: Lease) -> Moves:
    _, left = ended(host, host_id, lease, VmEnding.NONE)
    life = Life.DEAD if host.life is Life.DEAD else Life.EXPIRED
    off = Host(on=False, agent=Agent.KILLED, mem=None, storage=host.storage, life=life,
               local=host.local, keeps=host.keeps, page=host.page, own=host.own)  # fmt: skip
    yield Move("power cut", Kind.FAULT, off, left)


def _power_on(host: Host, _host_id: int, lease: Lease) -> Moves:
    back = Host(storage=host.storage, life=Life.JOINS, local=host.local, keeps=host.keeps,
                page=host.page, own=host.own)  # fmt: skip
    yield Move("power comes back", Kind.HEAL, back, lease)


def _agent(host: Host, _host_id: int, lease: Lease) -> Moves:
    if host.agent_lives:
        dom = Dom.PAUSED if host.dom is Dom.CREATED else host.dom
        # One that loses nothing by it may end any number of times; the engine must come up only
        # once that is over.
        kind = Kind.HEAL if host.keeps else Kind.FAULT
        yield Move("agent killed", kind, _without_agent(host, dom), lease)
    elif not host.job:
        fresh = host._replace(agent=Agent.RUNS, mem=host.kept or Mem(), kept=None, looked=False)
        yield Move("agent starts", Kind.HEAL, fresh, lease)
    if host.agent is Agent.RUNS:
        yield Move("agent told to stop", Kind.FAULT, host._replace(agent=Agent.STOPPING), lease)
        yield from _shutdown(host, lease)


def _shutdown(host: Host, lease: Lease) -> Moves:
    """The agent stops once the VM is gone, or when the shutdown waits no longer."""
    if host.stops is None:
        for how in HostStop:
            stops = host._replace(stops=how)
            yield Move(f"the host is shut down ({how.value})", Kind.FAULT, stops, lease)
        return
    if host.stops is HostStop.MIGRATE and host.runs:
        # The agent leaves as much of the shutdown's time as the guest needs to end.
        kind = Kind.FAULT if host.moved is MoveOutcome.RUNNING else Kind.FAIR
        late = host._replace(stops=HostStop.STOP)
        yield Move("it is too late to move the VM", kind, late, lease)
    out = host.dom is Dom.ABSENT and not host.job
    stopping = host._replace(agent=Agent.STOPPING, stops=None)
    yield Move("the shutdown goes on", Kind.FAIR if out else Kind.FAULT, stopping, lease)


def _without_agent(host: Host, dom: Dom) -> Host:
    return host._replace(
        agent=Agent.KILLED, mem=None, dom=dom, ending=VmEnding.NONE, looked=False, job=Job.NONE,
        start=StartOutcome.NONE, kill=False, wake=False, slow=False, view=None, kept=_kept(host),
        moved=MoveOutcome.NONE, stops=None, told=False,
    )  # fmt: skip


def _kept(host: Host) -> Optional[Mem]:
    return kept(host.mem) if host.keeps and host.mem is not None else host.kept


# --- storage and sanlock --------------------------------------------------------------


def _storage(host: Host, host_id: int, lease: Lease) -> Moves:
    if host.storage:
        yield Move("storage breaks", Kind.FAULT, host._replace(storage=False), lease)
        return
    void = host.life in (Life.EXPIRED, Life.DEAD)
    healed = host._replace(storage=True, life=Life.JOINS if void else host.life)
    yield Move("storage heals", Kind.HEAL, healed, lease)
    if host.life in (Life.LIVE, Life.JOINS):
        killed, left = host, lease
        if host.hold in (Hold.YES, Hold.SLEPT):
            killed, left = ended(host, host_id, lease, VmEnding.CRASHED)
        expired = killed._replace(life=Life.EXPIRED)
        yield Move("no renewal: sanlock kills the lease holders", Kind.FAIR, expired, left)


def _death(host: Host, host_id: int, lease: Lease) -> Moves:
    if host.life in (Life.EXPIRED, Life.LAPSED) and _had_its_time(host):
        freed = _own_freed(host_id, lease)
        yield Move("dead for sanlock", Kind.FAIR, host._replace(life=Life.DEAD), freed)
    if host.life is Life.JOINS and _had_its_time(host):
        freed = _own_freed(host_id, lease)
        yield Move("its earlier life is dead for sanlock", Kind.FAIR, host, freed)


def _sanlock(host: Host, host_id: int, lease: Lease) -> Moves:
    if host.life is Life.LIVE and host.storage:
        yield Move("sanlock dies", Kind.FAULT, host._replace(life=Life.GONE), lease)
    if host.life is Life.GONE:
        lapsed = host._replace(life=Life.LAPSED)
        yield Move("sanlock gone for 8 x io_timeout", Kind.FAIR, lapsed, lease)
    daemon_is_gone = host.life in (Life.GONE, Life.LAPSED) or host.life is Life.DEAD
    if daemon_is_gone and host.storage:
        hold = _AFTER_RESTART.get(host.hold, host.hold)
        back = host._replace(life=Life.JOINS, hold=hold)
        yield Move("sanlock is restarted", Kind.HEAL, back, lease)
    # The broker does not join under a VM that would lose its lease by it.
    safe = host.libvirt and host.dom in (Dom.ABSENT, Dom.CREATED, Dom.PAUSED, Dom.STRANDED)
    if host.life is Life.JOINS and host.storage and safe:
        freed = _own_freed(host_id, lease)
        yield Move("joins the lockspace", Kind.FAIR, host._replace(life=Life.LIVE), freed)


# What had been lost before is only found out now.
_AFTER_RESTART = {Hold.YES: Hold.LOST, Hold.SLEPT: Hold.NO}


def _sleep(host: Host, _host_id: int, lease: Lease) -> Moves:
    """Only the host of a VM that has its lease: any other one is no more than slow."""
    if host.runs and host.hold is Hold.YES and host.life is Life.LIVE:
        yield Move("host is suspended", Kind.FAULT, host._replace(asleep=True), lease)
    mem = host.mem
    if mem is not None and mem.denied == 1 and not host.slow and can_ask(host):
        again = host._replace(mem=mem._replace(denied=2))
        yield Move("the storage is looked at again", Kind.FAIR, again, lease)


def _asleep(host: Host, host_id: int, lease: Lease) -> Moves:
    """Its sanlock's clock stands still with it: only the others' find it dead."""
    yield Move("host wakes up", Kind.HEAL, host._replace(asleep=False), lease)
    if lease == Lease(host_id):
        lost = host._replace(hold=Hold.SLEPT)
        yield Move("sleeps until its lease is free", Kind.FAIR, lost, FREE)


def _release(host: Host, host_id: int, lease: Lease) -> Moves:
    if lease == Lease(host_id, Left.LEFT) and host.storage and host.life is Life.LIVE:
        yield Move("lease released", Kind.FAIR, host, FREE)
        stuck = Lease(host_id, Left.STUCK)
        yield Move("release can't be written", Kind.FAULT, host, stuck)


# --- libvirt, broker, maintenance -----------------------------------------------------


def _libvirt(host: Host, _host_id: int, lease: Lease) -> Moves:
    name, kind = ("libvirt falls silent", Kind.FAULT)
    if not host.libvirt:
        name, kind = ("libvirt answers again", Kind.HEAL)
    yield Move(name, kind, host._replace(libvirt=not host.libvirt), lease)


def _broker(host: Host, _host_id: int, lease: Lease) -> Moves:
    if not host.broker:
        back = host._replace(broker=True, view=host.view if host.slow else None)
        yield Move("broker answers again", Kind.HEAL, back, lease)
    elif host.agent_lives and not host.looked:
        yield Move("first look", Kind.FAIR, host._replace(looked=True), lease)


def _conditions(host: Host, _host_id: int, lease: Lease) -> Moves:
    if host.broker and (host.request or host.runs):
        name, kind = ("a person wants the engine moved", Kind.FAULT)
        if host.request:
            name, kind = ("the wish is over", Kind.HEAL)
        yield Move(name, kind, host._replace(request=not host.request), lease)
    if host.broker:
        name, kind = ("local maintenance on", Kind.FAULT)
        if host.local:
            name, kind = ("local maintenance off", Kind.HEAL)
        yield Move(name, kind, host._replace(local=not host.local, ends=False), lease)
    name, kind = ("lease can't be read", Kind.FAULT)
    if not host.reads:
        name, kind = ("lease can be read again", Kind.HEAL)
    yield Move(name, kind, host._replace(reads=not host.reads), lease)
    name, kind = ("slot 0 is damaged", Kind.FAULT)
    if not host.slot0:
        name, kind = ("slot 0 is whole again", Kind.HEAL)
    yield Move(name, kind, host._replace(slot0=not host.slot0), lease)
    name, kind = ("gateway lost", Kind.FAULT)
    if host.poor:
        name, kind = ("gateway back", Kind.HEAL)
    yield Move(name, kind, host._replace(poor=not host.poor), lease)
    if host.unseen:
        healed = host._replace(unseen=False, poor=False)
        yield Move("the network reaches it again", Kind.HEAL, healed, lease)
        return
    yield Move("uplink broken", Kind.FAULT, host._replace(unseen=True), lease)
    if not host.poor:
        cut = host._replace(unseen=True, poor=True)
        yield Move("cut off the network", Kind.FAULT, cut, lease)


# --- the VM ---------------------------------------------------------------------------


def _endings(host: Host, host_id: int, lease: Lease) -> Moves:
    if not host.runs:
        return
    for name, ending in (
        ("qemu crashes", VmEnding.CRASHED),
        ("qemu vanishes", VmEnding.MISSING),
        ("guest powers off", VmEnding.GUEST_SHUTDOWN),
        ("a person stops the VM", VmEnding.STOPPED),
    ):
        gone, left = ended(host, host_id, lease, ending)
        yield Move(name, Kind.FAULT, gone, left)
    if host.asked:
        gone, left = ended(host, host_id, lease, VmEnding.STOPPED)
        yield Move("guest shuts down as asked", Kind.EITHER, gone, left)


def _health(host: Host, _host_id: int, lease: Lease) -> Moves:
    if host.dom is Dom.BOOTS:
        yield Move("engine becomes healthy", Kind.FAIR, host._replace(dom=Dom.GOOD), lease)
    if host.dom is Dom.GOOD:
        yield Move("engine falls ill", Kind.FAULT, host._replace(dom=Dom.SICK), lease)
    if host.dom is Dom.SICK:
        yield Move("engine recovers", Kind.HEAL, host._replace(dom=Dom.GOOD), lease)


def _pause(host: Host, host_id: int, lease: Lease) -> Moves:
    if host.runs:
        freed = lease
        if host.hold is Hold.YES:
            written = host.storage and host.life is Life.LIVE
            freed = FREE if written else Lease(host_id, Left.LEFT)
        paused = host._replace(dom=Dom.PAUSED, hold=Hold.NO, asked=False)
        yield Move("VM paused", Kind.FAULT, paused, freed)
    if host.dom is Dom.PAUSED and host.libvirt and _can_take(host, host_id, lease):
        yield Move("VM resumed", Kind.HEAL, *_runs(host, host_id, Dom.GOOD))


def _held(host: Host, host_id: int, lease: Lease) -> Moves:
    """libvirt has lost track of a migration; its job is over, so it can resume the VM."""
    if host.dom is not Dom.HELD:
        return
    paused = host._replace(dom=Dom.PAUSED, wake=False)
    yield Move("libvirt has held the VM for too long", Kind.FAIR, paused, lease)
    if host.wake and host.libvirt:
        woken = host._replace(wake=False)
        if _can_take(host, host_id, lease):
            yield Move("VM resumed as asked", Kind.FAIR, *_runs(woken, host_id, Dom.GOOD))
        else:
            yield Move("VM not resumed", Kind.FAIR, woken, lease)


def _stranded(host: Host, _host_id: int, lease: Lease) -> Moves:
    """sanlock does not let the lease go at a migration's last pause, whoever has asked for it."""
    if host.runs and host.hold is Hold.YES and host.libvirt:
        stuck = host._replace(dom=Dom.STUCK, asked=False, to=0, moved=over_move(host.moved))
        yield Move("a migration leaves the VM paused with its lease", Kind.FAULT, stuck, lease)
    if host.dom is Dom.STUCK:
        known = host._replace(dom=Dom.STRANDED)
        yield Move("the VM has been paused with its lease for long", Kind.FAIR, known, lease)
    if host.dom is Dom.STRANDED:
        unsure = host._replace(dom=Dom.STUCK)
        yield Move("sanlock is too busy to say who has the lease", Kind.FAULT, unsure, lease)


def _people(host: Host, host_id: int, lease: Lease) -> Moves:
    if host.dom is not Dom.ABSENT or host.job or not host.libvirt:
        return
    rogue = host._replace(dom=Dom.GOOD, ending=VmEnding.NONE)
    yield Move("VM started without the lock manager", Kind.FAULT, rogue, lease)
    paused = host._replace(dom=Dom.PAUSED, ending=VmEnding.NONE)
    yield Move("VM created paused by hand", Kind.FAULT, paused, lease)
    if _can_take(host, host_id, lease):
        yield Move("VM started by hand", Kind.FAULT, *_runs(host, host_id, Dom.BOOTS))


# --- orders ---------------------------------------------------------------------------


def _job(host: Host, host_id: int, lease: Lease) -> Moves:
    if not host.job or not host.libvirt:
        return
    if host.job is Job.ACQUIRE:
        yield _acquired(host, host_id, lease)
        return
    if host.dom is not Dom.ABSENT:
        yield Move("start fails: the VM is here", Kind.FAIR, _failed(host), lease)
        return
    created = host._replace(job=Job.ACQUIRE, dom=Dom.CREATED)
    yield Move("VM created paused", Kind.FAIR, created, lease)
    yield Move("start fails", Kind.FAULT, _failed(host), lease)


def _acquired(host: Host, host_id: int, lease: Lease) -> Move:
    if host.dom is not Dom.CREATED:
        return Move("start fails: the VM changed", Kind.FAIR, _failed(host), lease)
    if _can_take(host, host_id, lease):
        running, taken = _runs(host, host_id, Dom.BOOTS)
        done = _outcome(running, StartOutcome.OK)
        return Move("lease taken, VM runs", Kind.FAIR, done, taken)
    removed = host._replace(dom=Dom.ABSENT)
    if not host.storage or host.life is not Life.LIVE:
        return Move("start fails: no lease to be had", Kind.FAIR, _failed(removed), lease)
    lost = _outcome(removed, StartOutcome.LEASE_HELD)
    return Move("start loses the lease to another host", Kind.FAIR, lost, lease)


def _failed(host: Host) -> Host:
    return _outcome(host, StartOutcome.FAILED)


def _outcome(host: Host, outcome: StartOutcome) -> Host:
    """The job has ended; an outcome that was given up, or has no agent, is not heard."""
    heard = host.start is StartOutcome.RUNNING
    return host._replace(job=Job.NONE, start=outcome if heard else host.start)


def _give_up(host: Host, _host_id: int, lease: Lease) -> Moves:
    if host.job and host.start is StartOutcome.RUNNING:
        kind = Kind.FAULT if host.libvirt else Kind.FAIR
        given_up = host._replace(start=StartOutcome.FAILED)
        yield Move("start given up", kind, given_up, lease)


def _moving(host: Host, _host_id: int, lease: Lease) -> Moves:
    """The engine is to move; libvirt has perhaps been told, and has not begun."""
    moving = host.mem is not None and host.mem.state is State.ENGINE_MIGRATING_AWAY
    if moving and not host.told and host.broker and host.storage:
        told = host._replace(told=True)
        yield Move("the record says that the engine moves", Kind.FAIR, told, lease)
    if host.ends and host.broker:
        back = host._replace(ends=False, local=False)
        yield Move("local maintenance is taken back", Kind.FAIR, back, lease)
    if host.moved is MoveOutcome.RUNNING and host.runs:
        given_up = host._replace(moved=MoveOutcome.FAILED)
        yield Move("migration given up", Kind.FAULT, given_up, lease)
    if host.to and host.libvirt:
        refused = host._replace(to=0, moved=over_move(host.moved))
        yield Move("migration refused", Kind.FAIR, refused, lease)
    if host.to and host.libvirt and host.runs and host.moved is MoveOutcome.RUNNING:
        wrong = host._replace(to=0, moved=MoveOutcome.DONE)
        yield Move("libvirt says that the VM has moved, and it has not", Kind.FAULT, wrong, lease)


def _kill(host: Host, host_id: int, lease: Lease) -> Moves:
    if host.kill and host.libvirt:
        gone, left = ended(host, host_id, lease, VmEnding.STOPPED)
        yield Move("VM switched off", Kind.FAIR, gone, left)
        failed = host._replace(kill=False)
        yield Move("switching off fails", Kind.FAULT, failed, lease)


# --- time -----------------------------------------------------------------------------


def _time(host: Host, lease: Lease, waits: Waits) -> Moves:
    mem = host.mem
    if mem is None or host.agent is not Agent.RUNS:
        return
    if host.dom is Dom.HELD and lease == FREE and not mem.between:
        kind = Kind.LAG if host.slow else Kind.FAIR
        after = host._replace(mem=mem._replace(between=True))
        yield Move("nobody takes the lease of the VM in between", kind, after, lease)
    if host.dom is Dom.LEAVING and lease == FREE and mem.ordered and not mem.between:
        after = host._replace(mem=mem._replace(between=True))
        yield Move("the last step of the migration takes long", Kind.FAULT, after, lease)
    timers = _TIMERS.get(mem.state, _no_timer)
    found = _waiting(mem, waits) if mem.state is State.ENGINE_DOWN else timers(host, mem)
    for name, after, sound in (*found, *_reach(host, mem, lease)):
        # In seconds a slow broker has caught up: no time-out is that short but in safety's eyes.
        kind = Kind.FAIR if sound else Kind.FAULT
        kind = Kind.LAG if sound and host.slow else kind
        yield Move(name, kind, host._replace(mem=after), lease)


Timers = Iterator[tuple[str, Mem, bool]]


def _no_timer(_host: Host, _mem: Mem) -> Timers:
    return iter(())


def _reach(host: Host, mem: Mem, lease: Lease) -> Timers:
    if host.own:
        yield from _own_moves(mem)
    if mem.cut == 1:
        yield "cut off for isolated_s", mem._replace(cut=2), True
    if mem.dark in (1, 2):
        yield f"dark for long ({mem.dark + 1})", mem._replace(dark=mem.dark + 1), True
    if mem.gave and not mem.leaving:
        # The retry window is longer than the other hosts need to take the free lease.
        yield (
            "the move is long ago",
            mem._replace(gave=0),
            lease.left is Left.HELD and lease != FREE,
        )


def _own_moves(mem: Mem) -> Timers:
    if mem.cut == 2:
        yield "no time is left for a move (cut off)", mem._replace(cut=3), True
    if mem.dark == 3:
        yield "no time is left for a move (dark)", mem._replace(dark=4), True
    if mem.better == 1:
        yield "another host has been better for better_s", mem._replace(better=2), True
    if mem.day:
        yield "a day passes", mem._replace(day=False), True


def _time_out(host: Host, mem: Mem) -> Timers:
    """The next threshold of the state; before what it waits for had its time: a fault."""
    if mem.age >= len(THRESHOLDS[mem.state]):
        return
    sound = host.dom is not Dom.BOOTS and mem.state is not State.ENGINE_START
    due = mem.due or (mem.state is State.ENGINE_STOP and mem.age == 0)
    name = f"time-out {mem.age + 1} of {mem.state.value}"
    yield name, mem._replace(age=mem.age + 1, due=due), sound


def _repeat(host: Host, mem: Mem) -> Timers:
    if not mem.due:
        working = host.kill and host.libvirt
        yield "the order may be repeated", mem._replace(due=True), not working


def _waiting(mem: Mem, waits: Waits) -> Timers:
    """EngineDown's: a turn, the peers' time to show themselves, pauses and penalties."""
    if mem.held:
        yield "the pause is over", mem._replace(held=False), True
    if mem.failed:
        yield "failed starts forgotten", mem._replace(failed=0), True
    if waits.undecided and not mem.settled:
        yield "peers had their time", mem._replace(settled=True), True
    if waits.moving and not mem.waited:
        yield "the moving engine had its time", mem._replace(waited=True), True
    if mem.free < waits.turns:
        yield "a turn passes", mem._replace(free=mem.free + 1), True
    if waits.left_over and not mem.left:
        yield "a turn with a lease left over", mem._replace(left=1), True


def _forgetting(_host: Host, mem: Mem) -> Timers:
    if mem.crashed:
        yield "the crash is long ago", mem._replace(crashed=False), True


def _bad_health(host: Host, mem: Mem) -> Timers:
    yield from _time_out(host, mem)
    yield from _forgetting(host, mem)


def _migrating(host: Host, mem: Mem) -> Timers:
    """Before what it waits for had its time, a time-out is a fault."""
    if mem.age < len(THRESHOLDS[mem.state]):
        written = mem.ordered or host.told or not (host.broker and host.storage)
        waits = host.to or host.moved is MoveOutcome.RUNNING or not written
        name = f"time-out {mem.age + 1} of {mem.state.value}"
        yield name, mem._replace(age=mem.age + 1), not waits
    # One that is held in between is asked to go on, again and again.
    if mem.ordered and not mem.due and host.dom is not Dom.HELD:
        yield "the order may be repeated", mem._replace(due=True), True


def _repeat_or_settle(host: Host, mem: Mem) -> Timers:
    if mem.over and not mem.due and host.dom is not Dom.HELD:
        yield "the order may be repeated", mem._replace(due=True), True
    if not mem.settled:
        yield "peers had their time", mem._replace(settled=True), True


_TIMERS: dict[State, Callable[[Host, Mem], Timers]] = {
    State.ENGINE_START: _time_out,
    State.ENGINE_STARTING: _time_out,
    State.ENGINE_UP: _forgetting,
    State.ENGINE_UP_BAD_HEALTH: _bad_health,
    State.ENGINE_STOP: _time_out,
    State.ENGINE_FORCE_STOP: _repeat,
    State.ENGINE_MAYBE_AWAY: _time_out,
    State.ENGINE_MIGRATING_AWAY: _migrating,
    State.LOCAL_MAINTENANCE_MIGRATE_VM: _repeat_or_settle,
    State.ENGINE_UNEXPECTEDLY_DOWN: _time_out,
}

_ON = (
    _power, _agent, _storage, _death, _sanlock, _sleep, _release, _libvirt, _broker, _conditions,
    _endings, _health, _pause, _held, _stranded, _people, _job, _give_up, _moving, _kill,
)  # fmt: skip
_OFF = (_power_on, _death)
