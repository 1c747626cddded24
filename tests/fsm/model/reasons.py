# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a row tells people must be true: each reason, by a phrase of it, asked a second time."""

from __future__ import annotations

from typing import Callable

from fsm.observation import (
    HostStop,
    Lease,
    MoveOutcome,
    Observation,
    Peer,
    StartOutcome,
    Vm,
    VmEnding,
)
from fsm.table import Row
from metadata.liveness import Liveness
from metadata.reach import Sight
from metadata.records import Health
from metadata.states import State
from tests.fsm.model.concrete import NO_PAGE
from tests.fsm.model.shape import OWN_MOVES, For, Mem

Truth = Callable[[Mem, Observation], bool]


def untrue(row: Row, mem: Mem, seen: Observation) -> tuple[str, ...]:
    """Is what the row tells not so, or has nobody said when it is?"""
    truths = [truth for phrase, truth in _TRUTHS.items() if phrase in row.why]
    if not truths:
        return (f"nobody has said when this is true: {row.why}",)
    if all(truth(mem, seen) for truth in truths):
        return ()
    return (f"the reason told is not true: {row.why}",)


def is_candidate(peer: Peer) -> bool:
    """Could this host start the engine?"""
    out = peer.maintenance or peer.stopped or peer.state == "UnknownLocalVmState"
    return peer.fresh and peer.liveness is Liveness.LIVE and peer.score > 0 and not out


def some_undecided(seen: Observation) -> bool:
    """May a host be alive that has not shown it yet?"""
    live = (Liveness.LIVE, Liveness.UNKNOWN)
    return any(peer.liveness in live and not peer.fresh and not peer.stopped for peer in seen.peers)


def is_moving(seen: Observation) -> bool:
    """Is the lease free while a host says that the engine is leaving it?"""
    told = any(peer.fresh and peer.moving_limit_s is not None for peer in seen.peers)
    return told and seen.lease is Lease.FREE


def moved(mem: Mem, seen: Observation) -> bool:
    """Has a host given the engine away lately?"""
    return mem.gave > 0 or any(peer.gave_away for peer in seen.peers)


def no_place(mem: Mem, seen: Observation) -> bool:
    """Would nobody reach the engine here either?"""
    failed = seen.condition.network_failed_fraction == 1.0
    return (failed and moved(mem, seen)) or mem.gave == 2


def is_wanted(mem: Mem, seen: Observation) -> bool:
    """Does what the engine was to move for still hold?"""
    by_itself = {
        For.MAINTENANCE: seen.local_maintenance,
        For.SHUTDOWN: seen.host_stops is HostStop.MIGRATE,
    }
    if mem.move in by_itself:
        return by_itself[mem.move] and not seen.global_maintenance
    if mem.move in OWN_MOVES:
        held = seen.local_maintenance or seen.host_stops is not None
        return held or (wants_itself(mem, seen, mem.move) and not seen.global_maintenance)
    return seen.move_request is not None


def wants_itself(mem: Mem, seen: Observation, purpose: For) -> bool:
    """Is there a reason of this host's own to move the engine for that?"""
    if purpose is For.BETTER:
        return mem.better > 0 and is_better(mem, seen, mem.better_id)
    if not mem.reached and moved(mem, seen):
        return False
    if purpose is For.CUT_OFF:
        return mem.cut == 2 and _nobody_reaches(seen)
    return mem.dark == 3 and _all_see_it_dark(seen) and seen.health is not Health.BAD


def is_better(mem: Mem, seen: Observation, host_id: int) -> bool:
    """Has that host 800 points more than this one, and takes the engine?

    Starts that failed here cost this one nothing, now that the engine is well here.
    """
    points = 3400 - (1600 if seen.condition.network_failed_fraction else 0)
    return not no_place(mem, seen) and any(
        peer.host_id == host_id and is_candidate(peer) and peer.takes_at
        and peer.score >= points + 800
        for peer in seen.peers
    )  # fmt: skip


def given(mem: Mem) -> bool:
    """Is nobody reaching the engine here a reason to stop it, or was it?"""
    return mem.cut >= 2 or mem.dark >= 3 or mem.leaving


def has_network(peer: Peer) -> bool:
    """Does it say that its network is good?"""
    return peer.testimony is not None and peer.testimony.network_good is True


def ahead(mem: Mem, seen: Observation) -> int:
    """How many hosts go first: better ones, at the same score the last owner, then low ids."""
    points = 3400 - 50 * mem.failed - (1600 if seen.condition.network_failed_fraction else 0)
    if no_place(mem, seen):
        points = 1
    own = (points, seen.host_id == mem.owner, -seen.host_id)
    rivals = [
        (peer.score, peer.host_id == mem.owner, -peer.host_id)
        for peer in seen.peers
        if is_candidate(peer)
    ]
    return sum(rival > own for rival in rivals)


def is_lost(mem: Mem, seen: Observation) -> bool:
    """Does the VM run here without its lease, by sanlock or by two looks at the storage?"""
    denied = mem.denied >= 2 and seen.lease in (Lease.FREE, Lease.THEIRS)
    return seen.vm is Vm.RUNNING and (seen.vm_holds_lease is False or denied)


def _nobody_reaches(seen: Observation) -> bool:
    words = [peer.testimony for peer in seen.peers if peer.testimony is not None]
    reached = any(word.sight is Sight.REACHED for word in words)
    dark = any(word.sight is Sight.DARK and word.network_good for word in words)
    # Where nobody says what he sees, a much better host is enough.
    better = any(is_candidate(peer) and peer.score >= 1800 + 800 for peer in seen.peers)
    said = dark and not reached if words else better
    return seen.condition.network_failed_fraction == 1.0 and said


def _all_see_it_dark(seen: Observation) -> bool:
    """Behind this host's good network: two hosts at the least, all that have theirs."""
    words = [peer.testimony for peer in seen.peers if peer.testimony is not None]
    good = [word for word in words if word.network_good]
    dark = all(word.sight is Sight.DARK for word in (*words, *good)) and len(good) >= 2
    return dark and not seen.condition.network_failed_fraction


def _ended(ending: VmEnding) -> Truth:
    return lambda _mem, seen: seen.vm is Vm.ABSENT and seen.vm_ending is ending


def _vm(*states: Vm) -> Truth:
    return lambda _mem, seen: seen.vm in states


def _health(health: Health) -> Truth:
    return lambda _mem, seen: seen.vm is Vm.RUNNING and seen.health is health


def _lease(lease: Lease) -> Truth:
    return lambda _mem, seen: seen.lease is lease


def _start(outcome: StartOutcome) -> Truth:
    return lambda _mem, seen: seen.start is outcome


def _age(age: int) -> Truth:
    return lambda mem, _seen: mem.age >= age


def _maintenance(*words: object) -> Truth:
    return lambda _mem, seen: seen.global_maintenance in words


def _due(mem: Mem, _seen: Observation) -> bool:
    return mem.due


_WERE_UP = (State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH)
_TRUTHS: dict[str, Truth] = {
    # the agent
    "told to stop": lambda _mem, seen: seen.stop_requested,
    "the agent is stopped": lambda _mem, _seen: True,
    "waiting for libvirt's first word": _vm(Vm.UNKNOWN),
    "libvirt does not say": _vm(Vm.UNKNOWN),
    "libvirt answers again": lambda _mem, seen: seen.vm is not Vm.UNKNOWN,
    "the broker has had its first look": lambda _mem, seen: seen.complete,
    "waiting for the broker's first look": lambda _mem, seen: not seen.complete,
    "whatever the broker will say": _vm(Vm.RUNNING),
    # maintenance
    "global maintenance is on": _maintenance(True, None),
    "global maintenance is over": _maintenance(False),
    "not known whether the cluster is": _maintenance(None),
    "local maintenance is on": lambda _mem, seen: seen.local_maintenance,
    "local maintenance is over": lambda _mem, seen: not seen.local_maintenance,
    # the VM and its lease
    "without the engine's lease": is_lost,
    "the engine runs here and is healthy": _health(Health.GOOD),
    "the engine's VM runs here": _vm(Vm.RUNNING),
    "paused here": _vm(Vm.PAUSED),
    "VM is paused": _vm(Vm.PAUSED),
    "paused for good": lambda _mem, seen: seen.vm is Vm.PAUSED and seen.vm_stranded,
    "was paused while it booted": _vm(Vm.PAUSED),
    "has been paused": lambda mem, seen: seen.vm is Vm.PAUSED and mem.age >= 1,
    "a paused VM": _vm(Vm.PAUSED),
    "while the engine runs on": _lease(Lease.THEIRS),
    "does not run on this host": _vm(Vm.ABSENT, Vm.IN_TRANSIT),
    "VM is arriving": _vm(Vm.IN_TRANSIT),
    "at work on the VM": _vm(Vm.IN_TRANSIT),
    "its health is not known": _health(Health.UNKNOWN),
    "the engine's health is not known": _health(Health.UNKNOWN),
    "the engine's health is bad": lambda _mem, seen: seen.health is Health.BAD,
    "healthy again": _health(Health.GOOD),
    "became healthy": _health(Health.GOOD),
    "the engine boots": lambda _mem, seen: (
        (seen.vm is Vm.RUNNING and seen.health is not Health.GOOD) or seen.vm is Vm.IN_TRANSIT
    ),
    "health is not looked at": lambda _mem, seen: seen.health_detail == NO_PAGE,
    "the engine runs here; health": _vm(Vm.RUNNING),
    # what was broken off
    "was being stopped": lambda mem, seen: (
        mem.broke in (State.ENGINE_STOP, State.ENGINE_FORCE_STOP) and seen.vm is not Vm.ABSENT
    ),
    "was ill before": lambda mem, _seen: mem.broke is State.ENGINE_UP_BAD_HEALTH,
    "was booting before": lambda mem, seen: (
        mem.broke is State.ENGINE_STARTING and seen.vm is Vm.RUNNING
    ),
    "was healthy before": lambda mem, _seen: mem.broke is State.ENGINE_UP,
    "has run here for longer": _health(Health.BAD),
    "other hosts still go first": lambda mem, _seen: mem.broke is State.ENGINE_UNEXPECTEDLY_DOWN,
    "was booting here has ended": lambda mem, seen: (
        mem.broke is State.ENGINE_STARTING and seen.vm is Vm.ABSENT
    ),
    "has ended again": lambda mem, _seen: mem.crashed and mem.broke in _WERE_UP,
    "that ran here has ended": lambda mem, _seen: not mem.crashed and mem.broke in _WERE_UP,
    # how it ended
    "now runs on": lambda _mem, seen: seen.vm is Vm.ABSENT and seen.lease is Lease.THEIRS,
    "has moved to": _lease(Lease.THEIRS),
    "powered off from inside": _ended(VmEnding.GUEST_SHUTDOWN),
    "was stopped through libvirt": _ended(VmEnding.STOPPED),
    "crashed again": lambda mem, seen: mem.crashed and seen.vm_ending is VmEnding.CRASHED,
    "the VM crashed{vm_detail}": lambda mem, seen: (
        not mem.crashed and seen.vm_ending is VmEnding.CRASHED
    ),
    "left by live migration": _ended(VmEnding.MIGRATED),
    "nothing said why": lambda _mem, seen: (
        seen.vm is Vm.ABSENT and seen.vm_ending in (VmEnding.MISSING, VmEnding.NONE)
    ),
    "after its start": lambda _mem, seen: (
        seen.vm is Vm.ABSENT
        and seen.vm_ending in (VmEnding.CRASHED, VmEnding.MISSING, VmEnding.NONE)
    ),
    "has died: it is gone": lambda _mem, seen: (
        seen.vm is Vm.ABSENT
        and seen.lease is Lease.FREE
        and seen.vm_ending is not VmEnding.MIGRATED
    ),
    "the VM has ended": _vm(Vm.ABSENT),
    "the VM is switched off": _vm(Vm.ABSENT),
    # the start
    "the lease can be taken": _vm(Vm.ABSENT),  # more of it: `rules`
    "lease is held by": _lease(Lease.THEIRS),
    "can't start the engine": lambda _mem, seen: bool(seen.blocked_why),
    "still holds the lease": _lease(Lease.OURS),
    "not known whether the lease": _lease(Lease.UNKNOWN),
    "the score is 0": lambda mem, _seen: mem.failed >= 2,
    "finding out whether": lambda mem, seen: some_undecided(seen) and not mem.settled,
    "the latest start came to nothing": lambda mem, _seen: mem.held,
    "the lease is left alone": lambda mem, seen: is_moving(seen) and not mem.waited,
    "a migration has left the VM paused": lambda mem, seen: (
        seen.vm is Vm.IN_TRANSIT and seen.lease is Lease.FREE and mem.between
    ),
    "goes first; this host's turn": lambda mem, seen: ahead(mem, seen) > mem.free,
    "the VM runs and holds the lease": _start(StartOutcome.OK),
    "took the lease first": _start(StartOutcome.LEASE_HELD),
    "the start failed": _start(StartOutcome.FAILED),
    "nothing came of the start": _age(1),
    "libvirt is starting the VM": _start(StartOutcome.RUNNING),
    # the stop
    "did not become healthy within": lambda mem, seen: (
        mem.age >= 1 and seen.vm is Vm.RUNNING and seen.health is Health.BAD
    ),
    "has been bad for": lambda mem, seen: (
        mem.age >= 1 and seen.vm is Vm.RUNNING and seen.health is Health.BAD
    ),
    "asking the VM to shut down again": _due,
    "switching the VM off again": _due,
    "did not shut down within": _age(2),
    "waiting for the VM to shut down": lambda _mem, seen: seen.vm is not Vm.ABSENT,
    "switching the VM off": lambda _mem, seen: seen.vm is not Vm.ABSENT,
    # a move
    "was about to move to another host": lambda mem, _seen: (
        mem.broke in (State.LOCAL_MAINTENANCE_MIGRATE_VM, State.ENGINE_MIGRATING_AWAY)
    ),
    ": {move_for}": lambda mem, seen: bool(
        seen.move_request or seen.host_stops or mem.cut == 2 or mem.dark == 3 or mem.better == 2
    ),
    "{better}": lambda mem, seen: any(
        is_candidate(peer) and peer.score >= 800 for peer in seen.peers
    ),
    "this host is being shut down": lambda _mem, seen: seen.host_stops is not None,
    "was moving to {moving_to}, and still is": lambda mem, seen: (
        mem.broke is State.ENGINE_MIGRATING_AWAY and seen.vm_leaving
    ),
    "for local maintenance": lambda _mem, seen: seen.local_maintenance,
    "the engine can't be moved": lambda _mem, seen: seen.move_request is not None,
    "no host can take the engine": lambda _mem, seen: seen.local_maintenance,
    "the engine is not here any more": _vm(Vm.ABSENT),
    "the engine has left this host": _vm(Vm.ABSENT),
    "paused{vm_detail}, so it can't be moved": _vm(Vm.PAUSED),
    "was paused while it moved": _vm(Vm.PAUSED),
    "a migration takes the engine away already": lambda _mem, seen: seen.vm_leaving,
    "looking for a host": _vm(Vm.RUNNING, Vm.IN_TRANSIT),
    "stays here: {move_why}": lambda mem, seen: (
        mem.ordered and seen.vm is Vm.RUNNING and seen.move_outcome is not MoveOutcome.DONE
    ),
    "stays here: {target_why}": lambda mem, seen: (
        not mem.ordered
        and not any(
            peer.host_id == mem.target and is_candidate(peer) and peer.takes_at
            for peer in seen.peers
        )
    ),
    "was not certain in time": lambda mem, _seen: not mem.ordered and mem.age >= 1,
    "begins to move": lambda _mem, seen: seen.vm is Vm.RUNNING and seen.move_announced,
    "that it had moved": lambda _mem, seen: seen.move_outcome is MoveOutcome.DONE,
    "has been moving for": _age(2),
    "on its way to the others": lambda mem, seen: not mem.ordered,
    "the engine moves to": lambda mem, seen: seen.vm is not Vm.ABSENT,
    "what it was to move for is over": lambda mem, seen: (
        not mem.ordered and not is_wanted(mem, seen)
    ),
    # out of reach
    "is out of reach: ": lambda mem, _seen: mem.cut >= 2,
    "is out of reach of": lambda mem, _seen: mem.dark >= 2,
    "has been out of reach of": lambda mem, _seen: mem.dark >= 3,
    "{unreached}": lambda mem, seen: mem.dark >= 2 or _nobody_reaches(seen),
    "can be reached and may start it": lambda mem, seen: (
        no_place(mem, seen) and any(has_network(peer) for peer in seen.peers)
    ),
    # away, or down
    "no host has shown": _age(1),
    "waiting for the host that has taken": lambda mem, seen: (
        mem.age == 0 and seen.lease is not Lease.THEIRS
    ),
    "offers itself again": _age(1),
    "the engine went down": _age(2),
    "no other host can run": lambda _mem, seen: (
        seen.lease is Lease.OURS or not any(is_candidate(peer) for peer in seen.peers)
    ),
    "other hosts go first for": lambda mem, _seen: mem.age < 2,
}
