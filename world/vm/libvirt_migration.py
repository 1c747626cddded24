# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A live migration by libvirt: the look at the target before it, the move, and its figures.

The source's libvirtd makes the move itself, peer to peer: it goes on, or is undone, whatever
becomes of the process that asked for it. What that process adds are the limit, and with post-copy
the switch to it; both end with the process.

libvirt's Python binding is handed in as `libvirt`, for one file alone imports it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any, Callable, Generic, Optional, TypeVar
from xml.etree import ElementTree

from metadata.value_class import value_class
from world.ports.errors import HypervisorError
from world.ports.libvirt import (
    BROKEN_OFF,
    NO_CONNECTION,
    SILENT_TARGET,
    TOO_LONG,
    MigrationOptions,
    MigrationResult,
)

# A libvirtd that has just begun asks qemu first what it can do: 8 s were seen on a busy machine.
LOOK_S = 20.0
FIGURES_S = 5.0
_WATCH_S = 0.5
# libvirt's words, whoever of both daemons and this process says them, and what they mean. There is
# no error number for the second: the other side was content with the handshake, looked at the
# certificate then, and hung up. Only people go by it.
_MEANT = {
    "Failed to verify peer's certificate": (
        "its certificate is not taken here: it has ended, or has another name or authority than "
        "it should"
    ),
    "Unable to read TLS confirmation": (
        "it does not take this host's certificate, and its log says why: another authority, or "
        "not in its tls_allowed_dn_list"
    ),
}
# A connection that is asked for one thing after the other, by one thread: with this it ends.
_KEEPALIVE_INTERVAL_S = 5
_KEEPALIVE_COUNT = 3
T = TypeVar("T")


@value_class(frozen=True)
class Traveller:
    """What the target must be able to run, from the domain's own XML."""

    name: str
    uuid: str
    kind: str
    emulator: str
    arch: str
    machine: str
    cpu_xml: str

    @classmethod
    def of(cls, libvirt: Any, domain: Any) -> Traveller:
        """The running `domain`; raises libvirtError."""
        root = ElementTree.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE))
        system, cpu = root.find("os/type"), root.find("cpu")
        return cls(
            domain.name(),
            domain.UUIDString(),
            root.get("type", ""),
            root.findtext("devices/emulator", ""),
            "" if system is None else system.get("arch", ""),
            "" if system is None else system.get("machine", ""),
            "" if cpu is None else ElementTree.tostring(cpu, "unicode"),
        )


# --- before anything moves -------------------------------------------------------------------


def may_look() -> bool:
    """May this process use the network at all? The agent's unit keeps it off.

    Where it may not, the look is left to the source's libvirtd: it connects to the target, too, and
    asks it the same before anything moves; what it says then is told.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM):
            return True
    except OSError:
        return False


def refusal_why(libvirt: Any, address: str, here: Any, traveller: Traveller) -> str:
    """Why the libvirt at `address` can't take the domain of connection `here`; empty: it can, or
    this process may not look (`may_look`).

    Blocks for `LOOK_S` at the most.
    """
    if not may_look():
        return ""
    answer = _within(LOOK_S, lambda: _look_at(libvirt, address, here, traveller))
    if answer is None:
        return f"the libvirt at {address} {SILENT_TARGET} {LOOK_S:g} s"
    return answer


def _look_at(libvirt: Any, address: str, here: Any, traveller: Traveller) -> str:
    try:
        with _connection(libvirt, address) as there:
            if _host_uuid(there) == _host_uuid(here):
                return f"{address} is this very host"
            return (
                _name_why(libvirt, there, traveller)
                or _machine_why(libvirt, there, traveller)
                or _cpu_why(libvirt, there, traveller)
            )
    except libvirt.libvirtError as error:
        return f"{NO_CONNECTION} {address}: {text(error)}"


def not_reached_why(libvirt: Any, address: str, here: Any) -> str:
    """Why the libvirt of connection `here` is not the one at `address`; empty: it is.

    Blocks for as long as libvirt lets it.
    """
    try:
        with _connection(libvirt, address) as there:
            if _host_uuid(there) != _host_uuid(here):
                return f"at {address} answers the libvirt of another host"
    except libvirt.libvirtError as error:
        return f"{NO_CONNECTION} {address}: {text(error)}"
    return ""


def _host_uuid(connection: Any) -> Optional[str]:
    return ElementTree.fromstring(connection.getCapabilities()).findtext("host/uuid")


def _name_why(libvirt: Any, there: Any, traveller: Traveller) -> str:
    try:
        found = there.lookupByName(traveller.name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return ""
        raise
    if found.isActive():
        return f"a domain {traveller.name} runs there already"
    if found.UUIDString() != traveller.uuid:
        return f"another domain is defined as {traveller.name} there"
    return ""


def _machine_why(libvirt: Any, there: Any, traveller: Traveller) -> str:
    kind = traveller.emulator, traveller.arch, traveller.machine, traveller.kind
    try:
        there.getDomainCapabilities(*(word or None for word in kind), 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return ""
        words = f"a machine of type {traveller.machine} ({traveller.kind}, {traveller.emulator})"
        return f"the target can't run {words}: {text(error)}"
    return ""


def _cpu_why(libvirt: Any, there: Any, traveller: Traveller) -> str:
    """libvirt's own comparison. A CPU that it checks nowhere (``check='none'``) is not compared."""
    if not traveller.cpu_xml or 'check="none"' in traveller.cpu_xml.partition(">")[0]:
        return ""
    kind = traveller.emulator, traveller.arch, traveller.machine, traveller.kind
    flags = libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE
    try:
        there.compareHypervisorCPU(*(word or None for word in kind), traveller.cpu_xml, flags)
    except libvirt.libvirtError as error:
        if error.get_error_code() in _can_not_compare_codes(libvirt):
            return ""  # libvirt looks once more when it moves the domain
        return f"the target's CPU is not enough for it: {text(error)}"
    return ""


def _can_not_compare_codes(libvirt: Any) -> tuple[int, ...]:
    """A model that the target does not know comes as an internal error, and is a refusal."""
    return (
        libvirt.VIR_ERR_NO_SUPPORT,
        libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
        libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
    )


# --- the move ---------------------------------------------------------------------------------


def move(libvirt: Any, domain: Any, address: str, options: MigrationOptions, watch: Watch) -> None:
    """Have libvirt move `domain`; blocks until it has, or has given up, as `watch` makes it.

    Raises libvirtError, and `HypervisorError` where it was broken off from here. Whether the domain
    is still here then, is not said.
    """
    domain.migrateSetMaxDowntime(options.downtime_ms, 0)
    watch.start()
    try:
        domain.migrateToURI3(address, _parameters(libvirt, options), _flags(libvirt, options))
    except libvirt.libvirtError as error:
        broke_off_why = watch.broke_off_why or (BROKEN_OFF if watch.is_to_stop else "")
        if not broke_off_why:
            raise
        why = f"{broke_off_why}: {text(error)}"
        what = f"move domain {domain.name()} to {address}"
        raise HypervisorError(what, why, error.get_error_code()) from error
    finally:
        watch.end()


def _parameters(libvirt: Any, options: MigrationOptions) -> dict[str, Any]:
    if not options.bandwidth_mib_s:
        return {}
    return {libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: options.bandwidth_mib_s}


def _flags(libvirt: Any, options: MigrationOptions) -> int:
    """The domain is transient, and stays so: nothing is defined at the target."""
    flags = libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_LIVE
    flags |= libvirt.VIR_MIGRATE_ABORT_ON_ERROR  # its disk fails: then it stays
    if options.auto_converge:
        flags |= libvirt.VIR_MIGRATE_AUTO_CONVERGE
    if options.post_copy:
        flags |= libvirt.VIR_MIGRATE_POSTCOPY
    if options.encrypt:  # what goes from qemu to qemu: the two daemons' own TLS is not for that
        flags |= libvirt.VIR_MIGRATE_TLS
    return int(flags)


class Watch:
    """Breaks a migration off that takes too long, or is to `stop`; with post-copy it switches to
    that before.

    libvirt only allows post-copy; it begins when somebody asks for it. That is done once all of the
    memory was copied for the first time, so that little is left to fetch. `domain` is that of
    another connection than the one over which it is moved.
    """

    def __init__(
        self, libvirt: Any, domain: Any, options: MigrationOptions, stop: threading.Event
    ) -> None:
        self.broke_off_why = ""
        self._stop = stop
        self._libvirt = libvirt
        self._domain = domain
        self._options = options
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="migration-limit", daemon=True)

    @property
    def is_to_stop(self) -> bool:
        """Shall it be broken off, whatever the limit?"""
        return self._stop.is_set()

    def start(self) -> None:
        """From now on the limit counts."""
        self._thread.start()

    def end(self) -> None:
        """The migration has ended."""
        self._ended.set()

    def _run(self) -> None:
        limit_s, post_copy = self._options.limit_s, self._options.post_copy
        ends_at_s = time.monotonic() + limit_s
        while (left_s := ends_at_s - time.monotonic()) > 0 and not self._stop.is_set():
            if self._ended.wait(min(left_s, _WATCH_S)):
                return
            if post_copy and self._has_copied_all_once():
                post_copy = not self._asked(self._domain.migrateStartPostCopy)
        why = BROKEN_OFF
        if not self._stop.is_set():
            why = f"{TOO_LONG} {limit_s:g} s and was broken off"
        self._break_off(why)

    def _break_off(self, why: str) -> None:
        """libvirt refuses it while there is no job yet, and where it is too late."""
        while not self._ended.is_set():
            self.broke_off_why = why  # before it: the other thread looks as soon as it has ended
            if self._asked(self._domain.abortJob):
                return
            self.broke_off_why = ""
            self._ended.wait(_WATCH_S)

    def _has_copied_all_once(self) -> bool:
        with contextlib.suppress(self._libvirt.libvirtError):
            stats = self._domain.jobStats()
            return int(stats.get(self._libvirt.VIR_DOMAIN_JOB_MEMORY_ITERATION, 0)) > 1
        return False

    def _asked(self, order: Callable[[], object]) -> bool:
        try:
            order()
        except self._libvirt.libvirtError:  # it is over, or too late for that
            return False
        return True


# --- while it goes on, and after it ------------------------------------------------------------


def copied(libvirt: Any, stats: dict[str, Any]) -> Optional[float]:
    """How much of the memory (0 to 1) the target has, by the job's `stats`; None: not known.

    It falls back as the guest changes what was copied already.
    """
    total = stats.get(libvirt.VIR_DOMAIN_JOB_MEMORY_TOTAL)
    remaining = stats.get(libvirt.VIR_DOMAIN_JOB_MEMORY_REMAINING)
    if not total or remaining is None:
        return None
    return min(1.0, max(0.0, 1 - float(remaining) / float(total)))


def is_leaving(libvirt: Any, domain: Any) -> bool:
    """Does a migration take `domain` away? Raises libvirtError."""
    stats = domain.jobStats()
    if stats.get("type", libvirt.VIR_DOMAIN_JOB_NONE) == libvirt.VIR_DOMAIN_JOB_NONE:
        return False
    away = libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
    return bool(stats.get(libvirt.VIR_DOMAIN_JOB_OPERATION, away) == away)


def figures(
    libvirt: Any, address: str, name: str, took_s: float, told: Optional[dict[str, Any]] = None
) -> MigrationResult:
    """What libvirt says of the migration that has brought domain `name` to `address`.

    `told` is what the source's libvirt has said at its end; of a transient domain it forgets that
    with it. The target knows it, too, and is asked where nothing was told and this process may.
    `took_s` is what was measured here, for where nobody says.
    """
    stats = told or {}
    if not stats and may_look():
        stats = _within(FIGURES_S, lambda: _completed(libvirt, address, name)) or {}
    elapsed_ms = stats.get(libvirt.VIR_DOMAIN_JOB_TIME_ELAPSED)
    net_ms = stats.get(libvirt.VIR_DOMAIN_JOB_DOWNTIME_NET)
    return MigrationResult(
        took_s if elapsed_ms is None else elapsed_ms / 1000,
        stats.get(libvirt.VIR_DOMAIN_JOB_DOWNTIME) if net_ms is None else net_ms,
        stats.get(libvirt.VIR_DOMAIN_JOB_DATA_PROCESSED),
    )


def _completed(libvirt: Any, address: str, name: str) -> dict[str, Any]:
    with contextlib.suppress(libvirt.libvirtError), _connection(libvirt, address) as there:
        flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED
        return dict(there.lookupByName(name).jobStats(flags))
    return {}


# --- connections to others ----------------------------------------------------------------------


@contextlib.contextmanager
def _connection(libvirt: Any, address: str) -> Any:
    """A connection that ends with the block; raises libvirtError."""
    connection = libvirt.open(address)
    try:
        with contextlib.suppress(libvirt.libvirtError):  # a driver inside this process
            connection.setKeepAlive(_KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT)
        yield connection
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            connection.close()


class _Answer(Generic[T]):
    """What a thread of its own has found, perhaps too late."""

    def __init__(self, question: Callable[[], T]) -> None:
        self.value: Optional[T] = None
        self.error: Optional[BaseException] = None
        self._question = question

    def find(self) -> None:
        try:
            self.value = self._question()
        except BaseException as error:  # it is raised where it is waited for
            self.error = error


def _within(limit_s: float, question: Callable[[], T]) -> Optional[T]:
    """The answer to `question`, or None when it is not there in time.

    A host that is gone keeps whoever connects to it waiting for minutes, and libvirt has no
    deadline for that: the thread that waits is left to itself then.
    """
    answer = _Answer(question)
    thread = threading.Thread(target=answer.find, name="migration-target", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        return None
    if answer.error is not None:
        raise answer.error
    return answer.value


def text(error: Any) -> str:
    """What libvirt says of `error`, with what it means before it where that is not to be seen."""
    said = str(error.get_error_message() or error)
    return next((f"{meant} ({said})" for words, meant in _MEANT.items() if words in said), said)
