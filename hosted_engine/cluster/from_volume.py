# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--vm-status --metadata PATH[:OFFSET]``: read the volume itself, with no daemon running.

OFFSET is where the metadata area begins, in bytes or with K, M or G. Without it: where the
usual layout has it when the volume begins with a sanlock lockspace (2 MiB, or 16 MiB for
4096-byte sectors), else 0. Nothing is ever written, and a file system that refuses direct I/O
is read through its cache.

**live-data.** One look can't tell a live record from one left behind, and no sanlock is
asked. So the records are looked at again each second until every host that says its agent
runs has written once more, at the most `watch_s` seconds (--timeout, default 11: two of the
usual ticks and one). A host whose record changed meanwhile is live; all others are stale.
``--timeout 0`` takes one look and shows everything as stale.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Optional, Protocol, Union

from ha_broker.api.snapshot import HostView
from hosted_engine.cluster.cluster_status import ClusterStatus
from hosted_engine.cluster.life_watch import Sleep, looks
from hosted_engine.errors import CommandError, UsageError
from hosted_engine.host.apart import within_deadline_apart
from metadata.error_words import reason, shown
from metadata.layout import (
    MAX_HOSTS,
    SLOT_SIZE,
    required_size,
    storage_parts,
    too_short_text,
)
from metadata.records import GlobalRecord, HostRecord, VolumeAddress, describe_slot_error
from metadata.sanlock_disk import HOST_ID_MAGIC, parse_record
from metadata.slots import present_slots, record_or_problem
from metadata.storage_parts import StorageParts
from metadata.wire import decode_global
from world.ports.errors import StorageError
from world.storage.direct_store import DirectStore

if TYPE_CHECKING:
    from world.ports.jobs import Clock

DEFAULT_WATCH_S = 11.0
LOOK_EVERY_S = 1.0
READ_DEADLINE_S = 5.0
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_OFFSET = re.compile(r"([0-9]{1,18})([KMG]?)(?:iB|B)?", re.IGNORECASE)
_ALL_SLOTS = MAX_HOSTS + 1


@dataclass(frozen=True)
class VolumeLook:
    """One look at the area: slot 0 and the slots that are present, by host id."""

    maintenance: Optional[bool]
    global_error: str
    slots: dict[int, Union[HostRecord, str]]
    slots_seen: int


class VolumeReader(Protocol):
    """The reading half of a `BlockStore`."""

    def read(self, address: VolumeAddress, size: int) -> bytes:
        """As `BlockStore.read`."""

    def size(self, path: str) -> int:
        """As `BlockStore.size`."""


OpenReader = Callable[[str], VolumeReader]


def parse_address(text: str) -> tuple[str, Optional[int]]:
    """Split ``PATH[:OFFSET]``; raises UsageError naming an offset that is none.

    A path may have colons of its own: only a last piece without '/' is taken for an offset,
    and only when there is no file of the whole name.
    """
    path, colon, last = text.rpartition(":")
    if not colon or "/" in last or os.path.exists(text):  # noqa: PTH110
        return text, None
    match = _OFFSET.fullmatch(last)
    if match is None:
        raise UsageError(
            f"--metadata: the offset {shown(last)} is refused; allowed: bytes, or a number with K, "
            f"M or G, such as {path}:2M"
        )
    offset = int(match.group(1)) * _UNITS[match.group(2).upper()]
    if offset % SLOT_SIZE:
        raise UsageError(
            f"--metadata: the offset {offset} is refused; allowed: a multiple of {SLOT_SIZE}"
        )
    return path, offset


def read_from_volume(text: str, watch_s: float, clock: Clock, sleep: Sleep) -> ClusterStatus:
    """Read and watch the area named by ``PATH[:OFFSET]``; raises CommandError."""
    return within_deadline_apart(
        lambda: watch_volume(open_reader_of, text, watch_s, clock, sleep),
        f"{text}: the storage",
        watch_s + READ_DEADLINE_S,
    )


def watch_volume(
    open_reader: OpenReader, text: str, watch_s: float, clock: Clock, sleep: Sleep
) -> ClusterStatus:
    """The same without a deadline, through any reader of the path; raises CommandError."""
    path, offset = parse_address(text)
    return _watch(_Area.find(open_reader, path, offset), watch_s, clock, sleep)


def watch_area(place: VolumeAddress, watch_s: float) -> ClusterStatus:
    """The area at a place that is known already, without a deadline; raises CommandError.

    A job for a new interpreter: what it takes and gives are values that pickle takes.
    """
    from world.host.clock import SystemClock

    area = _Area.find(open_reader_of, place.path, place.offset)
    return _watch(area, watch_s, SystemClock(), time.sleep)


class _Area:
    """A metadata area on a volume."""

    def __init__(self, store: VolumeReader, path: str, offset: int, size: int) -> None:
        self._store = store
        self._path = path
        self._offset = offset
        self._whole_slots = min(_ALL_SLOTS, (size - offset) // SLOT_SIZE)
        self._cut_slot = self._whole_slots < _ALL_SLOTS and (size - offset) % SLOT_SIZE != 0

    @classmethod
    def find(cls, open_reader: OpenReader, path: str, offset: Optional[int]) -> _Area:
        """The area at `offset` of `path`, or where the usual layout has it."""
        try:
            store = open_reader(path)
            size = store.size(path)
            usual = _usual_parts(store, path, size) if offset is None else None
        except StorageError as error:
            raise CommandError(f"{path}: can't be read: {error.why}") from error
        place = (offset or 0) if usual is None else usual.metadata.offset
        if size < place + SLOT_SIZE:
            needed = place + SLOT_SIZE if usual is None else required_size(usual)
            raise CommandError(
                f"{path}: there is no metadata area at offset {place}, or it is another volume: "
                f"{too_short_text(path, size, needed)}"
            )
        return cls(store, path, place, size)

    def look(self) -> VolumeLook:
        """Read everything that is there; one slot's garbage stays its own."""
        try:
            data = self._store.read(
                VolumeAddress(self._path, self._offset), self._whole_slots * SLOT_SIZE
            )
        except StorageError as error:
            raise CommandError(str(error)) from error
        maintenance, global_error = _global(data[:SLOT_SIZE])
        present = present_slots(data, 0)
        slots = {host_id: record_or_problem(slot) for host_id, slot in present.items()}
        if self._cut_slot:
            slots[self._whole_slots] = f"slot {self._whole_slots}: the volume ends inside it"
        return VolumeLook(maintenance, global_error, slots, self._whole_slots)


def _watch(area: _Area, watch_s: float, clock: Clock, sleep: Sleep) -> ClusterStatus:
    first = latest = area.look()
    live: set[int] = set()
    for _ in looks(clock, sleep, watch_s if _waited_for(first) else 0.0, LOOK_EVERY_S):
        latest = area.look()
        live |= _changed(first, latest)
        if not _waited_for(latest) - live:
            break
    hosts = tuple(_host(host_id, slot, host_id in live) for host_id, slot in latest.slots.items())
    return ClusterStatus(hosts, latest.maintenance, _notes(latest))


def _waited_for(look: VolumeLook) -> set[int]:
    """Hosts whose agent, they say, runs: they will write again if they are alive."""
    return {
        host_id
        for host_id, slot in look.slots.items()
        if isinstance(slot, HostRecord) and not slot.stopped
    }


def _changed(first: VolumeLook, latest: VolumeLook) -> set[int]:
    return {
        host_id
        for host_id, slot in latest.slots.items()
        if isinstance(slot, HostRecord) and _stamp(first.slots.get(host_id)) != _stamp(slot)
    }


def _stamp(slot: Union[HostRecord, str, None]) -> Optional[int]:
    return slot.timestamp_s if isinstance(slot, HostRecord) else None


def _host(host_id: int, slot: Union[HostRecord, str], live: bool) -> HostView:
    if isinstance(slot, HostRecord):
        return HostView(host_id, record=slot, fresh=live)
    return HostView(host_id, error=slot)


def _notes(look: VolumeLook) -> tuple[str, ...]:
    notes = []
    if look.global_error:
        notes.append(f"Global maintenance is not known: {look.global_error}")
    if look.slots_seen < _ALL_SLOTS:
        notes.append(
            f"The volume ends after slot {look.slots_seen - 1} of {MAX_HOSTS}: "
            "hosts behind it can't be shown"
        )
    return tuple(notes)


def _global(data: bytes) -> tuple[Optional[bool], str]:
    decoded = decode_global(data)
    if isinstance(decoded, GlobalRecord):
        return decoded.maintenance, ""
    return None, describe_slot_error(decoded)


class _CachedReader:
    """Reading through the file system's cache, where direct I/O is refused."""

    def read(self, address: VolumeAddress, size: int) -> bytes:
        what = f"read {size} bytes at {address.path}:{address.offset}"
        with _storage_errors(what), open(address.path, "rb") as volume:  # noqa: PTH123
            return os.pread(volume.fileno(), size, address.offset)

    def size(self, path: str) -> int:
        with _storage_errors(f"size of {path}"), open(path, "rb") as volume:  # noqa: PTH123
            return volume.seek(0, os.SEEK_END)


@contextmanager
def _storage_errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(what, reason(error), error.errno or 0) from error


def open_reader_of(path: str) -> VolumeReader:
    """Direct I/O, so that peers' records are no leftovers of a cache; without it where refused."""
    direct = DirectStore(read_only=True)
    try:
        direct.size(path)
    except StorageError as error:
        if error.errno != errno.EINVAL:
            raise
        return _CachedReader()
    return direct


def _usual_parts(store: VolumeReader, path: str, size: int) -> Optional[StorageParts]:
    """The usual layout, where the volume begins with a lockspace; None: it does not."""
    if size < SLOT_SIZE:
        return None
    record = parse_record(store.read(VolumeAddress(path, 0), SLOT_SIZE))
    if record is None or record.magic != HOST_ID_MAGIC:
        return None
    return storage_parts(path, 4096 if record.sector_size == 4096 else 512)
