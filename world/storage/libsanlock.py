# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""libsanlock by ctypes, under the names of sanlock's Python binding: what the adapter uses of it.

For machines whose distribution has no binding (EL 10, Fedora). Functions, parameters, results and
error numbers are those of the module `sanlock`, so that the adapter need not know which of the two
it has. Every function that talks to the daemon blocks as long as there, without the interpreter's
lock, and raises SanlockException for what the daemon or the library refuses.

The layouts are those of `sanlock.h`, equal in 3.8.5 and 3.9.5. Importing this module raises
ImportError where there is no libsanlock, or one without a function that is needed.
"""

from __future__ import annotations

import ctypes
import errno as errno_module
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Optional

from metadata.error_words import reason, shown

# The second one alone would do; Debian's sanlock depends on the first one only.
_LIBRARIES = ("libsanlock_client.so.1", "libsanlock.so.1")

HOST_UNKNOWN, HOST_FREE, HOST_LIVE, HOST_FAIL, HOST_DEAD = 1, 2, 3, 4, 5
LSFLAG_ADD, LSFLAG_REM = 1, 2

_NAME_BYTES = 48
_PATH_BYTES = 1024
_MAX_DISKS = 4
_REM_ASYNC, _REM_UNUSED = 1, 2
_INQ_WAIT = 1
# The same values in the flags of a lockspace and of a resource.
_ALIGN_FLAGS = {2**20: 0x10, 2**21: 0x20, 2**22: 0x40, 2**23: 0x80}
_SECTOR_FLAGS = {512: 0x100, 4096: 0x200}
# Numbers below it are sanlock's own, the others the system's.
_OWN_ERRORS = -200
_NO_PID = -1
_NO_SOCKET = -1

Disks = Sequence[tuple[str, int]]


class SanlockException(Exception):  # noqa: N818  # the binding's name
    """What sanlock refused. Its arguments: error number, what was tried, why it failed.

    A number of the system is positive, one of sanlock's own negative, as in `sanlock_rv.h`.
    """

    @property
    def errno(self) -> int:
        """The error number."""
        return int(self.args[0])


class _Disk(ctypes.Structure):
    _fields_ = (
        ("path", ctypes.c_char * _PATH_BYTES),
        ("offset", ctypes.c_uint64),
        ("pad1", ctypes.c_uint32),
        ("pad2", ctypes.c_uint32),
    )


class _Resource(ctypes.Structure):
    """As many disks as there may be; those behind `num_disks` are not to be looked at."""

    _fields_ = (
        ("lockspace_name", ctypes.c_char * _NAME_BYTES),
        ("name", ctypes.c_char * _NAME_BYTES),
        ("lver", ctypes.c_uint64),
        ("data64", ctypes.c_uint64),
        ("data32", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("num_disks", ctypes.c_uint32),
        ("disks", _Disk * _MAX_DISKS),
    )


class _Lockspace(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char * _NAME_BYTES),
        ("host_id", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("host_id_disk", _Disk),
    )


class _Host(ctypes.Structure):
    _fields_ = (
        ("host_id", ctypes.c_uint64),
        ("generation", ctypes.c_uint64),
        ("timestamp", ctypes.c_uint64),
        ("io_timeout", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


_LockspaceP = ctypes.POINTER(_Lockspace)
_ResourceP = ctypes.POINTER(_Resource)
_HostP = ctypes.POINTER(_Host)
_IntP = ctypes.POINTER(ctypes.c_int)
_INT, _FLAGS = ctypes.c_int, ctypes.c_uint32

# Parameters of the functions; each returns an int, which is negative when it failed.
_PARAMETERS: dict[str, tuple[Any, ...]] = {
    "sanlock_add_lockspace_timeout": (_LockspaceP, _FLAGS, ctypes.c_uint32),
    "sanlock_inq_lockspace": (_LockspaceP, _FLAGS),
    "sanlock_rem_lockspace": (_LockspaceP, _FLAGS),
    "sanlock_get_lockspaces": (ctypes.POINTER(_LockspaceP), _IntP, _FLAGS),
    "sanlock_get_hosts": (
        *(ctypes.c_char_p, ctypes.c_uint64, ctypes.POINTER(_HostP), _IntP, _FLAGS),
    ),
    "sanlock_write_lockspace": (_LockspaceP, _INT, _FLAGS, ctypes.c_uint32),
    "sanlock_read_lockspace": (_LockspaceP, _FLAGS, ctypes.POINTER(ctypes.c_uint32)),
    "sanlock_write_resource": (_ResourceP, _INT, _INT, _FLAGS),
    "sanlock_read_resource": (_ResourceP, _FLAGS),
    "sanlock_read_resource_owners": (_ResourceP, _FLAGS, ctypes.POINTER(_HostP), _IntP),
    "sanlock_register": (),
    "sanlock_acquire": (*(_INT, _INT, _FLAGS, _INT, ctypes.POINTER(_ResourceP), ctypes.c_void_p),),
    "sanlock_release": (_INT, _INT, _FLAGS, _INT, ctypes.POINTER(_ResourceP)),
    "sanlock_inquire": (_INT, _INT, _FLAGS, _IntP, ctypes.POINTER(ctypes.c_void_p)),
    "sanlock_state_to_args": (
        *(ctypes.c_void_p, _IntP, ctypes.POINTER(ctypes.POINTER(_ResourceP))),
    ),
}


def _loaded() -> ctypes.CDLL:
    """The library with its functions' parameters; raises ImportError."""
    library = _first_library()
    try:
        for name, parameters in _PARAMETERS.items():
            getattr(library, name).argtypes = parameters
        library.sanlock_strerror.argtypes = (ctypes.c_int,)
        library.sanlock_strerror.restype = ctypes.c_char_p
    except AttributeError as error:
        raise ImportError(f"libsanlock is too old: {error}") from error
    return library


def _first_library() -> ctypes.CDLL:
    troubles = []
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            troubles.append(reason(error))
    raise ImportError("; ".join(troubles))


_library = _loaded()
_free = ctypes.CDLL(None).free
_free.argtypes = (ctypes.c_void_p,)
_free.restype = None


# --- the lockspace ------------------------------------------------------------------------------


def add_lockspace(lockspace: bytes, host_id: int, path: str, offset: int, iotimeout: int) -> None:
    """Join it and wait for that; `iotimeout` in seconds."""
    space = _lockspace(lockspace, path, offset, host_id)
    _check("join a lockspace", _library.sanlock_add_lockspace_timeout(space, 0, iotimeout))


def inq_lockspace(
    lockspace: bytes, host_id: int, path: str, offset: int, wait: bool = False
) -> Optional[bool]:
    """Has this host joined it? None: a join or leave is under way, which `wait` waits for."""
    space = _lockspace(lockspace, path, offset, host_id)
    result = _library.sanlock_inq_lockspace(space, _INQ_WAIT if wait else 0)
    if result == -errno_module.ENOENT:
        return False
    if result == -errno_module.EINPROGRESS:
        return None
    _check("ask for a lockspace", result)
    return True


def rem_lockspace(
    lockspace: bytes,
    host_id: int,
    path: str,
    offset: int,
    *,
    wait: bool = True,
    unused: bool = False,
) -> None:
    """Leave it; with `unused` only while no process holds a lease of it (else EBUSY)."""
    space = _lockspace(lockspace, path, offset, host_id)
    flags = (0 if wait else _REM_ASYNC) | (_REM_UNUSED if unused else 0)
    _check("leave a lockspace", _library.sanlock_rem_lockspace(space, flags))


def get_lockspaces() -> list[dict[str, Any]]:
    """Those that the daemon has joined, joins or leaves (`LSFLAG_ADD`, `LSFLAG_REM`)."""
    with _allocated(_LockspaceP) as (found, count):
        result = _library.sanlock_get_lockspaces(ctypes.byref(found), ctypes.byref(count), 0)
        _check("ask for the lockspaces", min(result, 0))
        return [_lockspace_to_data(found[index]) for index in range(count.value)]


def get_hosts(lockspace: bytes, host_id: int = 0) -> list[dict[str, int]]:
    """The hosts that sanlock has seen there, or that one alone."""
    with _allocated(_HostP) as (found, count):
        result = _library.sanlock_get_hosts(
            lockspace, host_id, ctypes.byref(found), ctypes.byref(count), 0
        )
        _check("ask for the hosts", min(result, 0))
        return [_host_to_data(found[index]) for index in range(count.value)]


def write_lockspace(
    lockspace: bytes,
    path: str,
    offset: int,
    *,
    max_hosts: int,
    iotimeout: int,
    align: int,
    sector: int,
) -> None:
    """Format it; `iotimeout` in seconds, `align` and `sector` in bytes."""
    space = _lockspace(lockspace, path, offset)
    space.flags = _geometry(align, sector)
    result = _library.sanlock_write_lockspace(space, max_hosts, 0, iotimeout)
    _check("write a lockspace", result)


def read_lockspace(path: str, offset: int, align: int, sector: int) -> dict[str, Any]:
    """Its name and I/O timeout in seconds, from the storage."""
    space = _lockspace(b"", path, offset)
    space.flags = _geometry(align, sector)
    io_timeout_s = ctypes.c_uint32()
    result = _library.sanlock_read_lockspace(space, 0, ctypes.byref(io_timeout_s))
    _check("read a lockspace", result)
    return {"lockspace": space.name, "iotimeout": io_timeout_s.value}


# --- resources, which are leases ----------------------------------------------------------------


def write_resource(
    lockspace: bytes, resource: bytes, disks: Disks, *, max_hosts: int, align: int, sector: int
) -> None:
    """Format it, free; `align` and `sector` in bytes."""
    record = _resource(lockspace, resource, disks, _geometry(align, sector))
    _check("write a resource", _library.sanlock_write_resource(record, max_hosts, 0, 0))


def read_resource(path: str, offset: int, align: int, sector: int) -> dict[str, Any]:
    """Its lockspace, name and version, from the storage."""
    record = _resource(b"", b"", [(path, offset)], _geometry(align, sector))
    _check("read a resource", _library.sanlock_read_resource(record, 0))
    return {
        "lockspace": record.lockspace_name,
        "resource": record.name,
        "version": record.lver,
    }


def read_resource_owners(
    lockspace: bytes, resource: bytes, disks: Disks, align: int, sector: int
) -> list[dict[str, int]]:
    """The hosts that own it, alive or not, from the storage."""
    record = _resource(lockspace, resource, disks, _geometry(align, sector))
    with _allocated(_HostP) as (found, count):
        result = _library.sanlock_read_resource_owners(
            record, 0, ctypes.byref(found), ctypes.byref(count)
        )
        _check("read a resource's owners", result)
        return [_host_to_data(found[index]) for index in range(count.value)]


def register() -> int:
    """Make this process a client; returns the connection's file descriptor, the caller's to close.

    sanlock ends this process when the host loses a lockspace of which it holds a resource.
    """
    fd: int = _library.sanlock_register()
    _check("register", min(fd, 0))
    return fd


def acquire(lockspace: bytes, resource: bytes, disks: Disks, slkfd: int) -> None:
    """Take it for this process, registered by `slkfd`."""
    records = _one_resource(_resource(lockspace, resource, disks))
    result = _library.sanlock_acquire(slkfd, _NO_PID, 0, 1, records, None)
    _check("acquire a resource", result)


def release(lockspace: bytes, resource: bytes, disks: Disks, slkfd: int) -> None:
    """Let go what `acquire` took."""
    records = _one_resource(_resource(lockspace, resource, disks))
    _check("release a resource", _library.sanlock_release(slkfd, _NO_PID, 0, 1, records))


def inquire(pid: int) -> list[dict[str, Any]]:
    """The resources that the local process `pid` holds; ESRCH: it is no client."""
    count, state = ctypes.c_int(), ctypes.c_void_p()
    try:
        result = _library.sanlock_inquire(
            _NO_SOCKET, pid, 0, ctypes.byref(count), ctypes.byref(state)
        )
        _check("ask for a process's resources", result)
        return _resources_in(state) if count.value > 0 else []
    finally:
        _free(state)


def _resources_in(state: ctypes.c_void_p) -> list[dict[str, Any]]:
    """What the daemon's text says; the library reads it."""
    count, found = ctypes.c_int(), ctypes.POINTER(_ResourceP)()
    result = _library.sanlock_state_to_args(state, ctypes.byref(count), ctypes.byref(found))
    _check("read the list of a process's resources", result)
    try:
        return [_resource_to_data(found[index].contents) for index in range(count.value)]
    finally:
        for index in range(count.value):
            _free(found[index])
        _free(found)


# --- details ------------------------------------------------------------------------------------


@contextmanager
def _allocated(pointer: Any) -> Iterator[tuple[Any, ctypes.c_int]]:
    """A null pointer and a count for a function that allocates; freed even when it failed."""
    found, count = pointer(), ctypes.c_int()
    try:
        yield found, count
    finally:
        _free(found)


def _check(what: str, result: int) -> None:
    """Raise SanlockException unless `result` is 0."""
    if result == 0:
        return
    if _OWN_ERRORS < result < 0:
        raise SanlockException(-result, what, os.strerror(-result))
    raise SanlockException(result, what, _library.sanlock_strerror(result).decode())


def _lockspace(name: bytes, path: str, offset: int, host_id: int = 0) -> _Lockspace:
    return _Lockspace(name, host_id, 0, _disk(path, offset))


def _resource(lockspace: bytes, name: bytes, disks: Disks, flags: int = 0) -> _Resource:
    record = _Resource(lockspace, name, flags=flags, num_disks=len(disks))
    for index, (path, offset) in enumerate(disks):
        record.disks[index] = _disk(path, offset)
    return record


def _one_resource(record: _Resource) -> Any:
    return (_ResourceP * 1)(ctypes.pointer(record))


def _disk(path: str, offset: int) -> _Disk:
    """sanlock wants a zero at the end, and a zero within would be the end."""
    encoded = os.fsencode(path)
    if len(encoded) >= _PATH_BYTES or b"\0" in encoded:
        raise ValueError(
            f"{shown(path)} is no path of at most {_PATH_BYTES - 1} bytes without zeros"
        )
    return _Disk(encoded, offset)


def _geometry(align: int, sector: int) -> int:
    if align not in _ALIGN_FLAGS or sector not in _SECTOR_FLAGS:
        allowed = f"{list(_ALIGN_FLAGS)} and {list(_SECTOR_FLAGS)}"
        raise ValueError(f"align {align} and sector {sector} bytes: allowed are {allowed}")
    return _ALIGN_FLAGS[align] | _SECTOR_FLAGS[sector]


def _lockspace_to_data(space: _Lockspace) -> dict[str, Any]:
    return {
        "lockspace": space.name,
        "host_id": space.host_id,
        "path": os.fsdecode(space.host_id_disk.path),
        "offset": space.host_id_disk.offset,
        "flags": space.flags,
    }


def _resource_to_data(record: _Resource) -> dict[str, Any]:
    disks = [record.disks[index] for index in range(record.num_disks)]
    return {
        "lockspace": record.lockspace_name,
        "resource": record.name,
        "flags": record.flags,
        "version": record.lver,
        "disks": [(os.fsdecode(disk.path), disk.offset) for disk in disks],
    }


def _host_to_data(host: _Host) -> dict[str, int]:
    return {name: getattr(host, name) for name, _ in _Host._fields_}
