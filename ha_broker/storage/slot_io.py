# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The blocking jobs on the metadata area; they run under the runner, never in the cycle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Optional

from metadata.error_words import shown
from metadata.layout import MAX_HOSTS, SLOT_SIZE, slot_address
from metadata.records import DecodedSlot, HostRecord, VolumeAddress
from metadata.settings.parse import StorageParts
from metadata.slots import used_slots
from metadata.value_class import value_class
from metadata.wire import decode_slot
from world.ports.errors import StorageError
from world.ports.storage import BlockStore

_SCAN_STEP = 256  # slots: 1 MiB at a time
# Among so many slots, one read more costs as much as this many slots more in the one before.
_MANY = 100
_WIDEST_GAP = 4
_LONGEST_RUN = 256  # what is read at once is cut while it still is in the processor's cache


@dataclass
class SlotBytes:
    """What was read: the slots' bytes, and one line for each slot or range that failed."""

    slots: dict[int, bytes] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def read_slots(store: BlockStore, parts: StorageParts, ids: Iterable[int]) -> SlotBytes:
    """Read the slots `ids`, those near each other at once; one bad sector hides no other slot.

    What could not be read is told in `failed`, slot by slot.
    """
    result = SlotBytes()
    for run in _runs(sorted(ids)):
        first = run[0]
        try:
            data = _read_run(store, parts, first, run[-1] - first + 1)
        except StorageError as error:
            if len(run) == 1:
                result.failed[first] = _slots_failed(first, 1, error)
            else:
                _read_one_by_one(store, parts, run, result)
        else:
            result.slots.update(zip(run, _cut(data, first, run)))
    return result


def scan_slots(store: BlockStore, parts: StorageParts) -> SlotBytes:
    """Read the whole area and keep the slots that hold something (first byte not NUL).

    What could not be read is told in `errors`, range by range.
    """
    result = SlotBytes()
    end = _whole_slots(store, parts, result)
    for first in range(1, end, _SCAN_STEP):
        count = min(_SCAN_STEP, end - first)
        try:
            data = _read_run(store, parts, first, count)
        except StorageError as error:
            result.errors.append(_slots_failed(first, count, error))
        else:
            result.slots.update(used_slots(data, first))
    return result


class LostWriteError(Exception):
    """What was read back is not what was written: somebody else writes there, too."""


class ForeignRecordError(Exception):
    """Another host's record stands in our slot; nothing was written."""

    def __init__(self, found: HostRecord) -> None:
        super().__init__(f"the record of {shown(found.hostname)} stands in the slot")
        self.found = found


def write_and_confirm(store: BlockStore, address: VolumeAddress, data: bytes) -> None:
    """Write one slot and read it back.

    Raises StorageError, or LostWriteError when other bytes came back.
    """
    store.write(address, data)
    if store.read(address, len(data)) != data:
        raise LostWriteError("what was read back is not what was written")


def exchange_and_confirm(store: BlockStore, address: VolumeAddress, data: bytes) -> bytes:
    """As `write_and_confirm`; what stood there before, empty where that can't be read."""
    try:
        before = store.read(address, len(data))
    except StorageError:
        before = b""
    write_and_confirm(store, address, data)
    return before


@value_class(frozen=True)
class OwnWrite:
    """One write of our own slot.

    `leftover` is another host's record that may be replaced, since its host is not alive.
    `expected` is what should stand there since our last write (None: not known).
    """

    record: HostRecord
    data: bytes
    leftover: Optional[HostRecord]
    expected: Optional[bytes]
    read_back: bool


def write_own_slot(store: BlockStore, address: VolumeAddress, write: OwnWrite) -> bool:
    """Look at the slot, write it, and read it back if asked to; was the last write lost?

    Raises StorageError, ForeignRecordError, LostWriteError.
    """
    before = store.read(address, SLOT_SIZE)
    if before != write.expected:  # these bytes are our own, whatever they say
        _check_replaceable(decode_slot(write.record.host_id, before), write)
    if write.read_back:
        write_and_confirm(store, address, write.data)
    else:
        store.write(address, write.data)
    removed = before[:1] == b"\0"  # somebody cleaned it: no loss
    return write.expected is not None and before != write.expected and not removed


def _check_replaceable(found: DecodedSlot, write: OwnWrite) -> None:
    if not isinstance(found, HostRecord) or found.hostname == write.record.hostname:
        return
    if found != write.leftover:
        raise ForeignRecordError(found)


def _runs(ids: list[int]) -> Iterator[list[int]]:
    """[0, 1, 2, 7] -> [0, 1, 2], [7]; among many, gaps of a few slots are read, too.

    None spans more than `_LONGEST_RUN` slots.
    """
    widest = _WIDEST_GAP if len(ids) >= _MANY else 0
    start = 0
    for place in range(1, len(ids) + 1):
        if (
            place == len(ids)
            or ids[place] - ids[place - 1] > widest + 1
            or ids[place] - ids[start] >= _LONGEST_RUN
        ):
            yield ids[start:place]
            start = place


def _read_run(store: BlockStore, parts: StorageParts, first: int, count: int) -> bytes:
    return store.read(slot_address(parts, first), SLOT_SIZE * count)


def _cut(data: bytes, first: int, ids: Iterable[int]) -> list[bytes]:
    """The slots `ids` of those in `data`, which begins with the slot `first`."""
    starts = [(host_id - first) * SLOT_SIZE for host_id in ids]
    return [data[start : start + SLOT_SIZE] for start in starts]


def _read_one_by_one(
    store: BlockStore, parts: StorageParts, ids: Iterable[int], result: SlotBytes
) -> None:
    for host_id in ids:
        try:
            result.slots[host_id] = _read_run(store, parts, host_id, 1)
        except StorageError as error:
            result.failed[host_id] = _slots_failed(host_id, 1, error)


def _slots_failed(first: int, count: int, error: StorageError) -> str:
    name = f"slot {first}" if count == 1 else f"slots {first} to {first + count - 1}"
    return f"{name}: {error}"


def _whole_slots(store: BlockStore, parts: StorageParts, result: SlotBytes) -> int:
    """How many slots the volume has room for; a short one is an error, and read as it is."""
    size = store.size(parts.metadata.path)
    needed = parts.metadata.offset + SLOT_SIZE * (MAX_HOSTS + 1)
    if size >= needed:
        return MAX_HOSTS + 1
    result.errors.append(
        f"{parts.metadata.path} has {size} bytes, the metadata area needs {needed}"
    )
    return max(0, (size - parts.metadata.offset) // SLOT_SIZE)
