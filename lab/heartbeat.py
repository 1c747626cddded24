# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The heartbeats that every boot of the guest leaves on the shared disk.

A record fills one sector: ``heartbeat 1 boot=… count=… at_us=… start_us=… error_us=… host=…``,
padded with blanks. ``at_us`` is the machine's clock (microseconds since its boot) as the guest
knew it, ``error_us`` by how much it may be wrong.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR_BYTES = 512
# The first 4 MiB stay free, as a real disk's partition table would need them.
FIRST_SECTOR = 8192
REGION_SECTORS = 8192
REGIONS = 4000


@dataclass(frozen=True)
class Heartbeat:
    """One record."""

    boot: str
    count: int
    at_s: float
    start_s: float
    error_s: float
    host: str


def parse(sector: bytes) -> Heartbeat | None:
    """Read one sector; None when it holds no whole record."""
    words = sector.rstrip(b"\0").decode("ascii", errors="replace").split()
    if words[:2] != ["heartbeat", "1"]:
        return None
    fields = dict(word.partition("=")[::2] for word in words[2:])
    try:
        return Heartbeat(
            boot=fields["boot"],
            count=int(fields["count"]),
            at_s=int(fields["at_us"]) / 1e6,
            start_s=int(fields["start_us"]) / 1e6,
            error_s=int(fields["error_us"]) / 1e6,
            host=fields["host"],
        )
    except (KeyError, ValueError):
        return None


def read_all(disk: Path) -> Iterator[Heartbeat]:
    """Every record on the disk."""
    with disk.open("rb") as file:
        for start, end in _written_areas(file.fileno()):
            yield from _read_area(file.fileno(), start, end)


def _read_area(descriptor: int, start: int, end: int) -> Iterator[Heartbeat]:
    for offset in range(start, end, SECTOR_BYTES):
        found = parse(os.pread(descriptor, SECTOR_BYTES, offset))
        if found is not None:
            yield found


def _written_areas(descriptor: int) -> Iterator[tuple[int, int]]:
    """The parts of a sparse file that hold data."""
    end = 0
    while True:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:
            # ENXIO: no data behind this offset.
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
