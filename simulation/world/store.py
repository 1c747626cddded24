# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Shared storage in memory."""

from __future__ import annotations

import errno as errno_module
import os
from typing import Callable, Optional

from metadata.layout import too_short_text
from metadata.records import VolumeAddress
from simulation.world.clock import CallHangs, VirtualClock
from simulation.world.volume import SparseVolume
from world.ports.errors import StorageError

_ALIGNMENT = 4096


class SimStore:
    """A `BlockStore` over volumes in memory; give several hosts' stores the same `volumes`.

    `reads` and `writes` list what was done as (address, size), failed attempts excluded, unless
    `keep_log` is off. Each operation takes `latency_s` of the `clock`, when there is one.
    `on_write` turns the bytes of a write into those that reach the storage (another version of
    the program); the host itself reads back what it wrote. `on_read` turns what else the storage
    gives into what that version heeds. `before_call` is called first.
    """

    def __init__(
        self,
        volumes: Optional[dict[str, SparseVolume]] = None,
        clock: Optional[VirtualClock] = None,
        keep_log: bool = True,
    ) -> None:
        self.volumes: dict[str, SparseVolume] = {} if volumes is None else volumes
        self.reads: list[tuple[VolumeAddress, int]] = []
        self.writes: list[tuple[VolumeAddress, int]] = []
        self.latency_s = 0.0
        self.on_write: Optional[Callable[[VolumeAddress, bytes], bytes]] = None
        self.on_read: Optional[Callable[[bytes], bytes]] = None
        self.before_call: Callable[[str], None] = lambda _what: None
        self._clock = clock
        self._keep_log = keep_log
        self._translated: dict[bytes, bytes] = {}
        self._errno = 0
        self._hanging = False

    def add(self, path: str, size: int) -> None:
        """A new volume full of zeros."""
        self.volumes[path] = SparseVolume(size)

    def fail(self, errno: int) -> None:
        """Every operation raises StorageError with `errno` until `heal`."""
        self._errno = errno

    def hang(self) -> None:
        """Every operation blocks until `heal` (under an InlineRunner: stays busy)."""
        self._hanging = True

    @property
    def is_healthy(self) -> bool:
        """Neither failing nor hanging."""
        return not self._errno and not self._hanging

    def heal(self) -> None:
        self._errno = 0
        self._hanging = False

    def read(self, address: VolumeAddress, size: int) -> bytes:
        volume = self._volume("read", address, size)
        if self._keep_log:
            self.reads.append((address, size))
        data = volume[address.offset : address.offset + size]
        if self._translated and data in self._translated:
            return self._translated[data]
        return data if self.on_read is None else self.on_read(data)

    def write(self, address: VolumeAddress, data: bytes) -> None:
        volume = self._volume("write", address, len(data))
        if self._keep_log:
            self.writes.append((address, len(data)))
        if self.on_write is not None:
            data = self._translate(address, data)
        volume[address.offset : address.offset + len(data)] = data

    def zero(self, address: VolumeAddress, size: int) -> None:
        self.write(address, bytes(size))

    def size(self, path: str) -> int:
        return len(self._reach(f"size of {path}", path))

    def probe_direct_io(self, path: str) -> None:
        self._reach(f"direct I/O on {path}", path)

    def _translate(self, address: VolumeAddress, data: bytes) -> bytes:
        assert self.on_write is not None
        stored = self.on_write(address, data)
        self._translated = {stored: data} if stored != data else {}
        return stored

    def _volume(self, verb: str, address: VolumeAddress, size: int) -> SparseVolume:
        self.before_call(verb)
        what = f"{verb} {size} bytes at {address.path}:{address.offset}"
        if self._clock is not None and self.latency_s:
            self._clock.spend(self.latency_s)
        if address.offset < 0 or address.offset % _ALIGNMENT or size % _ALIGNMENT or size <= 0:
            raise StorageError(what, "not 4096-aligned", errno_module.EINVAL)
        volume = self._reach(what, address.path)
        if address.offset + size > len(volume):
            why = too_short_text(address.path, len(volume), address.offset + size)
            raise StorageError(what, why, errno_module.ENOSPC)
        return volume

    def _reach(self, what: str, path: str) -> SparseVolume:
        if self._hanging:
            raise CallHangs(what)
        if self._errno:
            raise StorageError(what, os.strerror(self._errno), self._errno)
        if path not in self.volumes:
            raise StorageError(what, os.strerror(errno_module.ENOENT), errno_module.ENOENT)
        return self.volumes[path]
