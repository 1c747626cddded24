# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A live migration, by the agent or made from outside, as libvirt's lock manager sees it.

The source's libvirt connects to the target's first, and has no deadline for that but TCP's. While
the VM's memory is copied the source runs and holds the lease. Then the source is paused,
which lets the lease go, and the target takes it as it resumes: in between it is free for
everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Protocol

from simulation.errors import SimulationError
from simulation.host import SimHost
from world.ports.errors import WorldError
from world.ports.libvirt import DomainState, Ending, MigrationResult, Pause

COPY_S = 3.0
# Of a connection to nobody, as measured: until the neighbour's address was asked for in vain, and
# where all is dropped until TCP gives up (``tcp_syn_retries`` of 6).
NO_ROUTE_S, DROPPED_S = 3.1, 127.0
RETRY_S = 1.0
# Five messages of libvirt's own, each 5 s: so long a connection may say nothing.
KEEPALIVE_S = 30.0
MEMORY_BYTES = 128 << 20
# How it ends:
FINISHES = "finishes"  # the target runs on
FAILS = "fails"  # given up while the memory is copied
REFUSED = "refused"  # the target can't get the lease, and libvirt resumes the source
STICKS = "sticks"  # ... and the source stays paused: libvirtd lost track of it
KEEPS = "keeps"  # sanlock refused to let the lease go: the source stays paused, and has it still
HANGS = "hangs"  # both sides stay paused
_STAYS_PAUSED = (STICKS, KEEPS)
CANCELED = "operation aborted: canceled by client"
LOST = "internal error: client socket is closed"


@dataclass(frozen=True)
class Course:
    """How migrations go: so long the memory is copied, then the lease is free for `gap_s`."""

    end: str = FINISHES
    gap_s: float = 0.3
    copy_s: float = COPY_S


@dataclass(frozen=True)
class Obstacle:
    """Why the target does not take the VM, and how long it takes the source's libvirt to say so."""

    why: str
    takes_s: float = 0.0


class Agenda(Protocol):
    """What a migration needs of the cluster."""

    @property
    def now_s(self) -> float:
        """The world's second."""

    def at(self, at_s: float, action: Callable[[], None]) -> None:
        """Do `action` at that second."""

    def is_answered(self, one: SimHost, other: SimHost) -> bool:
        """Is there a network between the two, and does the machine of the `other` run?"""


class Migration:
    """The VM's way from `here` to `there`.

    `ended_why` is why it has not come there; empty: it has; None: it is on its way. `by_agent`: the
    agent there ordered it; `pids` are the VM's on both sides.
    """

    def __init__(
        self, cluster: Agenda, here: SimHost, there: SimHost, by_agent: bool = False
    ) -> None:
        self.by_agent = by_agent
        self.pids: tuple[Optional[int], Optional[int]] = (None, None)
        self._cluster = cluster
        self._here = here
        self._there = there
        self._course = Course()
        self._hangs = self._broken_off = self._connects = False
        self._silent_since_s: Optional[float] = None
        self._begun_s = self._ended_s = cluster.now_s
        self._paused_s: Optional[float] = None
        self.ended_why: Optional[str] = None

    @property
    def copied(self) -> float:
        """How much of the memory (0 to 1) is there."""
        return min(1.0, (self._cluster.now_s - self._begun_s) / self._course.copy_s)

    @property
    def result(self) -> MigrationResult:
        """Of one that has come to its target."""
        paused_s = self._ended_s if self._paused_s is None else self._paused_s
        down_ms = round(1000 * (self._ended_s - paused_s))
        return MigrationResult(self._ended_s - self._begun_s, down_ms, MEMORY_BYTES)

    def abort(self) -> None:
        """The source's libvirt is asked to break it off; too late while the lease is handed over,
        but for one that would never end. One that still connects is broken off after that, and
        one whose target is silent once libvirt has given that up: it is told, too."""
        if self.ended_why is not None:
            return
        if self._connects:
            self._broken_off = True
            return
        if self._paused_s is None:
            self._broken_off = True
            self._cancel()
        elif self._here.vm.migrates and self._hangs:
            self._here.vm.migrates = False
            self._undo(CANCELED)

    def connect(self, course: Course, obstacle: Callable[[], Optional[Obstacle]]) -> None:
        """The source's libvirt connects to the target, then the copying begins."""
        self._course, self._connects = course, True
        self._pid = self._here.vm.now.pid
        self._obstacle = obstacle
        self._here.vm.move = self
        self._try_to_connect()

    def _try_to_connect(self) -> None:
        here = self._here
        if self.ended_why is not None:
            return None
        if here.suspended_at_s is None:
            found = self._obstacle()
            if found is None:
                return self._connected()
            waited_s = self._cluster.now_s - self._begun_s
            if here.vm.move is not self or (not here.vm.answers and not here.vm.hangs):
                return self._not_connected("libvirt has ended")
            if waited_s >= found.takes_s and not here.vm.hangs:
                return self._not_connected(found.why)
        return self._cluster.at(self._cluster.now_s + RETRY_S, self._try_to_connect)

    def _connected(self) -> None:
        here = self._here.vm
        if self._broken_off:
            return self._not_connected(CANCELED)
        if here.now.pid != self._pid or here.now.state != DomainState.RUNNING:
            return self._not_connected("the domain is not running")
        self._connects = False
        return self.begin(self._course)

    def _not_connected(self, why: str) -> None:
        self._connects = False
        self._note_end(why)

    def begin(self, course: Course) -> None:
        """The copying begins."""
        here, there = self._here, self._there
        if not here.vm.executes:
            raise SimulationError(f"the engine's VM does not run on {here.name}")
        if not there.is_awake or there is here or there.vm.now.state != DomainState.ABSENT:
            raise SimulationError(f"{there.name} can't take the engine's VM")
        there.vm.receive()
        here.vm.leave()
        here.vm.move = self
        self._course, self._begun_s = course, self._cluster.now_s
        self.pids = here.vm.now.pid, there.vm.now.pid
        self._cluster.at(self._cluster.now_s + course.copy_s, self._pause_source)

    def _cancel(self) -> None:
        copies = self.ended_why is None and self._paused_s is None
        if copies and not self._waits(self._cancel):
            self._give_up(CANCELED)

    def _pause_source(self) -> None:
        if self.ended_why is not None or self._waits(self._pause_source):
            return None
        why, here = self._not_copied_why(), self._here.vm
        if why:
            return self._give_up(why)
        self._guest = here.guest
        here.migrates = True
        self._paused_s = self._cluster.now_s
        here.pause(Pause.MIGRATION, keeps_lease=self._course.end == KEEPS)
        if self._course.gap_s > 0:
            return self._cluster.at(self._cluster.now_s + self._course.gap_s, self._switch_over)
        return self._switch_over()

    def _not_copied_why(self) -> str:
        if self._broken_off or self._is_lost:
            return CANCELED if self._broken_off else LOST
        if not self._both_are_there() or self._here.vm.now.state != DomainState.RUNNING:
            return "one side has ended while the memory was copied"
        return "the memory could not be copied" if self._course.end == FAILS else ""

    def _switch_over(self) -> None:
        if self.ended_why is not None or self._waits(self._switch_over):
            return None
        if self._is_lost:
            return self._undo(LOST)
        here, end = self._here.vm, self._course.end
        here.migrates = end == HANGS
        if end == HANGS and self._both_are_there():
            self._hangs = True
            return None
        if self._both_are_there() and end == FINISHES and self._target_runs():
            self._note_end("")
            here.end(Ending.MIGRATED)
            return None
        return self._undo("the target could not go on with it")

    def _undo(self, why: str) -> None:
        """After the source was paused: it goes on, but for one that libvirtd has lost track of, and
        one whose lease it can't take, for its own process has it."""
        self._note_end(why)
        if self._there.vm.now.pid == self.pids[1]:
            self._there.vm.end(Ending.STOPPED)
        if self._here.vm.now.pid == self.pids[0] and self._course.end not in _STAYS_PAUSED:
            self._resume_source()

    def _target_runs(self) -> bool:
        try:
            self._there.vm.take_over(self._guest)
        except WorldError:
            return False
        return True

    def _resume_source(self) -> None:
        if self._here.vm.now.state != DomainState.PAUSED:
            return  # somebody has resumed it already
        try:
            self._here.vm.resume()
        except WorldError:
            self._here.vm.pause(Pause.API_ERROR)

    def _note_end(self, why: str) -> None:
        """First of all: what changes with it is looked at at once."""
        self.ended_why, self._ended_s = why, self._cluster.now_s

    def _give_up(self, why: str) -> None:
        """While the memory is copied: the source has never stood still."""
        self._note_end(why)
        if self._there.vm.now.pid == self.pids[1]:
            self._there.vm.end(Ending.STOPPED)
        if self._here.vm.now.pid == self.pids[0]:
            self._here.vm.leave(False)

    def _waits(self, then: Callable[[], None]) -> bool:
        """Can't the source go on yet? `then` is called again in that case.

        It stands still itself, or the target says nothing, which libvirt puts up with for a while.
        """
        now_s, sleeps = self._cluster.now_s, self._here.suspended_at_s is not None
        if self._cluster.is_answered(self._here, self._there):
            self._silent_since_s = None
        elif self._silent_since_s is None:
            self._silent_since_s = now_s
        if not sleeps and (self._silent_since_s is None or self._is_lost):
            return False
        self._cluster.at(now_s + RETRY_S, then)
        return True

    @property
    def _is_lost(self) -> bool:
        """Has the target said nothing for so long that libvirt has closed the connection?"""
        since_s = self._silent_since_s
        return since_s is not None and self._cluster.now_s - since_s >= KEEPALIVE_S

    def _both_are_there(self) -> bool:
        return (self._here.vm.now.pid, self._there.vm.now.pid) == self.pids
