# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""libvirt with one possible domain, and the guest in it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Callable, Optional, Protocol

from simulation.world.clock import CallHangs, VirtualClock
from simulation.world.domain_reader import SimDomainReader
from simulation.world.lockspace import SimLockspace
from world.ports.errors import (
    HypervisorError,
    HypervisorGoneError,
    LeaseHeldError,
    LockspaceError,
    WorldError,
)
from world.ports.libvirt import (
    Domain,
    DomainState,
    Ending,
    EngineCpu,
    MigrationOptions,
    MigrationResult,
    Pause,
)
from world.vm.domain_endings import QEMU_DIED, QEMU_SIGNALLED
from world.vm.domain_states import paused

OWN_ADDRESS = "qemu:///system"

UNLOCKS_IN_S = 0.1  # after a start that has waited
JOB_WAIT_S = 30.0  # how long libvirt has a call wait for a domain that is busy with another one


@dataclass
class Guest:
    """The engine inside its VM, since its first instruction at `begun_at_s`."""

    begun_at_s: float
    boot_s: float
    service_runs: bool = True
    hangs: bool = False

    def is_healthy(self, now_s: float) -> bool:
        """Would its health page say so?"""
        return self.service_runs and not self.hangs and self.has_booted(now_s)

    def has_booted(self, now_s: float) -> bool:
        """Do its services run?"""
        return now_s >= self.begun_at_s + self.boot_s


class Move(Protocol):
    """A migration away from here.

    `ended_why` is why it has not come to its target; empty: it has; None: it is on its way.
    """

    @property
    def ended_why(self) -> Optional[str]: ...

    @property
    def copied(self) -> float: ...

    @property
    def result(self) -> MigrationResult: ...

    def abort(self) -> None: ...


def _nobody_there(address: str) -> Move:
    what = f"move the domain to {address}"
    if address == OWN_ADDRESS:
        raise HypervisorError(what, f"{address} is this very host")
    raise HypervisorError(what, f"no connection to {address}: there is nobody else")


class SimHypervisor:
    """A `Hypervisor` that takes and releases the lease as libvirt's lock manager does.

    `has_lock_manager=False` is libvirt without sanlock: a start takes no lease. `calls` lists
    the changing calls ("start", "shutdown", "destroy"), `updates` the changes of devices.
    `guest_obeys_after_s` is how long the guest takes to power off when asked (None: it never
    does), `kill_takes_s` how long qemu takes to end when it is killed, `create_takes_s` how long
    libvirt takes to make it. `start_error` makes starts fail; while it `migrates`, libvirt resumes
    nothing. A running VM keeps `cpus_used` CPUs busy; for `cpu_unknown_s` after its start libvirt
    says that it used none.
    `reader` judges an XML that is only looked at. `unreached_why` is why other hosts do not reach
    it, at whatever address. `begin_move` begins a migration to an address, or
    raises HypervisorError; `move` is the latest one away from here, whoever asked for it.
    `loses_events` keeps changes from being reported. `before_call` is called first in each
    call, and once more before a created VM runs; what it raises is passed on.
    """

    def __init__(self, lockspace: SimLockspace, has_lock_manager: bool = True) -> None:
        self.lockspace = lockspace
        self.has_lock_manager = has_lock_manager
        self.calls: list[str] = []
        self.started_xml: list[str] = []
        self.updates: list[str] = []
        self.start_error: Optional[HypervisorError] = None
        self.start_takes_s = self.create_takes_s = 0.0
        self.kill_takes_s = 0.0
        self.guest_obeys_after_s: Optional[float] = 0.0
        self.guest: Optional[Guest] = None
        self.boot_s = 0.0
        self.loses_events = False
        self.migrates = False
        self.cpus_used = 0.5
        self.cpu_unknown_s = 0.0
        self.ended_at_s: Optional[float] = None
        self.reader = SimDomainReader()
        self.unreached_why = ""
        self.looked_for_at: list[str] = []
        self.begin_move: Callable[[str], Move] = _nobody_there
        self.move: Optional[Move] = None
        self.before_call: Callable[[str], None] = lambda _what: None
        self._clock: VirtualClock = lockspace.san.clock
        self._domain = Domain(DomainState.ABSENT)
        self._life_s = 0.0  # CPU time of this VM until it ran or paused last
        self._lives_s = 0.0  # of all VMs before it
        self._since_s = self._clock.monotonic_s()
        self._began_s = self._since_s
        self._before_start: Optional[Domain] = None
        self._created_pid: Optional[int] = None
        self._began_start_at_s = self._unlocked_at_s = 0.0
        self._gone = False
        self._hanging = False
        self._shutdown_since_s: Optional[float] = None  # it waits for the end of `move`
        self._call_since_s: Optional[float] = None  # somebody waits for the end of `move`
        self._power_off_at_s: Optional[float] = None
        self._suspended_at_s: Optional[float] = None
        self._power_off_ending = Ending.STOPPED
        self._callbacks: list[Callable[[], None]] = []
        lockspace.on_kill(self._killed)
        self._clock.on_advance(self.settle)

    # --- the Hypervisor protocol ----------------------------------------------------------

    def domain(self) -> Domain:
        self._need_domain("ask for the domain")
        self.settle()
        if self._domain.leaving and self.move is not None:
            return replace(self._domain, copied=self.move.copied)
        return self._domain

    def start(
        self, domain_xml: str, before_run: Callable[[Optional[int]], None] = lambda _pid: None
    ) -> Domain:
        """While sanlock waits for the lease's owner to be dead, so does the start."""
        with self._created(domain_xml) as pid:
            before_run(pid)
            self.before_call("let the domain run")
            if self.has_lock_manager:
                self.lockspace.acquire(pid)
        self.set_domain(Domain(DomainState.RUNNING, pid=pid))
        self._clock.spend(self.start_takes_s)
        return self._domain

    def start_paused(
        self, domain_xml: str, before_run: Callable[[Optional[int]], None] = lambda _pid: None
    ) -> Domain:
        with self._created(domain_xml) as pid:
            before_run(pid)
        self.set_domain(paused(Pause.USER, pid))
        return self._domain

    def check_xml(self, domain_xml: str) -> None:
        self._need("have libvirt look at the domain XML")
        self.reader.check_xml(domain_xml)

    def has_network(self, name: str) -> bool:
        self._need(f"look for libvirt's network {name}")
        return self.reader.has_network(name)

    def has_network_filter(self, name: str) -> bool:
        self._need(f"look for libvirt's network filter {name}")
        return self.reader.has_network_filter(name)

    def live_xml(self) -> str:
        self._need_present("look at the domain's devices")
        return self.started_xml[-1]

    def update_device(self, device_xml: str) -> None:
        self._need_present("change a device")
        self.updates.append(device_xml)

    def not_reached_why(self, address: str) -> str:
        self._need("look for this libvirt")
        self.looked_for_at.append(address)
        return self.unreached_why

    def shutdown(self) -> None:
        self._need_domain("shut the domain down")
        self._wait_for_move("shut the domain down")
        self.calls.append("shutdown")
        if self._domain.state != DomainState.RUNNING:
            raise HypervisorError("shut the domain down", "it is not running")
        self._ask_guest(Ending.STOPPED)

    def resume_after_migration(self) -> None:
        what = "resume the domain"
        self._need(what)
        self.calls.append("resume")
        found = self._domain
        if found.pause is not Pause.MIGRATION:
            raise HypervisorError(what, f"it is {found.state.value} ({found.detail})")
        if self.migrates:
            raise HypervisorError(what, "a migration is under way")
        try:
            self.resume()
        except LeaseHeldError:
            raise
        except LockspaceError as error:
            raise HypervisorError(what, error.why) from error

    def destroy(self) -> None:
        self._need_domain("destroy the domain")
        self.calls.append("destroy")
        if self._domain.state == DomainState.ABSENT:
            return
        ends_at_s = self._clock.monotonic_s() + self.kill_takes_s
        if self._power_off_at_s is None or self._power_off_at_s > ends_at_s:
            self._power_off_at_s, self._power_off_ending = ends_at_s, Ending.STOPPED
        self.settle()
        self._clock.spend(self.kill_takes_s)

    def migrate(self, address: str, options: MigrationOptions) -> MigrationResult:
        """While the memory is copied the call blocks; what breaks it off at its limit is the
        process that has made it."""
        what = f"move the domain to {address}"
        while True:
            try:
                self._need(what)
            except HypervisorGoneError:
                self._call_since_s = None
                raise
            move, since_s = self._moving(what, address)
            if self._clock.monotonic_s() - since_s > options.limit_s:
                move.abort()
            if move.ended_why is not None:
                break
            self._clock.block(what)
        self._call_since_s = None
        if move.ended_why:
            raise HypervisorError(what, move.ended_why)
        return move.result

    def abort_migration(self) -> None:
        self._need_domain("break off the migration of the domain")
        self.calls.append("abort-migration")
        if self.move is not None:
            self.move.abort()

    def cpu_time(self) -> Optional[EngineCpu]:
        self._need_domain("read the CPU time of the VM")
        self.settle()
        pid = self._domain.pid
        if pid is None:
            return None
        known = self._clock.monotonic_s() - self._began_s >= self.cpu_unknown_s
        return EngineCpu(pid, (self._life_cpu_s() or None) if known else None)

    def ping_guest(self, timeout_s: float) -> bool:
        self._need_domain("ping the guest")
        if self._domain.state != DomainState.RUNNING:
            raise HypervisorError("ping the guest", "it is not running")
        guest = self.guest
        if guest is None or (not guest.hangs and guest.has_booted(self._clock.monotonic_s())):
            return True
        self._clock.spend(timeout_s)
        return False

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    # --- what may happen ----------------------------------------------------------------------

    @property
    def now(self) -> Domain:
        """The domain as it truly is, whatever libvirt answers."""
        return self._domain

    @property
    def cpu_busy_s(self) -> float:
        """CPU time that all VMs of this host have used."""
        return self._lives_s + self._life_cpu_s()

    @property
    def hangs(self) -> bool:
        """Do calls not return?"""
        return self._hanging

    @property
    def answers(self) -> bool:
        """Does libvirt answer calls?"""
        return not self._hanging and not self._gone

    @property
    def is_starting(self) -> bool:
        """Has a VM been created whose guest does not run yet?"""
        return self._before_start is not None

    def set_domain(self, domain: Domain) -> None:
        """The domain is this from now on; the lease is left as it is."""
        if domain.state == DomainState.ABSENT and self._domain.state != DomainState.ABSENT:
            self.ended_at_s = self._clock.monotonic_s()
            self.guest = None
            self.migrates = False
            self._power_off_at_s = None
        self._count_cpu(domain)
        self._domain = domain
        if not self.loses_events:
            self._report()

    def end(self, ending: Ending, detail: str = "") -> None:
        """The domain ends that way and its lease is released."""
        pid = self._domain.pid
        self._power_off_at_s = None
        if pid is not None:
            self.lockspace.release(pid)
        if self.loses_events:  # then nobody tells why, either
            ending, detail = Ending.MISSING, ""
        self.set_domain(Domain(DomainState.ABSENT, ending, detail=detail))

    def crash(self) -> None:
        """qemu is killed."""
        self.end(Ending.CRASHED, QEMU_DIED)

    def shutdown_by_user(self) -> None:
        """Somebody else asks the guest to power off; libvirt can't tell that from the guest's."""
        self._ask_guest(Ending.GUEST_SHUTDOWN)

    def guest_shutdown(self) -> None:
        """Somebody powers the guest off from inside."""
        self.end(Ending.GUEST_SHUTDOWN)

    def pause(self, why: Pause = Pause.IOERROR, *, keeps_lease: bool = False) -> None:
        """The domain is paused, and libvirt lets its lease go, unless sanlock refuses that."""
        pid = self._domain.pid
        if pid is not None and not keeps_lease:
            self.lockspace.release(pid)
        self.set_domain(paused(why, pid))

    def resume(self) -> None:
        """The domain runs again, if its lease can be had at once; raises LockspaceError."""
        pid = self._domain.pid
        if pid is not None and self.has_lock_manager:
            self._acquire_at_once(pid)
        self.set_domain(Domain(DomainState.RUNNING, pid=pid))

    def receive(self) -> None:
        """A live migration to this host begins; the VM's memory is on its way."""
        pid = next(self.lockspace.san.pids)
        self.lockspace.registered.add(pid)
        self.set_domain(paused(Pause.MIGRATION, pid))

    def leave(self, leaving: bool = True) -> None:
        """A live migration from this host begins while the VM runs on, or is given up."""
        self.set_domain(replace(self._domain, leaving=leaving))

    def take_over(self, guest: Optional[Guest]) -> None:
        """The migration ends here: the VM runs on, with its lease; raises LockspaceError."""
        self.resume()
        self.guest = guest

    def disappear(self) -> None:
        """libvirt can't be reached."""
        self._gone = True
        self._report()

    def reappear(self) -> None:
        self._gone = False
        self._report()

    def hang(self) -> None:
        """Calls to libvirt do not return until `heal`."""
        self._hanging = True

    def heal(self) -> None:
        self._hanging = self.loses_events = False
        self._report()

    def starter_died(self) -> None:
        """The process that was starting the VM is gone: what it created stays, paused. One that
        was moving the VM is gone: libvirt goes on with that, and nobody looks after the limit."""
        self._call_since_s = self._shutdown_since_s = None
        if self._before_start is None:
            return
        pid, self._before_start = self._created_pid, None
        self.set_domain(paused(Pause.USER, pid))

    def reboot_host(self) -> None:
        """The host was powered on again: no domain has run in this life."""
        self._suspended_at_s = None
        self._before_start = None
        self._call_since_s = self._shutdown_since_s = self.move = None
        self._gone = self._hanging = self.loses_events = False
        self.guest = None
        self.ended_at_s = None
        self.set_domain(Domain(DomainState.ABSENT))

    def suspend_host(self) -> None:
        """The host is suspended, and with it qemu and whatever it was about to do."""
        self.settle()
        self._suspended_at_s = self._clock.monotonic_s()

    def resume_host(self) -> None:
        """All goes on where it stood."""
        assert self._suspended_at_s is not None
        slept_s = self._clock.monotonic_s() - self._suspended_at_s
        self._suspended_at_s = None
        self._since_s += slept_s
        self._began_s += slept_s
        if self._power_off_at_s is not None:
            self._power_off_at_s += slept_s
        if self.guest is not None:
            self.guest.begun_at_s += slept_s

    @property
    def executes(self) -> bool:
        """Does the guest execute at this moment?"""
        return self._domain.state == DomainState.RUNNING and self._suspended_at_s is None

    @property
    def is_moving(self) -> bool:
        """Does somebody wait for the end of a move from here that he has ordered?"""
        return self._call_since_s is not None

    def settle(self) -> None:
        """Do what was due until now."""
        at_s = self.next_event_s()
        if at_s is not None and at_s <= self._clock.monotonic_s():
            self.end(self._power_off_ending)

    def next_event_s(self) -> Optional[float]:
        """When something happens next by itself, for simulators."""
        return None if self._suspended_at_s is not None else self._power_off_at_s

    def _moving(self, what: str, address: str) -> tuple[Move, float]:
        """The migration that this call, which is made again until it ends, is about, and since
        when."""
        if self._call_since_s is None:
            self.calls.append("migrate")
            self._refuse_move(what)
            self.move = self.begin_move(address)
            self._call_since_s = self._clock.monotonic_s()
        assert self.move is not None
        return self.move, self._call_since_s

    def _refuse_move(self, what: str) -> None:
        found = self._domain
        if found.state == DomainState.ABSENT:
            raise HypervisorError(what, "it is not here")
        if found.state != DomainState.RUNNING:
            raise HypervisorError(what, f"it is {found.state.value} ({found.detail})")
        if self.move is not None and self.move.ended_why is None:
            raise HypervisorError(what, "another migration is under way")

    def _acquire_at_once(self, pid: int) -> None:
        self._clock.begin_job()
        try:
            self.lockspace.acquire(pid)
        except CallHangs as hang:
            raise LockspaceError(str(hang), "it is not given at once", errno.EAGAIN) from None
        finally:
            self._clock.end_job()

    @contextmanager
    def _created(self, domain_xml: str) -> Iterator[int]:
        """The pid of a paused qemu, which is gone again if the block fails."""
        self._need("start the domain")
        if self._before_start is None:
            self._begin_start()
        while self._clock.monotonic_s() < self._began_start_at_s + self.create_takes_s:
            self._clock.block("start the domain")
        pid = self._created_pid
        assert pid is not None
        try:
            yield pid
        except WorldError:
            self._end_start()
            raise
        self._end_start()
        if self._clock.monotonic_s() > self._began_start_at_s:
            self._unlocked_at_s = self._clock.monotonic_s() + UNLOCKS_IN_S
        self.started_xml.append(domain_xml)
        self.guest = Guest(self._clock.monotonic_s(), self.boot_s)

    def _begin_start(self) -> None:
        self.calls.append("start")
        if self._domain.state != DomainState.ABSENT:
            raise HypervisorError("start the domain", f"it is {self._domain.state.value} already")
        if self.start_error is not None:
            raise self.start_error
        self._began_start_at_s = self._clock.monotonic_s()
        self._created_pid = next(self.lockspace.san.pids)
        if self.has_lock_manager:
            self.lockspace.registered.add(self._created_pid)
        self._before_start = self._domain
        self._domain = paused(Pause.STARTING_UP)

    def _end_start(self) -> None:
        assert self._before_start is not None
        self._domain, self._before_start = self._before_start, None

    def _life_cpu_s(self) -> float:
        if self._domain.state != DomainState.RUNNING:
            return self._life_s
        return self._life_s + self.cpus_used * (self._clock.monotonic_s() - self._since_s)

    @property
    def process_began_s(self) -> float:
        """When the present process began (the world's seconds)."""
        return self._began_s

    def _count_cpu(self, after: Domain) -> None:
        """Before the domain is `after`: what it used until now."""
        now_s = self._clock.monotonic_s()
        self._life_s = self._life_cpu_s()
        self._since_s = now_s
        if after.pid != self._domain.pid:
            self._lives_s, self._life_s = self._lives_s + self._life_s, 0.0
            self._began_s = now_s

    def _killed(self, pid: int) -> None:
        if self._domain.pid == pid:
            self.set_domain(Domain(DomainState.ABSENT, Ending.CRASHED, detail=QEMU_SIGNALLED))

    def _ask_guest(self, ending: Ending) -> None:
        guest_hangs = self.guest is not None and self.guest.hangs
        if self.guest_obeys_after_s is None or guest_hangs:
            return
        off_at_s = self._clock.monotonic_s() + self.guest_obeys_after_s
        # A guest that is asked again does not begin its shutdown anew.
        if self._power_off_at_s is None or self._power_off_at_s > off_at_s:
            self._power_off_at_s, self._power_off_ending = off_at_s, ending
        self.settle()

    def _report(self) -> None:
        for callback in self._callbacks:
            callback()

    def _need_present(self, what: str) -> None:
        self._need_domain(what)
        if self._domain.state == DomainState.ABSENT:
            raise HypervisorError(what, "there is no domain")

    def _need_domain(self, what: str) -> None:
        """libvirt keeps the domain locked while it is made, and while sanlock waits for the owner
        of its lease. Who has waited is answered a moment after who has started it."""
        self._need(what)
        if self.is_starting or self._clock.monotonic_s() < self._unlocked_at_s:
            raise CallHangs(what)

    def _wait_for_move(self, what: str) -> None:
        """libvirt does one thing with a domain at a time, and a migration is one from its first
        try to connect on: whoever wants another one waits for it, but not for ever."""
        now_s, since_s = self._clock.monotonic_s(), self._shutdown_since_s
        if since_s is None or now_s - since_s > 2 * JOB_WAIT_S:  # nobody's who has come back
            since_s = self._shutdown_since_s = now_s
        while self.move is not None and self.move.ended_why is None:
            if self._clock.monotonic_s() - since_s >= JOB_WAIT_S:
                self._shutdown_since_s = None
                why = "Timed out during operation: cannot acquire state change lock"
                raise HypervisorError(what, why)
            self._clock.block(what)
        self._shutdown_since_s = None

    def _need(self, what: str) -> None:
        self.before_call(what)
        if self._hanging:
            raise CallHangs(what)
        if self._gone:
            raise HypervisorGoneError(what, "libvirt does not answer")
