# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Direct, aligned, synchronous I/O on files and block devices.

Peers' records must come from the storage itself: a record from the page cache looks old and
a live host then looks dead. So the volume is opened with O_DIRECT, which asks for aligned
offsets, sizes and memory (open(2)); anonymous mmap memory is page-aligned. O_DSYNC makes a
returned write durable.

Every call blocks for as long as the storage does.
"""

from __future__ import annotations

import errno as errno_module
import mmap
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Optional

from metadata.error_words import reason
from metadata.records import VolumeAddress
from metadata.value_class import value_class
from world.ports.errors import StorageError
from world.service_user import is_service_user, needs_text
from world.way_in import way_in

ALIGNMENT = 4096
"""Fits sectors of 512 and of 4096 bytes, and every page size."""

_CHUNK_SIZE = 1024 * 1024
_SMALL_BYTES = 8 * ALIGNMENT
_FLAGS = os.O_DIRECT | os.O_DSYNC | os.O_CLOEXEC


@value_class(frozen=True)
class _Volume:
    """An open descriptor and what it was opened on."""

    fd: int
    identity: tuple[int, ...]


class DirectStore:
    """The `BlockStore` of the real world; safe to use from several threads.

    Descriptors stay open between calls. One is given up after any error on it, and when the
    path leads elsewhere than before (a file replaced, a file system mounted again). With
    `read_only`, volumes that nobody may write can be read. `needed` are the bytes that the volumes
    must have, by path, for who is told that one is too short. In another process it opens its own.
    """

    def __init__(self, read_only: bool = False, needed: Optional[Mapping[str, int]] = None) -> None:
        self._read_only = read_only
        self._needed = dict(needed or {})
        self._flags = _FLAGS | (os.O_RDONLY if read_only else os.O_RDWR)
        self._lock = threading.Lock()
        self._idle: dict[str, list[_Volume]] = {}
        self._small = _SmallBuffers()

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._read_only, self._needed)

    def read(self, address: VolumeAddress, size: int) -> bytes:
        """Read `size` bytes; raises StorageError, also when the volume is too short."""
        what, end = _describe("read", address, size), address.offset + size
        _check_alignment(what, address.offset, size)
        room = min(size, _CHUNK_SIZE)
        with self._open(what, address.path, end) as volume, self._buffer(room) as buffer:
            # Piece by piece in the same memory: for new memory the kernel pays page by page.
            pieces = [
                _read_piece(volume.fd, buffer, min(room, size - start), address.offset + start)
                for start in range(0, size, room)
            ]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, address: VolumeAddress, data: bytes) -> None:
        """Write `data` durably; raises StorageError. A volume is never made longer."""
        what, end = _describe("write", address, len(data)), address.offset + len(data)
        _check_alignment(what, address.offset, len(data))
        with self._open(what, address.path, end) as volume, self._buffer(len(data)) as buffer:
            _check_room(volume.fd, end)
            buffer[:] = data
            _write_all(volume.fd, buffer, address.offset)

    def zero(self, address: VolumeAddress, size: int) -> None:
        """Write `size` zero bytes durably, piece by piece; raises StorageError."""
        what, end = _describe("zero", address, size), address.offset + size
        _check_alignment(what, address.offset, size)
        room = min(size, _CHUNK_SIZE)
        with self._open(what, address.path, end) as volume, _buffer(room) as zeros:
            _check_room(volume.fd, end)
            for start in range(0, size, _CHUNK_SIZE):
                count = min(_CHUNK_SIZE, size - start)
                with memoryview(zeros) as view, view[:count] as part:
                    _write_all(volume.fd, part, address.offset + start)

    def size(self, path: str) -> int:
        """Size in bytes, by seeking: a block device's st_size is 0."""
        with self._open(f"size of {path}", path) as volume:
            return os.lseek(volume.fd, 0, os.SEEK_END)

    def probe_direct_io(self, path: str) -> None:
        """Raise StorageError unless `path` can be opened for, and read with, direct I/O."""
        self.read(VolumeAddress(path, 0), ALIGNMENT)

    def close(self) -> None:
        """Close the descriptors that are not in use."""
        for path in list(self._idle):
            self._forget(path)

    def _forget(self, path: str) -> None:
        with self._lock:
            volumes = self._idle.pop(path, [])
        for volume in volumes:
            _close(volume)

    def _buffer(self, size: int) -> AbstractContextManager[mmap.mmap]:
        """Page-aligned memory of `size` bytes, with whatever in it."""
        return self._small.lent(size) if size <= _SMALL_BYTES else _buffer(size)

    @contextmanager
    def _open(self, what: str, path: str, end: int = 0) -> Iterator[_Volume]:
        """Lend a descriptor of `path`, to be used up to byte `end`; turns OSError into
        StorageError."""
        volume: Optional[_Volume] = None
        try:
            volume = self._take(path) or _open_volume(path, self._flags)
            yield volume
        except OSError as error:
            why = self._why(path, volume, end, error)
            _close(volume)
            self._forget(path)
            raise StorageError(what, why, error.errno or 0) from error
        except BaseException:
            _close(volume)
            raise
        self._give_back(path, volume)

    def _why(self, path: str, volume: Optional[_Volume], end: int, error: OSError) -> str:
        """In words that lead somewhere, where the system's own do not.

        Some file systems and devices only say "Invalid argument" of what is behind their end. A
        plain user is told who may; to root (a server that trusts no root) that is no help.
        """
        # For the one who failed alone: each read of a new interpreter would pay for the imports.
        from metadata.layout import too_short_text  # noqa: PLC0415
        from world.storage.volume_trouble import open_trouble  # noqa: PLC0415

        size = _size(volume)
        if size is not None and size < end:
            return too_short_text(path, size, max(end, self._needed.get(path, 0)))
        if self._read_only and error.errno == errno_module.EBADF:
            return "it was opened for reading only"
        why = reason(error)
        if error.errno in (errno_module.EACCES, errno_module.EROFS) and is_service_user():
            return f"{open_trouble(path, error) or why}; {_denied_text(path, error)}"
        if error.errno == errno_module.EACCES and os.geteuid() != 0:
            return f"{why}: {way_in(path, stat.S_IRGRP if self._read_only else stat.S_IWGRP)}"
        return open_trouble(path, error) or why

    def _take(self, path: str) -> Optional[_Volume]:
        """An idle descriptor that still is what `path` leads to; stale ones are closed."""
        identity = _identity(os.stat(path))  # noqa: PTH116 - several in each tick
        while True:
            with self._lock:
                idle = self._idle.get(path)
                volume = idle.pop() if idle else None
            if volume is None or volume.identity == identity:
                return volume
            _close(volume)

    def _give_back(self, path: str, volume: _Volume) -> None:
        with self._lock:
            self._idle.setdefault(path, []).append(volume)


def _denied_text(path: str, error: OSError) -> str:
    """To the daemons' user."""
    if error.errno == errno_module.EACCES:
        return needs_text(path)
    return (
        "where this host itself can write to it, the service may not write to that folder yet, and "
        "'hosted-engine --deploy' lets it"
    )


def _open_volume(path: str, flags: int) -> _Volume:
    try:
        fd = os.open(path, flags)
    except OSError as error:
        if error.errno == errno_module.EINVAL:
            why = "the file system does not support direct I/O"
            raise OSError(error.errno, why, path) from error
        raise
    volume = _Volume(fd, _identity(os.fstat(fd)))
    try:
        _check_kind(fd)
    except OSError:
        _close(volume)
        raise
    return volume


def _check_kind(fd: int) -> None:
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        raise OSError(errno_module.EINVAL, "neither a file nor a block device")


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """What tells one volume from another; a device node may be made anew on the same device."""
    if stat.S_ISBLK(status.st_mode):
        return (status.st_rdev,)
    return (status.st_dev, status.st_ino)


def _close(volume: Optional[_Volume]) -> None:
    """Nothing is lost when closing fails: every write was durable when it returned."""
    if volume is not None:
        with suppress(OSError):
            os.close(volume.fd)


@contextmanager
def _buffer(size: int) -> Iterator[mmap.mmap]:
    """`size` bytes of page-aligned memory, zeroed."""
    memory = mmap.mmap(-1, size)
    try:
        yield memory
    finally:
        memory.close()


class _SmallBuffers:
    """Memory for a few slots, kept from one call to the next, by its size.

    The kernel makes and zeroes new memory page by page and stops the other threads to take it back:
    for a slot that costs as much as reading it. Who is lent a buffer has it alone, also while the
    storage hangs; there are at most as many as were lent at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[int, list[mmap.mmap]] = {}

    @contextmanager
    def lent(self, size: int) -> Iterator[mmap.mmap]:
        """`size` bytes with whatever in it."""
        with self._lock:
            idle = self._idle.setdefault(size, [])
            memory = idle.pop() if idle else mmap.mmap(-1, size)
        try:
            yield memory
        finally:
            with self._lock:
                idle.append(memory)


def _read_piece(fd: int, buffer: mmap.mmap, size: int, offset: int) -> bytes:
    """`size` bytes from `offset`, read by way of `buffer`."""
    done = 0
    while done < size:
        count = _read_some(fd, buffer, done, size, offset)
        if count == 0:
            raise OSError(errno_module.ENOSPC, "the volume ends there")
        done += count
    return buffer[:size]


def _read_some(fd: int, buffer: mmap.mmap, done: int, size: int, offset: int) -> int:
    """Read on behind `done`; a short count is rounded down, so that what follows stays aligned."""
    with memoryview(buffer) as view, view[done:size] as rest:
        count = os.preadv(fd, [rest], offset + done)
    return count if done + count == size else count - count % ALIGNMENT


def _write_all(fd: int, data: object, offset: int) -> None:
    with memoryview(data) as view:  # type: ignore[arg-type]
        done = 0
        while done < len(view):
            with view[done:] as rest:
                count = os.pwritev(fd, [rest], offset + done)
            count -= count % ALIGNMENT
            if count <= 0:
                raise OSError(errno_module.EIO, f"wrote only {done} of {len(view)} bytes")
            done += count


def _check_alignment(what: str, offset: int, size: int) -> None:
    if offset < 0 or offset % ALIGNMENT or size <= 0 or size % ALIGNMENT:
        why = f"offset and size must be multiples of {ALIGNMENT} bytes"
        raise StorageError(what, why, errno_module.EINVAL)


def _check_room(fd: int, needed: int) -> None:
    """Raises OSError; a file would be made longer."""
    if os.lseek(fd, 0, os.SEEK_END) < needed:
        raise OSError(errno_module.ENOSPC, "the volume ends there")


def _size(volume: Optional[_Volume]) -> Optional[int]:
    """Bytes; None where it can't be told."""
    if volume is None:
        return None
    try:
        return os.lseek(volume.fd, 0, os.SEEK_END)
    except OSError:
        return None


def _describe(verb: str, address: VolumeAddress, size: int) -> str:
    return f"{verb} {size} bytes at {address.path}:{address.offset}"
