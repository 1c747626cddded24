# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What holds for every record and for every bytes."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from metadata.records import Health, HostRecord, SlotAbsent, SlotDamaged, SlotTooNew
from metadata.wire import decode_global, decode_slot, encode_host
from tests.unit.metadata_strategies import ANY_RECORD, PLAIN_RECORD

DECODED = (HostRecord, SlotAbsent, SlotDamaged, SlotTooNew)
fuzz = settings(deadline=None, max_examples=150)


def as_written(record: HostRecord) -> HostRecord:
    """A plain record as it must come back; only what the format does not carry differs."""
    status = record.engine_status
    reason = "" if status.health is Health.GOOD else status.reason
    return replace(
        record,
        engine_status=replace(status, reason=reason),
        feature_version=max(1, record.feature_version),
    )


@fuzz
@given(PLAIN_RECORD)
def test_a_plain_record_comes_back_as_it_was(record):
    found = decode_slot(record.host_id, encode_host(record))
    assert isinstance(found, HostRecord)
    assert len(found.crc32) == 8
    assert replace(found, crc32="") == as_written(record)


@fuzz
@given(ANY_RECORD)
def test_any_record_is_written_readable_and_stable(record):
    data = encode_host(record)
    assert len(data) == 4096
    assert data.isascii()
    found = decode_slot(record.host_id, data)
    assert isinstance(found, HostRecord)
    assert encode_host(found) == data


@fuzz
@given(ANY_RECORD)
def test_the_numbers_and_flags_survive_any_text(record):
    found = decode_slot(record.host_id, encode_host(record))
    assert found.host_id == record.host_id
    assert found.maintenance is record.maintenance
    assert found.stopped is record.stopped
    assert found.engine_status.vm is record.engine_status.vm
    assert found.engine_status.health is record.engine_status.health


@fuzz
@given(ANY_RECORD)
def test_the_record_has_valid_json_without_separator(record):
    fields = encode_host(record)[:512].rstrip(b"\0").split(b"|")
    assert len(fields) <= 12 + len(record.trailing_fields)
    keys = list(json.loads(fields[5]))
    assert keys in (["vm", "health", "detail"], ["vm", "health", "detail", "reason"])


@fuzz
@given(ANY_RECORD)
def test_every_text_line_has_exactly_one_equals_sign(record):
    text = encode_host(record)[512:].rstrip(b"\0").decode("ascii")
    assert text.endswith("\n")
    lines = text[:-1].split("\n")
    assert [line.count("=") for line in lines] == [1] * len(lines)
    assert all(line.isprintable() for line in lines)
    keys = [line.split("=")[0] for line in lines]
    assert keys.count("state") == 1


@fuzz
@given(st.binary(max_size=5000), st.integers(0, 2000))
def test_decoding_never_raises(data, host_id):
    assert isinstance(decode_slot(host_id, data), DECODED)
    assert isinstance(decode_slot(host_id, data.ljust(4096, b"|")), DECODED)
    decode_global(data)
    decode_global(data.ljust(4096, b"\0"))


@fuzz
@given(
    ANY_RECORD,
    st.lists(st.tuples(st.integers(0, 1023), st.binary(min_size=1, max_size=8)), min_size=1),
)
def test_decoding_a_mutated_slot_never_raises(record, patches):
    data = bytearray(encode_host(record))
    for place, patch in patches:
        data[place : place + len(patch)] = patch
    found = decode_slot(record.host_id, bytes(data))
    assert isinstance(found, DECODED)
    if isinstance(found, HostRecord):  # then it can be written and read again
        assert isinstance(decode_slot(found.host_id, encode_host(found)), HostRecord)


@settings(deadline=None, max_examples=3)
@given(PLAIN_RECORD)
def test_every_flipped_bit_of_the_record_block_is_detected(record):
    data = encode_host(record)
    for bit in range(8 * 512):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        found = decode_slot(record.host_id, bytes(flipped))
        assert isinstance(found, (SlotDamaged, SlotTooNew)), bit


@fuzz
@given(PLAIN_RECORD, PLAIN_RECORD, st.integers(1, 511))
def test_a_torn_record_is_one_of_both_or_damaged(old, new, tear):
    new = replace(new, host_id=old.host_id)
    first, second = encode_host(old), encode_host(new)
    found = decode_slot(old.host_id, second[:tear] + first[tear:])
    if isinstance(found, HostRecord):
        assert found.crc32 in (
            decode_slot(old.host_id, first).crc32,
            decode_slot(old.host_id, second).crc32,
        )
