# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which slots of the area are in use, and what stands in them."""

from __future__ import annotations

from metadata.layout import SLOT_SIZE
from metadata.records import EngineStatus, HostRecord, SlotDamaged
from metadata.slots import present_slots, record_or_problem, used_slots
from metadata.wire import encode_host

EMPTY = bytes(SLOT_SIZE)
GARBAGE = b"garbage".ljust(SLOT_SIZE, b"\0")


def slot_of(host_id: int) -> bytes:
    return encode_host(HostRecord(host_id, 7, 3400, EngineStatus(), f"h{host_id}"))


def test_empty_slots_are_not_cut_out() -> None:
    data = EMPTY + GARBAGE + EMPTY + slot_of(6)
    assert dict(used_slots(data, 3)) == {4: GARBAGE, 6: slot_of(6)}


def test_slot_0_is_no_hosts() -> None:
    assert dict(used_slots(GARBAGE + slot_of(1), 0)) == {1: slot_of(1)}


def test_garbage_hides_no_other_slot() -> None:
    found = present_slots(GARBAGE + slot_of(2), 1)
    assert isinstance(found[1], SlotDamaged)
    record = found[2]
    assert isinstance(record, HostRecord)
    assert record.hostname == "h2"
    assert record_or_problem(record) is record


def test_what_is_wrong_is_told_in_words() -> None:
    problem = record_or_problem(present_slots(GARBAGE, 5)[5])
    assert isinstance(problem, str)
    assert problem.startswith("slot 5: ")


def test_a_slot_that_the_volume_cuts_off_is_damaged() -> None:
    found = present_slots(slot_of(1) + slot_of(2)[:100], 1)
    assert isinstance(found[2], SlotDamaged)
