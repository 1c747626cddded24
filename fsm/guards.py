# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The guards of the table: named yes/no questions about memory, observation and settings.

A guard that asks for something that is not known answers no, and so does its opposite where
the table needs both: "not known" never starts and never stops anything.
"""

from __future__ import annotations

from typing import Callable, Optional

from fsm.handover import handover, resume_after_s
from fsm.memory import BY_ITSELF, MAINTENANCE, SHUTDOWN, Memory
from fsm.moves import is_ended, target, target_why, wanted_move
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
from fsm.own_moves import better_told, longest_move_s
from fsm.peers import Ranking, ahead_of_us, candidates, turns_had, undecided
from fsm.reach import (
    better_places,
    is_cut_off,
    is_no_place,
    moved_lately,
    network_is_good,
    reached_by,
)
from fsm.score import points_but_for_failed_starts, score
from metadata.records import Health
from metadata.settings.parse import ClusterSettings, Timing
from metadata.states import State
from metadata.value_class import value_class

Test = Callable[[Memory, Observation, ClusterSettings], bool]

# How long after the agent's start peers get to show that they live: they write each tick,
# the broker reads each tick, and a change takes two reads to be seen.
SETTLE_TICKS = 3
# A time-out that goes on after a moment of not knowing ends after so many ticks at the earliest:
# the engine may have got well meanwhile, and one bad answer is not yet a bad health.
GO_ON_TICKS = 3
# A request to stop or destroy that shows no effect is repeated after so many ticks.
REPEAT_TICKS = 4
# After losing the lease to another host: long enough for our view of the lease to catch up,
# short enough to matter little where sanlock was merely not yet sure of the owner's death.
LEASE_RETRY_S = 2.0
# Looks at the storage after which a lease that is another host's is believed to be so.
DENIALS = 2
# Each turn that came to nothing gives the next boot on that host so much more time (its first
# time-out over again), up to this factor.
MOST_PATIENCE = 4
# With no other host able to run the engine, waiting longer than this many turns helps nobody.
LONELY_TURNS = 2
# What others saw of an engine before it was up is gone from their records after so many ticks.
DARK_TICKS = 3


@value_class(frozen=True)
class Guard:
    """A named question. `~guard` is its opposite; `meaning` is its docstring's sentence."""

    name: str
    test: Test
    meaning: str = ""

    def __call__(self, memory: Memory, observation: Observation, config: ClusterSettings) -> bool:
        """The answer."""
        return self.test(memory, observation, config)

    def __invert__(self) -> Guard:
        return Guard(f"not {self.name}", lambda m, o, c: not self.test(m, o, c))


def guard(test: Test) -> Guard:
    """Name a question after its function."""
    return Guard(test.__name__, test, (test.__doc__ or "").strip())


# --- the agent and the broker ---------------------------------------------------------


@guard
def stop_requested(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The agent was told to stop."""
    return o.stop_requested


@guard
def broker_has_looked(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The broker has had its first look at storage and lockspace."""
    return o.complete


@guard
def start_blocked(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """Something stands against starting: storage, lockspace, configuration, broker."""
    return bool(o.blocked_why)


@guard
def in_global_maintenance(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The cluster is known to be in global maintenance."""
    return o.global_maintenance is True


@guard
def out_of_global_maintenance(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The cluster is known not to be in global maintenance."""
    return o.global_maintenance is False


@guard
def in_local_maintenance(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """This host is in local maintenance."""
    return o.local_maintenance


# --- the VM here ----------------------------------------------------------------------


@guard
def vm_unknown(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """libvirt does not say what the VM does."""
    return o.vm is Vm.UNKNOWN


@guard
def vm_running(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The VM runs here."""
    return o.vm is Vm.RUNNING


@guard
def vm_healthy(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The VM runs here and the engine is healthy."""
    return o.vm is Vm.RUNNING and o.health is Health.GOOD


@guard
def healthy_with_lease(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """The VM runs here, the engine is healthy, and nobody denies its lease."""
    denied = len(m.lease_denied_s) >= DENIALS
    return vm_healthy(m, o, c) and o.vm_holds_lease is True and not denied


@guard
def healthy_lease_unknown(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """The VM runs here, the engine is healthy, and its lease has not been asked for yet."""
    return vm_healthy(m, o, c) and o.vm_holds_lease is None


@guard
def vm_unhealthy(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The VM runs here and the engine is known not to be healthy."""
    return o.vm is Vm.RUNNING and o.health is Health.BAD


@guard
def health_unknown(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The VM runs here and nobody can say how the engine is."""
    return o.vm is Vm.RUNNING and o.health is Health.UNKNOWN


@guard
def health_not_looked_at(_m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """The VM runs here with its lease, and there is no page that could tell its health."""
    return o.vm is Vm.RUNNING and o.vm_holds_lease is True and not c.engine.page_url


@guard
def vm_paused(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The VM is paused and does not go on by itself."""
    return o.vm is Vm.PAUSED


@guard
def vm_stranded(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The VM is paused, and nothing can let it go on: its process still holds the lease."""
    return o.vm is Vm.PAUSED and o.vm_stranded


@guard
def vm_in_transit(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """libvirt itself holds the VM for a moment: it starts up or migrates."""
    return o.vm is Vm.IN_TRANSIT


@guard
def vm_absent(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The VM is not here."""
    return o.vm is Vm.ABSENT


@guard
def vm_without_lease(m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The VM runs here and its process does not hold the engine's lease."""
    return o.vm is Vm.RUNNING and (o.vm_holds_lease is False or is_denied(m, o))


def ended(ending: VmEnding) -> Guard:
    """The VM is not here, and this is how it ended."""
    name = f"ended_{ending.name.lower()}"
    return Guard(
        name,
        lambda _m, o, _c: o.vm is Vm.ABSENT and o.vm_ending is ending,
        f"The VM is not here; it ended: {ending.value}.",
    )


@guard
def crashed_lately(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """The engine crashed here before, within the retry window."""
    return m.crashed_at_s is not None and o.now_s - m.crashed_at_s < c.timing.retry_window_s


# --- what was going on before nobody could tell -----------------------------------------


def broke_off(*states: State) -> Guard:
    """One of these states was broken off."""
    name = " or ".join(state.value for state in states)
    return Guard(
        f"broke_off_{name}",
        lambda m, _o, _c: m.broken_off is not None and m.broken_off.state in states,
        f"What was broken off is {name}.",
    )


@guard
def ended_unseen(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The VM is not here, and nobody says that it was ended on purpose or moved."""
    unseen = (VmEnding.NONE, VmEnding.MISSING, VmEnding.CRASHED)
    return o.vm is Vm.ABSENT and o.vm_ending in unseen and o.lease is not Lease.THEIRS


@guard
def vm_here(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The VM runs here or is paused here."""
    return o.vm in (Vm.RUNNING, Vm.PAUSED)


@guard
def boot_is_over(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """The VM has run for longer than a boot may take."""
    return _has_lasted(o.vm_began_s, boot_time_s(m, c), o)


# --- the lease ------------------------------------------------------------------------


@guard
def lease_free(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The engine's lease can be taken."""
    return o.lease is Lease.FREE


@guard
def lease_free_or_left(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The engine's lease can be taken, or is this host's own while no VM is here."""
    return o.lease is Lease.FREE or is_left_over(o)


@guard
def lease_theirs(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """Another host holds the engine's lease."""
    return o.lease is Lease.THEIRS


@guard
def lease_ours(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """A process of this host holds the engine's lease."""
    return o.lease is Lease.OURS


@guard
def elsewhere_soon(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """The lease is free, and a host that lives may be handing the engine over just now."""
    return handover(m, o, c) is not None


@guard
def left_between(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """A migration has left the VM paused here, and for a while nobody has had its lease."""
    since_s = m.vm_held_since_s
    return (
        is_left_between(o) and since_s is not None and o.now_s - since_s >= resume_after_s(c.timing)
    )


# --- the start ------------------------------------------------------------------------


def start_is(outcome: StartOutcome) -> Guard:
    """The latest start has come to this."""
    name = f"start_{outcome.name.lower()}"
    return Guard(name, lambda _m, o, _c: o.start is outcome, f"The start: {outcome.value}.")


@guard
def sits_out(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """This host has no points, and others could start or its failed starts are not all of it."""
    return score(m, o, c).points == 0 and not is_last_resort(m, o, c)


@guard
def peers_settled(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """Every peer has shown whether it lives, or has had the time to."""
    return not undecided(o) or o.now_s >= settled_at_s(m, o, c)


@guard
def held_off(m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The latest start came to nothing a moment ago; others may go first."""
    return m.held_off_until_s is not None and o.now_s < m.held_off_until_s


@guard
def our_turn(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """The lease has been free for as many turns as hosts go before, or left over for one."""
    return turn_in_s(m, o, c) <= 0


@guard
def nobody_else_can(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """No other host runs the engine or could start it."""
    return o.lease is not Lease.THEIRS and (is_left_over(o) or not candidates(o))


def is_left_between(observation: Observation) -> bool:
    """Is the VM paused here by a migration from here, and its lease free?"""
    between = observation.vm is Vm.IN_TRANSIT and observation.vm_leaving
    return between and observation.lease is Lease.FREE


def is_last_resort(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """Do only failed starts stand against this host, while no other one offers itself?

    A trouble that all hosts have would else stop them all for the whole retry window.
    """
    return points_but_for_failed_starts(m, o, c) > 0 and not candidates(o)


def settled_at_s(memory: Memory, observation: Observation, config: ClusterSettings) -> float:
    """When peers have had the time to show that they live."""
    since_s = observation.now_s if memory.started_at_s is None else memory.started_at_s
    return since_s + SETTLE_TICKS * config.timing.tick_s


def is_elsewhere(observation: Observation) -> bool:
    """Does a VM run here whose lease on the storage is not this host's?"""
    elsewhere = observation.lease in (Lease.FREE, Lease.THEIRS)
    return observation.vm is Vm.RUNNING and elsewhere


def is_denied(memory: Memory, observation: Observation) -> bool:
    """Has the storage denied the lease of the VM that runs here for certain?

    The local sanlock may be wrong: its clock stands still while its host is suspended, and on
    waking it renews as if nothing had happened, though another host has taken the lease. So the
    storage's word goes first. A single look proves nothing, for libvirt's and the storage's
    answers are of different moments: two looks, and libvirt asked after the second one still
    shows the same process running.
    """
    looks_s = memory.lease_denied_s
    if not is_elsewhere(observation) or len(looks_s) < DENIALS:
        return False
    return seen_at_s(observation.vm_seen_at_s, observation) >= looks_s[-1]


def seen_at_s(at_s: float | None, observation: Observation) -> float:
    """A moment of the observation; what has none was seen now."""
    return observation.now_s if at_s is None else at_s


def is_left_over(observation: Observation) -> bool:
    """Is the lease this host's own while no VM is here?

    So it is for a moment after each end of a VM. It stays so when sanlock could not write the
    release (it gives up after any I/O error but a time-out): then nobody but this host can
    take it, and sanlock lets it.
    """
    return observation.lease is Lease.OURS and observation.vm is Vm.ABSENT


def turn_in_s(memory: Memory, observation: Observation, config: ClusterSettings) -> float:
    """Seconds until this host's turn to take the lease; 0 or less: now."""
    if is_left_over(observation):
        left_since_s = memory.lease_left_since_s
        since_s = observation.now_s if left_since_s is None else left_since_s
        return since_s + config.timing.turn_s - observation.now_s
    rank = len(hosts_ahead(memory, observation, config))
    now_s = observation.now_s
    free_since_s = now_s if memory.lease_free_since_s is None else memory.lease_free_since_s
    return free_since_s + rank * config.timing.turn_s - now_s


def hosts_ahead(memory: Memory, observation: Observation, config: ClusterSettings) -> list[Peer]:
    """The hosts that go before this one, the best first."""
    points = score(memory, observation, config).points
    ranking = Ranking(memory.last_owner_id, config.score)
    return ahead_of_us(observation, points, memory.tries, ranking)


def _has_lasted(since_s: Optional[float], limit_s: float, o: Observation) -> bool:
    return since_s is not None and o.now_s - since_s >= limit_s


# --- in reach of others ---------------------------------------------------------------


@guard
def out_of_reach(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """This host's network has failed, and no witness has reached the engine, for isolated_s."""
    return _has_lasted(m.cut_off_since_s, c.timing.isolated_s, o)


@guard
def cut_off(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """This host's network has failed, and no witness reaches the engine."""
    return o.vm is Vm.RUNNING and is_cut_off(o, c, lambda: score(m, o, c).points)


@guard
def dark_for_all(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """No witness reaches the engine though this host's network is good; that is no old news."""
    return _has_lasted(m.dark_since_s, dark_counts_s(c.timing), o)


@guard
def dark_too_long(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """It has been dark for all for bad_health_s."""
    return _has_lasted(m.dark_since_s, c.timing.bad_health_s, o)


@guard
def moving_is_in_vain(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """It was moved for that within the retry window, and nobody has reached it here since."""
    return not m.reached and moved_lately(m, o, c)


@guard
def still_out_of_reach(m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """It is being stopped for being out of reach, and that has not changed."""
    back = bool(reached_by(o)) or (network_is_good(o) and not m.gave_away_uplink)
    return m.giving_away and not back


@guard
def better_place(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """It was moved to be in reach, would not be so here, and would on another host."""
    return is_no_place(m, o, c) and bool(better_places(o))


@guard
def better_elsewhere(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """The engine is well here, and another host is much better (migration.better_points)."""
    return bool(better_told(m, o, c))


def dark_counts_s(timing: Timing) -> float:
    """So long a record may still say what was seen before: looked, written, read, each a tick."""
    return DARK_TICKS * timing.tick_s + 2 * timing.io_timeout_s


# --- moving the engine alive ------------------------------------------------------------


@guard
def vm_runs_or_leaves(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The VM runs here, or is about to leave by a migration."""
    return o.vm is Vm.RUNNING or (o.vm is Vm.IN_TRANSIT and o.vm_leaving)


@guard
def host_stops(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """This host is being shut down, and the engine is not to go down with it."""
    return o.host_stops is not None


@guard
def runs_as_host_stops(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """This host is being shut down, and the VM runs here, which is not to go down with it."""
    return o.host_stops is not None and o.vm is Vm.RUNNING


@guard
def to_stop_with_host(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """This host is being shut down, its VM runs, and it is not to move, or no host can take it.

    Whoever may start it elsewhere has had the time to read that it is about to end.
    """
    if o.host_stops is None or not _stays_here(o) or not _is_awaited(o):
        return False
    given_up = o.host_stops is HostStop.STOP or move_is_given_up(m, o, c)
    return given_up or move_in_vain(m, o, c)


def _is_awaited(o: Observation) -> bool:
    """Do those who could start the engine know that it is about to end, if there are any?"""
    return o.host_stop_told or not candidates(o)


@guard
def vm_leaving(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """A migration from here is under way."""
    return o.vm_leaving


@guard
def move_possible(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """The engine is to be moved, its VM runs here with its lease, and a host can take it."""
    return _is_movable(m, o, c) and move_target(m, o, c) is not None


@guard
def move_in_vain(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """The engine is to be moved, and no host can take it, now that all have shown themselves."""
    wanted = wanted_move(m, o)
    waits = wanted is None or is_ended(m, wanted) or not peers_settled(m, o, c)
    return _is_movable(m, o, c) and not waits and move_target(m, o, c) is None


@guard
def move_is_given_up(m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The engine was to be moved, and no host could take it."""
    wanted = wanted_move(m, o)
    return o.vm is Vm.RUNNING and wanted is not None and is_ended(m, wanted)


@guard
def moves_for_maintenance(m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The engine moves because of this host's local maintenance, and that is still on."""
    return m.move_for == MAINTENANCE and o.local_maintenance


@guard
def move_wanted(m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """What the engine is to move for still holds; in global maintenance only a person's order."""
    if m.move_for == MAINTENANCE:
        return o.local_maintenance and o.global_maintenance is not True
    if m.move_for == SHUTDOWN:
        return o.host_stops is HostStop.MIGRATE and o.global_maintenance is not True
    if m.move_for in BY_ITSELF:
        return m.wants == m.move_for
    return o.move_request is not None and o.move_request.request_id == m.move_for


@guard
def move_ordered(m: Memory, _o: Observation, _c: ClusterSettings) -> bool:
    """libvirt has been told to move the VM."""
    return m.move_ordered


@guard
def move_announced(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """This host's record says that the engine is moving, where others read it."""
    return o.move_announced


@guard
def target_refuses(m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """libvirt has not been told yet, and the target says now that it can't take the engine."""
    return _stays_here(o) and not m.move_ordered and bool(target_why(m, o))


@guard
def announced_in_vain(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """What must be certain before libvirt is told has not been so for away_s."""
    return _stays_here(o) and not m.move_ordered and elapsed_s(m, o) >= c.timing.away_s


@guard
def move_failed(m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """libvirt was told to move the VM, is not at it any more, and the VM runs here."""
    over = o.move_outcome in (MoveOutcome.FAILED, MoveOutcome.NONE)
    return m.move_ordered and over and _stays_here(o)


@guard
def moved_in_word_only(m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """libvirt said that the VM had moved, and it runs here."""
    done = o.move_outcome is MoveOutcome.DONE
    return m.move_ordered and done and _stays_here(o)


def move_target(m: Memory, o: Observation, c: ClusterSettings) -> Optional[Peer]:
    """The host that is tried next for the move that is wanted; None: there is none."""
    return target(m, o, c.migration.tries)


@guard
def vm_can_leave(_m: Memory, o: Observation, _c: ClusterSettings) -> bool:
    """The VM runs here with its lease, by sanlock and the storage, and nobody moves it yet.

    The local sanlock alone may be wrong (`is_denied`): the VM of a host that slept is no engine.
    """
    leased = o.vm_holds_lease is True and o.lease is Lease.OURS
    return leased and _stays_here(o)


def _stays_here(o: Observation) -> bool:
    """Does the VM run here, and does no migration take it away?"""
    return o.vm is Vm.RUNNING and not o.vm_leaving


def _is_movable(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    return vm_can_leave(m, o, c) and o.move_outcome is not MoveOutcome.RUNNING


# --- time in the state ----------------------------------------------------------------


def boot_time_s(memory: Memory, config: ClusterSettings) -> float:
    """How long a boot may take here: the longer, the more turns have come to nothing."""
    patience = min(1 + turns_had(memory.tries, config.score), MOST_PATIENCE)
    return patience * config.timing.starting_s


_TIME_OUTS_S: dict[State, Callable[[Memory, ClusterSettings], float]] = {
    # The executor gives a start up after start_s; this is the net below it.
    State.ENGINE_START: lambda _m, c: 2 * c.timing.start_s,
    State.ENGINE_STARTING: boot_time_s,
    State.ENGINE_UP_BAD_HEALTH: lambda _m, c: c.timing.bad_health_s,
    State.ENGINE_STOP: lambda _m, c: c.timing.stop_s,
    State.ENGINE_MAYBE_AWAY: lambda _m, c: c.timing.away_s,
    # libvirt is told to give it up earlier than that: this is for an agent that begins anew and has
    # nothing that waits for libvirt's word, and the net below the executor's own limit.
    State.ENGINE_MIGRATING_AWAY: lambda _m, c: longest_move_s(c),
    State.ENGINE_UNEXPECTEDLY_DOWN: lambda _m, c: c.timing.unexpected_down_s,
}


def time_out_s(memory: Memory, config: ClusterSettings) -> float | None:
    """How long the present state lasts at the most; None: no limit."""
    limit_s = _TIME_OUTS_S.get(memory.state)
    return None if limit_s is None else limit_s(memory, config)


def elapsed_s(memory: Memory, observation: Observation) -> float:
    """Seconds in the present state."""
    return 0.0 if memory.since_s is None else observation.now_s - memory.since_s


@guard
def overdue(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """The state's time-out is over."""
    limit_s = time_out_s(m, c)
    return limit_s is not None and elapsed_s(m, o) >= limit_s


@guard
def waited_alone(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """This state has lasted longer than others need to take their turn."""
    return elapsed_s(m, o) >= LONELY_TURNS * c.timing.turn_s


@guard
def repeat_due(m: Memory, o: Observation, c: ClusterSettings) -> bool:
    """The latest request has shown no effect for a while."""
    since_s = o.now_s if m.attempt_s is None else m.attempt_s
    return o.now_s - since_s >= REPEAT_TICKS * c.timing.tick_s
