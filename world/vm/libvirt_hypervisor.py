# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""libvirt, reduced to the engine's domain. The only file that imports its Python binding.

Events tell at once when something changed and why a domain ended (`domain_endings`); the state
itself is always asked for. "Absent" is only what libvirt answers with VIR_ERR_NO_DOMAIN:
whatever else goes wrong means that nothing is known.

A lease held by another host is recognised by libvirt's error numbers (VIR_FROM_LOCKING with
VIR_ERR_RESOURCE_BUSY), never by text. libvirt 9 says the same of a lease that is missing or
damaged on the storage, so who must know asks the lockspace for the lease's owner. The same
lease held by another process of this host comes as VIR_ERR_SYSTEM_ERROR and is an ordinary
failure, like a lockspace that was not joined; with EAGAIN it is one that this host's sanlock is
just releasing for a process that ended (seen with sanlock 3.9.5), and is tried again in a moment.

While the lease's owner has fallen silent but is not surely dead, sanlock, and with it `start`,
waits until it is (measured: up to 68 s at io_timeout 1); the domain is starting up meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

from metadata.error_words import reason_with_file
from world.ports.errors import HypervisorError, HypervisorGoneError, LeaseHeldError
from world.ports.libvirt import (
    Domain,
    DomainState,
    Ending,
    EngineCpu,
    MigrationOptions,
    MigrationResult,
    Pause,
)
from world.vm import libvirt_migration
from world.vm.domain_endings import (
    ENDING_WORDS,
    DomainLife,
    after_event,
    after_look,
    after_request,
)
from world.vm.domain_states import domain_of
from world.vm.libvirt_login import Login

PID_DIRECTORY = Path("/run/libvirt/qemu")
QEMU_CONF = Path("/etc/libvirt/qemu.conf")
GUEST_PING = '{"execute":"guest-ping"}'

_KEEPALIVE_INTERVAL_S = 5
_KEEPALIVE_COUNT = 3
_RETRY_S = (1.0, 2.0, 5.0)
_EVENT_PATIENCE_S = 1.0

_loop_lock = threading.Lock()
_loop_thread: Optional[threading.Thread] = None


class LibvirtHypervisor:
    """The `Hypervisor` of the real world; safe to use from several threads.

    It connects at the first call and again whenever the connection is lost, at most every few
    seconds. `pid_directory` is where libvirt's qemu driver keeps its pid files. With `strict`,
    libvirt holds the XML of a start against its schema, instead of passing over what it does
    not know. `keepalive` is for who makes one call at a time and has no deadline for it: see
    `_LibvirtConnection`. With `gives_orders` the connection for them is opened with the first
    look, not with the first order: see `_order`.
    """

    def __init__(
        self,
        uri: str,
        domain_name: str,
        pid_directory: Path = PID_DIRECTORY,
        *,
        strict: bool = False,
        keepalive: bool = False,
        gives_orders: bool = False,
    ) -> None:
        self._uri = uri
        self._name = domain_name
        self._pid_directory = pid_directory
        self._strict = strict
        self._callbacks: list[Callable[[], None]] = []
        self._line = _LibvirtConnection(uri, self._connected, self._notify, keepalive)
        self._orders = _LibvirtConnection(uri, lambda _: [], lambda: None, keepalive)
        self._order_lock = threading.Lock()
        self._gives_orders = gives_orders
        self._news = threading.Condition()
        self._life = DomainLife()
        self._pid_of: tuple[int, Optional[int]] = (-1, None)
        self._migrates = self._copies = False
        self._job_stats: dict[str, Any] = {}
        self._stop_move: Optional[threading.Event] = None

    # --- the Hypervisor protocol --------------------------------------------------------------

    def domain(self) -> Domain:
        """The engine's domain now; raises HypervisorGoneError when libvirt can't say."""
        what = f"ask libvirt for domain {self._name}"
        with self._news:
            events_before = self._life.events
        try:
            found = self._look(self._line.connection(what))
        except _libvirt().libvirtError as error:
            raise self._gone(what, error) from error
        if found.state == DomainState.ABSENT:
            return self._absent(found, events_before)
        if found.state != DomainState.UNKNOWN:
            self._saw_present(events_before, found.state == DomainState.RUNNING)
        return found

    def start(
        self, domain_xml: str, before_run: Callable[[Optional[int]], None] = lambda _pid: None
    ) -> Domain:
        """Clean up a stale inactive domain, create a transient one, and return it running.

        libvirt's lock manager registers qemu with sanlock when it creates the process, and
        takes the lease when the processors are to start. Created paused, a qemu that sanlock
        does not know is found out before its guest has run: see `Hypervisor.start`.
        """
        what = f"start domain {self._name}"
        with self._order(what) as connection:
            created = self._create(what, connection, domain_xml)
            with self._removed_on_failure(what, connection, created):
                before_run(self._pid(created))
                created.resume()
        return self._present(what)

    def start_paused(
        self, domain_xml: str, before_run: Callable[[Optional[int]], None] = lambda _pid: None
    ) -> Domain:
        """As `start`, but leave it paused: see `AdministeredHypervisor.start_paused`."""
        what = f"start domain {self._name} paused"
        with self._order(what) as connection:
            created = self._create(what, connection, domain_xml)
            with self._removed_on_failure(what, connection, created):
                before_run(self._pid(created))
        return self._present(what)

    def _create(self, what: str, connection: Any, domain_xml: str) -> Any:
        try:
            self._clear_stale(what, connection)
            return self._create_paused(connection, domain_xml)
        except _libvirt().libvirtError as error:
            raise self._start_error(what, error, connection) from error

    @contextlib.contextmanager
    def _removed_on_failure(self, what: str, connection: Any, created: Any) -> Iterator[None]:
        """A paused domain that may not run, or can't, is not left behind."""
        try:
            yield
        except _libvirt().libvirtError as error:
            self._never_mind(created)
            if _is_absent(error):
                why = "it was removed while it was still paused"
                raise HypervisorError(what, why, error.get_error_code()) from error
            raise self._start_error(what, error, connection) from error
        except BaseException:
            self._never_mind(created)
            raise

    def _present(self, what: str) -> Domain:
        domain = self.domain()
        if domain.state == DomainState.ABSENT:
            ending = domain.detail or ENDING_WORDS[domain.ending]
            why = f"it ended at once ({ending}), or the XML names another domain"
            raise HypervisorError(what, why)
        return domain

    def _create_paused(self, connection: Any, domain_xml: str) -> Any:
        libvirt = _libvirt()
        strictly = libvirt.VIR_DOMAIN_START_VALIDATE if self._strict else 0
        return connection.createXML(domain_xml, libvirt.VIR_DOMAIN_START_PAUSED | strictly)

    def _never_mind(self, created: Any) -> None:
        with contextlib.suppress(_libvirt().libvirtError):
            created.destroy()

    def shutdown(self) -> None:
        """Ask the guest to power off (ACPI); HypervisorError when it is not running."""
        what = f"shut down domain {self._name}"
        with self._order(what) as connection:
            try:
                domain = connection.lookupByName(self._name)
                with self._news:
                    self._life = after_request(self._life)
                domain.shutdown()
            except _libvirt().libvirtError as error:
                raise self._error(what, error, connection) from error

    def resume_after_migration(self) -> None:
        """See `Hypervisor.resume_after_migration`.

        libvirt refuses it for as long as the migration's own job is under way, and its lock
        manager takes the lease before the processors are started.
        """
        libvirt = _libvirt()
        what = f"resume domain {self._name}"
        with self._order(what) as connection:
            try:
                domain = connection.lookupByName(self._name)
                found = domain_of(*domain.state())
                if found.pause is not Pause.MIGRATION:
                    raise HypervisorError(what, f"it is {_words(found)}")
                domain.resume()
            except libvirt.libvirtError as error:
                raise self._start_error(what, error, connection) from error

    def destroy(self) -> None:
        """Switch the domain off at once; fine when there is none."""
        what = f"destroy domain {self._name}"
        with self._order(what) as connection:
            try:
                connection.lookupByName(self._name).destroy()
            except _libvirt().libvirtError as error:
                if not _is_absent(error) and not _is_inactive(error):
                    raise self._error(what, error, connection) from error

    def migrate(self, address: str, options: MigrationOptions) -> MigrationResult:
        """See `Hypervisor.migrate`, and `world.vm.libvirt_migration` for how."""
        what = f"move domain {self._name} to {address}"
        begun_s = time.monotonic()
        stop = self._stop_move = threading.Event()
        try:
            with self._order(what) as connection:
                self._move(what, connection, address, options, stop)
        finally:
            self._stop_move = None
        libvirt, took_s = _libvirt(), time.monotonic() - begun_s
        told = self._told_at_end()
        return libvirt_migration.figures(libvirt, address, self._name, took_s, told)

    def _move(
        self, what: str, connection: Any, address: str, options: MigrationOptions,
        stop: threading.Event,
    ) -> None:  # fmt: skip
        libvirt = _libvirt()
        try:
            domain = self._movable(what, connection)
            traveller = libvirt_migration.Traveller.of(libvirt, domain)
            why = libvirt_migration.refusal_why(libvirt, address, connection, traveller)
            if why:
                raise HypervisorError(what, why)
            if stop.is_set():
                raise HypervisorError(what, "it was broken off before anything had moved")
            self._job_stats = {}
            # qemu's own word comes with its first pass over the memory.
            self._migrates, self._copies = True, False
            # What is asked while it goes on goes over the other connection: see `_order`.
            beside = self._line.connection(what).lookupByName(self._name)
            watch = libvirt_migration.Watch(libvirt, beside, options, stop)
            libvirt_migration.move(libvirt, domain, address, options, watch)
        except libvirt.libvirtError as error:
            raise self._move_error(what, error, connection) from error

    def _movable(self, what: str, connection: Any) -> Any:
        """The domain, if it runs; raises HypervisorError, libvirtError."""
        try:
            domain = connection.lookupByName(self._name)
        except _libvirt().libvirtError as error:
            if _is_absent(error):
                raise HypervisorError(what, "it is not here", error.get_error_code()) from error
            raise
        found = domain_of(*domain.state())
        if found.state != DomainState.RUNNING:
            raise HypervisorError(what, f"it is {_words(found)}")
        return domain

    def _move_error(self, what: str, error: Any, connection: Any) -> HypervisorError:
        """It may have failed at the end, when the domain was there already: libvirt is asked."""
        failed = self._error(what, error, connection)
        try:
            found = self.domain()
        except HypervisorError:
            return failed
        if found.state == DomainState.RUNNING:
            return failed
        why = f"{failed.why}; here the domain is {_words(found)}"
        return HypervisorError(what, why, error.get_error_code())

    def abort_migration(self) -> None:
        """See `Hypervisor.abort_migration`; other jobs (a save, a dump) are left alone.

        A call of `migrate` that still looks at the target does not go on after that.
        """
        stop = self._stop_move
        if stop is not None:
            stop.set()
        libvirt = _libvirt()
        what = f"break off the migration of domain {self._name}"
        connection = self._line.connection(what)
        try:
            domain = connection.lookupByName(self._name)
            if libvirt_migration.is_leaving(libvirt, domain):
                domain.abortJob()
        except libvirt.libvirtError as error:
            if not _is_absent(error) and not self._has_left(error):
                raise self._error(what, error) from error

    def _has_left(self, error: Any) -> bool:
        """Was there nothing to break off any more?"""
        if not _is_inactive(error):
            return False
        libvirt = _libvirt()
        try:
            domain = self._line.connection("look again").lookupByName(self._name)
            return not libvirt_migration.is_leaving(libvirt, domain)
        except libvirt.libvirtError as again:
            return _is_absent(again) or _is_inactive(again)

    def check_xml(self, domain_xml: str) -> None:
        """Could qemu's command line be made from it? Nothing is started or defined.

        Raises HypervisorError. libvirt passes over elements that it does not know.
        """
        what = "have libvirt look at the domain XML"
        connection = self._line.connection(what)
        try:
            connection.domainXMLToNative("qemu-argv", domain_xml, 0)
        except _libvirt().libvirtError as error:
            raise self._error(what, error) from error

    def has_network(self, name: str) -> bool:
        """See `AdministeredHypervisor.has_network`."""
        what = f"look for libvirt's network {name}"
        connection = self._line.connection(what)
        try:
            return bool(connection.networkLookupByName(name).isActive())
        except _libvirt().libvirtError as error:
            if error.get_error_code() == _libvirt().VIR_ERR_NO_NETWORK:
                return False
            raise self._error(what, error) from error

    def has_network_filter(self, name: str) -> bool:
        """See `AdministeredHypervisor.has_network_filter`."""
        what = f"look for libvirt's network filter {name}"
        connection = self._line.connection(what)
        try:
            connection.nwfilterLookupByName(name)
        except _libvirt().libvirtError as error:
            if error.get_error_code() == _libvirt().VIR_ERR_NO_NWFILTER:
                return False
            raise self._error(what, error) from error
        return True

    def not_reached_why(self, address: str) -> str:
        """See `AdministeredHypervisor.not_reached_why`."""
        what = f"look for this libvirt at {address}"
        connection = self._line.connection(what)
        try:
            return libvirt_migration.not_reached_why(_libvirt(), address, connection)
        except _libvirt().libvirtError as error:
            raise self._error(what, error) from error

    def live_xml(self) -> str:
        """The domain as it is here now; raises HypervisorError, also when it is not here."""
        what = f"look at the devices of domain {self._name}"
        connection = self._line.connection(what)
        try:
            return str(connection.lookupByName(self._name).XMLDesc(0))
        except _libvirt().libvirtError as error:
            raise self._error(what, error) from error

    def update_device(self, device_xml: str) -> None:
        """Change a device until the domain ends; raises HypervisorError."""
        libvirt = _libvirt()
        what = f"change a device of domain {self._name}"
        connection = self._line.connection(what)
        try:
            domain = connection.lookupByName(self._name)
            domain.updateDeviceFlags(device_xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        except libvirt.libvirtError as error:
            raise self._error(what, error) from error

    def cpu_time(self) -> Optional[EngineCpu]:
        """CPU time the engine's domain has used here, all of qemu's threads together.

        libvirt reads it from qemu's process, in the kernel's clock ticks (measured: the same
        as in /proc/PID/stat, guest time included). Where it says 0, it does not know.
        """
        what = f"read the CPU time of domain {self._name}"
        connection = self._line.connection(what)
        try:
            domain = connection.lookupByName(self._name)
            if not domain.isActive():
                return None
            used_ns = domain.info()[4]
        except _libvirt().libvirtError as error:
            if _is_absent(error) or _is_inactive(error):
                return None
            raise self._error(what, error) from error
        return EngineCpu(self._pid(domain), used_ns / 1e9 if used_ns else None)

    def ping_guest(self, timeout_s: float) -> bool:
        """Does the guest agent answer? libvirt takes whole seconds, and one at the least.

        An agent that has not opened its channel (the guest boots, or the agent's service does
        not run) is one that does not answer, for so it is with a kernel that is gone.
        """
        libvirt = _libvirt()
        import libvirt_qemu  # noqa: PLC0415 - a part of libvirt's binding

        what = f"ask the guest agent of domain {self._name}"
        with self._order(what) as connection:
            try:
                domain = connection.lookupByName(self._name)
                libvirt_qemu.qemuAgentCommand(domain, GUEST_PING, max(1, round(timeout_s)), 0)
            except libvirt.libvirtError as error:
                if error.get_error_code() in _silent_agent_codes(libvirt):
                    return False
                raise self._error(what, error, connection) from error
        return True

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` from libvirt's event thread; it must be quick and not call libvirt."""
        self._callbacks.append(callback)

    def close(self) -> None:
        """Close the connections; the next call would open them again."""
        self._line.close()
        self._orders.close()

    @contextlib.contextmanager
    def _order(self, what: str) -> Iterator[Any]:
        """A connection for one call that may last; raises HypervisorGoneError.

        Calls of several threads over one connection may wait for each other: one that comes in the
        moment in which libvirt's library begins to wait for the answer to another is not sent
        before that answer, or an event, has come. Measured with libvirt 9.0: while a migration
        waited for a target that does not answer, most looks at the domain lasted as long as that.

        So orders have a connection that is kept for them: on a host that is being shut down libvirt
        takes no new client any more (it can't ask polkit). While another order is at work on that
        one, a new one is tried; and an order over the shared one is better than none.
        """
        if self._order_lock.acquire(blocking=False):
            try:
                yield self._first_of(what, self._orders.connection)
            finally:
                self._order_lock.release()
        else:
            connection = self._first_of(what, self._orders.another)
            try:
                yield connection
            finally:
                if connection is not self._line.held:
                    with contextlib.suppress(_libvirt().libvirtError):
                        connection.close()

    def _first_of(self, what: str, own: Callable[[str], Any]) -> Any:
        try:
            return own(what)
        except HypervisorGoneError:
            return self._line.connection(what)

    # --- looking ------------------------------------------------------------------------------

    def _look(self, connection: Any) -> Domain:
        try:
            domain = connection.lookupByName(self._name)
            state, reason = domain.state()
        except _libvirt().libvirtError as error:
            if _is_absent(error):
                return Domain(DomainState.ABSENT)
            raise
        found = domain_of(state, reason)
        if found.state in (DomainState.RUNNING, DomainState.PAUSED):
            pid = self._pid(domain)
            if found.state == DomainState.RUNNING and self._migrates:
                return self._with_job(replace(found, pid=pid), domain)
            return replace(found, pid=pid)
        return found

    def _with_job(self, found: Domain, domain: Any) -> Domain:
        """`found`, and how far the migration is that an event told of, if it is under way still.

        Only after that event, and once on each new connection (it may have come before), is libvirt
        asked for its job: the question needs qemu's own answer, and one that is stuck would hold up
        every look at the domain. So one that does not answer is not asked again.

        It leaves from the first pass over its memory on. Before that libvirt connects to the target
        and has a qemu made there, and the job is one already: where all packets are dropped, for
        over two minutes, in which nothing leaves, and `abort_migration` is a promise.
        """
        libvirt = _libvirt()
        try:
            stats = domain.jobStats()
        except libvirt.libvirtError as error:
            if _is_absent(error):
                raise
            self._migrates = False
            return found
        self._migrates = stats.get("type") != libvirt.VIR_DOMAIN_JOB_NONE
        part = libvirt_migration.copied(libvirt, stats)
        self._copies = self._migrates and (self._copies or part is not None)
        return replace(found, leaving=True, copied=part) if self._copies else found

    def _absent(self, found: Domain, events_before: int) -> Domain:
        """libvirt forgets a domain a moment before it sends the event that says why."""
        with self._news:
            if found.ending == Ending.NONE:
                self._news.wait_for(lambda: not self._life.ended_untold, _EVENT_PATIENCE_S)
            self._life = after_look(self._life, False, events_before)
            ending, detail = self._life.ending, self._life.detail
        if ending == Ending.MISSING and found.ending != Ending.NONE:
            ending = found.ending
        return Domain(DomainState.ABSENT, ending, None, detail or found.detail)

    def _saw_present(self, events_before: int, runs: bool) -> None:
        with self._news:
            self._life = after_look(self._life, True, events_before, runs)

    def _pid(self, domain: Any) -> Optional[int]:
        """qemu's pid: libvirt's pid file, believed only if that process carries the UUID.

        libvirt offers no call for it; the file is written before the guest runs, and a stale
        file or a reused pid does not have this domain's UUID on its command line.
        """
        domain_id = domain.ID()
        if self._pid_of[0] != domain_id or self._pid_of[1] is None:
            self._pid_of = (domain_id, self._find_pid(domain.UUIDString()))
        return self._pid_of[1]

    def _find_pid(self, uuid: str) -> Optional[int]:
        try:
            pid = int((self._pid_directory / f"{self._name}.pid").read_text())
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if uuid.encode() in arguments.split(b"\0") else None

    # --- starting -----------------------------------------------------------------------------

    def _clear_stale(self, what: str, connection: Any) -> None:
        """Remove what a crash left behind; refuse while the domain is in use."""
        libvirt = _libvirt()
        try:
            domain = connection.lookupByName(self._name)
        except libvirt.libvirtError as error:
            if _is_absent(error):
                return
            raise
        found = domain_of(*domain.state())
        if found.state != DomainState.ABSENT:
            raise HypervisorError(what, f"it is here already and {_words(found)}")
        persistent = domain.isPersistent()
        if domain.isActive():
            domain.destroy()
        if persistent:
            _undefine(domain)

    def _start_error(self, what: str, error: Any, connection: Any) -> Exception:
        libvirt = _libvirt()
        number = error.get_error_code()
        if error.get_error_domain() != libvirt.VIR_FROM_LOCKING:
            return self._error(what, error, connection)
        if number == libvirt.VIR_ERR_RESOURCE_BUSY:
            return LeaseHeldError(what, libvirt_migration.text(error), number)
        if (number, error.get_int1()) == (libvirt.VIR_ERR_SYSTEM_ERROR, errno.EAGAIN):
            said = libvirt_migration.text(error)
            why = f"this host is still letting the lease of an earlier VM go: {said}"
            return LeaseHeldError(what, why, number)
        return self._error(what, error, connection)

    # --- events -------------------------------------------------------------------------------

    def _connected(self, connection: Any) -> list[int]:
        libvirt = _libvirt()
        # A libvirtd that was restarted without a domain counts their ids from 1 again.
        self._pid_of = (-1, None)
        # What began before this connection, or this process, is told by nobody.
        self._migrates, self._copies = True, False
        if self._gives_orders:
            with contextlib.suppress(HypervisorGoneError):  # it is tried again with the order
                self._orders.connection("prepare orders")
        callbacks = (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._on_other),
            (libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR, self._on_other),
            (libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, self._on_migration),
            (libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, self._on_job_end),
        )
        return [
            connection.domainEventRegisterAny(None, event_id, callback, None)
            for event_id, callback in callbacks
        ]

    def _on_lifecycle(
        self, _connection: Any, domain: Any, event: int, detail: int, _opaque: Any
    ) -> None:
        if domain.name() != self._name:
            return
        with self._news:
            self._life = after_event(self._life, event, detail)
            self._news.notify_all()
        self._notify()

    def _on_other(self, _connection: Any, domain: Any, *_details: Any) -> None:
        if domain.name() == self._name:
            self._notify()

    def _on_migration(self, _connection: Any, domain: Any, *_details: Any) -> None:
        """qemu begins a pass over the memory: a migration from here has begun, or goes on."""
        if domain.name() == self._name:
            self._migrates = self._copies = True
            self._notify()

    def _on_job_end(
        self, _connection: Any, domain: Any, stats: dict[str, Any], _opaque: Any
    ) -> None:
        """The figures of a migration from here, told once: the domain is forgotten then."""
        if domain.name() == self._name:
            with self._news:
                self._job_stats = dict(stats)
                self._news.notify_all()

    def _told_at_end(self) -> dict[str, Any]:
        """Those of the migration that has just ended; the event may come a moment later."""
        with self._news:
            self._news.wait_for(lambda: bool(self._job_stats), _EVENT_PATIENCE_S)
            return self._job_stats

    def _notify(self) -> None:
        for callback in self._callbacks:
            callback()

    # --- errors -------------------------------------------------------------------------------

    def _error(self, what: str, error: Any, connection: Any = None) -> HypervisorError:
        """Of a call over `connection`; None: over the one for looks."""
        alive = self._line.is_alive() if connection is None else _is_usable(connection)
        if not alive:
            return self._gone(what, error)
        return HypervisorError(what, libvirt_migration.text(error), error.get_error_code())

    def _gone(self, what: str, error: Any) -> HypervisorGoneError:
        return HypervisorGoneError(what, libvirt_migration.text(error), error.get_error_code())


class _LibvirtConnection:
    """The connection to libvirt, opened again when lost, and not more often than is useful.

    A call to a frozen libvirtd lasts as long as it is frozen. With `keepalive` it fails after
    20 s; but that closes the connection under all calls that wait on it, and the library ends
    the process (SIGSEGV, libvirt 9.0.0) when libvirtd wakes up and there were several. So the
    daemons, whose calls are jobs that are looked after, do without.
    """

    def __init__(
        self,
        uri: str,
        on_open: Callable[[Any], list[int]],
        on_close: Callable[[], None],
        keepalive: bool,
    ) -> None:
        self._uri = uri
        self._on_open = on_open
        self._on_close = on_close
        self._keepalive = keepalive
        self._lock = threading.Lock()
        self._connection: Any = None
        self._event_ids: list[int] = []
        self._failures = 0
        self._retry_at_s = 0.0
        self._why = ""

    def connection(self, what: str) -> Any:
        """An open connection; raises HypervisorGoneError."""
        with self._lock:
            if self._connection is not None and self._usable():
                return self._connection
            self._drop()
            if time.monotonic() < self._retry_at_s:
                raise HypervisorGoneError(what, self._why)
            return self._open(what)

    @property
    def held(self) -> Any:
        """The connection that is open, or was; None: none."""
        return self._connection

    def is_alive(self) -> bool:
        with self._lock:
            return self._connection is not None and self._usable()

    def close(self) -> None:
        with self._lock:
            self._drop()

    def another(self, what: str) -> Any:
        """One more, which nobody watches: the caller's to close. Raises HypervisorGoneError."""
        libvirt = _libvirt()
        _run_event_loop(libvirt)
        login = Login(self._uri)
        try:
            connection = login.open(libvirt)
        except libvirt.libvirtError as error:
            why = self._refused_why(login.asked_why or libvirt_migration.text(error))
            raise HypervisorGoneError(what, why, error.get_error_code()) from error
        except OSError as error:
            raise HypervisorGoneError(what, self._refused_why(reason_with_file(error))) from error
        if self._keepalive:
            _keep_alive(connection)
        return connection

    def _open(self, what: str) -> Any:
        libvirt = _libvirt()
        try:
            connection = self.another(what)
        except HypervisorGoneError as error:
            self._back_off(error.why)
            raise
        try:
            self._watch(connection)
        except libvirt.libvirtError as error:
            self._back_off(self._refused_why(libvirt_migration.text(error)))
            raise HypervisorGoneError(what, self._why, error.get_error_code()) from error
        self._failures = 0
        self._connection = connection
        return connection

    def _watch(self, connection: Any) -> None:
        connection.registerCloseCallback(lambda *_: self._on_close(), None)
        self._event_ids = self._on_open(connection)

    def _usable(self) -> bool:
        return _is_usable(self._connection)

    def _drop(self) -> None:
        """Callbacks keep their connection alive, so they go first; a dead one only complains."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        libvirt = _libvirt()
        for event_id in self._event_ids:
            with contextlib.suppress(libvirt.libvirtError):
                connection.domainEventDeregisterAny(event_id)
        with contextlib.suppress(libvirt.libvirtError):
            connection.unregisterCloseCallback()
        with contextlib.suppress(libvirt.libvirtError):
            connection.close()

    def _back_off(self, why: str) -> None:
        wait_s = _RETRY_S[min(self._failures, len(_RETRY_S) - 1)]
        self._failures += 1
        self._retry_at_s = time.monotonic() + wait_s
        self._why = why

    def _refused_why(self, why: str) -> str:
        return f"no connection to {self._uri}: {why}"


def _is_usable(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except _libvirt().libvirtError:
        return False


def _keep_alive(connection: Any) -> None:
    with contextlib.suppress(_libvirt().libvirtError):  # a driver inside this process
        connection.setKeepAlive(_KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT)


def uses_sanlock(qemu_conf: Path = QEMU_CONF) -> bool:
    """Does libvirt's qemu.conf ask for the sanlock lock manager? No file: no."""
    try:
        lines = qemu_conf.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return False
    settings = [line.partition("=") for line in lines if not line.lstrip().startswith("#")]
    values = [value for name, _, value in settings if name.strip() == "lock_manager"]
    return bool(values) and values[-1].partition("#")[0].strip().strip("\"'") == "sanlock"


def _libvirt() -> Any:
    """The module `libvirt`; importing it late lets machines without it use our types."""
    try:
        import libvirt  # noqa: PLC0415
    except ImportError as error:
        why = f"{error}; install the distribution's package python3-libvirt"
        raise HypervisorGoneError("load libvirt's Python binding", why) from error
    return libvirt


def _run_event_loop(libvirt: Any) -> None:
    """Start the one event loop of this process; it must exist before the first connection."""
    global _loop_thread  # noqa: PLW0603 - libvirt's own loop is one per process too
    with _loop_lock:
        if _loop_thread is not None:
            return
        libvirt.registerErrorHandler(lambda _opaque, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        _loop_thread = threading.Thread(
            target=_loop, args=(libvirt,), name="libvirt-events", daemon=True
        )
        _loop_thread.start()


def _loop(libvirt: Any) -> None:
    while True:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()


def _undefine(domain: Any) -> None:
    """Forget a definition with what hangs on it; its NVRAM stays, the next start needs it."""
    libvirt = _libvirt()
    flags = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
    )
    try:
        domain.undefineFlags(flags)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:  # a driver without these
            raise
        domain.undefine()


def _is_absent(error: Any) -> bool:
    return bool(error.get_error_code() == _libvirt().VIR_ERR_NO_DOMAIN)


def _is_inactive(error: Any) -> bool:
    return bool(error.get_error_code() == _libvirt().VIR_ERR_OPERATION_INVALID)


def _silent_agent_codes(libvirt: Any) -> tuple[Optional[int], ...]:
    """What libvirt says of an agent that does not answer; the last one is a newer libvirt's."""
    newer = getattr(libvirt, "VIR_ERR_AGENT_COMMAND_TIMEOUT", None)
    return libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_ERR_AGENT_UNSYNCED, newer


def _words(domain: Domain) -> str:
    return f"{domain.state.value} ({domain.detail})" if domain.detail else domain.state.value
