"""A live migration made from outside, as libvirt's lock manager sees it.

While the VM's memory is copied the source runs and holds the lease. Then the source is paused,
which lets the lease go, and the target takes it as it resumes: in between it is free for
everybody.
"""

from __future__ import annotations

from typing import Callable, Protocol

from simulation.errors import SimulationError
from simulation.host import SimHost
from world.ports.errors import WorldError
from world.ports.libvirt import DomainState, Ending, Pause

COPY_S = 3.0
# How it ends:
FINISHES = "finishes"  # the target runs on
FAILS = "fails"  # given up while the memory is copied
REFUSED = "refused"  # the target can't get the lease, and libvirt resumes the source
STICKS = "sticks"  # ... and the source stays paused: libvirtd lost track of it
HANGS = "hangs"  # both sides stay paused


class Agenda(Protocol):
    """What a migration needs of the cluster."""

    @property
    def now_s(self) -> float:
        """The world's second."""

    def at(self, at_s: float, action: Callable[[], None]) -> None:
        """Do `action` at that second."""


class Migration:
    """The VM's way from `here` to `there`."""

    def __init__(self, cluster: Agenda, here: SimHost, there: SimHost) -> None:
        self._cluster = cluster
        self._here = here
        self._there = there
        self._gap_s = 0.0
        self._end = FINISHES

    def begin(self, gap_s: float, end: str) -> None:
        """The copying begins; the lease will be free for `gap_s` seconds."""
        here, there = self._here, self._there
        if not here.vm.executes:
            raise SimulationError(f"the engine's VM does not run on {here.name}")
        if not there.is_awake or there is here or there.vm.now.state != DomainState.ABSENT:
            raise SimulationError(f"{there.name} can't take the engine's VM")
        there.vm.receive()
        here.vm.leave()
        self._gap_s, self._end = gap_s, end
        self._pids = here.vm.now.pid, there.vm.now.pid
        self._cluster.at(self._cluster.now_s + COPY_S, self._pause_source)

    def _pause_source(self) -> None:
        if self._one_sleeps():
            return self._cluster.at(self._cluster.now_s + COPY_S, self._pause_source)
        here = self._here.vm
        if not self._both_are_there() or here.now.state != DomainState.RUNNING:
            return self._give_up()
        if self._end == FAILS:
            return self._give_up()
        self._guest = here.guest
        here.migrates = True
        here.pause(Pause.MIGRATION)
        if self._gap_s > 0:
            return self._cluster.at(self._cluster.now_s + self._gap_s, self._switch_over)
        return self._switch_over()

    def _switch_over(self) -> None:
        if self._one_sleeps():
            return self._cluster.at(self._cluster.now_s + COPY_S, self._switch_over)
        here, there = self._here.vm, self._there.vm
        here.migrates = self._end == HANGS
        if self._end == HANGS and self._both_are_there():
            return None
        if self._both_are_there() and self._end == FINISHES and self._target_runs():
            here.end(Ending.MIGRATED)
            return None
        if there.now.pid == self._pids[1]:
            there.end(Ending.STOPPED)
        if here.now.pid == self._pids[0] and self._end != STICKS:
            self._resume_source()
        return None

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

    def _give_up(self) -> None:
        if self._there.vm.now.pid == self._pids[1]:
            self._there.vm.end(Ending.STOPPED)
        if self._here.vm.now.pid == self._pids[0]:
            self._here.vm.leave(False)

    def _one_sleeps(self) -> bool:
        """Does one side stand still? libvirt goes on when that host is awake again."""
        return any(host.suspended_at_s is not None for host in (self._here, self._there))

    def _both_are_there(self) -> bool:
        return (self._here.vm.now.pid, self._there.vm.now.pid) == self._pids
