# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The simulated sanlock's state as bytes on a volume, in the records of the real one."""

from __future__ import annotations

import struct
from typing import Optional

from metadata.layout import (
    CONFIG_LEASE_NAME,
    LEASE_NAME,
    LOCKSPACE_NAME,
    MAX_HOSTS,
    config_lease_address,
    sanlock_align,
)
from metadata.records import VolumeAddress
from metadata.sanlock_disk import (
    DEFAULT_IO_TIMEOUT_S,
    HOST_ID_MAGIC,
    LEASE_MAGIC,
    lease_owner,
    parse_record,
)
from metadata.storage_parts import StorageParts
from simulation.world.lockspace import SimSan, Slot
from simulation.world.store import SimStore
from world.ports.sanlock import LeaseOwner

_VERSION = 0x30004
_HEAD = struct.Struct("<IIII16xQQ8x48s48sQ14xH")


def leader_record(
    magic: int,
    owner_id: int = 0,
    generation: int = 0,
    timestamp: int = 0,
    resource: str = "",
    *,
    io_timeout_s: int = DEFAULT_IO_TIMEOUT_S,
    sector_size: int = 512,
) -> bytes:
    """One sector; see `metadata.sanlock_disk`. Timestamp 0 is free."""
    names = LOCKSPACE_NAME.encode(), resource.encode()
    head = magic, _VERSION, 0, sector_size, owner_id, generation
    return _HEAD.pack(*head, *names, timestamp, io_timeout_s).ljust(sector_size, b"\0")


class SanlockSectors:
    """Keeps what a `SimSan` knows on the volumes of a `SimStore`, and it knows what stands there.

    At first that is what the volumes hold. `sync` takes over what was written there since (by a
    command, or by a host that has no daemon here), then writes what the daemons have changed. It
    is to be called before each look at either: by the `before_call` of store and daemons.
    """

    def __init__(self, san: SimSan, store: SimStore, parts: StorageParts) -> None:
        self._san = san
        self._store = store
        self._parts = parts
        self._config_place = config_lease_address(parts)
        self._area_size = sanlock_align(parts.sector_size)
        self._changes = -1
        self._formats = san.lockspace_formats
        self._slots: dict[int, Slot] = {}
        self._bytes = bytes(self._area_size)
        self._lease = self._config_lease = b""
        self._leases: tuple[object, ...] = ()
        self.sync()

    def sync(self) -> None:
        """See above; of a volume that is not there (any more) nothing is known."""
        if not {self._parts.lockspace.path, self._parts.lease.path} <= self._store.volumes.keys():
            return
        if self._changes != self._written():
            self._read()
        self._write()
        self._changes = self._written()

    def _written(self) -> int:
        return sum(volume.changes for volume in self._store.volumes.values())

    # --- what stands there ----------------------------------------------------------------

    def _read(self) -> None:
        san = self._san
        area = self._at(self._parts.lockspace, self._area_size)
        if area != self._bytes:
            for host_id in range(1, MAX_HOSTS + 1):
                self._read_slot(host_id, area)
            self._bytes = area
        lease, config_lease = self._lease_sectors()
        if lease != self._lease:
            san.lease_formatted, san.lease = _lease_of(lease)
        if config_lease != self._config_lease:
            san.config_lease_formatted, san.config_lease = _lease_of(config_lease)
        if (lease, config_lease) != (self._lease, self._config_lease):
            self._lease, self._config_lease = lease, config_lease
            self._leases = self._state_of_leases()

    def _read_slot(self, host_id: int, area: bytes) -> None:
        start = (host_id - 1) * self._parts.sector_size
        sector = area[start : start + self._parts.sector_size]
        if sector == self._bytes[start : start + len(sector)]:
            return
        record = parse_record(sector)
        whole = record is not None and record.magic == HOST_ID_MAGIC
        if host_id == 1:
            self._san.lockspace_formatted = whole
        self._san.slots.pop(host_id, None)
        self._slots.pop(host_id, None)
        if record is not None and whole and record.generation:
            slot = Slot(record.resource, record.generation, record.timestamp, record.io_timeout_s)
            self._san.slots[host_id] = self._slots[host_id] = slot

    def _at(self, place: VolumeAddress, size: int) -> bytes:
        return self._store.volumes[place.path][place.offset : place.offset + size]

    # --- what the daemons have changed ----------------------------------------------------

    def _write(self) -> None:
        san = self._san
        if self._formats != san.lockspace_formats:
            self._formats = san.lockspace_formats
            self._slots = {}
            self._put(self._parts.lockspace, self._free_sector() * MAX_HOSTS)
        if self._slots != san.slots:
            for host_id, slot in san.slots.items():
                if self._slots.get(host_id) != slot:
                    self._put_slot(host_id, slot)
            self._slots = dict(san.slots)
        if self._leases != self._state_of_leases():
            self._write_leases()

    def _write_leases(self) -> None:
        san, config_place = self._san, self._config_place
        if san.lease_formatted:
            self._put_lease(self._parts.lease, LEASE_NAME, san.lease)
        if san.config_lease_formatted:
            self._put_lease(config_place, CONFIG_LEASE_NAME, san.config_lease)
        self._lease, self._config_lease = self._lease_sectors()
        self._leases = self._state_of_leases()

    def _lease_sectors(self) -> tuple[bytes, bytes]:
        size = self._parts.sector_size
        return self._at(self._parts.lease, size), self._at(self._config_place, size)

    def _state_of_leases(self) -> tuple[object, ...]:
        san = self._san
        return san.lease_formatted, san.lease, san.config_lease_formatted, san.config_lease

    def _free_sector(self) -> bytes:
        io_s, size = self._san.lockspace_io_timeout_s, self._parts.sector_size
        return leader_record(HOST_ID_MAGIC, io_timeout_s=io_s, sector_size=size)

    def _put_slot(self, host_id: int, slot: Slot) -> None:
        size = self._parts.sector_size
        data = leader_record(
            HOST_ID_MAGIC,
            host_id,
            slot.generation,
            slot.timestamp,
            slot.owner_name,
            io_timeout_s=slot.io_timeout_s,
            sector_size=size,
        )
        place = self._parts.lockspace
        self._put(VolumeAddress(place.path, place.offset + (host_id - 1) * size), data)

    def _put_lease(self, place: VolumeAddress, name: str, owner: Optional[LeaseOwner]) -> None:
        now_s, size = int(self._san.clock.monotonic_s()), self._parts.sector_size
        held = (owner.host_id, owner.generation, now_s) if owner else (0, 0, 0)
        self._put(place, leader_record(LEASE_MAGIC, *held, resource=name, sector_size=size))

    def _put(self, place: VolumeAddress, data: bytes) -> None:
        self._store.volumes[place.path][place.offset : place.offset + len(data)] = data
        if place.path == self._parts.lockspace.path:
            self._bytes = self._at(self._parts.lockspace, self._area_size)


def _lease_of(sector: bytes) -> tuple[bool, Optional[LeaseOwner]]:
    """Is it a lease, and whose?"""
    record, owner = parse_record(sector), lease_owner(sector)
    formatted = record is not None and record.magic == LEASE_MAGIC
    return formatted, LeaseOwner(owner.owner_id, owner.generation) if owner else None
