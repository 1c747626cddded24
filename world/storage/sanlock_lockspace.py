# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""sanlock: lockspace, engine's lease, lock of writers.

The only file that imports `sanlock`, its Python binding, or, where there is none, `libsanlock`,
which offers the same (ADR 59).

Decisions follow the error number, never its text. What the numbers mean was measured with
sanlock 3.8.5 and is pinned by the contract tests:

=======================  =====================================================================
-223                     no lockspace or lease on the storage
-243                     the lease is held by a live host
-262                     another host renews this host id
EAGAIN (get_hosts)       just joined: the daemon has not looked at the others yet
EEXIST (acquire)         a process of this host holds the lease, or one of its names elsewhere
EEXIST (add)             joined already with this id
EINPROGRESS (add)        another join of this id is under way
EINVAL (add)             joined with another id
EINVAL (owners)          there is no lease at that place (`read_resource` says -223)
EBUSY (rem)              a process here holds a lease
ENOSPC (acquire)         not joined
ENOENT                   not joined, or no daemon: `get_lockspaces` tells which
EBUSY (inquire)          another process asks about the same one just now
ESRCH (inquire)          the daemon does not know that process
=======================  =====================================================================

`inq_lockspace` answers False when there is no daemon at all, so it is never asked alone.
The library reads SANLOCK_RUN_DIR at its first call and never again.
"""

from __future__ import annotations

import errno as errno_module
import os
import re
import subprocess
import time
from collections.abc import Iterable, Mapping
from typing import Any, Callable, Optional, TypeVar

from metadata.error_words import shown
from metadata.layout import (
    CONFIG_LEASE_NAME,
    LEASE_NAME,
    LOCKSPACE_NAME,
    MAX_HOSTS,
    config_lease_address,
    required_sizes,
    sanlock_align,
)
from metadata.liveness import Liveness
from metadata.plain_text import printable_text
from metadata.records import VolumeAddress
from metadata.sanlock_disk import HOST_ID_MAGIC, parse_record
from metadata.sanlock_usual import USUAL_FIRE_TIMEOUT_S
from metadata.settings.parse import StorageParts
from world.ports.errors import (
    ACQUIRE_IDLIVE,
    HOSTID_BUSY,
    LEADER_MAGIC,
    LeaseHeldError,
    LockspaceBusyError,
    LockspaceError,
    LockspaceGoneError,
    StorageError,
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
from world.ports.storage import BlockStore
from world.storage.direct_store import DirectStore
from world.storage.volume_trouble import volume_trouble

T = TypeVar("T")

AIO_TIMEOUT = -202

BUSY_PATIENCE_S = 1.0

_HOST_MASK = 0xF
_LEADER_SIZE = 4096
_BLOCK_SIZE = 4096
_GONE_ERRNOS = (
    errno_module.ENOENT,
    errno_module.ECONNREFUSED,
    errno_module.EPIPE,
    errno_module.ECONNRESET,
)
_BUSY_ERRNOS = (
    errno_module.EBUSY,
    errno_module.EINTR,
    errno_module.EAGAIN,
    errno_module.ETIMEDOUT,
    AIO_TIMEOUT,
)
# Drawn anew each time up to this, so that two who ask do not keep step.
_LONGEST_BUSY_PAUSE_S = 0.01
_LOCKSPACE = LOCKSPACE_NAME.encode()
_LEASE = LEASE_NAME.encode()
_CONFIG_LEASE = CONFIG_LEASE_NAME.encode()
_CLIENT_TIMEOUT_S = 10.0
_LEAVING_LOOK_S = 0.05
# What sanlock says where the volume ends before its area, and where it can't open the volume as it
# must (seen with 3.8.5), or can no longer write to it.
_SHORT_ERRNOS = (errno_module.EMSGSIZE, errno_module.EINVAL)
_CLOSED_ERRNOS = (
    *(errno_module.ENODEV, errno_module.ENOENT, errno_module.ENOSPC),
    *(errno_module.EROFS, errno_module.EACCES, errno_module.EPERM, errno_module.EBADF),
)
_VOLUME_ERRNOS = (*_SHORT_ERRNOS, *_CLOSED_ERRNOS)
_RENEWAL_NAMES = {"timestamp", "read_ms", "write_ms"}


class SanlockLockspace:
    """`Lockspace`, `WriterLock` and `LockspaceAdmin` of the real world: this host's sanlock.

    `store` reads the lease's first 4096 bytes, see `lease_owner`. `stopping` says that the
    machine is about to stop sanlock, which ends by itself what it has begun.
    """

    def __init__(
        self, parts: StorageParts, store: Optional[BlockStore] = None, *, stopping: bool = False
    ) -> None:
        self._parts = parts
        self._stopping = stopping
        self._store: BlockStore = store or DirectStore(read_only=True, needed=required_sizes(parts))
        self._owner_seen: Optional[tuple[bytes, Optional[LeaseOwner]]] = None
        self._registered_fd: Optional[int] = None

    # --- membership -------------------------------------------------------------------------

    def join(self, host_id: int, io_timeout_s: int) -> None:
        """Join and wait until it is done; joined already with this id is fine.

        Raises LockspaceError: EINVAL (joined with another id), -223 (no lockspace there),
        -262 (another host renews this id; that is known only after its whole floor).
        """
        what = f"join lockspace {LOCKSPACE_NAME} as host id {host_id}"
        path, offset = self._parts.lockspace.path, self._parts.lockspace.offset
        binding = _binding()
        try:
            binding.add_lockspace(_LOCKSPACE, host_id, path, offset, io_timeout_s)
        except binding.SanlockException as error:
            if error.errno == errno_module.EINPROGRESS:
                self._wait_for_other_join(what, host_id)
            elif error.errno != errno_module.EEXIST:
                raise self._storage_error(what, _not_there(_typed(what, error))) from error

    def leave_if_unused(self, host_id: int) -> bool:
        """Leave; False (and still joined) while any process here holds a lease of it."""
        what = f"leave lockspace {LOCKSPACE_NAME} as host id {host_id}"
        entry = self._joined_entry()
        if entry is None:
            return True
        if entry["host_id"] != host_id:
            why = f"this host has joined as host id {entry['host_id']}"
            raise LockspaceError(what, why, errno_module.EINVAL)
        binding = _binding()
        try:
            binding.rem_lockspace(
                _LOCKSPACE, host_id, self._parts.lockspace.path, self._parts.lockspace.offset,
                wait=False, unused=True,
            )  # fmt: skip
        except binding.SanlockException as error:
            if error.errno == errno_module.EBUSY:
                return False
            typed = _typed(what, error)
            if typed.errno != errno_module.ENOENT:
                raise typed from error
            return True  # it was lost meanwhile
        self._wait_until_left()
        return True

    def _wait_until_left(self) -> None:
        """sanlock's own wait looks once a second only; a host's shutdown waits for this.

        A lockspace that is being removed can't be used any more, and no longer keeps sanlock from
        stopping: it frees this host's place first.
        """
        while (entry := self._joined_entry()) is not None:
            if self._stopping and entry["flags"] & _binding().LSFLAG_REM:
                return
            time.sleep(_LEAVING_LOOK_S)

    def membership(self, host_id: int) -> Membership:
        """Asked of the local daemon, without I/O on the storage."""
        entry = self._joined_entry()
        if entry is None or entry["host_id"] != host_id:
            return Membership.OUT
        if entry["flags"] & _binding().LSFLAG_ADD:
            return Membership.JOINING
        return Membership.JOINED if self._inquire_lockspace(host_id) else Membership.OUT

    def hosts(self) -> list[LockspaceHost]:
        """All hosts that sanlock sees using their id; empty until its first look.

        No I/O on the storage. An id that was left in order is not listed any more.
        """
        binding = _binding()
        try:
            found = binding.get_hosts(_LOCKSPACE, 0)
        except binding.SanlockException as error:
            if error.errno == errno_module.EAGAIN:
                return []
            raise _not_joined("ask sanlock for the hosts", error) from error
        return _hosts(found, _livenesses(binding))

    # --- the lease ----------------------------------------------------------------------------

    def lease_owner(self) -> Optional[LeaseOwner]:
        """Read the lease's owner from storage; None: nobody owns it.

        sanlock reads the whole area (1 or 8 MiB) to answer, so it is asked only when the
        area's first 4096 bytes, where every change of the owner shows, are not what they were.
        """
        leader = self._read_leader()
        if self._owner_seen is None or self._owner_seen[0] != leader:
            self._owner_seen = (leader, self._ask_owner())
        return self._owner_seen[1]

    def process_holds_lease(self, pid: int) -> bool:
        """Does the local process `pid` hold the engine's lease? Without I/O on the storage.

        A lease of that name somewhere else is another one: nobody else waits for it.
        """
        leases = self._leases_of(pid) or []
        return any(self._is_the_engines(resource) for resource in leases)

    def _is_the_engines(self, resource: dict[str, Any]) -> bool:
        if (resource["lockspace"], resource["resource"]) != (_LOCKSPACE, _LEASE):
            return False
        return any(self._is_its_place(path, offset) for path, offset in resource["disks"])

    def _is_its_place(self, path: str, offset: int) -> bool:
        """Another path to the same file is no other place; the links are followed only then."""
        place = self._parts.lease
        if offset != place.offset:
            return False
        return path == place.path or os.path.realpath(path) == os.path.realpath(place.path)

    def process_is_registered(self, pid: int) -> bool:
        """Is the local process `pid` a client of sanlock, with or without leases?"""
        return self._leases_of(pid) is not None

    def held_version(self, pid: int) -> Optional[int]:
        """See `Lockspace.held_version`."""
        versions = [
            int(resource["version"])
            for resource in self._leases_of(pid) or []
            if self._is_the_engines(resource)
        ]
        return versions[0] if versions else None

    def lease_version(self) -> int:
        """See `Lockspace.lease_version`."""
        place = self._parts.lease
        found = self._on_storage(
            f"read the lease at {_place(place)}",
            lambda binding: binding.read_resource(place.path, place.offset, **self._geometry()),
        )
        return int(found["version"])

    def _leases_of(self, pid: int) -> Optional[list[dict[str, Any]]]:
        """What `pid` holds: lockspace, name and place; None: sanlock does not know it."""
        binding = _binding()
        try:
            resources = _ask_again_while_busy(binding, lambda: binding.inquire(pid=pid))
        except binding.SanlockException as error:
            if error.errno == errno_module.ESRCH:
                return None
            what = f"ask sanlock for the leases of process {pid}"
            if error.errno in _BUSY_ERRNOS:
                raise LockspaceBusyError(what, str(error.args[-1]), error.errno) from error
            raise _typed(what, error) from error
        return list(resources)

    def fire_timeout_s(self) -> int:
        """The daemon's watchdog_fire_timeout; before 3.9.0 it is none of its settings, and 60."""
        text = daemon_settings().get("watchdog_fire_timeout", str(USUAL_FIRE_TIMEOUT_S))
        if not text.isdigit():
            what = "ask sanlock for its watchdog_fire_timeout"
            raise LockspaceError(what, f"it says {shown(text)}, which is no number")
        return int(text)

    def place(self, host_id: int) -> Optional[HostPlace]:
        """Read from the storage; neither library nor daemon tell it to those who are no members."""
        sector_size, what = self._parts.sector_size, f"read the place of host id {host_id}"
        offset = (host_id - 1) * sector_size
        in_block = offset % _BLOCK_SIZE
        space = self._parts.lockspace
        try:
            block = self._store.read(
                VolumeAddress(space.path, space.offset + offset - in_block), _BLOCK_SIZE
            )
        except StorageError as error:
            raise LockspaceError(what, error.why, error.errno) from error
        found = parse_record(block[in_block : in_block + sector_size])
        if found is None or found.magic != HOST_ID_MAGIC:
            return None
        return HostPlace(found.resource, found.generation, found.timestamp)

    def renewals(self) -> list[Renewal]:
        """This host's latest renewals, the oldest first; neither library nor binding tell them.

        The tool fails alike when this host has not joined and when there is no daemon.
        """
        what = "ask sanlock for its renewals"
        done = _client(what, "renewal", "-s", LOCKSPACE_NAME)
        if done.returncode == 0:
            return parse_renewals(done.stdout)
        if not _daemon_answers():
            raise _gone(what, done.stderr.strip() or f"exit code {done.returncode}")
        raise LockspaceError(what, "this host has not joined the lockspace", errno_module.ENOENT)

    # --- the lock of writers ----------------------------------------------------------------------

    def take_config_lease(self) -> None:
        """Take it for this process; see `WriterLock`.

        sanlock ends this process should the host lose its lockspace meanwhile.
        """
        what = "take the lock of writers"
        self._registered_fd = _call(what, lambda binding: binding.register())
        try:
            self._on_storage(
                what,
                lambda binding: binding.acquire(
                    _LOCKSPACE, _CONFIG_LEASE, self._config_disks(), slkfd=self._registered_fd
                ),
            )
        except LockspaceError:
            self._unregister()
            raise

    def drop_config_lease(self) -> None:
        """Let it go; fine when this process has not got it."""
        if self._registered_fd is None:
            return
        try:
            _call(
                "let the lock of writers go",
                lambda binding: binding.release(
                    _LOCKSPACE, _CONFIG_LEASE, self._config_disks(), slkfd=self._registered_fd
                ),
            )
        finally:
            self._unregister()

    def config_lease_owner(self) -> Optional[LeaseOwner]:
        """Read its owner, alive or not, from the storage; None: nobody has it."""
        owners = self._on_storage(
            "read the owner of the lock of writers",
            lambda binding: binding.read_resource_owners(
                _LOCKSPACE, _CONFIG_LEASE, self._config_disks(), **self._geometry()
            ),
        )
        return LeaseOwner(owners[0]["host_id"], owners[0]["generation"]) if owners else None

    def has_config_lease(self) -> bool:
        """Is there such a lease on the storage?"""
        place = config_lease_address(self._parts)
        found = self._on_storage_or_none(
            f"read the lock of writers at {_place(place)}",
            lambda binding: binding.read_resource(place.path, place.offset, **self._geometry()),
        )
        ours = (_LOCKSPACE, _CONFIG_LEASE)
        return found is not None and (found["lockspace"], found["resource"]) == ours

    def format_config_lease(self) -> None:
        """Make it, free; see `WriterLock`."""
        what = f"format the lock of writers at {_place(config_lease_address(self._parts))}"
        if self.has_config_lease():
            raise LockspaceError(what, "there is one already", errno_module.EEXIST)
        self._on_storage(
            what,
            lambda binding: binding.write_resource(
                _LOCKSPACE, _CONFIG_LEASE, self._config_disks(),
                max_hosts=MAX_HOSTS, **self._geometry(),
            ),
        )  # fmt: skip

    def _config_disks(self) -> list[tuple[str, int]]:
        place = config_lease_address(self._parts)
        return [(place.path, place.offset)]

    def _unregister(self) -> None:
        """sanlock sees the connection close, and lets go whatever is still held."""
        fd, self._registered_fd = self._registered_fd, None
        if fd is not None:
            os.close(fd)

    # --- for deploying --------------------------------------------------------------------------

    def format_lockspace(self, io_timeout_s: int) -> None:
        """Write an empty lockspace for 2000 hosts; see `LockspaceAdmin`."""
        what = f"format lockspace {LOCKSPACE_NAME} at {_place(self._parts.lockspace)}"
        self._refuse_while_joined(what)
        self._on_storage(
            what,
            lambda binding: binding.write_lockspace(
                _LOCKSPACE, self._parts.lockspace.path, self._parts.lockspace.offset,
                max_hosts=MAX_HOSTS, iotimeout=io_timeout_s, **self._geometry(),
            ),
        )  # fmt: skip

    def format_lease(self) -> None:
        """Write a free lease; see `LockspaceAdmin`."""
        what = f"format lease {LEASE_NAME} at {_place(self._parts.lease)}"
        self._refuse_while_joined(what)
        self._owner_seen = None
        self._on_storage(
            what,
            lambda binding: binding.write_resource(
                _LOCKSPACE, _LEASE, self._lease_disks(), max_hosts=MAX_HOSTS, **self._geometry()
            ),
        )

    def read_lockspace(self) -> Optional[LockspaceOnStorage]:
        """The lockspace on the storage; None: there is none."""
        place = self._parts.lockspace
        found = self._on_storage_or_none(
            f"read the lockspace at {_place(place)}",
            lambda binding: binding.read_lockspace(place.path, place.offset, **self._geometry()),
        )
        return found and LockspaceOnStorage(_text(found["lockspace"]), found["iotimeout"])

    def read_lease(self) -> Optional[LeaseOnStorage]:
        """The lease on the storage; None: there is none."""
        place = self._parts.lease
        found = self._on_storage_or_none(
            f"read the lease at {_place(place)}",
            lambda binding: binding.read_resource(place.path, place.offset, **self._geometry()),
        )
        return found and LeaseOnStorage(_text(found["lockspace"]), _text(found["resource"]))

    def daemon_host_name(self) -> str:
        """The daemon's name of this host; neither library nor binding tell it, the tool does."""
        return parse_daemon_name(_client_status())

    def joined_elsewhere(self) -> str:
        """See `LockspaceAdmin.joined_elsewhere`; asked of the local daemon, without any I/O."""
        entry, own = self._joined_entry(), self._parts.lockspace
        if entry is None or (entry["path"], entry["offset"]) == (own.path, own.offset):
            return ""
        return f"{LOCKSPACE_NAME}:{entry['host_id']}:{entry['path']}:{entry['offset']}"

    def holders(self) -> list[int]:
        """Pids of the local processes that hold the engine's lease."""
        return parse_holders(_client_status())

    # --- details ----------------------------------------------------------------------------------

    def _on_storage(self, what: str, function: Callable[[Any], T]) -> T:
        """As `_call`, for what reads or writes the storage."""
        try:
            return _call(what, function)
        except LockspaceError as error:
            raise self._storage_error(what, error) from error

    def _on_storage_or_none(self, what: str, function: Callable[[Any], T]) -> Optional[T]:
        """The same; None when there is nothing of that kind on the storage."""
        try:
            return self._on_storage(what, function)
        except LockspaceError as error:
            if error.errno == LEADER_MAGIC:
                return None
            raise

    def _storage_error(self, what: str, error: LockspaceError) -> LockspaceError:
        """The same with what is wrong with the volumes, where sanlock's number may come from that.

        A cluster that was made before there was a lock of writers has no room for it, and nothing
        is wrong with that: it is looked for only where the volume surely ended too early.
        """
        if type(error) is not LockspaceError or error.errno not in _VOLUME_ERRNOS:
            return error
        needed = required_sizes(self._parts)
        least = required_sizes(self._parts, config_lease=error.errno == errno_module.EMSGSIZE)
        if error.errno not in _SHORT_ERRNOS:
            least = dict.fromkeys(needed, 0)
        if not volume_trouble(least):
            return error
        return LockspaceError(what, volume_trouble(needed), error.errno)

    def _wait_for_other_join(self, what: str, host_id: int) -> None:
        if not self._inquire_lockspace(host_id, wait=True):
            raise LockspaceError(what, "the join under way failed", errno_module.EINPROGRESS)

    def _inquire_lockspace(self, host_id: int, wait: bool = False) -> bool:
        place = self._parts.lockspace
        found = _call(
            "ask sanlock for the membership",
            lambda binding: binding.inq_lockspace(
                _LOCKSPACE, host_id, place.path, place.offset, wait
            ),
        )
        return found is True

    def _joined_entry(self) -> Optional[dict[str, Any]]:
        """The daemon's entry of our lockspace, whatever its id; raises when it is gone."""
        spaces = _call("ask sanlock for its lockspaces", lambda binding: binding.get_lockspaces())
        for space in spaces:
            if space["lockspace"] == _LOCKSPACE:
                return dict(space)
        return None

    def _refuse_while_joined(self, what: str) -> None:
        if self._joined_entry() is not None:
            raise LockspaceError(what, "this host has joined the lockspace", errno_module.EBUSY)

    def _read_leader(self) -> bytes:
        try:
            return self._store.read(self._parts.lease, _LEADER_SIZE)
        except StorageError as error:
            raise LockspaceError("read the owner of the lease", error.why, error.errno) from error

    def _ask_owner(self) -> Optional[LeaseOwner]:
        binding = _binding()
        try:
            owners = binding.read_resource_owners(
                _LOCKSPACE, _LEASE, self._lease_disks(), **self._geometry()
            )
        except binding.SanlockException as error:
            if error.errno == errno_module.EINVAL:
                self._check_lease_exists()
            typed = _typed("read the owner of the lease", error)
            raise self._storage_error(typed.what, typed) from error
        owner = owners[0] if owners else None
        return owner and LeaseOwner(owner["host_id"], owner["generation"])

    def _check_lease_exists(self) -> None:
        if self.read_lease() is None:
            what = f"read the owner of the lease at {_place(self._parts.lease)}"
            raise LockspaceError(what, "there is no lease on the storage", LEADER_MAGIC)

    def _lease_disks(self) -> list[tuple[str, int]]:
        return [(self._parts.lease.path, self._parts.lease.offset)]

    def _geometry(self) -> dict[str, int]:
        sector_size = self._parts.sector_size
        return {"align": sanlock_align(sector_size), "sector": sector_size}


def parse_daemon_name(status: str) -> str:
    """The name in ``sanlock client status`` (line ``daemon NAME``)."""
    for line in status.splitlines():
        if line.startswith("daemon "):
            return line.partition(" ")[2].strip()
    raise LockspaceError("ask sanlock for its host name", "its status does not tell it")


def daemon_settings() -> dict[str, str]:
    """What the daemon runs with (``use_watchdog`` and others); raises LockspaceError."""
    what = "ask sanlock for its settings"
    done = _client(what, "status", "-D")
    if done.returncode != 0:
        raise _gone(what, done.stderr.strip() or f"exit code {done.returncode}")
    return parse_daemon_settings(done.stdout)


def parse_daemon_settings(status: str) -> dict[str, str]:
    """The indented lines ``name=value`` behind ``daemon NAME`` in ``sanlock client status -D``."""
    found: dict[str, str] = {}
    in_daemon = False
    for line in status.splitlines():
        if not line.startswith(" "):
            in_daemon = line.startswith("daemon ")
        elif in_daemon:
            name, _, value = line.strip().partition("=")
            found[name] = value
    return found


def parse_holders(status: str) -> list[int]:
    """Pids in ``sanlock client status`` (lines ``r LOCKSPACE:LEASE:…:VERSION p PID``)."""
    prefix = f"r {LOCKSPACE_NAME}:{LEASE_NAME}:"
    lines = [line for line in status.splitlines() if line.startswith(prefix)]
    pids = [line.rpartition(" p ")[2] for line in lines]
    return [int(pid) for pid in pids if pid.strip().isdigit()]


def parse_renewals(history: str) -> list[Renewal]:
    """The records in ``sanlock client renewal``: lines of ``name=number`` (sanlock(8)).

    Lines and names that are not known are left out: a later sanlock may say more.
    """
    found = []
    for line in history.splitlines():
        pairs = [word.partition("=") for word in line.split()]
        numbers = {name: int(text) for name, _, text in pairs if re.fullmatch(r"-?[0-9]+", text)}
        if numbers.keys() >= _RENEWAL_NAMES:
            found.append(_renewal(numbers))
    return found


def _renewal(numbers: dict[str, int]) -> Renewal:
    return Renewal(
        timestamp=numbers["timestamp"],
        read_s=numbers["read_ms"] / 1000,
        write_s=numbers["write_ms"] / 1000,
        timeouts=numbers.get("next_timeouts", 0),
        errors=numbers.get("next_errors", 0),
    )


def _client_status() -> str:
    what = "ask sanlock for its status"
    done = _client(what, "status")
    if done.returncode != 0:
        raise _gone(what, done.stderr.strip() or f"exit code {done.returncode}")
    return done.stdout


def _client(what: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``sanlock client``; it finds the daemon by SANLOCK_RUN_DIR as the library does."""
    try:
        return subprocess.run(
            ["sanlock", "client", *arguments],
            capture_output=True, text=True, timeout=_CLIENT_TIMEOUT_S, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        why = "there is no command sanlock; install the package sanlock"
        raise LockspaceError(what, why, errno_module.ENOENT) from error
    except subprocess.TimeoutExpired as error:
        why = f"its command has not ended within {_CLIENT_TIMEOUT_S:g} s"
        raise LockspaceGoneError(what, why, errno_module.ETIMEDOUT) from error


def _binding() -> Any:
    """The module `sanlock`, or libsanlock under its names.

    Importing it late lets machines without either use this module's types.
    """
    try:
        import sanlock  # noqa: PLC0415
    except ImportError as error:
        return _libsanlock(error)
    return sanlock


def _libsanlock(no_binding: ImportError) -> Any:
    try:
        from world.storage import libsanlock  # noqa: PLC0415
    except ImportError as error:
        why = (
            f"{no_binding}; {error}; install the distribution's package python3-sanlock or, where "
            "there is none, the library's (sanlock-lib; Debian: libsanlock1)"
        )
        raise LockspaceError("load sanlock's Python binding or libsanlock", why) from error
    return libsanlock


def _ask_again_while_busy(binding: Any, question: Callable[[], T]) -> T:
    """sanlock refuses a question about a process while somebody else asks about the same one.

    That takes it milliseconds; raises what it raised last when it is busy for longer.
    """
    give_up_at_s = time.monotonic() + BUSY_PATIENCE_S
    while True:
        try:
            return question()
        except binding.SanlockException as error:
            if error.errno not in _BUSY_ERRNOS or time.monotonic() >= give_up_at_s:
                raise
            import random  # noqa: PLC0415  # with all that makes digests: some hundred KiB

            time.sleep(random.uniform(0, _LONGEST_BUSY_PAUSE_S))


def _call(what: str, function: Callable[[Any], T]) -> T:
    binding = _binding()
    try:
        return function(binding)
    except binding.SanlockException as error:
        raise _typed(what, error) from error


def _typed(what: str, error: Any) -> LockspaceError:
    """The error of our tree for a SanlockException (args: errno, what, why)."""
    why = str(error.args[-1]) if error.args else str(error)
    if error.errno == ACQUIRE_IDLIVE:
        return LeaseHeldError(what, why, error.errno)
    if error.errno == HOSTID_BUSY:
        return LockspaceError(what, "another host uses this host id", error.errno)
    if error.errno in _GONE_ERRNOS and not _daemon_answers():
        return _gone(what, why)
    return LockspaceError(what, why, error.errno)


def _not_there(error: LockspaceError) -> LockspaceError:
    """sanlock speaks of a lease here, too; for people it is the lockspace that is missing."""
    if error.errno != LEADER_MAGIC:
        return error
    why = f"there is no lockspace on the storage, or it is damaged (sanlock: {LEADER_MAGIC})"
    return LockspaceError(error.what, why, error.errno)


def _not_joined(what: str, error: Any) -> LockspaceError:
    typed = _typed(what, error)
    if typed.errno != errno_module.ENOENT:
        return typed
    return LockspaceError(what, "this host has not joined the lockspace", typed.errno)


def _gone(what: str, why: str) -> LockspaceGoneError:
    text = f"the sanlock daemon does not answer ({why})"
    return LockspaceGoneError(what, text, errno_module.ECONNREFUSED)


def _daemon_answers() -> bool:
    binding = _binding()
    try:
        binding.get_lockspaces()
    except binding.SanlockException:
        return False
    return True


def _hosts(found: Iterable[dict[str, Any]], known: Mapping[int, Liveness]) -> list[LockspaceHost]:
    """The lower bits of the flags are one HOST_ value; a value from the future is UNKNOWN."""
    return [
        LockspaceHost(
            one["host_id"],
            one["generation"],
            one["timestamp"],
            known.get(one["flags"] & _HOST_MASK, Liveness.UNKNOWN),
        )
        for one in found
    ]


def _livenesses(binding: Any) -> dict[int, Liveness]:
    """The words for sanlock's HOST_ values."""
    return {
        binding.HOST_FREE: Liveness.FREE,
        binding.HOST_LIVE: Liveness.LIVE,
        binding.HOST_FAIL: Liveness.FAIL,
        binding.HOST_DEAD: Liveness.DEAD,
    }


def _place(address: Any) -> str:
    return f"{address.path}:{address.offset}"


def _text(name: object) -> str:
    text = name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)
    return printable_text(text)
