# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""sanlock in virtual time: one `SimSan` for all hosts, one `SimLockspace` per host.

The times are sanlock's (io is the lockspace's io_timeout): a host id is renewed every 2 x io,
given up after 8 x io without a renewal (then the holders of leases are killed), and others
find the host dead after 8 x io + fire_timeout (60) without a change, measured from the last
change that they saw themselves; `hosts` says so after the next look only. A join takes 2.5 x io;
the daemon looks at the others half an io later, and until then `hosts` is empty. Leaving takes
2 s.

A qemu whose own disk hangs (`disk_hangs_too`) ignores SIGTERM; SIGKILL follows 40 s later, or
sooner where fire_timeout is short. A hardware watchdog (`watchdog`) resets the host when its
daemon died as a member: 5 s before fire_timeout is over after the place in the lockspace ran
out, so before anybody else may take its leases.
"""

from __future__ import annotations

import errno as errno_module
import itertools
import math
import os
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Callable, Optional

from metadata.liveness import Liveness
from metadata.sanlock_usual import USUAL_FIRE_TIMEOUT_S
from metadata.settings.timing import lease_floor_s
from simulation.world.clock import CallHangs, VirtualClock
from world.ports.errors import (
    LeaseHeldError,
    LockspaceBusyError,
    LockspaceError,
    LockspaceGoneError,
)
from world.ports.sanlock import (
    HostPlace,
    LeaseOnStorage,
    LeaseOwner,
    LockspaceHost,
    LockspaceOnStorage,
    Membership,
    Renewal,
)

LEAVE_S = 2.0
# How long before fire_timeout is over the watchdog resets the host at the latest.
RESET_EARLY_S = 5.0

BUSY_S = 1.0  # for so long the adapter itself asks again
RENEWALS_KEPT = 180
RETRY_S = 1.0

LEADER_MAGIC = -223
ACQUIRE_IDLIVE = -243
HOSTID_BUSY = -262
LOCKSPACE_ENDS = -263


@dataclass(frozen=True)
class Slot:
    """One host id as it stands on the storage; timestamp 0: free."""

    owner_name: str
    generation: int
    timestamp: int
    io_timeout_s: int


@dataclass
class _View:
    """What one daemon remembers of another host id."""

    slot: Slot
    first_check_s: float
    last_live_s: float
    last_check_s: float


@dataclass
class _Space:
    """One daemon's membership."""

    host_id: int
    io_timeout_s: int
    generation: int
    joined_at_s: float
    renewed_at_s: float
    next_renewal_s: float
    views: dict[int, _View] = field(default_factory=dict)
    renewals: deque[Renewal] = field(default_factory=lambda: deque(maxlen=RENEWALS_KEPT))
    hung_s: float = 0.0

    @property
    def lost_at_s(self) -> float:
        return self.renewed_at_s + 8 * self.io_timeout_s

    def shift(self, seconds: float) -> None:
        """All that it remembers of its own clock happened so much later on the world's."""
        self.joined_at_s += seconds
        self.renewed_at_s += seconds
        self.next_renewal_s += seconds
        for view in self.views.values():
            view.first_check_s += seconds
            view.last_live_s += seconds
            view.last_check_s += seconds


class SimSan:
    """The lockspace and the lease on the shared storage, and the clock of everybody.

    `slots` maps host ids to what stands on the storage, `lease` is the lease's owner record
    (alive or not; None: free), `config_lease` that of the lock of writers. Unset
    `lockspace_formatted`, `lease_formatted`, `config_lease_formatted` for storage that was never
    formatted. `history` lists who acquired and who let go:
    (second, "acquire" | "release" | "kill", host name).
    """

    def __init__(self, clock: VirtualClock, formatted: bool = True) -> None:
        self.clock = clock
        self.lockspace_formatted = formatted
        self.lease_formatted = formatted
        self.lockspace_io_timeout_s = 10
        self.lockspace_formats = 0  # how often it was formatted
        self.slots: dict[int, Slot] = {}
        self.lease: Optional[LeaseOwner] = None
        self.lease_version = 0
        self.config_lease_formatted = formatted
        self.config_lease: Optional[LeaseOwner] = None
        self.history: list[tuple[float, str, str]] = []
        self.daemons: list[SimLockspace] = []
        self.pids = itertools.count(4001)  # of qemus; no two hosts have the same
        self._next_event_s: Optional[float] = None
        clock.on_advance(self.settle)

    def settle(self) -> None:
        """Do everything that was due until now, in the order of time."""
        now_s = self.clock.monotonic_s()
        while (at_s := self._next_s()) <= now_s:
            first = min(self.daemons, key=SimLockspace.next_event_at_s)
            self.changed()  # what it calls may settle again
            first.run_event(at_s)
            self.changed()

    def changed(self) -> None:
        """A daemon's next event may be another one now."""
        self._next_event_s = None

    def next_event_s(self) -> Optional[float]:
        """When something happens next by itself, for simulators."""
        at_s = self._next_s()
        return None if at_s == math.inf else at_s

    def _next_s(self) -> float:
        if self._next_event_s is None:
            events = [daemon.next_event_at_s() for daemon in self.daemons]
            self._next_event_s = min(events, default=math.inf)
        return self._next_event_s

    def note(self, at_s: float, what: str, host_name: str) -> None:
        self.history.append((at_s, what, host_name))


class Holders(set[int]):
    """The pids that hold the lease; called, it is `LockspaceAdmin.holders`."""

    def __init__(self, before_call: Callable[[str], None]) -> None:
        super().__init__()
        self._before_call = before_call

    def __call__(self) -> list[int]:
        self._before_call("ask for the lease's holders")
        return sorted(self)


class SimLockspace:
    """A `Lockspace`: one host's sanlock daemon, with faults to set.

    `holders` are the local pids that hold the lease (at most one can), or `elsewhere` one with
    its names in another place. `host_name` is the
    name the daemon gives itself; a second daemon with the same name takes a host id over.
    """

    def __init__(self, san: SimSan, host_name: str) -> None:
        self.san = san
        self.host_name = host_name
        self.holders = Holders(self._need_daemon)
        self.registered: set[int] = set()
        self.elsewhere: set[int] = set()
        self.other_lockspace = ""  # of our name, at another place, that this daemon is in
        self.watchdog = False
        self.fire_timeout = USUAL_FIRE_TIMEOUT_S
        self.disk_hangs_too = False
        self.busy_answers = 0  # to the next questions about a process
        self.renewal_takes_s = 0.01
        self.before_call: Callable[[str], None] = lambda _what: None
        self._clock = san.clock
        self.host_clock_s: Callable[[], float] = san.clock.monotonic_s
        self._space: Optional[_Space] = None
        self.generation = 0  # of the place in the lockspace that it has taken last
        # Another name's place in the lockspace that a join watches, and since when.
        self._waits_for: tuple[Optional[Slot], float] = (None, 0.0)
        self._has_config_lease = False
        # What the daemon remembers of its holders; another host may have the lease since.
        self._held_versions: dict[int, int] = {}
        self._alive = True
        self._suspended_at_s: Optional[float] = None
        self._hanging = False
        self._errno = 0
        self._kill_at_s = math.inf
        self._reset_at_s = math.inf
        self._kill_callbacks: list[Callable[[int], None]] = []
        self._reset_callbacks: list[Callable[[], None]] = []
        san.daemons.append(self)
        san.changed()

    # --- the Lockspace protocol ---------------------------------------------------------

    def join(self, host_id: int, io_timeout_s: int) -> None:
        what = f"join lockspace as host id {host_id}"
        self._need_daemon(what)
        if self._space is not None:
            self._check_joined_id(what, host_id)
            self._clock.spend(max(0.0, self._space.joined_at_s - self._clock.monotonic_s()))
            return
        self._need_storage(what)
        if not self.san.lockspace_formatted:
            raise LockspaceError(what, "there is no lockspace on the storage", LEADER_MAGIC)
        if self._kill_at_s != math.inf:
            raise LockspaceError(what, "the lockspace is being given up", LOCKSPACE_ENDS)
        self._wait_for_other_owner(what, host_id)
        self._enter(host_id, io_timeout_s)
        self._clock.spend(2.5 * io_timeout_s)

    def leave_if_unused(self, host_id: int) -> bool:
        what = f"leave lockspace as host id {host_id}"
        self._need_daemon(what)
        space = self._space
        if space is None:
            return True
        self._check_joined_id(what, host_id)
        if self.holders:
            return False
        if not self._storage_broken():
            slot = self.san.slots[space.host_id]
            self.san.slots[space.host_id] = replace(slot, timestamp=0)
        self._space = None
        self.san.changed()
        self._clock.spend(LEAVE_S)
        return True

    def membership(self, host_id: int) -> Membership:
        self._need_daemon("ask for the membership")
        self.san.settle()
        if self._space is None or self._space.host_id != host_id:
            return Membership.OUT
        joined = self._space.joined_at_s <= self._clock.monotonic_s()
        return Membership.JOINED if joined else Membership.JOINING

    def hosts(self) -> list[LockspaceHost]:
        self._need_daemon("ask for the hosts")
        self.san.settle()
        space = self._joined_space("ask for the hosts")
        used = [host_id for host_id, view in space.views.items() if view.slot.timestamp]
        return [self._host(space, host_id) for host_id in sorted(used)]

    def lease_owner(self) -> Optional[LeaseOwner]:
        what = "read the owner of the lease"
        self._need_daemon(what)
        self._need_storage(what)
        self.san.settle()
        self._need_lease(what)
        return self.san.lease

    def process_holds_lease(self, pid: int) -> bool:
        self._ask(f"ask for the leases of process {pid}")
        self.san.settle()
        return pid in self.holders and pid not in self.elsewhere

    def process_is_registered(self, pid: int) -> bool:
        self._ask(f"ask whether process {pid} is known")
        return pid in self.registered or pid in self.holders

    def fire_timeout_s(self) -> int:
        self._need_daemon("ask for the settings")
        return self.fire_timeout

    def place(self, host_id: int) -> Optional[HostPlace]:
        what = f"read the place of host id {host_id}"
        self.before_call(what)
        self._need_storage(what)
        self.san.settle()
        slot = self.san.slots.get(host_id)
        return HostPlace(slot.owner_name, slot.generation, slot.timestamp) if slot else None

    def held_version(self, pid: int) -> Optional[int]:
        self._need_daemon(f"ask for the version of the lease of process {pid}")
        self.san.settle()
        return self._held_versions.get(pid) if pid in self.holders else None

    def lease_version(self) -> int:
        what = "read the version of the lease"
        self._need_daemon(what)
        self._need_storage(what)
        self.san.settle()
        self._need_lease(what)
        return self.san.lease_version

    def renewals(self) -> list[Renewal]:
        self._need_daemon("ask for the renewals")
        self.san.settle()
        return list(self._joined_space("ask for the renewals").renewals)

    # --- for deploy -----------------------------------------------------------------------

    def format_lockspace(self, io_timeout_s: int) -> None:
        self._prepare_format("format the lockspace")
        self.san.lockspace_formatted = True
        self.san.lockspace_formats += 1
        self.san.lockspace_io_timeout_s = io_timeout_s
        self.san.slots.clear()

    def format_lease(self) -> None:
        self._prepare_format("format the lease")
        self.san.lease_formatted = True
        self.san.lease = None

    def read_lockspace(self) -> Optional[LockspaceOnStorage]:
        self._need_daemon("read the lockspace")
        self._need_storage("read the lockspace")
        if not self.san.lockspace_formatted:
            return None
        return LockspaceOnStorage("hosted-engine", self.san.lockspace_io_timeout_s)

    def read_lease(self) -> Optional[LeaseOnStorage]:
        self._need_daemon("read the lease")
        self._need_storage("read the lease")
        return LeaseOnStorage("hosted-engine", "engine") if self.san.lease_formatted else None

    def daemon_host_name(self) -> str:
        self._need_daemon("ask for the daemon's host name")
        return self.host_name

    def joined_elsewhere(self) -> str:
        self._need_daemon("ask sanlock for its lockspaces")
        return self.other_lockspace

    # --- the lock of writers ------------------------------------------------------------------

    def take_config_lease(self) -> None:
        what = "take the lock of writers"
        self._need_daemon(what)
        self._need_storage(what)
        self.san.settle()
        space = self._joined_space(what, errno_module.ENOSPC)
        self._need_config_lease(what)
        mine = LeaseOwner(space.host_id, space.generation)
        if self.san.config_lease == mine:
            why = "a process here holds the lease"
            raise LockspaceError(what, why, errno_module.EEXIST)
        self._await_holder(what, space, lambda: self.san.config_lease)
        self.san.config_lease = mine
        self._has_config_lease = True

    def drop_config_lease(self) -> None:
        if self._has_config_lease:
            self._need_daemon("let the lock of writers go")
            self._has_config_lease = False
            self.san.config_lease = None

    def config_lease_owner(self) -> Optional[LeaseOwner]:
        what = "read the owner of the lock of writers"
        self._need_daemon(what)
        self._need_storage(what)
        self.san.settle()
        self._need_config_lease(what)
        return self.san.config_lease

    def has_config_lease(self) -> bool:
        self._need_daemon("read the lock of writers")
        self._need_storage("read the lock of writers")
        return self.san.config_lease_formatted

    def format_config_lease(self) -> None:
        what = "format the lock of writers"
        if self.has_config_lease():
            raise LockspaceError(what, "there is one already", errno_module.EEXIST)
        self.san.config_lease_formatted = True
        self.san.config_lease = None

    def _need_config_lease(self, what: str) -> None:
        if not self.san.config_lease_formatted:
            raise LockspaceError(what, "there is no such lease on the storage", LEADER_MAGIC)

    # --- what libvirt's lock manager does ---------------------------------------------------

    def acquire(self, pid: int) -> None:
        """Take the lease for the local process `pid`; errno as sanlock's.

        As in sanlock this blocks while the owner has fallen silent and is not surely dead.
        """
        what = f"acquire the lease for process {pid}"
        self._need_daemon(what)
        self._need_storage(what)
        self.san.settle()
        space = self._joined_space(what, errno_module.ENOSPC)
        if self.holders:
            # or one with its names in another place: sanlock goes by the names
            why = "a process here holds the lease"
            raise LockspaceError(what, why, errno_module.EEXIST)
        if pid in self.elsewhere:
            self.holders.add(pid)
            return
        self._need_lease(what)
        self._await_holder(what, space, lambda: self.san.lease)
        self.san.lease = LeaseOwner(space.host_id, space.generation)
        self.san.lease_version += 1
        self._held_versions[pid] = self.san.lease_version
        self.holders.add(pid)
        self.san.note(self._clock.monotonic_s(), "acquire", self.host_name)

    def release(self, pid: int) -> None:
        """Let the lease of `pid` go; a process that holds none is fine."""
        if pid not in self.holders:
            return
        self.holders.discard(pid)
        self.san.note(self._clock.monotonic_s(), "release", self.host_name)
        space = self._space
        own = space is not None and self.san.lease == LeaseOwner(space.host_id, space.generation)
        if self._alive and not self._storage_broken() and (own or space is None):
            self.san.lease = None

    def on_kill(self, callback: Callable[[int], None]) -> None:
        """`callback(pid)` when sanlock kills a holder, or the host loses its power."""
        self._kill_callbacks.append(callback)

    def on_reset(self, callback: Callable[[], None]) -> None:
        """`callback()` when the watchdog resets this host."""
        self._reset_callbacks.append(callback)

    # --- faults -------------------------------------------------------------------------------

    def hang_storage(self) -> None:
        """This host's path to the storage hangs: reads block, renewals stop."""
        self._hanging = True

    def fail_storage(self, errno: int = errno_module.EIO) -> None:
        self._errno = errno

    def heal_storage(self) -> None:
        self._hanging = False
        self._errno = 0

    @property
    def daemon_runs(self) -> bool:
        """Does sanlock's daemon exist?"""
        return self._alive

    @property
    def is_alive(self) -> bool:
        """Does the daemon run?"""
        return self._alive

    @property
    def reset_is_due(self) -> bool:
        """Will the watchdog reset this host?"""
        return self._reset_at_s != math.inf

    @property
    def kill_grace_s(self) -> float:
        """How long it waits between SIGTERM and SIGKILL; a short fire_timeout leaves less time."""
        if self.fire_timeout >= USUAL_FIRE_TIMEOUT_S:
            return 40.0
        return 15.0 if self.fire_timeout >= 30 else 0.0

    @property
    def kill_is_due(self) -> bool:
        """Will a holder that ignores SIGTERM be killed?"""
        return self._kill_at_s != math.inf

    def kill_daemon(self) -> None:
        """sanlock dies; nobody kills its lease holders, and only a watchdog resets the host.

        One that is started again does not hold the watchdog off: the host's place in the
        lockspace is still the dead one's.
        """
        if self.watchdog and self._space is not None:
            reset_at_s = self._space.lost_at_s + self.fire_timeout - RESET_EARLY_S
            self._reset_at_s = min(self._reset_at_s, reset_at_s)
        self._alive = False
        self._space = None
        self._has_config_lease = False
        self._waits_for = (None, 0.0)
        self._kill_at_s = math.inf
        self.san.changed()

    def start_daemon(self) -> None:
        """sanlock starts; it has joined nothing and knows no process."""
        self._alive = True
        self._space = None
        self._kill_at_s = math.inf
        self.holders.clear()
        self.registered.clear()
        self.san.changed()

    def power_off(self) -> None:
        """Everything on this host is gone at once; the storage keeps what stood there."""
        self.san.settle()
        self._suspended_at_s = None
        self.kill_daemon()
        self._reset_at_s = math.inf
        self._kill_holders(self._clock.monotonic_s(), "power")
        self.san.changed()

    def power_on(self) -> None:
        self.heal_storage()
        self.start_daemon()

    def suspend(self) -> None:
        """The host's monotonic clock, and with it this daemon and its watchdog, stand still."""
        self.san.settle()
        self._suspended_at_s = self._clock.monotonic_s()
        self.san.changed()

    def resume(self) -> None:
        """They go on; by their clock no time has passed (measured with the real daemon)."""
        assert self._suspended_at_s is not None
        slept_s = self._clock.monotonic_s() - self._suspended_at_s
        self._suspended_at_s = None
        self._kill_at_s += slept_s
        self._reset_at_s += slept_s
        self._waits_for = (self._waits_for[0], self._waits_for[1] + slept_s)
        if self._space is not None:
            self._space.shift(slept_s)
        self.san.changed()

    # --- time -----------------------------------------------------------------------------------

    def next_event_at_s(self) -> float:
        """When this daemon does something next; infinity: never."""
        if self._suspended_at_s is not None:
            return math.inf
        space = self._space
        space_s = math.inf if space is None else min(space.next_renewal_s, space.lost_at_s)
        return min(space_s, self._kill_at_s, self._reset_at_s)

    def run_event(self, at_s: float) -> None:
        """Do what is due at `at_s`, which is `next_event_at_s`."""
        space = self._space
        if self._reset_at_s <= at_s:
            self._reset_at_s = math.inf
            for callback in self._reset_callbacks:
                callback()
        elif self._kill_at_s <= at_s:
            self._kill_at_s = math.inf
            self._kill_holders(at_s, "kill")
        elif space is not None and space.next_renewal_s <= at_s:
            self._renew(space, at_s)
        else:
            self._lose(at_s)

    def _renew(self, space: _Space, at_s: float) -> None:
        if self._storage_broken():
            space.next_renewal_s = at_s + RETRY_S
            self._note_failed_renewal(space)
            return
        own = self.san.slots.get(space.host_id)
        if own is None or (own.owner_name, own.generation) != (self.host_name, space.generation):
            self._lose(at_s)
            return
        self.san.slots[space.host_id] = replace(own, timestamp=int(at_s))
        space.renewed_at_s = at_s
        space.hung_s = 0.0
        took_s = 0.0 if at_s == space.joined_at_s else self.renewal_takes_s
        host_s = at_s + self.host_clock_s() - self._clock.monotonic_s()
        space.renewals.append(Renewal(int(host_s), took_s / 2, took_s / 2))
        if at_s == space.joined_at_s:
            space.next_renewal_s = at_s + 0.5 * space.io_timeout_s
            return
        space.next_renewal_s = at_s + 2 * space.io_timeout_s
        self._look_around(space, at_s)

    def _note_failed_renewal(self, space: _Space) -> None:
        """A hung I/O is given up after io; one that fails does so at once."""
        last = space.renewals[-1] if space.renewals else None
        if last is None:
            return
        if not self._hanging:
            space.renewals[-1] = replace(last, errors=last.errors + 1)
            return
        space.hung_s += RETRY_S
        if space.hung_s >= space.io_timeout_s:
            space.hung_s = 0.0
            space.renewals[-1] = replace(last, timeouts=last.timeouts + 1)

    def _lose(self, at_s: float) -> None:
        """The place in the lockspace is gone; a holder whose disk hangs dies of SIGKILL only."""
        self._space = None
        if self.holders and self._hanging and self.disk_hangs_too:
            self._kill_at_s = at_s + self.kill_grace_s
        else:
            self._kill_holders(at_s, "kill")

    def _kill_holders(self, at_s: float, what: str) -> None:
        pids = list(self.holders)
        self.holders.clear()
        for pid in pids:
            self.san.note(at_s, what, self.host_name)
            for callback in self._kill_callbacks:
                callback(pid)

    def _look_around(self, space: _Space, at_s: float) -> None:
        for host_id, slot in self.san.slots.items():
            view = space.views.get(host_id)
            if view is None:
                space.views[host_id] = _View(slot, at_s, at_s, at_s)
                continue
            view.last_check_s = at_s
            if view.slot != slot:
                view.slot = slot
                view.last_live_s = at_s

    # --- details ----------------------------------------------------------------------------------

    def _prepare_format(self, what: str) -> None:
        self._need_daemon(what)
        self._need_storage(what)
        if self._space is not None:
            raise LockspaceError(what, "this host has joined the lockspace", errno_module.EBUSY)

    def _enter(self, host_id: int, io_timeout_s: int) -> None:
        now_s = self._clock.monotonic_s()
        previous = self.san.slots.get(host_id)
        generation = previous.generation + 1 if previous else 1
        self.san.slots[host_id] = Slot(self.host_name, generation, int(now_s), io_timeout_s)
        self.generation = generation
        joined_at_s = now_s + 2.5 * io_timeout_s
        self._space = _Space(host_id, io_timeout_s, generation, joined_at_s, now_s, joined_at_s)
        self.san.changed()

    def _wait_for_other_owner(self, what: str, host_id: int) -> None:
        """An id that another name owns is watched for as long as a host needs to be dead."""
        while self._is_foreign(host_id):
            seen, since_s = self._waits_for
            waited_s = self._clock.monotonic_s() - since_s
            if seen is None:
                self._waits_for = self.san.slots[host_id], self._clock.monotonic_s()
            elif waited_s >= lease_floor_s(seen.io_timeout_s, self.fire_timeout):
                break
            self._clock.block(what)
        seen, self._waits_for = self._waits_for[0], (None, 0.0)
        if seen is not None and self.san.slots.get(host_id) != seen:
            raise LockspaceError(what, "another host uses this host id", HOSTID_BUSY)

    def _is_foreign(self, host_id: int) -> bool:
        slot = self.san.slots.get(host_id)
        return slot is not None and slot.timestamp != 0 and slot.owner_name != self.host_name

    def _check_joined_id(self, what: str, host_id: int) -> None:
        assert self._space is not None
        if self._space.host_id != host_id:
            why = f"this host has joined as host id {self._space.host_id}"
            raise LockspaceError(what, why, errno_module.EINVAL)

    def _host(self, space: _Space, host_id: int) -> LockspaceHost:
        view = space.views[host_id]
        liveness = self._liveness(space, host_id, view)
        return LockspaceHost(host_id, view.slot.generation, view.slot.timestamp, liveness)

    def _liveness(self, space: _Space, host_id: int, view: _View) -> Liveness:
        """As of the latest look at the others, as the daemon says it: up to a renewal late."""
        silent_s = view.last_check_s - view.last_live_s
        fail_s = 8 * view.slot.io_timeout_s
        if view.slot.timestamp == 0:
            return Liveness.FREE
        if host_id == space.host_id:
            return Liveness.LIVE
        if silent_s > fail_s + self.fire_timeout:
            return Liveness.DEAD
        if silent_s > fail_s:
            return Liveness.FAIL
        return Liveness.UNKNOWN if view.first_check_s == view.last_live_s else Liveness.LIVE

    def _await_holder(
        self, what: str, space: _Space, owner: Callable[[], Optional[LeaseOwner]]
    ) -> None:
        while (held := self._held_by_other(space, owner())) is None:
            self._clock.block(what)
        if held:
            raise LeaseHeldError(what, "Lease is held by another host", ACQUIRE_IDLIVE)

    def _held_by_other(self, space: _Space, owner: Optional[LeaseOwner]) -> Optional[bool]:
        """None: sanlock waits for the owner to renew its id (held) or to be dead (not held).

        That begins when a look at the owner found its timestamp unchanged; before, an acquire
        is refused at once. (Of an owner never looked at, sanlock awaits the next renewal; here
        it is refused at once too.)
        """
        if owner is None or owner.host_id == space.host_id:
            return False
        slot = self.san.slots.get(owner.host_id)
        if slot is None or slot.timestamp == 0 or slot.generation > owner.generation:
            return False
        view = space.views.get(owner.host_id)
        if view is None or view.slot != slot or view.last_live_s == view.last_check_s:
            return True
        floor_s = lease_floor_s(view.slot.io_timeout_s, self.fire_timeout)
        return False if self._clock.monotonic_s() - view.last_live_s > floor_s else None

    def _joined_space(self, what: str, errno: int = errno_module.ENOENT) -> _Space:
        space = self._space
        if space is None or space.joined_at_s > self._clock.monotonic_s():
            raise LockspaceError(what, "this host has not joined the lockspace", errno)
        return space

    def _need_daemon(self, what: str) -> None:
        self.before_call(what)
        if not self._alive:
            why = "the sanlock daemon does not answer"
            raise LockspaceGoneError(what, why, errno_module.ECONNREFUSED)

    def _ask(self, what: str) -> None:
        self._need_daemon(what)
        if self.busy_answers > 0:
            self.busy_answers -= 1
            self._clock.spend(BUSY_S)
            raise LockspaceBusyError(what, os.strerror(errno_module.EBUSY), errno_module.EBUSY)

    def _need_storage(self, what: str) -> None:
        if self._hanging:
            raise CallHangs(what)
        if self._errno:
            raise LockspaceError(what, os.strerror(self._errno), -self._errno)

    def _need_lease(self, what: str) -> None:
        if not self.san.lease_formatted:
            raise LockspaceError(what, "there is no lease on the storage", LEADER_MAGIC)

    def _storage_broken(self) -> bool:
        return self._hanging or self._errno != 0
