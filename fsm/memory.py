"""What the state machine remembers, what it can ask for, and what a host is worth."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Optional

from fsm.states import State


class Action(str, Enum):
    """What the agent shall do; the result arrives with a later observation."""

    START_VM = "start-vm"
    SHUTDOWN_VM = "shutdown-vm"
    DESTROY_VM = "destroy-vm"


@dataclass(frozen=True)
class Penalty:
    """Points off the base score. `reason` is a sentence part for people.

    value, threshold   the number behind it and what it is held against, in `unit`
                       ("fraction", "bytes", "count"; empty: it is about no number)
    ends_at_s          when it is over, or less, by time alone (monotonic seconds; None: never)
    """

    name: str
    points: int
    reason: str
    value: Optional[float] = None
    threshold: Optional[float] = None
    unit: str = ""
    ends_at_s: Optional[float] = None


@dataclass(frozen=True)
class Score:
    """The host's score and every penalty in it."""

    points: int
    penalties: tuple[Penalty, ...] = ()


@dataclass(frozen=True)
class BrokenOff:
    """A state that a moment of not knowing broke off, and since when it had lasted."""

    state: State
    since_s: float


@dataclass(frozen=True)
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
    last_owner_id            who held the lease last: it wins a tie, for a restart in place
    attempt_s                when the latest action was asked for in this state
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
    last_owner_id: Optional[int] = None
    attempt_s: Optional[float] = None
