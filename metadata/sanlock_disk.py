# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Reading, never writing, what sanlock keeps on the storage, without asking its daemon.

Needed where the daemon can't tell: before this host joins a lockspace (``get_hosts`` wants a
member), for a volume of somebody else, and with no daemon at all. The record is sanlock's
``struct leader_record`` (its src/ondisk.h), little-endian, one sector:

    0 magic u32, 4 version u32, 12 sector size u32, 32 owner id u64, 40 generation u64,
    56 lockspace name [48], 104 resource name [48] (in a host id's record: the owner's sanlock
    name), 152 timestamp u64 (0: free), 174 io_timeout u16

In a lockspace host id N has sector N-1; a lease's owner is in the first sector of its area.
Pure.
"""

from __future__ import annotations

import struct
from typing import Optional

from metadata.layout import SECTOR_SIZES
from metadata.plain_text import printable_text
from metadata.value_class import value_class

HOST_ID_MAGIC = 0x12212010
LEASE_MAGIC = 0x06152010

_HEAD = struct.Struct("<IIII16xQQ8x48s48sQ")
_IO_TIMEOUT = struct.Struct("<H")
_IO_TIMEOUT_OFFSET = 174
_RECORD_SIZE = 176
DEFAULT_IO_TIMEOUT_S = 10


@value_class(frozen=True)
class LeaderRecord:
    """One sector of sanlock's. `owner_name` is empty in a lease; timestamp 0 means free."""

    magic: int
    sector_size: int
    owner_id: int
    generation: int
    lockspace: str
    resource: str
    timestamp: int
    io_timeout_s: int

    @property
    def in_use(self) -> bool:
        """Owned and not let go (its owner may have died)."""
        return self.timestamp != 0 and self.owner_id != 0


def parse_record(data: bytes) -> Optional[LeaderRecord]:
    """The record at the beginning of `data`, or None when that is none of sanlock's."""
    if len(data) < _RECORD_SIZE:
        return None
    magic, _, _, sector, owner, generation, space, resource, stamp = _HEAD.unpack_from(data)
    if magic not in (HOST_ID_MAGIC, LEASE_MAGIC):
        return None
    io_timeout_s = _IO_TIMEOUT.unpack_from(data, _IO_TIMEOUT_OFFSET)[0]
    return LeaderRecord(
        magic=magic,
        sector_size=sector,
        owner_id=owner,
        generation=generation,
        lockspace=_text(space),
        resource=_text(resource),
        timestamp=stamp,
        io_timeout_s=io_timeout_s or DEFAULT_IO_TIMEOUT_S,
    )


def host_ids_in_use(area: bytes, sector_size: int) -> dict[int, LeaderRecord]:
    """The host ids of a lockspace area that somebody owns, by host id."""
    found: dict[int, LeaderRecord] = {}
    if sector_size not in SECTOR_SIZES:
        return found
    for position in range(len(area) // sector_size):
        sector = area[position * sector_size : (position + 1) * sector_size]
        record = parse_record(sector)
        if record is not None and record.magic == HOST_ID_MAGIC and record.in_use:
            found[position + 1] = record
    return found


def was_joined(area: bytes, sector_size: int) -> bool:
    """Has any host ever been in the lockspace of this area? Leaving does not take its number away,
    and formatting sets all to 0."""
    if sector_size not in SECTOR_SIZES:
        return False
    sectors = (area[start : start + sector_size] for start in range(0, len(area), sector_size))
    records = map(parse_record, sectors)
    return any(one.magic == HOST_ID_MAGIC and one.generation > 0 for one in records if one)


def lease_owner(area: bytes) -> Optional[LeaderRecord]:
    """The record of a lease area's owner, alive or not; None: free, or no lease."""
    record = parse_record(area)
    return record if record and record.magic == LEASE_MAGIC and record.in_use else None


def _text(raw: bytes) -> str:
    return printable_text(raw.split(b"\0", 1)[0].decode("ascii", "backslashreplace"))
