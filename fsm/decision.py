"""What comes out of a step: the new memory, the actions, and the row that says why."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Optional

from fsm.states import State

if TYPE_CHECKING:
    from fsm.table import Row


class Action(str, Enum):
    """What the agent shall do; the result arrives with a later observation."""

    START_VM = "start-vm"
    SHUTDOWN_VM = "shutdown-vm"
    DESTROY_VM = "destroy-vm"


@dataclass(frozen=True)
class Penalty:
    """Points off the base score. `reason` is a sentence part for people."""

    name: str
    points: int
    reason: str


@dataclass(frozen=True)
class Score:
    """The host's score and every penalty in it."""

    points: int
    penalties: tuple[Penalty, ...] = ()


@dataclass(frozen=True)
class Memory:
    """All that the state machine remembers; bounded, and nothing else is remembered.

    state, since_s           where it stands and since when (monotonic seconds; None: never ran)
    why                      the reason of the latest change of state
    failed_starts_s          when starts failed (pruned to the retry window, at most three)
    started_at_s             when the agent made its first step
    crashed_at_s             when the engine last crashed here
    lease_free_since_s       since when the lease has been free, for the ranks' turns
    held_off_until_s         no start before this moment, since the latest came to nothing
    last_owner_id            who held the lease last: it wins a tie, for a restart in place
    attempt_s                when the latest action was asked for in this state
    """

    state: State = State.START_STATE
    since_s: Optional[float] = None
    why: str = ""
    started_at_s: Optional[float] = None
    failed_starts_s: tuple[float, ...] = ()
    crashed_at_s: Optional[float] = None
    lease_free_since_s: Optional[float] = None
    held_off_until_s: Optional[float] = None
    last_owner_id: Optional[int] = None
    attempt_s: Optional[float] = None


@dataclass(frozen=True)
class Decision:
    """The result of `fsm.step`.

    `row` is the row that fired, `why` its reason with the observation's names filled in;
    `timeout_at_s` is when the state will be left by time-out, if it has one; `wake_at_s` is the
    next moment at which time alone may change the decision (None: only news can).
    """

    memory: Memory
    actions: tuple[Action, ...]
    row: Row
    why: str
    score: Score
    timeout_at_s: Optional[float] = None
    wake_at_s: Optional[float] = None
    changed: bool = field(default=False)
