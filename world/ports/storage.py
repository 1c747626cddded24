# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The shared volume."""

from __future__ import annotations

from typing import Protocol

from metadata.records import VolumeAddress


class BlockStore(Protocol):
    """Direct, aligned, synchronous I/O on the shared storage.

    `offset` and sizes are multiples of 4096 bytes.
    """

    def read(self, address: VolumeAddress, size: int) -> bytes:
        """Read `size` bytes; raises StorageError, also when the volume is too short."""

    def write(self, address: VolumeAddress, data: bytes) -> None:
        """Write `data` durably; raises StorageError."""

    def size(self, path: str) -> int:
        """Size in bytes of a file or block device, found by seeking."""
