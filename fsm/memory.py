# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the state machine remembers, what it can ask for, and what a host is worth."""

from __future__ import annotations

from enum import Enum
from typing import Optional

from metadata.penalties import Penalty
from metadata.states import State
from metadata.value_class import value_class

# What the engine may be moved for, beside a person's request by its id.
MAINTENANCE, SHUTDOWN = "maintenance", "shutdown"
# ... and by this host itself: its network has failed, nobody reaches the engine behind a good one,
# another host is much better.
CUT_OFF, DARK, BETTER = "cut-off", "dark", "better-host"
OUT_OF_REACH = frozenset({CUT_OFF, DARK})
BY_ITSELF = frozenset({MAINTENANCE, SHUTDOWN, BETTER}) | OUT_OF_REACH


class Action(str, Enum):
    """What the agent shall do; the result arrives with a later observation."""

    START_VM = "start-vm"
    SHUTDOWN_VM = "shutdown-vm"
    DESTROY_VM = "destroy-vm"
    RESUME_VM = "resume-vm"  # only after a migration that left it paused here
    MIGRATE_VM = "migrate-vm"  # alive, to `Memory.move_target_id`
    ABORT_MIGRATION = "abort-migration"  # the VM is to stay here
    END_LOCAL_MAINTENANCE = "end-local-maintenance"  # nobody can take the engine


@value_class(frozen=True)
class Score:
    """The host's score and every penalty in it."""

    points: int
    penalties: tuple[Penalty, ...] = ()


@value_class(frozen=True)
class BrokenOff:
    """A state that a moment of not knowing broke off, and since when it had lasted.

    still_since_s   since when its time-out stands still (None: it runs)
    """

    state: State
    since_s: float
    still_since_s: Optional[float] = None

    def at(self, now_s: float) -> BrokenOff:
        """The same, with the time in which the time-out stood still behind it."""
        if self.still_since_s is None:
            return self
        return BrokenOff(self.state, self.since_s + max(0.0, now_s - self.still_since_s))


@value_class(frozen=True)
class Memory:
    """All that the state machine remembers; bounded, and nothing else is remembered.

    state, since_s           where it stands and since when (monotonic seconds; None: never ran)
    why                      the reason of the latest change of state
    failed_starts_s          when starts failed (pruned to the retry window, at most three)
    started_at_s             when the agent made its first step
    tries                    how often this host tried in vain since the engine was last well
                             (a start that failed counts 1, a boot that failed a whole turn)
    well_since_s             since when the engine has been well, on whatever host
    vm_id                    which process the VM here was when it was last seen
    broken_off               what libvirt's silence, a maintenance or the agent's own end broke off
    blind_since_s            since when the health of an ill engine has not been known
    crashed_at_s             when the engine last crashed here
    lease_free_since_s       since when the lease has been free outside of global maintenance,
                             for the ranks' turns
    lease_taken_since_s      since when it has been taken again, or not known, for a moment
    lease_left_since_s       since when it has been this host's own without a VM here
    held_off_until_s         no start before this moment, since the latest came to nothing
    handover_since_s         since when it has been free while a host may be handing the engine over
    vm_held_since_s          since when the VM has been leaving here, paused, its lease free (or
                             since it was last asked to resume)
    last_owner_id            who held the lease last: it wins a tie, for a restart in place
    attempt_s                when the latest action was asked for in this state
    lease_denied_s           the first two looks at the storage, one after the other, in which
                             the lease of the VM that runs here was not this host's
    cut_off_since_s          since when the engine here has been out of reach together with this
                             host, by its own network and the witnesses (`fsm.reach`)
    dark_since_s             since when it has been dark for all, though this host's network is good
    reached                  a witness has reached the engine since it came here
    giving_away              the stop under way, forced or not, is for being out of reach
    gave_away_at_s           when this host last stopped the engine for that
    gave_away_uplink         ... behind a network of this host that was good
    better_id, better_since_s   the host that has been much better since then without a break, and
                             takes the engine alive
    better_moves_s           when this host began to move the engine for that, of the latest day
    wants                    what this host itself wants the engine moved for now: CUT_OFF, DARK or
                             BETTER; empty: nothing
    move_for                 what the engine is moved for: MAINTENANCE, SHUTDOWN, one of `wants`, or
                             a person's request by its id; kept until another move is wanted
    move_target_id           where it goes, or went last
    move_ordered             libvirt has been told to move it there
    move_refusals            the hosts that did not get it, each with the reason, for people
    move_ended               ... and nothing more is tried for that
    move_left                the VM has left this host since that was taken up: one that comes back
                             is not moved again for it
    """

    state: State = State.START_STATE
    since_s: Optional[float] = None
    why: str = ""
    started_at_s: Optional[float] = None
    failed_starts_s: tuple[float, ...] = ()
    tries: int = 0
    well_since_s: Optional[float] = None
    vm_id: str = ""
    broken_off: Optional[BrokenOff] = None
    blind_since_s: Optional[float] = None
    crashed_at_s: Optional[float] = None
    lease_free_since_s: Optional[float] = None
    lease_taken_since_s: Optional[float] = None
    lease_left_since_s: Optional[float] = None
    held_off_until_s: Optional[float] = None
    handover_since_s: Optional[float] = None
    vm_held_since_s: Optional[float] = None
    last_owner_id: Optional[int] = None
    attempt_s: Optional[float] = None
    lease_denied_s: tuple[float, ...] = ()
    cut_off_since_s: Optional[float] = None
    dark_since_s: Optional[float] = None
    reached: bool = False
    giving_away: bool = False
    gave_away_at_s: Optional[float] = None
    gave_away_uplink: bool = False
    better_id: Optional[int] = None
    better_since_s: Optional[float] = None
    better_moves_s: tuple[float, ...] = ()
    wants: str = ""
    move_for: str = ""
    move_target_id: Optional[int] = None
    move_ordered: bool = False
    move_refusals: tuple[tuple[int, str], ...] = ()
    move_ended: bool = False
    move_left: bool = False

    @property
    def move_tries(self) -> int:
        """How many hosts were tried for it so far, the present one among them."""
        return len(self.move_refusals) + (self.state is State.ENGINE_MIGRATING_AWAY)
