# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The table: every transition of the agent, in order of precedence.

The first row of the present state whose guards all hold fires; the last row of each state
has no guards, so the table is total. `why` is what people read: in the log, in the metadata
text and in mails. Rows that keep the state say what it waits for.

What the order rests on:

- stopping the agent touches nothing, so it comes first everywhere;
- what libvirt can't tell is never acted upon (UnknownLocalVmState);
- a VM without its lease goes before any maintenance: it may become a second engine;
- the only row that starts the VM carries all its conditions itself.
"""

from __future__ import annotations

from enum import Enum

from fsm import guards as g
from fsm.guards import Guard, broke_off, ended, start_is
from fsm.memory import Action
from fsm.observation import StartOutcome, VmEnding
from metadata.states import State
from metadata.value_class import value_class

# In front of what comes of another host's being much better.
HEALTHY_AND = "the engine runs here and is healthy;"
UNANNOUNCED = "that the others know of it and that the VM has its lease was not certain in time"


class Note(str, Enum):
    """What a row leaves in the memory, beyond the change of state."""

    FAILED_START = "failed-start"  # costs points for the retry window; others get their turn
    TURN_HAD = "turn-had"  # a boot came to nothing: hosts that have not had their turn go first
    LEASE_LOST = "lease-lost"  # look again in a moment; no penalty
    CRASH = "crash"  # a second one within the retry window lets other hosts go first
    CUT_OFF = "cut-off"  # the engine was given away: nobody reached this host
    DARK = (
        "dark"  # the engine was given away: nobody reached it, though this host's network is good
    )
    GO_ON = "go-on"  # what was broken off goes on: its time-out runs on
    STILL_BROKEN_OFF = "still-broken-off"  # whether it goes on is not known yet
    BY_AGE = "by-age"  # the state's time-out began when the VM's process did
    MOVE_WANTED = "move-wanted"  # for local maintenance; whatever was tried before is over
    MOVE_BEGINS = "move-begins"  # the host that is tried next becomes the target
    MOVE_ORDERED = "move-ordered"  # libvirt has been told
    MOVE_REFUSED = "move-refused"  # the target has not got it, and is not tried again for that
    MOVE_ENDED = "move-ended"  # nothing more is tried for that


@value_class(frozen=True)
class Row:
    """One transition: in `source`, if all `guards` hold, go to `target` because of `why`."""

    source: State
    guards: tuple[Guard, ...]
    target: State
    why: str
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def keeps_state(self) -> bool:
        """Does this row stay where it is?"""
        return self.source is self.target

    @property
    def label(self) -> str:
        """The guards' names, as the diagram shows them."""
        return ", ".join(guard.name for guard in self.guards) or "otherwise"


def _stop(source: State) -> Row:
    return Row(
        source,
        (g.stop_requested,),
        State.AGENT_STOPPED,
        "the agent was told to stop; the engine is left as it is",
    )


def _unknown(source: State) -> Row:
    return Row(
        source,
        (g.vm_unknown,),
        State.UNKNOWN_LOCAL_VM_STATE,
        "libvirt does not say what the VM does{vm_detail}",
    )


def _without_lease(source: State) -> Row:
    return Row(
        source,
        (g.vm_without_lease,),
        State.ENGINE_STOP,
        "the VM runs here without the engine's lease{lease_lost}",
    )


def _global(source: State) -> Row:
    return Row(
        source,
        (g.in_global_maintenance,),
        State.GLOBAL_MAINTENANCE,
        "global maintenance is on{and_local}",
    )


def _local(source: State, *guards: Guard) -> Row:
    return Row(
        source,
        (g.in_local_maintenance, *guards),
        State.LOCAL_MAINTENANCE,
        "local maintenance is on",
    )


def _first(source: State) -> tuple[Row, ...]:
    """What goes before anything else in every state that the agent rests in."""
    return (_stop(source), _unknown(source), _without_lease(source), _global(source),
            _local(source))  # fmt: skip


def _first_with_vm(source: State, *before_local: Row) -> tuple[Row, ...]:
    """The same where the VM may be: it leaves with a host that is shut down, maintenance or not."""
    return (_stop(source), _unknown(source), _without_lease(source), _global(source),
            *before_local, _local(source, ~g.runs_as_host_stops))  # fmt: skip


def _move_out(source: State) -> Row:
    """Local maintenance of the host on which the engine is."""
    return Row(
        source,
        (g.in_local_maintenance, g.vm_runs_or_leaves, ~g.runs_as_host_stops),
        State.LOCAL_MAINTENANCE_MIGRATE_VM,
        "local maintenance is on; the engine is to move to another host first",
        notes=(Note.MOVE_WANTED,),
    )


def _move(source: State, *guards: Guard) -> Row:
    """A move that is wanted, and possible."""
    return Row(
        source,
        (*guards, g.move_possible),
        State.ENGINE_MIGRATING_AWAY,
        "the engine is to move to {target}: {move_for}",
        notes=(Note.MOVE_BEGINS,),
    )


def _stop_with_host(source: State) -> Row:
    """The host goes down, and the engine can't move, or shall not."""
    return Row(
        source,
        (g.to_stop_with_host,),
        State.ENGINE_STOP,
        "this host is being shut down, and the engine with it{stays_for}",
        actions=(Action.SHUTDOWN_VM,),
    )


def _no_move(source: State) -> Row:
    """One that is wanted in vain; it comes behind what the engine's own condition asks for."""
    return Row(
        source,
        (g.move_in_vain,),
        source,
        "the engine can't be moved{refusals}",
        notes=(Note.MOVE_ENDED,),
    )


def _adopt(source: State) -> tuple[Row, ...]:
    """A VM that is found here, whoever started it."""
    return (
        Row(source, (g.vm_healthy,), State.ENGINE_UP, "the engine runs here and is healthy"),
        Row(source, (g.vm_running,), State.ENGINE_STARTING, "the engine's VM runs here"),
        Row(
            source,
            (g.vm_paused,),
            State.ENGINE_UP_BAD_HEALTH,
            "the engine's VM is paused here{vm_detail}",
        ),
    )


def _stay(source: State, why: str, *guards: Guard) -> Row:
    return Row(source, guards, source, why)


def _resume(source: State) -> Row:
    """Resuming takes the lease first: libvirt refuses it while another host has it."""
    return Row(
        source,
        (g.left_between,),
        source,
        "a migration has left the VM paused and its lease free; it is to go on here",
        actions=(Action.RESUME_VM,),
    )


def _break_off_and_resume(source: State) -> Row:
    """The same of a move of our own, whose last step hangs: libvirt resumes nothing during it."""
    return Row(
        source,
        (g.left_between,),
        source,
        "a migration has left the VM paused and its lease free; it is broken off, to go on here",
        actions=(Action.ABORT_MIGRATION, Action.RESUME_VM),
    )


def _gone(source: State) -> tuple[Row, ...]:
    """The VM that ran here is not here any more."""
    crashed = ended(VmEnding.CRASHED)
    return (
        Row(
            source,
            (g.vm_absent, g.lease_theirs),
            State.ENGINE_DOWN,
            "the engine now runs on {owner}",
        ),
        Row(
            source,
            (ended(VmEnding.GUEST_SHUTDOWN),),
            State.ENGINE_UNEXPECTEDLY_DOWN,
            "the engine was powered off from inside; other hosts go first",
        ),
        Row(
            source,
            (ended(VmEnding.STOPPED),),
            State.ENGINE_DOWN,
            "the VM was stopped through libvirt on this host",
        ),
        Row(
            source,
            (crashed, g.crashed_lately),
            State.ENGINE_UNEXPECTEDLY_DOWN,
            "the VM crashed again within {retry_window}{vm_detail}; other hosts go first",
            notes=(Note.CRASH,),
        ),
        Row(
            source,
            (crashed,),
            State.ENGINE_DOWN,
            "the VM crashed{vm_detail}; to be restarted at once",
            notes=(Note.CRASH,),
        ),
        Row(
            source,
            (ended(VmEnding.MIGRATED),),
            State.ENGINE_MAYBE_AWAY,
            "the VM has left by live migration",
        ),
        Row(
            source,
            (g.vm_absent,),
            State.ENGINE_MAYBE_AWAY,
            "the VM is gone and nothing said why{vm_detail}",
        ),
    )


def _out_of_reach(source: State) -> tuple[Row, ...]:
    """The engine runs here, and nobody reaches this host: well or not, it serves nobody.

    Moving it alive, where both hosts still reach each other, stands before the stop (`_move`).
    """
    return (
        Row(
            source,
            (g.out_of_reach, ~g.moving_is_in_vain),
            State.ENGINE_STOP,
            "the engine is out of reach: {unreached}",
            actions=(Action.SHUTDOWN_VM,),
            notes=(Note.CUT_OFF,),
        ),
    )


_START_STATE = (
    _stop(State.START_STATE),
    _stay(State.START_STATE, "waiting for libvirt's first word{vm_detail}", g.vm_unknown),
    Row(
        State.START_STATE,
        (g.broker_has_looked,),
        State.REINITIALIZE_FSM,
        "the broker has had its first look",
    ),
    Row(
        State.START_STATE,
        (g.vm_running,),
        State.REINITIALIZE_FSM,
        "the VM runs here, whatever the broker will say",
    ),
    _stay(State.START_STATE, "waiting for the broker's first look{blocked}"),
)

_REINITIALIZE = (
    *_first_with_vm(
        State.REINITIALIZE_FSM,
        Row(
            State.REINITIALIZE_FSM,
            (broke_off(State.ENGINE_MIGRATING_AWAY), g.vm_leaving),
            State.ENGINE_MIGRATING_AWAY,
            "the engine was moving to {moving_to}, and still is",
            notes=(Note.GO_ON, Note.MOVE_ORDERED),
        ),
        Row(
            State.REINITIALIZE_FSM,
            (
                broke_off(State.LOCAL_MAINTENANCE_MIGRATE_VM, State.ENGINE_MIGRATING_AWAY),
                g.in_local_maintenance,
                g.vm_runs_or_leaves,
            ),
            State.LOCAL_MAINTENANCE_MIGRATE_VM,
            "local maintenance is on; the engine was about to move to another host",
            notes=(Note.MOVE_WANTED,),
        ),
    ),
    Row(
        State.REINITIALIZE_FSM,
        (g.vm_healthy,),
        State.ENGINE_UP,
        "the engine runs here and is healthy",
    ),
    Row(
        State.REINITIALIZE_FSM,
        (broke_off(State.ENGINE_STOP, State.ENGINE_FORCE_STOP), g.vm_here),
        State.ENGINE_UP_BAD_HEALTH,
        "the VM was being stopped when that was broken off",
        notes=(Note.STILL_BROKEN_OFF,),
    ),
    Row(
        State.REINITIALIZE_FSM,
        (broke_off(State.ENGINE_UP_BAD_HEALTH), g.vm_here),
        State.ENGINE_UP_BAD_HEALTH,
        "the engine was ill before; its time-out runs on",
        notes=(Note.GO_ON,),
    ),
    Row(
        State.REINITIALIZE_FSM,
        (g.vm_paused,),
        State.ENGINE_UP_BAD_HEALTH,
        "the engine's VM is paused here{vm_detail}",
    ),
    Row(
        State.REINITIALIZE_FSM,
        (broke_off(State.ENGINE_STARTING), g.vm_running),
        State.ENGINE_STARTING,
        "the engine was booting before; its time-out runs on",
        notes=(Note.GO_ON,),
    ),
    Row(
        State.REINITIALIZE_FSM,
        (broke_off(State.ENGINE_UP), g.health_unknown),
        State.ENGINE_UP,
        "the engine was healthy before; its health is not known now",
    ),
    Row(
        State.REINITIALIZE_FSM,
        (broke_off(State.ENGINE_UP), g.vm_unhealthy),
        State.ENGINE_UP_BAD_HEALTH,
        "the engine was healthy before and is ill now: {health_detail}",
    ),
    Row(
        State.REINITIALIZE_FSM,
        (g.boot_is_over, g.vm_unhealthy),
        State.ENGINE_UP_BAD_HEALTH,
        "the engine's VM has run here for longer than a boot takes: {health_detail}",
    ),
    Row(
        State.REINITIALIZE_FSM,
        (g.vm_running,),
        State.ENGINE_STARTING,
        "the engine's VM runs here",
        notes=(Note.BY_AGE,),
    ),
    Row(
        State.REINITIALIZE_FSM,
        (broke_off(State.ENGINE_UNEXPECTEDLY_DOWN), ~g.lease_theirs),
        State.ENGINE_UNEXPECTEDLY_DOWN,
        "other hosts still go first",
        notes=(Note.GO_ON,),
    ),
    Row(
        State.REINITIALIZE_FSM,
        (broke_off(State.ENGINE_STARTING), g.ended_unseen),
        State.ENGINE_DOWN,
        "the VM that was booting here has ended meanwhile",
        notes=(Note.TURN_HAD, Note.FAILED_START),
    ),
    Row(
        State.REINITIALIZE_FSM,
        (broke_off(State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH), g.ended_unseen, g.crashed_lately),
        State.ENGINE_UNEXPECTEDLY_DOWN,
        "the VM has ended again within {retry_window}, unseen; other hosts go first",
        notes=(Note.CRASH,),
    ),
    Row(
        State.REINITIALIZE_FSM,
        (broke_off(State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH), g.ended_unseen),
        State.ENGINE_DOWN,
        "the VM that ran here has ended meanwhile",
        notes=(Note.CRASH,),
    ),
    Row(
        State.REINITIALIZE_FSM,
        (),
        State.ENGINE_DOWN,
        "the engine does not run on this host",
    ),
)

_ENGINE_DOWN = (
    *_first(State.ENGINE_DOWN),
    *_adopt(State.ENGINE_DOWN),
    Row(
        State.ENGINE_DOWN,
        (
            g.vm_absent,
            g.lease_free_or_left,
            ~g.start_blocked,
            g.out_of_global_maintenance,
            ~g.sits_out,
            g.peers_settled,
            ~g.held_off,
            ~g.elsewhere_soon,
            ~g.better_place,
            g.our_turn,
        ),
        State.ENGINE_START,
        "the lease can be taken and it is this host's turn (score {score})",
        actions=(Action.START_VM,),
    ),
    _resume(State.ENGINE_DOWN),
    _stay(State.ENGINE_DOWN, "the engine's VM is arriving{vm_detail}", g.vm_in_transit),
    _stay(State.ENGINE_DOWN, "the engine's lease is held by {owner}", g.lease_theirs),
    _stay(State.ENGINE_DOWN, "can't start the engine{blocked}", g.start_blocked),
    _stay(
        State.ENGINE_DOWN,
        "not known whether the cluster is in global maintenance",
        ~g.out_of_global_maintenance,
    ),
    _stay(State.ENGINE_DOWN, "this host still holds the lease of a VM that ended", g.lease_ours),
    _stay(State.ENGINE_DOWN, "not known whether the lease is free", ~g.lease_free),
    _stay(State.ENGINE_DOWN, "the score is 0: {penalties}", g.sits_out),
    _stay(State.ENGINE_DOWN, "finding out whether {undecided} live", ~g.peers_settled),
    _stay(State.ENGINE_DOWN, "the latest start came to nothing ({why}); waiting", g.held_off),
    _stay(State.ENGINE_DOWN, "the lease is left alone: {handover}", g.elsewhere_soon),
    _stay(
        State.ENGINE_DOWN,
        "nobody reached the engine here; {better_places} can be reached and may start it",
        g.better_place,
    ),
    _stay(State.ENGINE_DOWN, "{best} goes first; this host's turn is in {turn}"),
)

_ENGINE_START = (
    _stop(State.ENGINE_START),
    Row(
        State.ENGINE_START,
        (start_is(StartOutcome.OK),),
        State.ENGINE_STARTING,
        "the VM runs and holds the lease",
    ),
    Row(
        State.ENGINE_START,
        (start_is(StartOutcome.LEASE_HELD),),
        State.ENGINE_DOWN,
        "another host took the lease first: {start_why}",
        notes=(Note.LEASE_LOST,),
    ),
    Row(
        State.ENGINE_START,
        (start_is(StartOutcome.FAILED),),
        State.ENGINE_DOWN,
        "the start failed: {start_why}",
        notes=(Note.FAILED_START,),
    ),
    Row(
        State.ENGINE_START,
        (g.overdue,),
        State.ENGINE_DOWN,
        "nothing came of the start for {elapsed}",
        notes=(Note.FAILED_START,),
    ),
    _stay(State.ENGINE_START, "libvirt is starting the VM"),
)

_ENGINE_STARTING = (
    *_first_with_vm(State.ENGINE_STARTING),
    Row(
        State.ENGINE_STARTING,
        (g.vm_healthy,),
        State.ENGINE_UP,
        "the engine became healthy after {elapsed}",
    ),
    Row(
        State.ENGINE_STARTING,
        (g.health_not_looked_at,),
        State.ENGINE_UP,
        "the VM runs with its lease; health is not looked at, as no health page is configured",
    ),
    Row(
        State.ENGINE_STARTING,
        (g.vm_paused,),
        State.ENGINE_UP_BAD_HEALTH,
        "the VM was paused while it booted{vm_detail}",
    ),
    Row(
        State.ENGINE_STARTING,
        (g.vm_absent, g.lease_theirs),
        State.ENGINE_DOWN,
        "the engine now runs on {owner}",
    ),
    Row(
        State.ENGINE_STARTING,
        (ended(VmEnding.GUEST_SHUTDOWN),),
        State.ENGINE_UNEXPECTEDLY_DOWN,
        "the engine was powered off from inside while it booted",
    ),
    Row(
        State.ENGINE_STARTING,
        (ended(VmEnding.STOPPED),),
        State.ENGINE_DOWN,
        "the VM was stopped through libvirt while it booted",
    ),
    Row(
        State.ENGINE_STARTING,
        (ended(VmEnding.MIGRATED),),
        State.ENGINE_MAYBE_AWAY,
        "the VM has left by live migration while it booted",
    ),
    Row(
        State.ENGINE_STARTING,
        (g.vm_absent,),
        State.ENGINE_DOWN,
        "the VM ended {elapsed} after its start{vm_detail}",
        notes=(Note.TURN_HAD, Note.FAILED_START),
    ),
    # One that has just arrived, too: its health is not known yet.
    _move(State.ENGINE_STARTING, g.runs_as_host_stops),
    _stop_with_host(State.ENGINE_STARTING),
    Row(
        State.ENGINE_STARTING,
        (g.vm_unhealthy, g.overdue),
        State.ENGINE_STOP,
        "the engine did not become healthy within {elapsed} (timing.starting_s): {health_detail}",
        actions=(Action.SHUTDOWN_VM,),
        notes=(Note.TURN_HAD, Note.FAILED_START),
    ),
    _resume(State.ENGINE_STARTING),
    _stay(State.ENGINE_STARTING, "the engine boots: {health_detail}"),
)

_ENGINE_UP = (
    *_first_with_vm(State.ENGINE_UP, _move_out(State.ENGINE_UP)),
    *_gone(State.ENGINE_UP),
    Row(
        State.ENGINE_UP,
        (g.vm_paused,),
        State.ENGINE_UP_BAD_HEALTH,
        "the VM is paused{vm_detail}",
    ),
    Row(
        State.ENGINE_UP,
        (g.vm_unhealthy,),
        State.ENGINE_UP_BAD_HEALTH,
        "the engine's health is bad: {health_detail}",
    ),
    _resume(State.ENGINE_UP),
    _move(State.ENGINE_UP),
    _stop_with_host(State.ENGINE_UP),
    *_out_of_reach(State.ENGINE_UP),
    Row(
        State.ENGINE_UP,
        (g.dark_for_all,),
        State.ENGINE_UP_BAD_HEALTH,
        "the engine is out of reach of {dark_for}, though this host's network is good",
    ),
    _no_move(State.ENGINE_UP),
    _stay(State.ENGINE_UP, "{unreached}", g.cut_off),
    _stay(State.ENGINE_UP, "libvirt is at work on the VM{vm_detail}", g.vm_in_transit),
    _stay(
        State.ENGINE_UP,
        "the engine runs here; health is not looked at, as no health page is configured",
        g.health_not_looked_at,
    ),
    _stay(State.ENGINE_UP, "the engine runs here, its health is not known", g.health_unknown),
    _stay(State.ENGINE_UP, f"{HEALTHY_AND} {{better}}", g.better_elsewhere),
    _stay(State.ENGINE_UP, "the engine runs here and is healthy"),
)

_BAD_HEALTH = (
    *_first_with_vm(State.ENGINE_UP_BAD_HEALTH, _move_out(State.ENGINE_UP_BAD_HEALTH)),
    *_gone(State.ENGINE_UP_BAD_HEALTH),
    # Neither the guest nor this host has failed, so that costs nothing.
    Row(
        State.ENGINE_UP_BAD_HEALTH,
        (g.vm_stranded,),
        State.ENGINE_STOP,
        "the VM is paused for good{vm_detail}",
    ),
    _move(State.ENGINE_UP_BAD_HEALTH),
    _stop_with_host(State.ENGINE_UP_BAD_HEALTH),
    *_out_of_reach(State.ENGINE_UP_BAD_HEALTH),
    Row(
        State.ENGINE_UP_BAD_HEALTH,
        (~g.vm_unhealthy, g.dark_too_long, ~g.moving_is_in_vain),
        State.ENGINE_STOP,
        "the engine has been out of reach of {dark_for} for {dark_s}",
        actions=(Action.SHUTDOWN_VM,),
        notes=(Note.DARK,),
    ),
    _stay(State.ENGINE_UP_BAD_HEALTH, "{unreached}", g.vm_healthy, g.dark_for_all),
    Row(
        State.ENGINE_UP_BAD_HEALTH,
        (g.vm_healthy,),
        State.ENGINE_UP,
        "the engine is healthy again after {elapsed}",
    ),
    Row(
        State.ENGINE_UP_BAD_HEALTH,
        (g.health_not_looked_at,),
        State.ENGINE_UP,
        "the VM runs again; health is not looked at, as no health page is configured",
    ),
    Row(
        State.ENGINE_UP_BAD_HEALTH,
        (broke_off(State.ENGINE_STOP, State.ENGINE_FORCE_STOP), g.vm_paused),
        State.ENGINE_STOP,
        "the VM was being stopped and is paused; the stop goes on",
        notes=(Note.GO_ON,),
    ),
    Row(
        State.ENGINE_UP_BAD_HEALTH,
        (broke_off(State.ENGINE_STOP, State.ENGINE_FORCE_STOP), g.vm_unhealthy),
        State.ENGINE_STOP,
        "the VM was being stopped and the engine is ill; the stop goes on",
        actions=(Action.SHUTDOWN_VM,),
        notes=(Note.GO_ON,),
    ),
    Row(
        State.ENGINE_UP_BAD_HEALTH,
        (g.vm_paused, g.lease_theirs),
        State.ENGINE_STOP,
        "the VM is paused here while the engine runs on {owner}",
    ),
    Row(
        State.ENGINE_UP_BAD_HEALTH,
        (g.vm_paused, g.overdue),
        State.ENGINE_STOP,
        "the VM has been paused for {elapsed}{vm_detail}",
        notes=(Note.FAILED_START,),
    ),
    Row(
        State.ENGINE_UP_BAD_HEALTH,
        (g.vm_unhealthy, g.overdue),
        State.ENGINE_STOP,
        "the engine's health has been bad for {elapsed}: {health_detail}",
        actions=(Action.SHUTDOWN_VM,),
        notes=(Note.FAILED_START,),
    ),
    _no_move(State.ENGINE_UP_BAD_HEALTH),
    Row(
        State.ENGINE_UP_BAD_HEALTH,
        (g.health_unknown,),
        State.ENGINE_UP_BAD_HEALTH,
        "the engine's health is not known; until it is, its time-out stands still",
    ),
    _stay(State.ENGINE_UP_BAD_HEALTH, "the VM is paused{vm_detail}", g.vm_paused),
    _resume(State.ENGINE_UP_BAD_HEALTH),
    _stay(State.ENGINE_UP_BAD_HEALTH, "libvirt is at work on the VM{vm_detail}", g.vm_in_transit),
    _stay(State.ENGINE_UP_BAD_HEALTH, "the engine's health is bad: {health_detail}"),
)

_ENGINE_STOP = (
    _stop(State.ENGINE_STOP),
    _unknown(State.ENGINE_STOP),
    Row(
        State.ENGINE_STOP,
        (g.vm_absent,),
        State.ENGINE_DOWN,
        "the VM has ended",
    ),
    Row(
        State.ENGINE_STOP,
        (g.vm_without_lease,),
        State.ENGINE_FORCE_STOP,
        "a VM without the engine's lease may not run a second longer",
        actions=(Action.DESTROY_VM,),
    ),
    Row(
        State.ENGINE_STOP,
        (g.healthy_with_lease, ~g.still_out_of_reach, ~g.host_stops),
        State.ENGINE_UP,
        "the engine became healthy again before it shut down",
    ),
    _global(State.ENGINE_STOP),
    _local(State.ENGINE_STOP, ~g.runs_as_host_stops),
    Row(
        State.ENGINE_STOP,
        (g.vm_stranded,),
        State.ENGINE_FORCE_STOP,
        "the VM is paused for good{vm_detail}; it is switched off, to be started anew",
        actions=(Action.DESTROY_VM,),
    ),
    Row(
        State.ENGINE_STOP,
        (g.vm_paused,),
        State.ENGINE_FORCE_STOP,
        "a paused VM can't shut down by itself",
        actions=(Action.DESTROY_VM,),
    ),
    Row(
        State.ENGINE_STOP,
        (g.overdue,),
        State.ENGINE_FORCE_STOP,
        "the VM did not shut down within {elapsed}",
        actions=(Action.DESTROY_VM,),
    ),
    Row(
        State.ENGINE_STOP,
        (g.repeat_due,),
        State.ENGINE_STOP,
        "asking the VM to shut down again",
        actions=(Action.SHUTDOWN_VM,),
    ),
    _stay(State.ENGINE_STOP, "waiting for the VM to shut down"),
)

_FORCE_STOP = (
    _stop(State.ENGINE_FORCE_STOP),
    _unknown(State.ENGINE_FORCE_STOP),
    Row(
        State.ENGINE_FORCE_STOP,
        (g.vm_absent,),
        State.ENGINE_DOWN,
        "the VM is switched off",
    ),
    Row(
        State.ENGINE_FORCE_STOP,
        (g.healthy_with_lease, ~g.still_out_of_reach, ~g.host_stops),
        State.ENGINE_UP,
        "the engine became healthy again before it was switched off",
    ),
    _stay(
        State.ENGINE_FORCE_STOP,
        "the engine became healthy again; asking for its lease",
        g.healthy_lease_unknown,
        ~g.still_out_of_reach,
    ),
    Row(
        State.ENGINE_FORCE_STOP,
        (g.repeat_due,),
        State.ENGINE_FORCE_STOP,
        "switching the VM off again",
        actions=(Action.DESTROY_VM,),
    ),
    _stay(State.ENGINE_FORCE_STOP, "switching the VM off"),
)

_MAYBE_AWAY = (
    *_first(State.ENGINE_MAYBE_AWAY),
    *_adopt(State.ENGINE_MAYBE_AWAY),
    Row(
        State.ENGINE_MAYBE_AWAY,
        (g.lease_theirs,),
        State.ENGINE_DOWN,
        "the engine has moved to {owner}",
    ),
    Row(
        State.ENGINE_MAYBE_AWAY,
        (~ended(VmEnding.MIGRATED), g.vm_absent, g.lease_free),
        State.ENGINE_DOWN,
        "the VM has died: it is gone and its lease is free",
        notes=(Note.CRASH,),
    ),
    Row(
        State.ENGINE_MAYBE_AWAY,
        (g.overdue,),
        State.ENGINE_DOWN,
        "no host has shown the engine for {elapsed}",
    ),
    _stay(State.ENGINE_MAYBE_AWAY, "waiting for the host that has taken the engine"),
)

_UNEXPECTEDLY_DOWN = (
    *_first(State.ENGINE_UNEXPECTEDLY_DOWN),
    *_adopt(State.ENGINE_UNEXPECTEDLY_DOWN),
    Row(
        State.ENGINE_UNEXPECTEDLY_DOWN,
        (g.overdue,),
        State.ENGINE_DOWN,
        "the engine went down {elapsed} ago; this host offers itself again",
    ),
    Row(
        State.ENGINE_UNEXPECTEDLY_DOWN,
        (g.nobody_else_can, g.waited_alone),
        State.ENGINE_DOWN,
        "no other host can run the engine; this host offers itself again",
    ),
    _stay(State.ENGINE_UNEXPECTEDLY_DOWN, "other hosts go first for {remaining} more"),
)

_MIGRATE_VM = (
    _stop(State.LOCAL_MAINTENANCE_MIGRATE_VM),
    _unknown(State.LOCAL_MAINTENANCE_MIGRATE_VM),
    _without_lease(State.LOCAL_MAINTENANCE_MIGRATE_VM),
    _global(State.LOCAL_MAINTENANCE_MIGRATE_VM),
    Row(
        State.LOCAL_MAINTENANCE_MIGRATE_VM,
        (g.runs_as_host_stops,),
        State.ENGINE_UP,
        "this host is being shut down: the engine is to leave it",
    ),
    Row(
        State.LOCAL_MAINTENANCE_MIGRATE_VM,
        (~g.in_local_maintenance,),
        State.REINITIALIZE_FSM,
        "local maintenance is over",
    ),
    Row(
        State.LOCAL_MAINTENANCE_MIGRATE_VM,
        (g.vm_absent,),
        State.LOCAL_MAINTENANCE,
        "local maintenance is on, and the engine is not here any more",
    ),
    Row(
        State.LOCAL_MAINTENANCE_MIGRATE_VM,
        (g.vm_paused,),
        State.LOCAL_MAINTENANCE,
        "the VM is paused{vm_detail}, so it can't be moved; it is left as it is",
    ),
    _resume(State.LOCAL_MAINTENANCE_MIGRATE_VM),
    Row(
        State.LOCAL_MAINTENANCE_MIGRATE_VM,
        (g.move_possible,),
        State.ENGINE_MIGRATING_AWAY,
        "the engine is to move to {target} for local maintenance",
        notes=(Note.MOVE_BEGINS,),
    ),
    Row(
        State.LOCAL_MAINTENANCE_MIGRATE_VM,
        (g.move_in_vain,),
        State.LOCAL_MAINTENANCE_MIGRATE_VM,
        "local maintenance is taken back, for no host can take the engine{refusals}",
        actions=(Action.END_LOCAL_MAINTENANCE,),
        notes=(Note.MOVE_ENDED,),
    ),
    Row(
        State.LOCAL_MAINTENANCE_MIGRATE_VM,
        (g.move_is_given_up, g.repeat_due),
        State.LOCAL_MAINTENANCE_MIGRATE_VM,
        "local maintenance is to be taken back, for no host can take the engine{refusals}",
        actions=(Action.END_LOCAL_MAINTENANCE,),
    ),
    _stay(
        State.LOCAL_MAINTENANCE_MIGRATE_VM,
        "local maintenance is being taken back, for no host can take the engine{refusals}",
        g.move_is_given_up,
    ),
    _stay(
        State.LOCAL_MAINTENANCE_MIGRATE_VM,
        "a migration takes the engine away already",
        g.vm_leaving,
    ),
    _stay(
        State.LOCAL_MAINTENANCE_MIGRATE_VM,
        "local maintenance is on; looking for a host that can take the engine",
    ),
)

_MIGRATING_AWAY = (
    _stop(State.ENGINE_MIGRATING_AWAY),
    _unknown(State.ENGINE_MIGRATING_AWAY),
    _without_lease(State.ENGINE_MIGRATING_AWAY),
    Row(
        State.ENGINE_MIGRATING_AWAY,
        (g.vm_absent, g.in_local_maintenance),
        State.LOCAL_MAINTENANCE,
        "local maintenance is on, and the engine has left this host",
    ),
    *_gone(State.ENGINE_MIGRATING_AWAY),
    Row(
        State.ENGINE_MIGRATING_AWAY,
        (g.vm_paused,),
        State.ENGINE_UP_BAD_HEALTH,
        "the VM was paused while it moved{vm_detail}",
    ),
    _break_off_and_resume(State.ENGINE_MIGRATING_AWAY),
    Row(
        State.ENGINE_MIGRATING_AWAY,
        (~g.move_ordered, ~g.move_wanted, g.vm_running),
        State.ENGINE_UP,
        "the engine stays here: what it was to move for is over",
    ),
    *(
        Row(
            State.ENGINE_MIGRATING_AWAY,
            (failure, *guards),
            target,
            f"the engine stays here: {why}",
            notes=(Note.MOVE_REFUSED,),
        )
        for guards, target in (
            ((g.moves_for_maintenance,), State.LOCAL_MAINTENANCE_MIGRATE_VM),
            ((), State.ENGINE_UP),
        )
        for failure, why in (
            (g.move_failed, "{move_why}"),
            (g.target_refuses, "{target_why}"),
            (g.announced_in_vain, UNANNOUNCED),
        )
    ),
    Row(
        State.ENGINE_MIGRATING_AWAY,
        (~g.move_ordered, g.move_announced, g.vm_can_leave),
        State.ENGINE_MIGRATING_AWAY,
        "the engine begins to move to {moving_to}",
        actions=(Action.MIGRATE_VM,),
        notes=(Note.MOVE_ORDERED,),
    ),
    Row(
        State.ENGINE_MIGRATING_AWAY,
        (g.overdue, g.moved_in_word_only),
        State.ENGINE_UP,
        "the engine stays here: libvirt said that it had moved, and it runs here",
        notes=(Note.MOVE_REFUSED,),
    ),
    Row(
        State.ENGINE_MIGRATING_AWAY,
        (g.overdue, g.repeat_due),
        State.ENGINE_MIGRATING_AWAY,
        "the engine has been moving for {elapsed}: it is to stay here",
        actions=(Action.ABORT_MIGRATION,),
    ),
    _stay(
        State.ENGINE_MIGRATING_AWAY,
        "the record that says so is on its way to the others; then the engine moves to {moving_to}",
        ~g.move_ordered,
    ),
    _stay(State.ENGINE_MIGRATING_AWAY, "the engine moves to {moving_to}"),
)

_LOCAL_MAINTENANCE = (
    _stop(State.LOCAL_MAINTENANCE),
    _unknown(State.LOCAL_MAINTENANCE),
    _without_lease(State.LOCAL_MAINTENANCE),
    _global(State.LOCAL_MAINTENANCE),
    Row(
        State.LOCAL_MAINTENANCE,
        (~g.in_local_maintenance,),
        State.REINITIALIZE_FSM,
        "local maintenance is over",
    ),
    Row(
        State.LOCAL_MAINTENANCE,
        (g.runs_as_host_stops,),
        State.REINITIALIZE_FSM,
        "this host is being shut down, and the VM runs here",
    ),
    _stay(
        State.LOCAL_MAINTENANCE,
        "local maintenance is on, and the VM is paused for good{vm_detail}; it is left as it is, "
        "and no host can start the engine until somebody switches it off",
        g.vm_stranded,
    ),
    _stay(State.LOCAL_MAINTENANCE, "local maintenance is on"),
)

_GLOBAL_MAINTENANCE = (
    _stop(State.GLOBAL_MAINTENANCE),
    _unknown(State.GLOBAL_MAINTENANCE),
    _without_lease(State.GLOBAL_MAINTENANCE),
    Row(
        State.GLOBAL_MAINTENANCE,
        (g.out_of_global_maintenance,),
        State.REINITIALIZE_FSM,
        "global maintenance is over",
    ),
    _move(State.GLOBAL_MAINTENANCE),
    _no_move(State.GLOBAL_MAINTENANCE),
    _stay(
        State.GLOBAL_MAINTENANCE,
        "global maintenance is on{and_local}, and the VM is paused for good{vm_detail}; it is left "
        "as it is, and no host can start the engine until somebody switches it off",
        g.vm_stranded,
    ),
    _stay(State.GLOBAL_MAINTENANCE, "global maintenance is on{and_local}"),
)

_UNKNOWN_LOCAL = (
    _stop(State.UNKNOWN_LOCAL_VM_STATE),
    Row(
        State.UNKNOWN_LOCAL_VM_STATE,
        (~g.vm_unknown,),
        State.REINITIALIZE_FSM,
        "libvirt answers again",
    ),
    _stay(State.UNKNOWN_LOCAL_VM_STATE, "libvirt does not say what the VM does{vm_detail}"),
)

_STOPPED = (_stay(State.AGENT_STOPPED, "the agent is stopped"),)

TABLE: tuple[Row, ...] = (
    *_START_STATE,
    *_REINITIALIZE,
    *_ENGINE_DOWN,
    *_ENGINE_START,
    *_ENGINE_STARTING,
    *_ENGINE_UP,
    *_BAD_HEALTH,
    *_ENGINE_STOP,
    *_FORCE_STOP,
    *_MAYBE_AWAY,
    *_UNEXPECTEDLY_DOWN,
    *_MIGRATE_VM,
    *_MIGRATING_AWAY,
    *_LOCAL_MAINTENANCE,
    *_GLOBAL_MAINTENANCE,
    *_UNKNOWN_LOCAL,
    *_STOPPED,
)


def rows_of(state: State) -> tuple[Row, ...]:
    """The rows of one state, in order of precedence."""
    return tuple(row for row in TABLE if row.source is state)
