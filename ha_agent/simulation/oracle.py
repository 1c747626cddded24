"""Watches a simulated cluster and says when a rule is broken.

The oracle looks at facts only: which qemu executes where and whether it holds its lease, what
stands on the storage, which host has power, who gave libvirt an order. What agents and brokers
believe does not count, so that a mistake in their view is not shared.

Rules, each one sentence in `SENTENCES`; `Oracle.violations` has what broke one::

    one-engine      lease           unexplained-end
    global-start    local-start     healthy-stopped     forced-stop     at-rest

Some mixtures of faults are beyond what any program on these hosts can survive: sanlock dead on
a host without a watchdog while the agent or libvirt there does not work either. Then nobody is
left to switch the engine off. Such moments are counted in `Oracle.beyond`, never judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

ONE_ENGINE = "one-engine"
LEASE = "lease"
GLOBAL_START = "global-start"
LOCAL_START = "local-start"
HEALTHY_STOPPED = "healthy-stopped"
FORCED_STOP = "forced-stop"
UNEXPLAINED_END = "unexplained-end"
AT_REST = "at-rest"

SENTENCES = {
    ONE_ENGINE: "At most one engine executes at any moment.",
    LEASE: "An engine executes only while it holds its lease, or nobody else can take it.",
    GLOBAL_START: "No agent starts the engine in global maintenance.",
    LOCAL_START: "No agent starts the engine on a host in local maintenance.",
    HEALTHY_STOPPED: "No agent stops an engine that is healthy and holds its lease.",
    FORCED_STOP: "An agent switches off only what did not shut down, is paused or has no lease.",
    UNEXPLAINED_END: "An engine ends only by an order, a fault of its own, or a lost lockspace.",
    AT_REST: "A healthy engine stays where it is while nothing happens.",
}

AGENT, ADMINISTRATOR, USER = "agent", "administrator", "user"
START, SHUTDOWN, DESTROY = "start", "shutdown", "destroy"
TAIL_LINES = 10
# Until an agent that has answers of libvirt and sanlock has switched off what has no lease.
KILL_S = 15.0


class Engine(Protocol):
    """A qemu of the engine, as it truly is."""

    @property
    def host(self) -> str:
        """Where it is."""

    @property
    def pid(self) -> int:
        """Its process; no two of a simulation are the same."""

    @property
    def executing(self) -> bool:
        """Does the guest's CPU run?"""

    @property
    def holds_lease(self) -> bool:
        """Would sanlock refuse the lease to everybody else because of it?"""

    @property
    def healthy(self) -> bool:
        """Would its health page say so?"""


@dataclass(frozen=True)
class Order:
    """libvirt on `host` was told to start, shut down or destroy the VM.

    `given_at_s` is when the job was begun; it may have hung since. `by` is the agent, the
    administrator's command, or a person who works past the program.
    """

    given_at_s: float
    host: str
    by: str
    what: str


@dataclass(frozen=True)
class Violation:
    """What broke `rule` at `at_s`, with the latest lines of the log."""

    at_s: float
    rule: str
    text: str
    tail: tuple[str, ...] = ()

    def report(self) -> str:
        """For people."""
        lines = [f"{self.at_s:.2f} {self.rule}: {self.text}", f"  {SENTENCES[self.rule]}"]
        return "\n".join([*lines, *(f"  | {line}" for line in self.tail)])
