# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Where everything lies on the shared storage.

One file or block device holds all parts; with 512-byte sectors (design: storage layout)::

    0        1 MiB          sanlock lockspace "hosted-engine"
    1 MiB    1 MiB          sanlock resource "engine": the lease
    2 MiB    4096 B x 2001  metadata: slot 0 for all, slot N for host N
    10 MiB   1 MiB          shared configuration, two copies
    11 MiB   1 MiB          sanlock resource "config": the lock of who writes the configuration

sanlock needs 8 MiB instead of 1 MiB for 2000 hosts on 4096-byte sectors; the rest moves up.
Each part may be put elsewhere (`StorageParts`), on any volume. The last one came later: a
cluster made before it does without until somebody changes its configuration.
"""

from __future__ import annotations

from metadata.error_words import shown
from metadata.records import VolumeAddress
from metadata.storage_parts import StorageParts
from metadata.value_class import value_class

MIB = 1024 * 1024
LOCKSPACE_NAME = "hosted-engine"
LEASE_NAME = "engine"
CONFIG_LEASE_NAME = "config"
SLOT_SIZE = 4096
MAX_HOSTS = 2000
METADATA_SIZE = SLOT_SIZE * (MAX_HOSTS + 1)
CONFIG_SIZE = MIB
SECTOR_SIZES = (512, 4096)

_SANLOCK_ALIGN = {512: MIB, 4096: 8 * MIB}


@value_class(frozen=True)
class Extent:
    """One part of the storage: its name in the settings, place, size and alignment in bytes."""

    name: str
    address: VolumeAddress
    size: int
    align: int

    @property
    def end(self) -> int:
        """Offset of the first byte behind the part."""
        return self.address.offset + self.size


def sanlock_align(sector_size: int) -> int:
    """Size in bytes of a sanlock area for 2000 hosts; ValueError for other sectors."""
    if sector_size not in _SANLOCK_ALIGN:
        raise ValueError(f"sector_size: {shown(sector_size)} is refused; allowed: 512 or 4096")
    return _SANLOCK_ALIGN[sector_size]


def storage_parts(path: str, sector_size: int = 512) -> StorageParts:
    """The usual layout: all parts on one volume."""
    area = sanlock_align(sector_size)
    config_offset = _round_up(2 * area + METADATA_SIZE, MIB)
    return StorageParts(
        lockspace=VolumeAddress(path, 0),
        lease=VolumeAddress(path, area),
        metadata=VolumeAddress(path, 2 * area),
        shared_config=VolumeAddress(path, config_offset),
        sector_size=sector_size,
    )


def slot_address(parts: StorageParts, host_id: int) -> VolumeAddress:
    """Where the slot of `host_id` lies (0: the global slot); ValueError outside 0..2000."""
    if not 0 <= host_id <= MAX_HOSTS:
        raise ValueError(f"host_id: {shown(host_id)} is refused; allowed: 0 to {MAX_HOSTS}")
    return VolumeAddress(parts.metadata.path, parts.metadata.offset + SLOT_SIZE * host_id)


def config_lease_address(parts: StorageParts) -> VolumeAddress:
    """Where the lock of writers lies: its own place, else behind the volume's other parts."""
    if parts.config_lease is not None:
        return parts.config_lease
    path = parts.lockspace.path
    ends = [part.end for part in _first_extents(parts) if part.address.path == path]
    return VolumeAddress(path, _round_up(max(ends), sanlock_align(parts.sector_size)))


def config_lease_extent(parts: StorageParts) -> Extent:
    """The lock of writers, which a cluster made before it does not have."""
    area = sanlock_align(parts.sector_size)
    return Extent("config_lease", config_lease_address(parts), area, area)


def extents(parts: StorageParts) -> list[Extent]:
    """All parts with their sizes and alignments."""
    return [*_first_extents(parts), config_lease_extent(parts)]


def _first_extents(parts: StorageParts) -> list[Extent]:
    """What every cluster has."""
    area = sanlock_align(parts.sector_size)
    return [
        Extent("lockspace", parts.lockspace, area, area),
        Extent("lease", parts.lease, area, area),
        Extent("metadata", parts.metadata, METADATA_SIZE, SLOT_SIZE),
        Extent("shared_config", parts.shared_config, CONFIG_SIZE, SLOT_SIZE),
    ]


def required_sizes(parts: StorageParts, config_lease: bool = True) -> dict[str, int]:
    """Bytes that each volume must have, by path; with room for the lock of writers or without."""
    sizes: dict[str, int] = {}
    for extent in extents(parts) if config_lease else _first_extents(parts):
        path = extent.address.path
        sizes[path] = max(sizes.get(path, 0), extent.end)
    return sizes


def whole_mib(size: int) -> int:
    """Whole MiB that hold `size` bytes."""
    return -(-size // MIB)


def too_short_text(path: str, size: int, needed: int) -> str:
    """A volume of `size` bytes that must have `needed`, in the same words wherever it is found."""
    return (
        f"the volume ends before its parts: {path} has {size} bytes, {needed} "
        f"({whole_mib(needed)} MiB) are needed"
    )


def required_size(parts: StorageParts) -> int:
    """Bytes that the volume of the lockspace must have; the only one in the usual layout."""
    return required_sizes(parts)[parts.lockspace.path]


def placement_problems(parts: StorageParts) -> list[str]:
    """What is wrong with where the parts lie: misaligned, negative or overlapping."""
    found = extents(parts)
    problems = [text for extent in found for text in _alignment_problems(extent)]
    for position, first in enumerate(found):
        problems += [
            _overlap_text(first, other) for other in found[position + 1 :] if _overlap(first, other)
        ]
    return problems


def _alignment_problems(extent: Extent) -> list[str]:
    offset = extent.address.offset
    if offset >= 0 and offset % extent.align == 0:
        return []
    return [f"{extent.name}.offset: {offset} is refused; allowed: a multiple of {extent.align}"]


def _overlap(first: Extent, other: Extent) -> bool:
    if first.address.path != other.address.path:
        return False
    return first.address.offset < other.end and other.address.offset < first.end


def _overlap_text(first: Extent, other: Extent) -> str:
    return (
        f"{other.name}.offset: {other.address.offset} is refused; {first.name} takes the bytes "
        f"{first.address.offset} to {first.end - 1} of {first.address.path}, and {other.name} "
        f"needs {other.size} bytes of its own"
    )


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
