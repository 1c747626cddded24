# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""May the lockspace be made anew, and after how long a look? Pure.

A lockspace that is made anew forgets that a host lives, and a lease that is made anew is free:
whoever joins next may start the engine. So nothing may run on the old lease any more, and only
what stands on the storage can tell of other hosts (ADR 20):

================================ ============================================================
the lease                        what must be seen before
================================ ============================================================
free, or its owner has left or   who lives: two renewals. Living hosts are refused, but for
has joined anew since            --force: none of them holds the lease, and from the first
                                 write until they have certainly lost their old place nobody
                                 can take it
held by a host                   that host must be silent for as long as sanlock needs to be
                                 sure that its holder has ended: the floor
can't be read                    everybody must be: any living host may be the holder
================================ ============================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional, Union

from metadata.host_notes import longest_fire_timeout_s
from metadata.layout import LEASE_NAME, LOCKSPACE_NAME, MAX_HOSTS
from metadata.records import DecodedSlot, HostRecord
from metadata.sanlock_disk import (
    DEFAULT_IO_TIMEOUT_S,
    HOST_ID_MAGIC,
    LEASE_MAGIC,
    LeaderRecord,
    parse_record,
)
from metadata.settings.timing import lease_floor_s, record_shows_s, renewal_shows_s

LEASE_MOVES = "somebody has taken the engine's lease just now, or let it go"


@dataclass(frozen=True)
class StorageLook:
    """What stands on the storage at one moment.

    `lockspace` and `lease` are the areas' bytes (of the lease its first sectors); `slots` are
    the present host slots, by id.
    """

    lockspace: bytes
    lease: bytes
    slots: Mapping[int, DecodedSlot]
    sector_size: int

    def sector(self, host_id: int) -> bytes:
        """A host id's place in the lockspace."""
        return self.lockspace[(host_id - 1) * self.sector_size : host_id * self.sector_size]


@dataclass(frozen=True)
class Nobody:
    """No host holds the lease."""


@dataclass(frozen=True)
class Anybody:
    """Every host may hold the lease: who does can't be read."""


@dataclass(frozen=True)
class Holder:
    """This host may hold it."""

    host_id: int


LeaseHolder = Union[Nobody, Anybody, Holder]


@dataclass(frozen=True)
class SignOfLife:
    """What was seen to change: places in the lockspace, and records of other hosts' agents."""

    renewed: frozenset[int] = frozenset()
    written: Mapping[int, HostRecord] = field(default_factory=dict)
    lease_changed: bool = False

    @property
    def host_ids(self) -> list[int]:
        """All who live."""
        return sorted({*self.renewed, *self.written})

    def beside(self, other: SignOfLife) -> SignOfLife:
        """What was seen in either; of the lease only the later word counts."""
        written = {**self.written, **other.written}
        return SignOfLife(self.renewed | other.renewed, written, other.lease_changed)


def lease_holder(look: StorageLook) -> LeaseHolder:
    """Who may hold the engine's lease, by what stands on the storage alone."""
    lease = parse_record(look.lease)
    ours = lease is not None and (lease.lockspace, lease.resource) == (LOCKSPACE_NAME, LEASE_NAME)
    if lease is None or lease.magic != LEASE_MAGIC or not ours:
        return Anybody()
    if not lease.in_use or _has_ended(lease, look.sector(lease.owner_id)):
        return Nobody()
    return Holder(lease.owner_id)


def _has_ended(lease: LeaderRecord, sector: bytes) -> bool:
    """Its owner has left the lockspace in order, or has come back in another life."""
    owner = parse_record(sector)
    if owner is None or owner.magic != HOST_ID_MAGIC or owner.lockspace != LOCKSPACE_NAME:
        return False
    return not owner.in_use or owner.generation > lease.generation


def io_timeout_s(look: StorageLook, usual_s: Optional[int]) -> int:
    """The slowest host's; `usual_s` is the cluster's setting, None when that can't be read."""
    used = [record.io_timeout_s for record in _records(look) if record and record.in_use]
    return max([usual_s or DEFAULT_IO_TIMEOUT_S, *used])


def fire_timeout_s(look: StorageLook, own_s: int) -> int:
    """sanlock's longest watchdog_fire_timeout, by what the hosts say; `own_s` is this host's."""
    records = [slot for slot in look.slots.values() if isinstance(slot, HostRecord)]
    return longest_fire_timeout_s(records, own_s)


def watch_s(look: StorageLook, io_s: int, fire_s: int, tick_s: float) -> float:
    """How long to look before anything is written."""
    if not isinstance(lease_holder(look), Nobody):
        return lease_floor_s(io_s, fire_s) + 1
    may_renew = any(record is None or record.in_use for record in _records(look))
    may_write = any(
        isinstance(slot, HostRecord) and not slot.stopped for slot in look.slots.values()
    )
    return max(
        renewal_shows_s(io_s) if may_renew else 0.0, record_shows_s(tick_s) if may_write else 0.0
    )


def _records(look: StorageLook) -> list[Optional[LeaderRecord]]:
    """Of every host id; None: what stands there is none of sanlock's."""
    return [parse_record(look.sector(host_id)) for host_id in _host_ids(look)]


def _host_ids(look: StorageLook) -> range:
    return range(1, min(MAX_HOSTS, len(look.lockspace) // look.sector_size) + 1)


def life_between(before: StorageLook, now: StorageLook) -> SignOfLife:
    """What has changed since."""
    places = _host_ids(before) if before.lockspace != now.lockspace else ()
    renewed = {host_id for host_id in places if before.sector(host_id) != now.sector(host_id)}
    written = {
        host_id: slot
        for host_id, slot in now.slots.items()
        if isinstance(slot, HostRecord) and slot != before.slots.get(host_id)
    }
    return SignOfLife(frozenset(renewed), written, before.lease != now.lease)


def refusal(look: StorageLook, life: SignOfLife, force: bool) -> str:
    """Why it may not be done; empty: nothing speaks against it."""
    lives = "lives" if len(life.host_ids) == 1 else "live"
    names = f"{_names(look, life.host_ids)} {lives}"
    holder = lease_holder(look)
    running = [
        host_id
        for host_id, slot in life.written.items()
        if isinstance(slot, HostRecord) and slot.engine_status.is_up
    ]
    if life.lease_changed:
        return LEASE_MOVES
    if isinstance(holder, Holder) and holder.host_id in life.host_ids:
        return f"{_names(look, [holder.host_id])} lives and holds the engine's lease"
    if running:
        return f"{_names(look, running)} lives and says that the engine runs there"
    if isinstance(holder, Anybody) and life.host_ids:
        return f"{names}, and the engine's lease, which would tell whether it runs there, is lost"
    if life.host_ids and not force:
        return f"{names} and uses the lockspace"
    return ""


def unready(look: StorageLook, maintenance: Optional[bool], own_id: int) -> list[str]:
    """What an administrator has not done yet, beyond this host; only --force does without."""
    problems = []
    if maintenance is None:
        problems.append("whether the cluster is in global maintenance can't be read (slot 0)")
    elif not maintenance:
        problems.append(
            "the cluster is not in global maintenance (hosted-engine --set-maintenance "
            "--mode=global)"
        )
    running = [
        host_id
        for host_id, slot in sorted(look.slots.items())
        if isinstance(slot, HostRecord) and not slot.stopped and host_id != own_id
    ]
    if running:
        problems.append(
            f"by its record the agent of {_names(look, running)} has not been stopped (there: "
            "systemctl stop ha-agent ha-broker ha-lockspace; of a host that is gone: hosted-engine "
            "--clean-metadata --host-id=N)"
        )
    return problems


def _names(look: StorageLook, host_ids: list[int]) -> str:
    return ", ".join(_name(look, host_id) for host_id in host_ids)


def _name(look: StorageLook, host_id: int) -> str:
    slot = look.slots.get(host_id)
    name = slot.hostname if isinstance(slot, HostRecord) else ""
    return f"host {name} (id {host_id})" if name else f"host id {host_id}"
