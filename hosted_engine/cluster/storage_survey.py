# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the shared storage holds before anything is written to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Optional, Union

from hosted_engine.host.disk_signature import disk_signature
from metadata.error_words import shown
from metadata.layout import LOCKSPACE_NAME, Extent, extents
from metadata.records import HostRecord, VolumeAddress
from metadata.sanlock_disk import (
    HOST_ID_MAGIC,
    LEASE_MAGIC,
    LeaderRecord,
    host_ids_in_use,
    lease_owner,
    parse_record,
    was_joined,
)
from metadata.settings.parse import StorageParts
from metadata.shared_config import (
    ConfigAbsent,
    SharedConfig,
    decode_area,
    describe_config_error,
)
from metadata.slots import present_slots, record_or_problem
from world.ports.storage import BlockStore

_READ_SIZE = 1024 * 1024
_ALIGNMENT = 4096  # of what the storage is read by


class AreaKind(str, Enum):
    """What the storage is."""

    BLANK = "blank"  # nothing but zeros
    HALF_MADE = "half-made"  # our lockspace, but a creation did not get to its end
    CLUSTER = "cluster"  # a cluster of ours
    BROKEN_CLUSTER = "broken-cluster"  # ours, its shared configuration unusable
    FOREIGN = "foreign"  # something else


@dataclass(frozen=True)
class Survey:
    """The findings.

    `slots` are the present host slots: the record, or in words what is wrong with it;
    `ids_in_use` the host ids that somebody owns in the lockspace, alive or not; `lease_owner`
    the owner of the engine's lease, alive or not; `found` says in words what is there. `others`
    says why it is another program's, whose engine would not be seen here: it is never formatted.
    """

    kind: AreaKind
    parts: StorageParts
    found: str = ""
    config: Optional[SharedConfig] = None
    slots: Mapping[int, Union[HostRecord, str]] = field(default_factory=dict)
    ids_in_use: Mapping[int, LeaderRecord] = field(default_factory=dict)
    lease_owner: Optional[LeaderRecord] = None
    others: str = ""

    def host_name(self, host_id: int) -> str:
        """The name in the slot of `host_id`, else the owner's sanlock name, else nothing."""
        record = self.slots.get(host_id)
        if isinstance(record, HostRecord):
            return record.hostname
        owner = self.ids_in_use.get(host_id)
        return owner.resource if owner else ""

    def describe_host(self, host_id: int) -> str:
        """``h1 (id 1)``."""
        return f"{self.host_name(host_id) or 'a host'} (id {host_id})"


def survey(store: BlockStore, parts: StorageParts) -> Survey:
    """Look at every part of the storage; raises StorageError."""
    areas = {extent.name: _read_area(store, extent) for extent in _present(store, parts)}
    if not any(_first_used(area) is not None for area in areas.values()):
        return Survey(AreaKind.BLANK, parts)
    record = parse_record(areas["lockspace"])
    if record and record.magic == HOST_ID_MAGIC and record.lockspace == LOCKSPACE_NAME:
        return _our_survey(parts, areas)
    in_use = ids_in_use(areas["lockspace"], parts)
    text, others = foreign_text(store, parts, areas), _others_records(areas)
    return Survey(AreaKind.FOREIGN, parts, text, ids_in_use=in_use, others=others)


def read_lockspace(store: BlockStore, parts: StorageParts) -> bytes:
    """The lockspace's area; raises StorageError."""
    return _read_area(store, extents(parts)[0])


def read_place(store: BlockStore, parts: StorageParts, host_id: int) -> bytes:
    """A host id's place in the lockspace, one sector; raises StorageError."""
    start = (host_id - 1) * parts.sector_size
    block = start - start % _ALIGNMENT
    place = VolumeAddress(parts.lockspace.path, parts.lockspace.offset + block)
    data = store.read(place, _ALIGNMENT)
    return data[start - block : start - block + parts.sector_size]


def ids_in_use(area: bytes, parts: StorageParts) -> dict[int, LeaderRecord]:
    """The owned host ids of whatever lockspace is in `area`, in its own sector size."""
    record = parse_record(area)
    return host_ids_in_use(area, record.sector_size if record else parts.sector_size)


def _our_survey(parts: StorageParts, areas: Mapping[str, bytes]) -> Survey:
    config = decode_area(areas["shared_config"])
    slots = _slots(areas["metadata"])
    in_use = ids_in_use(areas["lockspace"], parts)
    owner = lease_owner(areas["lease"])
    found = Survey(AreaKind.CLUSTER, parts, "", None, slots, in_use, owner)
    text = describe_cluster(found)
    if isinstance(config, SharedConfig):
        return Survey(AreaKind.CLUSTER, parts, text, config, slots, in_use, owner)
    if isinstance(config, ConfigAbsent) and not slots and owner is None:
        # Ours has all its areas before a host joins; else another program has this lockspace.
        is_ours = parse_record(areas["lease"]) is not None
        if not is_ours and was_joined(areas["lockspace"], parts.sector_size):
            text = f"a sanlock lockspace {shown(LOCKSPACE_NAME)} that hosts have been in"
            return Survey(AreaKind.FOREIGN, parts, text, ids_in_use=in_use, others=_LOCKSPACE)
        text = "a hosted-engine cluster whose creation did not get to its end"
        return Survey(AreaKind.HALF_MADE, parts, text, None, slots, in_use, owner)
    text = f"{text}; {describe_config_error(config)}"
    return Survey(AreaKind.BROKEN_CLUSTER, parts, text, None, slots, in_use, owner)


_LOCKSPACE = (
    "no lease of an engine is beside it: oVirt's own tools have a lockspace of this name, and "
    "their engine's lease lies in another one"
)
_RECORDS = "oVirt's own tools leave them so, without a lockspace that tells who lives"


def _others_records(areas: Mapping[str, bytes]) -> str:
    """oVirt's status records have a volume of their own: no part of a cluster of ours is there."""
    if any(parse_record(area) is not None for area in areas.values()):
        return ""
    if isinstance(decode_area(areas["shared_config"]), SharedConfig):
        return ""
    slots = [slot for area in areas.values() for slot in _slots(area).values()]
    return _RECORDS if any(isinstance(slot, HostRecord) for slot in slots) else ""


def describe_cluster(found: Survey) -> str:
    """``a hosted-engine cluster with hosts h1 (id 1), h2 (id 2), engine lease held by h1``."""
    ids = sorted({*found.slots, *found.ids_in_use})
    hosts = ", ".join(found.describe_host(host_id) for host_id in ids)
    text = (
        f"a hosted-engine cluster with hosts {hosts}" if ids else "an empty hosted-engine cluster"
    )
    if found.lease_owner is None:
        return text
    owner_id = found.lease_owner.owner_id
    return f"{text}, engine lease held by {found.host_name(owner_id) or f'host id {owner_id}'}"


def _slots(area: bytes) -> dict[int, Union[HostRecord, str]]:
    present = present_slots(area, 0)
    return {host_id: record_or_problem(slot) for host_id, slot in present.items()}


# --- what is not ours -----------------------------------------------------------------------

_QCOW2 = b"QFI\xfb"  # libblkid knows what is on disks, not images of them


def foreign_text(store: BlockStore, parts: StorageParts, areas: Mapping[str, bytes]) -> str:
    """What stands where our parts shall lie, in words; raises StorageError."""
    return "; ".join(
        f"{_area_text(store, extent.address, areas[extent.name])} at "
        f"{extent.address.path}:{extent.address.offset}"
        for extent in extents(parts)
        if _first_used(areas.get(extent.name, b"")) is not None
    )


def _area_text(store: BlockStore, address: VolumeAddress, area: bytes) -> str:
    record = parse_record(area)
    if record is not None:
        if record.magic == LEASE_MAGIC:
            return (
                f"the sanlock lease {shown(record.resource)} of lockspace {shown(record.lockspace)}"
            )
        return f"the sanlock lockspace {shown(record.lockspace)}"
    names = [slot.hostname for slot in _slots(area).values() if isinstance(slot, HostRecord)]
    if names:
        return f"status records of the hosts {', '.join(names[:10])}"
    if isinstance(decode_area(area), SharedConfig):
        return "the shared configuration of a hosted-engine cluster"
    if area.startswith(_QCOW2):
        return "a qcow2 image"
    known = disk_signature(area, store.size(address.path) - address.offset)
    return known or f"data of an unknown kind (first at byte {_first_used(area)})"


# --- reading --------------------------------------------------------------------------------


def _present(store: BlockStore, parts: StorageParts) -> list[Extent]:
    """A cluster made before there was a lock of writers may have no room for it."""
    *first, lock = extents(parts)
    has_room = store.size(lock.address.path) >= lock.end
    return [*first, lock] if has_room else first


def _read_area(store: BlockStore, extent: Extent) -> bytes:
    pieces = []
    for start in range(0, extent.size, _READ_SIZE):
        place = VolumeAddress(extent.address.path, extent.address.offset + start)
        pieces.append(store.read(place, min(_READ_SIZE, extent.size - start)))
    return b"".join(pieces)


def _first_used(area: bytes) -> Optional[int]:
    """Offset of the first byte that is not zero; None: all are."""
    if area == bytes(len(area)):
        return None  # as most are: comparing takes a fraction of the time of stripping
    return len(area) - len(area.lstrip(b"\0"))
