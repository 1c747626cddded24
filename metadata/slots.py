# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The metadata area as a row of slots: which are in use, and what stands in them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

from metadata.layout import SLOT_SIZE
from metadata.records import HostRecord, SlotAbsent, SlotError, describe_slot_error
from metadata.wire import decode_slot

PresentSlot = Union[HostRecord, SlotError]


def used_slots(data: bytes, first_id: int) -> Iterator[tuple[int, bytes]]:
    """The hosts' slots in `data` that hold something, with their ids; the first is `first_id`.

    A slot that was never written begins with NUL. Of 2000 slots a few are in use: the others are
    not even cut out. Slot 0 is no host's.
    """
    for place, begins_with in enumerate(data[::SLOT_SIZE]):
        if begins_with and first_id + place:
            yield first_id + place, data[place * SLOT_SIZE : (place + 1) * SLOT_SIZE]


def present_slots(data: bytes, first_id: int) -> dict[int, PresentSlot]:
    """What the hosts' slots in `data` say, by id; one slot's garbage stays its own."""
    used = used_slots(data, first_id)
    decoded = ((host_id, decode_slot(host_id, slot)) for host_id, slot in used)
    return {host_id: slot for host_id, slot in decoded if not isinstance(slot, SlotAbsent)}


def record_or_problem(slot: PresentSlot) -> Union[HostRecord, str]:
    """The record; else what is wrong with the slot, in words."""
    return slot if isinstance(slot, HostRecord) else describe_slot_error(slot)
