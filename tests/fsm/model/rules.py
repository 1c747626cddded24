# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What must hold for each decision: written a second time, without the table's guards."""

from __future__ import annotations

from collections.abc import Iterator

from fsm.decision import Decision
from fsm.memory import BETTER, CUT_OFF, DARK, Action
from fsm.observation import HostStop, Lease, MoveOutcome, Observation, StartOutcome, Vm, VmEnding
from fsm.score import ZERO_STATES
from metadata.records import Health
from metadata.settings.parse import ClusterSettings
from metadata.states import State
from tests.fsm.model.concrete import NO_PAGE, goes_on_after_s, lasted_s
from tests.fsm.model.reasons import (
    ahead,
    given,
    has_network,
    is_better,
    is_candidate,
    is_lost,
    is_moving,
    is_wanted,
    moved,
    no_place,
    some_undecided,
    untrue,
    wants_itself,
)
from tests.fsm.model.shape import OWN_MOVES, REACH_MOVES, For, Mem

_STOPS = {Action.SHUTDOWN_VM, Action.DESTROY_VM}
_FORCED = (State.ENGINE_STOP, State.ENGINE_FORCE_STOP)
MOST_TRIES = 3


def broken_by(
    mem: Mem, seen: Observation, decision: Decision, config: ClusterSettings
) -> tuple[str, ...]:
    """The rules that `decision` breaks, in words."""
    rules = (
        _starts,
        _stops,
        _forced,
        _resumes,
        _migrates,
        _takes_back,
        _repeats,
        _silence,
        _scores,
        _notes,
        _ends,
        _claims,
        _first,
        _goes_on,
    )
    broken = tuple(why for rule in rules for why in rule(mem, seen, decision))
    if config.migration.better_points:
        broken = (*broken, *_by_itself(mem, seen, decision))
    return (*broken, *untrue(decision.row, mem, seen))


def _by_itself(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    """A host's own moves: before the stop where nobody reaches the engine, and once a day."""
    begins = decision.changed and decision.memory.state is State.ENGINE_MIGRATING_AWAY
    purpose = decision.memory.move_for
    rests = mem.state in (State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH)
    gives = decision.memory.giving_away and not mem.leaving
    refused = mem.refused if mem.move in REACH_MOVES else frozenset()
    reached = {p.host_id for p in seen.peers if has_network(p)} & _takers(seen, refused)
    in_time = mem.cut == 2 or (mem.cut < 2 and mem.dark == 3)
    able = _movable(seen) and _is_free(seen) and bool(reached) and len(refused) < MOST_TRIES
    if gives and rests and in_time and able:
        yield "an engine out of reach is stopped though a host takes it alive"
    if begins and purpose in (CUT_OFF, DARK) and decision.memory.move_target_id not in reached:
        yield "an engine out of reach goes to a host with a good network"
    if begins and purpose == BETTER:
        if mem.day or mem.better < 2:
            yield "a move to a better host after a while only, and so often in a day"
        if not is_better(mem, seen, decision.memory.move_target_id or 0):
            yield "the engine goes to a host that is much better"
        if not decision.memory.better_moves_s:
            yield "a move to a better host counts for the day"
        if seen.global_maintenance is not False or seen.health is not Health.GOOD:
            yield "a move to a better host while it is not certain that all is well"


def _is_free(seen: Observation) -> bool:
    """Does nobody else decide about the engine now?"""
    asked = seen.move_request is not None or seen.host_stops is not None
    return seen.move_outcome is not MoveOutcome.RUNNING and not asked


def _starts(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    enters = decision.memory.state is State.ENGINE_START and decision.changed
    if enters and Action.START_VM not in decision.actions:
        yield "EngineStart is entered without an order to start"
    if Action.START_VM not in decision.actions:
        return
    if decision.memory.state is not State.ENGINE_START or mem.state is State.ENGINE_START:
        yield "the start's order and EngineStart go together"
    left = seen.lease is Lease.OURS and mem.left > 0
    if seen.lease is not Lease.FREE and not left:
        yield "a start only with the lease"
    if seen.vm is not Vm.ABSENT:
        yield "a start only where the VM is absent"
    if seen.global_maintenance is not False:
        yield "nothing starts in global maintenance, or while nobody knows of it"
    if seen.local_maintenance:
        yield "local maintenance never starts"
    if seen.blocked_why or seen.stop_requested:
        yield "a start while something stands against it"
    yield from _start_order(mem, seen)


def _start_order(mem: Mem, seen: Observation) -> Iterator[str]:
    if no_place(mem, seen) and any(has_network(p) and is_candidate(p) for p in seen.peers):
        yield "a start where nobody reaches the engine, while another host could be reached"
    if mem.held:
        yield "a start while others go first after one that came to nothing"
    if mem.failed >= 2 and any(is_candidate(peer) for peer in seen.peers):
        yield "a start with score 0 while another host offers itself"
    if not mem.settled and some_undecided(seen):
        yield "a start before the peers could show that they live"
    if is_moving(seen) and not mem.waited:
        yield "a start while another host is handing the engine over"
    if seen.lease is Lease.FREE and mem.free < ahead(mem, seen):
        yield "a start before this host's turn"


def _stops(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    entered = decision.changed and decision.memory.state in _FORCED
    if not entered and not _STOPS & set(decision.actions):
        return
    if _goes_with_host(mem, seen):
        return
    healthy = seen.vm is Vm.RUNNING and seen.health is Health.GOOD
    kept = seen.vm_holds_lease is True and not is_lost(mem, seen)
    if healthy and kept and mem.denied < 3 and not given(mem):
        yield "a healthy engine is never stopped"
    known_bad = seen.vm is Vm.RUNNING and seen.health is Health.BAD
    already = mem.state in _FORCED
    if not already and not known_bad and not _may_be_forced(mem, seen) and not given(mem):
        yield "an engine is stopped whose health is not known to be bad"
    leave_alone = seen.global_maintenance is True or seen.local_maintenance
    if leave_alone and not already and not is_lost(mem, seen):
        yield "in maintenance the engine is left alone"
    if not already and not _may_be_forced(mem, seen) and Action.SHUTDOWN_VM not in decision.actions:
        yield "a stop begins with the request to shut down"


def _goes_with_host(mem: Mem, seen: Observation) -> bool:
    """Is the host being shut down, and can nobody take the engine, or shall nobody?"""
    if seen.host_stops is None or seen.global_maintenance:
        return False
    refused = mem.refused if mem.move is For.SHUTDOWN else frozenset()
    given_up = mem.over and mem.move is For.SHUTDOWN
    told = seen.host_stops is HostStop.STOP or given_up or not _takers(seen, refused)
    return told or mem.state in (State.ENGINE_STARTING, *_FORCED)


def _may_be_forced(mem: Mem, seen: Observation) -> bool:
    return seen.vm is Vm.PAUSED or is_lost(mem, seen)


def _forced(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    enters = decision.changed and decision.memory.state is State.ENGINE_FORCE_STOP
    if enters and Action.DESTROY_VM not in decision.actions:
        yield "EngineForceStop is entered without an order"
    if Action.DESTROY_VM not in decision.actions:
        return
    if mem.state not in _FORCED:
        yield "a forced stop always follows a stop"
    ended = mem.age >= 2
    if mem.state is State.ENGINE_STOP and not ended and not _may_be_forced(mem, seen):
        yield "a forced stop always follows a stop that did not end"
    if decision.memory.state is not State.ENGINE_FORCE_STOP:
        yield "a forced stop belongs to EngineForceStop"


# An agent that was started again meanwhile is in EngineDown: the VM does not run.
_MOVING = (State.LOCAL_MAINTENANCE_MIGRATE_VM, State.ENGINE_MIGRATING_AWAY)
_RESUMING = frozenset(
    [State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH, State.ENGINE_STARTING, State.ENGINE_DOWN,
     *_MOVING]
)  # fmt: skip


def _movable(seen: Observation) -> bool:
    """Does the VM run here, with its lease, and does nobody move it already?"""
    lease = seen.vm_holds_lease is True and seen.lease is Lease.OURS
    return seen.vm is Vm.RUNNING and lease and not seen.vm_leaving


def _migrates(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    """The engine is moved only on purpose, only to a host that takes it, and only once told."""
    after = decision.memory
    begins = decision.changed and after.state is State.ENGINE_MIGRATING_AWAY
    for_maintenance = mem.state is State.LOCAL_MAINTENANCE_MIGRATE_VM
    for_shutdown = seen.host_stops is HostStop.MIGRATE
    if begins and mem.broke is State.ENGINE_MIGRATING_AWAY and seen.vm_leaving:
        begins = False  # it goes on
    own = any(wants_itself(mem, seen, purpose) for purpose in OWN_MOVES)
    asked = for_maintenance or seen.move_request is not None or for_shutdown
    if begins and not asked and not own:
        yield "nothing moves that nobody wants moved"
    if begins and not (_movable(seen) and after.move_target_id in _takers(seen, mem.refused)):
        yield "the engine moves from where it runs to a host that takes it"
    if Action.MIGRATE_VM not in decision.actions:
        return
    if mem.state is not State.ENGINE_MIGRATING_AWAY or mem.ordered or not _movable(seen):
        yield "a migration is ordered once, of a VM that runs with its lease"
    if not seen.move_announced:
        yield "the others are told before the engine moves"
    if not is_wanted(mem, seen):
        yield "nothing moves that nobody wants moved any more, or by itself in global maintenance"


def _takers(seen: Observation, refused: frozenset[int]) -> set[int]:
    return {
        peer.host_id
        for peer in seen.peers
        if is_candidate(peer) and peer.takes_at and peer.host_id not in refused
    }


def _takes_back(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    """Local maintenance is taken back only when the engine stays, and nobody can take it."""
    asked = Action.END_LOCAL_MAINTENANCE in decision.actions
    in_vain = decision.memory.move_ended and not mem.over and seen.vm is not Vm.ABSENT
    if asked and mem.state is not State.LOCAL_MAINTENANCE_MIGRATE_VM:
        yield "local maintenance is a person's, but for a move that can't be made"
    if asked and seen.host_stops is not None:
        yield "a host that is shut down stays in maintenance"
    if (asked or in_vain) and seen.vm is not Vm.RUNNING:
        yield "a move is given up while the engine is not here"
    if in_vain and _takers(seen, mem.refused):
        yield "a move is given up though a host takes the engine"
    if in_vain and some_undecided(seen) and not mem.settled and mem.state in _MOVING:
        yield "a move is given up before all hosts could show themselves"


def _resumes(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    between = seen.vm is Vm.IN_TRANSIT and seen.vm_leaving and seen.lease is Lease.FREE
    asked = Action.RESUME_VM in decision.actions
    if asked and not (between and mem.between):
        yield "a VM is resumed only when a migration has left it paused and its lease free"
    alone = seen.global_maintenance or seen.local_maintenance
    if asked and alone and mem.state not in _MOVING:
        yield "in maintenance the engine is left alone"
    waits = mem.state in _RESUMING
    if between and mem.between and waits and not decision.changed and not asked:
        yield "a VM that a migration has left paused goes on before another one is started"


def _repeats(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    well = seen.health is Health.GOOD and seen.vm_holds_lease is None
    if mem.state is State.ENGINE_FORCE_STOP and seen.vm is Vm.RUNNING and well:
        if decision.actions:
            yield "an engine that got well is not switched off before its lease is known"
        return
    if mem.due and mem.state in _FORCED and not decision.changed and not decision.actions:
        yield "an order that shows no effect is repeated"


def _silence(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    if decision.actions and (seen.vm is Vm.UNKNOWN or seen.stop_requested):
        yield "nothing is done while libvirt is silent or the agent stops"
    if seen.stop_requested and decision.memory.state is not State.AGENT_STOPPED:
        yield "an agent that is told to stop stops at once"
    if not seen.stop_requested and decision.memory.state is State.AGENT_STOPPED:
        yield "an agent stops only when it is told to"


def _scores(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    state = decision.memory.state
    out = state in ZERO_STATES or seen.local_maintenance or _failed(decision) >= 2
    if out != (decision.score.points == 0):
        yield "a host offers itself though it is out, or the other way round"


def _failed(decision: Decision) -> int:
    return len(decision.memory.failed_starts_s)


def _notes(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    """What must be remembered of a failure, or the same host would try for ever."""
    after = decision.memory
    failed = _failed(decision) > mem.failed or mem.failed >= 2
    left_start = mem.state is State.ENGINE_START and after.state is State.ENGINE_DOWN
    if left_start and seen.start is not StartOutcome.LEASE_HELD and not failed:
        yield "a start that failed counts"
    if left_start and seen.start is StartOutcome.LEASE_HELD and failed and mem.failed < 2:
        yield "losing the lease is no failure"
    if left_start and (after.held_off_until_s or 0) <= seen.now_s:
        yield "after a start that came to nothing others go first"
    yield from _endings(mem, seen, decision, failed)


def _endings(mem: Mem, seen: Observation, decision: Decision, failed: bool) -> Iterator[str]:
    after = decision.memory
    ran = mem.state in (State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH, State.ENGINE_MIGRATING_AWAY)
    crashed = seen.vm is Vm.ABSENT and seen.vm_ending is VmEnding.CRASHED
    undisturbed = after.state in (State.ENGINE_DOWN, State.ENGINE_UNEXPECTEDLY_DOWN)
    counts = ran and crashed and undisturbed and seen.lease is not Lease.THEIRS
    if counts and after.crashed_at_s != seen.now_s:
        yield "a crash is remembered"
    stopped = after.state is State.ENGINE_STOP and decision.changed
    begun = stopped and mem.broke not in _FORCED and not given(mem) and not seen.host_stops
    if seen.vm_stranded:
        if _failed(decision) > mem.failed or after.crashed_at_s == seen.now_s:
            yield "a migration that left the VM paused with its lease is nobody's failure"
        return
    if begun and not is_lost(mem, seen) and not failed and seen.lease is not Lease.THEIRS:
        yield "an engine that had to be stopped for its health is a failed start"


_HAD_IT = (State.ENGINE_STARTING, State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH,
           State.ENGINE_MIGRATING_AWAY)  # fmt: skip


def _ends(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    """Where an end of the VM leads, as far as nothing goes before it."""
    if mem.state not in _HAD_IT or _goes_first(seen):
        return
    if seen.vm is Vm.IN_TRANSIT and decision.changed:
        yield "nothing is concluded while libvirt itself holds the VM"
    if seen.vm is not Vm.ABSENT:
        return
    if decision.memory.state is not _after_end(mem, seen):
        yield f"after this end of the VM {_after_end(mem, seen).value} is right"
    if seen.lease is Lease.THEIRS and _failed(decision) > mem.failed:
        yield "an engine that runs elsewhere has not failed here"


def _after_end(mem: Mem, seen: Observation) -> State:
    if seen.lease is Lease.THEIRS or seen.vm_ending is VmEnding.STOPPED:
        return State.ENGINE_DOWN
    if seen.vm_ending is VmEnding.GUEST_SHUTDOWN:
        return State.ENGINE_UNEXPECTEDLY_DOWN
    if seen.vm_ending is VmEnding.MIGRATED:
        return State.ENGINE_MAYBE_AWAY
    if mem.state is State.ENGINE_STARTING:
        return State.ENGINE_DOWN
    if seen.vm_ending is VmEnding.CRASHED:
        return State.ENGINE_UNEXPECTEDLY_DOWN if mem.crashed else State.ENGINE_DOWN
    return State.ENGINE_MAYBE_AWAY


def _goes_first(seen: Observation) -> bool:
    return bool(seen.stop_requested or seen.global_maintenance or seen.local_maintenance)


# --- what a state says by its name ----------------------------------------------------

_RUNNING_OR_PAUSED = (Vm.RUNNING, Vm.PAUSED)
_GONE = (Vm.ABSENT, Vm.IN_TRANSIT)
_ASKS_ANEW = (State.START_STATE, State.LOCAL_MAINTENANCE, State.GLOBAL_MAINTENANCE,
              State.LOCAL_MAINTENANCE_MIGRATE_VM,
              State.UNKNOWN_LOCAL_VM_STATE)  # fmt: skip


def _claims(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    """A state that is entered must fit what is seen, however short it lasts."""
    state = decision.memory.state
    if mem.state is State.START_STATE and seen.vm is Vm.UNKNOWN and not seen.stop_requested:
        if decision.changed:
            yield "a new agent waits for libvirt's first word"
        return
    if decision.changed and not _fits(state, mem, seen):
        yield f"{state.value} is entered though it is not so"


def _fits(state: State, mem: Mem, seen: Observation) -> bool:
    running = seen.vm is Vm.RUNNING
    tried = mem.state is State.ENGINE_START and seen.start is not StartOutcome.RUNNING
    tried = tried or (mem.state is State.ENGINE_START and mem.age > 0)
    return {
        State.START_STATE: False,
        State.REINITIALIZE_FSM: mem.state in _ASKS_ANEW,
        State.ENGINE_DOWN: seen.vm in _GONE or tried,
        State.ENGINE_START: mem.state is State.ENGINE_DOWN,
        State.ENGINE_STARTING: (running and seen.health is not Health.GOOD)
        or seen.start is StartOutcome.OK,
        State.ENGINE_UP: running
        and (seen.health is Health.GOOD or _may_be_well(mem, seen) or mem.state in _MOVING),
        State.ENGINE_MIGRATING_AWAY: running or seen.vm_leaving,
        State.LOCAL_MAINTENANCE_MIGRATE_VM: seen.local_maintenance
        and (running or (seen.vm is Vm.IN_TRANSIT and seen.vm_leaving)),
        State.ENGINE_UP_BAD_HEALTH: seen.vm is Vm.PAUSED
        or (running and (seen.health is Health.BAD or mem.dark >= 2 or mem.broke in _WAS_ILL)),
        State.ENGINE_STOP: seen.vm in _RUNNING_OR_PAUSED,
        State.ENGINE_FORCE_STOP: seen.vm is not Vm.ABSENT,
        State.ENGINE_MAYBE_AWAY: seen.vm is Vm.ABSENT,
        State.ENGINE_UNEXPECTEDLY_DOWN: seen.vm is Vm.ABSENT,
        State.LOCAL_MAINTENANCE: seen.local_maintenance,
        State.GLOBAL_MAINTENANCE: seen.global_maintenance is True,
        State.UNKNOWN_LOCAL_VM_STATE: seen.vm is Vm.UNKNOWN,
        State.AGENT_STOPPED: seen.stop_requested,
    }[state]


_WAS_ILL = (State.ENGINE_UP_BAD_HEALTH, *_FORCED)


def _may_be_well(mem: Mem, seen: Observation) -> bool:
    """Its health is not known, and it was well before, or nobody can look at it at all."""
    without_page = seen.health_detail == NO_PAGE and seen.vm_holds_lease is True
    was_well = mem.broke is State.ENGINE_UP
    return seen.health is Health.UNKNOWN and (was_well or without_page)


_LEASE_FIRST = {State.ENGINE_STOP, State.ENGINE_FORCE_STOP, State.AGENT_STOPPED}
_MAINTENANCE_FIRST = {*_LEASE_FIRST, State.UNKNOWN_LOCAL_VM_STATE, State.GLOBAL_MAINTENANCE,
                      State.LOCAL_MAINTENANCE, State.REINITIALIZE_FSM, *_MOVING}  # fmt: skip
_ENDS_FIRST = {State.START_STATE, State.ENGINE_START, State.UNKNOWN_LOCAL_VM_STATE}


def _first(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    """What goes before anything else, in every step."""
    after = decision.memory.state
    if mem.state in _ENDS_FIRST or seen.vm is Vm.UNKNOWN or mem.state is State.AGENT_STOPPED:
        return
    leaves = seen.host_stops is not None and seen.vm in (Vm.RUNNING, Vm.IN_TRANSIT)
    in_maintenance = seen.global_maintenance or (seen.local_maintenance and not leaves)
    if is_lost(mem, seen):
        if after not in _LEASE_FIRST:
            yield "a VM without its lease goes before anything else"
        return
    # What a move has come to is said first; the maintenance follows in the same turn.
    ends = mem.state in (*_FORCED, State.ENGINE_MIGRATING_AWAY)
    leaves = decision.changed and not ends and after not in _MAINTENANCE_FIRST
    if in_maintenance and leaves:
        yield "maintenance goes before what the engine does"
    local_first = after is State.LOCAL_MAINTENANCE and not ends
    if seen.global_maintenance and local_first and decision.changed:
        yield "global maintenance goes before local maintenance"


_TIMED = (State.ENGINE_STARTING, State.ENGINE_UP_BAD_HEALTH, State.ENGINE_STOP)


def _goes_on(mem: Mem, seen: Observation, decision: Decision) -> Iterator[str]:
    """A moment of not knowing begins no time-out of the same VM anew."""
    after = decision.memory
    same = after.state is mem.broke and decision.changed
    # A stop for another reason:
    anew = seen.host_stops is not None or seen.vm_stranded or is_lost(mem, seen)
    if mem.broke in _TIMED and same and not anew and lasted_s(after) < goes_on_after_s(mem):
        yield "what was broken off goes on with the rest of its time"
    lost = after.state is State.ENGINE_STARTING and mem.broke is State.ENGINE_UP_BAD_HEALTH
    if lost and seen.vm is Vm.RUNNING:
        yield "an ill engine is taken for a booting one"
    counts = mem.broke is State.ENGINE_STARTING and mem.state is State.REINITIALIZE_FSM
    gone = after.state is State.ENGINE_DOWN and seen.vm_ending is VmEnding.NONE
    unseen = gone and seen.lease is not Lease.THEIRS and seen.vm is Vm.ABSENT
    forgotten = _failed(decision) <= mem.failed and mem.failed < 2
    if counts and unseen and forgotten:
        yield "a boot that ended unseen counts"


# --- where an agent comes to rest -----------------------------------------------------

_HERE = {
    Vm.ABSENT: {State.ENGINE_DOWN, State.ENGINE_MAYBE_AWAY, State.ENGINE_UNEXPECTEDLY_DOWN},
    Vm.PAUSED: {State.ENGINE_UP_BAD_HEALTH, State.ENGINE_FORCE_STOP},
    Vm.IN_TRANSIT: {State.ENGINE_DOWN, State.ENGINE_STARTING, State.ENGINE_UP,
                    State.ENGINE_UP_BAD_HEALTH, State.ENGINE_STOP, State.ENGINE_FORCE_STOP,
                    State.ENGINE_MAYBE_AWAY, State.ENGINE_UNEXPECTEDLY_DOWN},
}  # fmt: skip
_RUNNING = {
    Health.GOOD: {State.ENGINE_UP, State.ENGINE_FORCE_STOP},
    Health.BAD: {State.ENGINE_STARTING, State.ENGINE_UP_BAD_HEALTH, State.ENGINE_STOP,
                 State.ENGINE_FORCE_STOP},
    Health.UNKNOWN: {State.ENGINE_STARTING, State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH,
                     State.ENGINE_STOP, State.ENGINE_FORCE_STOP},
}  # fmt: skip


def rest(mem: Mem, seen: Observation) -> tuple[str, ...]:
    """An agent that has acted on all it sees must be in a state that says what it sees."""
    if mem.state in _rests(mem, seen):
        return ()
    return (f"an agent rests in {mem.state.value} though it sees something else",)


def _rests(mem: Mem, seen: Observation) -> set[State]:
    if seen.stop_requested:
        return {State.AGENT_STOPPED}
    if mem.state is State.ENGINE_START:
        waits = seen.start is StartOutcome.RUNNING and not mem.age
        return {State.ENGINE_START} if waits else set()
    if mem.state is State.START_STATE:
        blind = seen.vm is Vm.UNKNOWN or (not seen.complete and seen.vm is not Vm.RUNNING)
        return {State.START_STATE} if blind else set()
    if seen.vm is Vm.UNKNOWN:
        return {State.UNKNOWN_LOCAL_VM_STATE}
    if is_lost(mem, seen):
        return {State.ENGINE_FORCE_STOP}
    return _rests_with_libvirt(mem, seen)


def _rests_with_libvirt(mem: Mem, seen: Observation) -> set[State]:
    going_off = {State.ENGINE_FORCE_STOP} if seen.vm is not Vm.ABSENT else set()
    going_off |= _moving(mem, seen)
    if seen.global_maintenance is True:
        return {State.GLOBAL_MAINTENANCE, *going_off} - {State.LOCAL_MAINTENANCE_MIGRATE_VM}
    stays = {State.GLOBAL_MAINTENANCE} if seen.global_maintenance is None else set()
    if seen.local_maintenance and seen.host_stops is not None and seen.vm is Vm.RUNNING:
        return {*stays, *_moving(mem, seen), *_rests_out_of_maintenance(mem, seen)}
    if seen.local_maintenance:
        leaves = seen.host_stops is not None and seen.vm is Vm.IN_TRANSIT
        more = _HERE[seen.vm] if leaves else set()
        return {State.LOCAL_MAINTENANCE, *going_off, *stays, *more}
    return {*stays, *_moving(mem, seen), *_rests_out_of_maintenance(mem, seen)}


def _moving(mem: Mem, seen: Observation) -> set[State]:
    """The states in which the engine is about to leave, while it is."""
    leaving = seen.vm is Vm.RUNNING or (seen.vm is Vm.IN_TRANSIT and seen.vm_leaving)
    if not leaving:
        return set()
    out = {State.LOCAL_MAINTENANCE_MIGRATE_VM} if seen.local_maintenance else set()
    if seen.host_stops is not None and seen.vm is Vm.RUNNING:
        out = set()
    ready = _movable(seen) and seen.move_outcome is not MoveOutcome.RUNNING and mem.denied < 2
    if ready and not mem.over and _takers(seen, mem.refused):
        out = set()
    failed = mem.ordered and seen.move_outcome is MoveOutcome.FAILED and not seen.vm_leaving
    if failed and seen.vm is Vm.RUNNING:
        return out
    return {State.ENGINE_MIGRATING_AWAY, *out}


def _rests_out_of_maintenance(mem: Mem, seen: Observation) -> set[State]:
    if seen.vm is not Vm.RUNNING:
        states = _rests_without_guest(seen)
    else:
        states = set(_RUNNING[seen.health])
        if seen.vm_holds_lease is None or mem.leaving:
            states.add(State.ENGINE_STOP)
        if mem.dark >= 2:
            states = (states - {State.ENGINE_UP}) | {State.ENGINE_UP_BAD_HEALTH}
        if seen.host_stops is not None:
            states.add(State.ENGINE_STOP)
        if given(mem) and (mem.reached or not moved(mem, seen)):
            states -= {State.ENGINE_UP}
        if _is_asked_for(mem, seen):
            states -= {State.ENGINE_UP}
    if mem.age and mem.state is not State.ENGINE_UNEXPECTEDLY_DOWN:
        states -= _left_when_due(mem, seen)
    if seen.lease is Lease.THEIRS or (seen.lease is Lease.FREE and _ended_here(seen)):
        states.discard(State.ENGINE_MAYBE_AWAY)
    if seen.vm is Vm.PAUSED and seen.lease is Lease.THEIRS:
        states.discard(State.ENGINE_UP_BAD_HEALTH)
    return states


def _rests_without_guest(seen: Observation) -> set[State]:
    """The VM does not run; nothing but its end helps one that is stranded."""
    return {State.ENGINE_FORCE_STOP} if seen.vm_stranded else set(_HERE[seen.vm])


def _is_asked_for(mem: Mem, seen: Observation) -> bool:
    """Does a person want it moved, with a host that takes it?"""
    if seen.host_stops is HostStop.STOP:
        return True  # it is shut down
    if seen.host_stops is HostStop.MIGRATE:
        known = not some_undecided(seen) or mem.settled
        return _movable(seen) and mem.denied < 2 and (known or bool(_takers(seen, frozenset())))
    asks = seen.move_request is not None and not (mem.over and mem.move is For.PERSON)
    ready = _movable(seen) and seen.move_outcome is not MoveOutcome.RUNNING and mem.denied < 2
    refused = mem.refused if mem.move is For.PERSON else frozenset()
    return asks and ready and bool(_takers(seen, refused))


def _ended_here(seen: Observation) -> bool:
    return seen.vm is Vm.ABSENT and seen.vm_ending is not VmEnding.MIGRATED


def _left_when_due(mem: Mem, seen: Observation) -> set[State]:
    """The states whose time-out, once over, must have been answered."""
    due = {State.ENGINE_MAYBE_AWAY}
    if seen.vm is Vm.RUNNING and seen.health is Health.BAD:
        due |= {State.ENGINE_STARTING, State.ENGINE_UP_BAD_HEALTH}
    if seen.vm is Vm.PAUSED:
        due.add(State.ENGINE_UP_BAD_HEALTH)
    if mem.age >= 2:
        due.add(State.ENGINE_STOP)
    return due
