# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The beginnings of disks that something else was made on."""

from __future__ import annotations

import struct
import zlib

SECTOR = 512

EXT2 = bytes(1080) + b"\x53\xef"
"""As little of an ext2 file system as libblkid takes for one."""


def labelled_ext2(label: bytes) -> bytes:
    """One that has a name."""
    return EXT2 + bytes(1024 + 120 - len(EXT2)) + label


def physical_volume() -> bytes:
    """LVM's label, with the checksum that it is believed by."""
    body = struct.pack("<I8s", 32, b"LVM2 001") + b"u" * 32
    body = body.ljust(SECTOR - 20, b"\0")
    checksum = zlib.crc32(body, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    return bytes(SECTOR) + b"LABELONE" + struct.pack("<QI", 1, checksum) + body


def swap_space() -> bytes:
    """Of 4 KiB pages."""
    header = struct.pack("<III", 1, 1024, 0)
    return (bytes(1024) + header).ljust(4096 - 10, b"\0") + b"SWAPSPACE2"


def gpt(last_sector: int) -> bytes:
    """A partition table for a disk of so many sectors; it has no partition."""
    entries = bytes(128 * 128)
    usable = (34, last_sector - 34)
    header = struct.pack(
        "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, 1, last_sector, *usable, b"d" * 16,
        2, 128, 128, zlib.crc32(entries),
    )  # fmt: skip
    header = header[:16] + struct.pack("<I", zlib.crc32(header)) + header[20:]
    partition = struct.pack("<8B2I", 0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, last_sector)
    protective = (bytes(446) + partition).ljust(510, b"\0") + b"\x55\xaa"
    return protective + header.ljust(SECTOR, b"\0") + entries
