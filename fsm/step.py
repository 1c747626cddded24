# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The decision: one observation in, one row fired, memory and actions out.

A host's whole loop is::

    memory = Memory()
    while True:
        observation = collect()
        decision = step(memory, observation, config)
        memory = decision.memory
        publish(memory.state, decision.score, decision.why)   # before acting
        execute(decision.actions)                             # results: next observation
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Optional

from fsm.decision import Decision
from fsm.guards import (
    DENIALS,
    GO_ON_TICKS,
    LEASE_RETRY_S,
    LONELY_TURNS,
    REPEAT_TICKS,
    boot_is_over,
    dark_counts_s,
    is_elsewhere,
    is_left_between,
    is_left_over,
    move_target,
    seen_at_s,
    settled_at_s,
    time_out_s,
    turn_in_s,
)
from fsm.handover import handover, is_told, resume_after_s
from fsm.machine import fire
from fsm.memory import BETTER, DARK, MAINTENANCE, OUT_OF_REACH, Action, BrokenOff, Memory
from fsm.moves import NO_REASON, refusals_so_far, target_why, wanted_move
from fsm.observation import Lease, Observation, Vm
from fsm.own_moves import DAY_S, is_leaving_for, own_moves
from fsm.peers import candidates, tries_of_turn, turns_had
from fsm.reach import gave_away, is_cut_off, is_dark_for_all, reached_by
from fsm.reasons import reason
from fsm.score import score
from fsm.table import UNANNOUNCED, Note, Row
from metadata.records import Health
from metadata.settings.parse import ClusterSettings, Timing
from metadata.states import State

MOST_TRIES = 999

RowFinder = Callable[[Memory, Observation, ClusterSettings], Row]


def step(
    memory: Memory,
    observation: Observation,
    config: ClusterSettings,
    find_row: RowFinder = fire,
) -> Decision:
    """Take one decision.

    memory       what the previous decision left (a new agent: ``Memory()``)
    observation  what is known now; `now_s` never goes back
    config       the cluster's settings, with timings that `check_timing` accepts
    find_row     finds the row that fires: `fsm.machine.fire`, or `walk` for model checking

    Returns a Decision; its score is that of the new state. Raises nothing.
    """
    known = remember(memory, observation, config)
    row = find_row(known, observation, config)
    why = reason(row, known, observation, config)
    after = _apply(row, known, observation, config, why)
    return Decision(
        memory=after,
        actions=row.actions,
        row=row,
        why=why,
        score=score(after, observation, config),
        timeout_at_s=_timeout_at_s(after, config),
        wake_at_s=_wake_at_s(after, observation, config),
        changed=not row.keeps_state,
    )


def remember(memory: Memory, observation: Observation, config: ClusterSettings) -> Memory:
    """What the observation itself adds to the memory, whichever row fires (`step` does it)."""
    now_s, retry_window_s = observation.now_s, config.timing.retry_window_s
    told = is_told(memory, observation, config)
    owner_id = observation.lease_owner_id
    noted: dict[str, Any] = {
        "started_at_s": now_s if memory.started_at_s is None else memory.started_at_s,
        "failed_starts_s": tuple(
            [at_s for at_s in memory.failed_starts_s if now_s - at_s < retry_window_s]
        ),
        **_lease_times(memory, observation, config),
        "lease_left_since_s": _since_s(is_left_over(observation), memory.lease_left_since_s, now_s),
        "handover_since_s": _since_s(told, memory.handover_since_s, now_s),
        "vm_held_since_s": _since_s(is_left_between(observation), memory.vm_held_since_s, now_s),
        "last_owner_id": memory.last_owner_id if owner_id is None else owner_id,
        "lease_denied_s": _denials(memory.lease_denied_s, observation),
        "well_since_s": _since_s(_is_well(memory, observation), memory.well_since_s, now_s),
        "tries": 0 if _trouble_is_over(memory, now_s, config) else memory.tries,
        "vm_id": _vm_id(memory, observation),
        "move_left": memory.move_left or (bool(memory.move_for) and observation.vm is Vm.ABSENT),
        **_ill_times(memory, observation),
        **_reach(memory, observation, config),
    }
    memory = _with(memory, noted)
    return _with(memory, own_moves(memory, observation, config))


def _with(memory: Memory, noted: dict[str, Any]) -> Memory:
    """Mostly nothing is new, and a new memory costs more than a look at the old one."""
    if all(getattr(memory, name) == value for name, value in noted.items()):
        return memory
    return replace(memory, **noted)


def _reach(memory: Memory, observation: Observation, config: ClusterSettings) -> dict[str, Any]:
    """What is remembered of the engine's being in reach; counted while it is to be, not earlier."""
    gave_away_at_s = _gave_away_at_s(memory, observation, config)
    same = _is_same_process(memory, observation)
    cut_off_since_s, dark_since_s = _unreached_since_s(memory, observation, config)
    return {
        "cut_off_since_s": cut_off_since_s,
        "dark_since_s": dark_since_s,
        "reached": same and (memory.reached or bool(reached_by(observation))),
        "gave_away_at_s": gave_away_at_s,
        "gave_away_uplink": gave_away_at_s is not None and _is_uplink(memory, observation),
    }


def _unreached_since_s(
    memory: Memory, observation: Observation, config: ClusterSettings
) -> tuple[Optional[float], Optional[float]]:
    """Since when the engine has been cut off with its host, and dark for all."""
    timing, same, now_s = config.timing, _is_same_process(memory, observation), observation.now_s
    cut_off_since_s = memory.cut_off_since_s if same else None
    dark_since_s = memory.dark_since_s if same else None
    unknown = observation.vm is Vm.UNKNOWN or (same and memory.state in _NOT_YET_KNOWN)
    boots = memory.state is State.ENGINE_STARTING
    if not unknown and observation.vm is not Vm.IN_TRANSIT:
        runs, rests = observation.vm is Vm.RUNNING, _is_to_be_reached(memory)
        # One that boots will not be in reach where its host is cut off meanwhile. Dark it is for
        # all, wherever it boots.
        cut_off = (
            runs
            and (rests or boots)
            and is_cut_off(observation, config, lambda: score(memory, observation, config).points)
        )
        cut_off_since_s = _since_s(cut_off, cut_off_since_s, now_s)
        dark = runs and rests and is_dark_for_all(observation)
        dark_since_s = _since_s(dark, dark_since_s, now_s)
    if unknown or boots or _moves_for_others(memory, observation):
        cut_off_since_s = _held_s(cut_off_since_s, timing.isolated_s, now_s, timing)
        dark_since_s = _held_s(dark_since_s, timing.bad_health_s, now_s, timing)
    return cut_off_since_s, dark_since_s


def _is_to_be_reached(memory: Memory) -> bool:
    return memory.state in (*_TO_BE_REACHED, *_MOVING) or memory.giving_away


def _moves_for_others(memory: Memory, observation: Observation) -> bool:
    """Is libvirt at work on the VM for another reason than that nobody reaches the engine?

    That may itself keep the engine from answering, or fill the network, so a few looks are needed
    when it is over. A move for being out of reach has its own time.
    """
    if is_leaving_for(memory, *OUT_OF_REACH):
        return False
    return memory.state in _MOVING or observation.vm is Vm.IN_TRANSIT


def _has_left_for_reach(memory: Memory, observation: Observation) -> bool:
    return observation.vm is Vm.ABSENT and is_leaving_for(memory, *OUT_OF_REACH)


def _is_uplink(memory: Memory, observation: Observation) -> bool:
    if _has_left_for_reach(memory, observation):
        return memory.move_for == DARK
    return memory.gave_away_uplink


def _is_same_process(memory: Memory, observation: Observation) -> bool:
    """Is what was learnt of the VM's process still of its present one, as far as is known?"""
    if observation.vm is Vm.ABSENT:
        return False
    return "" in (memory.vm_id, observation.vm_id) or memory.vm_id == observation.vm_id


def _held_s(
    since_s: Optional[float], limit_s: float, now_s: float, timing: Timing
) -> Optional[float]:
    """A moment of not knowing resets nothing; afterwards a few looks are needed all the same."""
    if since_s is None:
        return None
    return _ending_from(now_s + GO_ON_TICKS * timing.tick_s, since_s, limit_s, now_s)


def _ending_from(earliest_s: float, since_s: float, limit_s: float, now_s: float) -> float:
    """Since when a time-out of `limit_s` runs that may not end before `earliest_s`; not later
    than now, for it takes no longer than it may."""
    return min(max(since_s, earliest_s - limit_s), now_s)


def _gave_away_at_s(
    memory: Memory, observation: Observation, config: ClusterSettings
) -> Optional[float]:
    """The window begins when the stop for it ends, or as the VM has left for it."""
    if memory.giving_away or _has_left_for_reach(memory, observation):
        return observation.now_s
    return memory.gave_away_at_s if gave_away(memory, observation, config) else None


_TO_BE_REACHED = (State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH)
_MOVING = (State.ENGINE_MIGRATING_AWAY, State.LOCAL_MAINTENANCE_MIGRATE_VM)
_STOPPING = (State.ENGINE_STOP, State.ENGINE_FORCE_STOP)
_NOT_YET_KNOWN = (
    *(State.START_STATE, State.REINITIALIZE_FSM),
    *(State.UNKNOWN_LOCAL_VM_STATE, State.AGENT_STOPPED),
)
_MAINTENANCE = (State.GLOBAL_MAINTENANCE, State.LOCAL_MAINTENANCE)
_LEFT_UP = (*_TO_BE_REACHED, State.ENGINE_STARTING, *_MAINTENANCE)


def _turns_pass(observation: Observation) -> bool:
    """Could somebody take the free lease? In global maintenance nobody may, and no turn ends."""
    return observation.lease is Lease.FREE and observation.global_maintenance is False


def _lease_times(
    memory: Memory, observation: Observation, config: ClusterSettings
) -> dict[str, Optional[float]]:
    """Since when the lease has been free, for the ranks' turns.

    A start that dies within seconds holds the lease for that long, and sometimes nobody can
    read it for a moment: neither begins the turns anew.
    """
    now_s, free_since_s = observation.now_s, memory.lease_free_since_s
    if _turns_pass(observation):
        since_s = now_s if free_since_s is None else free_since_s
        return {"lease_free_since_s": since_s, "lease_taken_since_s": None}
    taken_since_s = now_s if memory.lease_taken_since_s is None else memory.lease_taken_since_s
    nobody_may = observation.global_maintenance is True or _is_well(memory, observation)
    if free_since_s is None or nobody_may or now_s - taken_since_s >= config.timing.turn_s:
        return {"lease_free_since_s": None, "lease_taken_since_s": None}
    return {"lease_free_since_s": free_since_s, "lease_taken_since_s": taken_since_s}


def _vm_id(memory: Memory, observation: Observation) -> str:
    if observation.vm is Vm.UNKNOWN:
        return memory.vm_id
    return "" if observation.vm is Vm.ABSENT else observation.vm_id or memory.vm_id


def _still_broken_off(memory: Memory, observation: Observation) -> Optional[BrokenOff]:
    """What was broken off, unless it was about another process than the VM's present one."""
    found = memory.broken_off
    if found is None or observation.vm is Vm.UNKNOWN:
        return found
    if found.state is State.ENGINE_UNEXPECTEDLY_DOWN:
        return found if observation.vm is Vm.ABSENT else None
    if observation.vm is Vm.ABSENT:
        # What people end in a maintenance has not failed.
        return None if memory.state in _MAINTENANCE else found
    # A process of which nothing is known may be any other one.
    return found if memory.vm_id == observation.vm_id else None


def _ill_times(memory: Memory, observation: Observation) -> dict[str, Any]:
    """While the health of an ill engine is not known, its time-out stands still."""
    now_s, blind_since_s = observation.now_s, memory.blind_since_s
    since_s = now_s if memory.since_s is None else memory.since_s
    broken_off = _still_broken_off(memory, observation)
    unknown = observation.vm is Vm.RUNNING and observation.health is Health.UNKNOWN
    if memory.state is State.ENGINE_UP_BAD_HEALTH and unknown:
        blind_since_s = _since_s(True, blind_since_s, now_s)
    elif blind_since_s is not None:
        since_s += now_s - blind_since_s
        if broken_off is not None:
            broken_off = replace(broken_off, still_since_s=blind_since_s).at(now_s)
        blind_since_s = None
    return {"since_s": since_s, "blind_since_s": blind_since_s, "broken_off": broken_off}


def _since_s(holds: bool, before_s: Optional[float], now_s: float) -> Optional[float]:
    """Since when something has held without a break."""
    if not holds:
        return None
    return now_s if before_s is None else before_s


def _is_well(memory: Memory, observation: Observation) -> bool:
    """Is the engine up on some host, as far as that can be told?"""
    up = State.ENGINE_UP.value
    return memory.state is State.ENGINE_UP or any(
        peer.fresh and (peer.engine_healthy or peer.state == up) for peer in observation.peers
    )


def _trouble_is_over(memory: Memory, now_s: float, config: ClusterSettings) -> bool:
    """Has the engine been well for so long that earlier tries tell nothing any more?"""
    since_s = memory.well_since_s
    return since_s is not None and now_s - since_s >= config.timing.retry_window_s


def _denials(before_s: tuple[float, ...], observation: Observation) -> tuple[float, ...]:
    """The looks at the storage that deny the lease of the VM here; what is not known ends none.

    A look from before libvirt showed the VM running says nothing of it: the target of a live
    migration has its process long before it has the lease.
    """
    if observation.vm is Vm.UNKNOWN or observation.lease is Lease.UNKNOWN:
        return before_s
    if not is_elsewhere(observation):
        return ()
    looked_at_s = seen_at_s(observation.lease_seen_at_s, observation)
    since_s = observation.vm_running_since_s
    kept_s = tuple([at_s for at_s in before_s if since_s is None or at_s >= since_s])
    too_early = since_s is not None and looked_at_s < since_s
    if too_early or (kept_s and looked_at_s <= kept_s[-1]):
        return kept_s
    return (*kept_s, looked_at_s)[:DENIALS]


def _apply(
    row: Row, memory: Memory, observation: Observation, config: ClusterSettings, why: str
) -> Memory:
    now_s, before = observation.now_s, memory
    if not row.keeps_state:
        # Every change of state clears its timers: a time-out never runs on from another state.
        memory = _enter(row, memory, now_s, config, why)
        memory = _unless_it_stays(memory)
    if row.actions:
        memory = replace(memory, attempt_s=now_s)
    if Action.RESUME_VM in row.actions:
        memory = replace(memory, vm_held_since_s=now_s)
    for note in row.notes:
        memory = _take_note(note, memory, before, observation, config)
    return memory


def _unless_it_stays(memory: Memory) -> Memory:
    """An engine that is left up was not given away; where nothing is known, it may still end."""
    if not memory.giving_away or memory.state in _STOPPING or memory.state in _NOT_YET_KNOWN:
        return memory
    if memory.state in _LEFT_UP:
        memory = replace(memory, gave_away_at_s=None, gave_away_uplink=False)
    return replace(memory, giving_away=False)


# What may go on after a moment of not knowing, and what breaks it off.
GOES_ON = frozenset(
    {State.ENGINE_STARTING, State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH, State.ENGINE_STOP,
     State.ENGINE_FORCE_STOP, State.ENGINE_UNEXPECTEDLY_DOWN, State.LOCAL_MAINTENANCE_MIGRATE_VM,
     State.ENGINE_MIGRATING_AWAY}
)  # fmt: skip
_BREAKS_OFF = frozenset({State.UNKNOWN_LOCAL_VM_STATE, State.AGENT_STOPPED, *_MAINTENANCE})
_UNDECIDED = frozenset({*_NOT_YET_KNOWN, *_MAINTENANCE})


def broken_off_by(memory: Memory) -> Optional[BrokenOff]:
    """What is broken off when the agent comes to know nothing in this very moment."""
    found = memory.broken_off
    if found is None and memory.state in GOES_ON and memory.since_s is not None:
        found = BrokenOff(memory.state, memory.since_s)
    if found is None:
        return None
    # In a maintenance nobody judges the VM: its time-out stands still.
    in_maintenance = memory.state in _MAINTENANCE
    return replace(found, still_since_s=memory.since_s if in_maintenance else memory.blind_since_s)


def _enter(row: Row, memory: Memory, now_s: float, config: ClusterSettings, why: str) -> Memory:
    """The memory in the new state; what has gone on or is decided anew is broken off no more."""
    broken_off = memory.broken_off
    if row.target in _BREAKS_OFF or row.source in _MAINTENANCE:
        broken_off = broken_off_by(memory)
    broken_off = None if broken_off is None else broken_off.at(now_s)
    goes_on = Note.GO_ON in row.notes and broken_off is not None
    waits = row.target in _UNDECIDED or Note.STILL_BROKEN_OFF in row.notes
    entered = replace(
        memory,
        state=row.target,
        since_s=broken_off.since_s if goes_on and broken_off else now_s,
        attempt_s=now_s,
        why=why,
        broken_off=broken_off if waits else None,
        blind_since_s=None,
    )
    return _looked_at(entered, now_s, config) if goes_on else entered


def _looked_at(memory: Memory, now_s: float, config: ClusterSettings) -> Memory:
    """Nobody looked for a while: a time-out that goes on ends after a few looks at the earliest."""
    return _not_before(now_s + GO_ON_TICKS * config.timing.tick_s, memory, now_s, config)


def _not_before(earliest_s: float, memory: Memory, now_s: float, config: ClusterSettings) -> Memory:
    """The state's time-out ends then at the earliest, but takes no longer than it may."""
    limit_s = time_out_s(memory, config)
    if limit_s is None or memory.since_s is None:
        return memory
    return replace(memory, since_s=_ending_from(earliest_s, memory.since_s, limit_s, now_s))


def _take_note(
    note: Note, memory: Memory, before: Memory, observation: Observation, config: ClusterSettings
) -> Memory:
    now_s = observation.now_s
    if note is Note.BY_AGE and observation.vm_began_s is not None:
        return _by_age(memory, observation, config)
    if note is Note.FAILED_START:
        return _failed_start(memory, observation, config)
    if note in _MOVE_NOTES:
        return _of_move(note, memory, before, observation, config)
    learnt: dict[str, Any] = {}
    if note is Note.TURN_HAD:
        # One of the tries that make up a turn is counted with the failed start.
        learnt = {"tries": memory.tries + tries_of_turn(config.score) - 1}
    elif note is Note.LEASE_LOST:
        learnt = {"held_off_until_s": now_s + LEASE_RETRY_S}
    elif note is Note.CRASH:
        learnt = {"crashed_at_s": now_s}
    elif note in (Note.CUT_OFF, Note.DARK):
        uplink = note is Note.DARK
        learnt = {"giving_away": True, "gave_away_at_s": now_s, "gave_away_uplink": uplink}
    return replace(memory, **learnt)


_MOVE_NOTES = frozenset(
    {Note.MOVE_WANTED, Note.MOVE_BEGINS, Note.MOVE_ORDERED, Note.MOVE_REFUSED, Note.MOVE_ENDED}
)


_UNDECIDED_MOVE: dict[str, Any] = {"move_ended": False, "move_left": False}


def _of_move(
    note: Note, memory: Memory, before: Memory, observation: Observation, config: ClusterSettings
) -> Memory:
    """`before`: the memory in the state that was left, by which the wanted move was found."""
    if note is Note.MOVE_WANTED:
        return replace(memory, move_for=MAINTENANCE, move_refusals=(), **_UNDECIDED_MOVE)
    if note is Note.MOVE_ORDERED:
        return replace(memory, move_ordered=True)
    if note is Note.MOVE_REFUSED:
        return _move_refused(memory, observation)
    wanted, target = wanted_move(before, observation), move_target(before, observation, config)
    assert wanted is not None
    known = refusals_so_far(memory, wanted)
    memory = replace(memory, move_for=wanted.purpose, move_refusals=known, move_ordered=False)
    if note is Note.MOVE_ENDED:
        return replace(memory, move_ended=True, move_left=False)
    assert target is not None
    if wanted.purpose == BETTER:
        memory = replace(memory, better_moves_s=(*memory.better_moves_s, observation.now_s))
    return replace(memory, move_target_id=target.host_id, **_UNDECIDED_MOVE)


def _move_refused(memory: Memory, observation: Observation) -> Memory:
    if memory.move_for == BETTER:
        # One try: whether it is still better is looked at for as long as before.
        memory = replace(memory, better_id=None, better_since_s=None, wants="")
    if memory.move_target_id is None:
        return replace(memory, move_ordered=False)
    why = observation.move_why if memory.move_ordered else target_why(memory, observation)
    refused = (memory.move_target_id, why or (NO_REASON if memory.move_ordered else UNANNOUNCED))
    return replace(memory, move_refusals=(*memory.move_refusals, refused), move_ordered=False)


def _failed_start(memory: Memory, observation: Observation, config: ClusterSettings) -> Memory:
    now_s = observation.now_s
    kept = (*memory.failed_starts_s, now_s)[-config.score.failed_starts_to_zero :]
    # The more often it failed the longer it waits, so that a trouble of seconds does not
    # use up all tries, and equal hosts get their turn.
    pause_s = len(kept) * config.timing.turn_s
    return replace(
        memory,
        failed_starts_s=kept,
        held_off_until_s=now_s + pause_s,
        tries=min(max(memory.tries + 1, _tries_of_all(observation, config)), MOST_TRIES),
    )


def _by_age(memory: Memory, observation: Observation, config: ClusterSettings) -> Memory:
    """It boots since its process began. What has had that time is not booting: then nobody has
    seen yet how it is, and it gets the time of an ill one."""
    began = replace(memory, since_s=observation.vm_began_s)
    least_s = GO_ON_TICKS * config.timing.tick_s
    if boot_is_over(memory, observation, config):
        least_s = max(least_s, config.timing.bad_health_s)
    return _not_before(observation.now_s + least_s, began, observation.now_s, config)


def _tries_of_all(observation: Observation, config: ClusterSettings) -> int:
    """The tries behind the turns that every other candidate has had already.

    A host that joins in after many rounds shall not make up for each of them.
    """
    turns = [turns_had(peer.tries, config.score) for peer in candidates(observation)]
    return min(turns, default=0) * tries_of_turn(config.score)


def _timeout_at_s(memory: Memory, config: ClusterSettings) -> Optional[float]:
    limit_s = time_out_s(memory, config)
    if limit_s is None or memory.since_s is None:
        return None
    return memory.since_s + limit_s


def _wake_at_s(
    memory: Memory, observation: Observation, config: ClusterSettings
) -> Optional[float]:
    """The earliest moment after now at which a guard about time may change its answer."""
    timing = config.timing
    now_s = observation.now_s
    moments_s = [_timeout_at_s(memory, config), memory.held_off_until_s]
    free_s = (memory.lease_free_since_s, memory.lease_left_since_s)
    if memory.state is State.ENGINE_DOWN and free_s != (None, None):
        moments_s.append(now_s + turn_in_s(memory, observation, config))
    if memory.state is State.ENGINE_DOWN:
        moments_s.append(settled_at_s(memory, observation, config))
        waits_for = handover(memory, observation, config)
        moments_s.append(waits_for.ends_at_s if waits_for else None)
    if memory.vm_held_since_s is not None:
        moments_s.append(memory.vm_held_since_s + resume_after_s(timing))
    if memory.attempt_s is not None:
        moments_s.append(memory.attempt_s + REPEAT_TICKS * timing.tick_s)
    if memory.state is State.ENGINE_UNEXPECTEDLY_DOWN and memory.since_s is not None:
        moments_s.append(memory.since_s + LONELY_TURNS * timing.turn_s)
    moments_s += [at_s + timing.retry_window_s for at_s in memory.failed_starts_s]
    if memory.tries and memory.well_since_s is not None:
        moments_s.append(memory.well_since_s + timing.retry_window_s)
    moments_s += _reach_moments_s(memory, timing)
    moments_s += _own_move_moments_s(memory, config)
    return min([at_s for at_s in moments_s if at_s is not None and at_s > now_s], default=None)


def _reach_moments_s(memory: Memory, timing: Timing) -> list[float]:
    found = []
    if memory.cut_off_since_s is not None:
        found.append(memory.cut_off_since_s + timing.isolated_s)
    if memory.dark_since_s is not None:
        found += [memory.dark_since_s + dark_counts_s(timing)]
        found += [memory.dark_since_s + timing.bad_health_s]
    if memory.gave_away_at_s is not None:
        found.append(memory.gave_away_at_s + timing.retry_window_s)
    return found


def _own_move_moments_s(memory: Memory, config: ClusterSettings) -> list[float]:
    timing, more_s = config.timing, config.migration.out_of_reach_s
    found = [at_s + DAY_S for at_s in memory.better_moves_s[:1]]
    if memory.better_since_s is not None:
        found.append(memory.better_since_s + config.migration.better_s)
    if memory.cut_off_since_s is not None:
        found.append(memory.cut_off_since_s + timing.isolated_s + more_s)
    if memory.dark_since_s is not None:
        found.append(memory.dark_since_s + timing.bad_health_s + more_s)
    return found
