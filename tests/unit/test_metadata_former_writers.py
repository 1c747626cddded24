# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Slots of earlier agents of format version 1 mean what their writers meant.

The writers are written out here again, each as its time had it, from what they left on storage.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metadata.records import (
    EngineStatus,
    EngineVm,
    GlobalRecord,
    Health,
    HostRecord,
    SlotDamaged,
    SlotTooNew,
)
from metadata.wire import decode_global, decode_slot, encode_host
from tests.unit.metadata_strategies import PLAIN_RECORD

JSON = '{"vm": "up", "health": "good", "detail": "Up"}'
UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
FIRST_LINES = "metadata_parse_version=1\nmetadata_feature_version=1\ntimestamp=42 (Thu)\n"
TEXTS = {  # by the number of fields: what was added to the text at the same time
    7: FIRST_LINES + "state=ON\n",
    8: FIRST_LINES + "maintenance=True\nstate=EngineUp\n",
    10: FIRST_LINES + "maintenance=True\nstate=EngineUp\nstopped=True\n",
    12: FIRST_LINES
    + "vm_conf_refresh_time=9 (Fri)\nconf_on_shared_storage=True\n"
    + "maintenance=True\nstate=EngineUp\nstopped=True\n",
}


def record_text(count: int, status: str = JSON, hostname: str = "h1", **values: str) -> str:
    """The first `count` fields, with their checksum where it is one of them."""
    fields = ["1", "1", "42", "1", "3400", status, hostname]
    fields += [values.get("maintenance", "1"), values.get("stopped", "1"), "00000000"]
    fields = [*fields, values.get("conf", "1"), "9"][:count]
    if count > 9:
        fields[9] = f"{zlib.crc32('|'.join(fields).encode()):08x}"
    return "|".join(fields)


def padded_by_bytes(record: str, text: str) -> bytes:
    """Python 2: a text is bytes, and so is its length."""
    return (record.encode().ljust(512, b"\0") + text.encode()).ljust(4096, b"\0")


def padded_by_characters(record: str, text: str) -> bytes:
    """Python 3: padded as characters, then made bytes."""
    blocks = text.ljust(512 * (len(text) // 512 + 1), "\0")
    return (record.ljust(512, "\0") + blocks).encode().ljust(4096, b"\0")


# --- fewer fields -------------------------------------------------------------------------


@pytest.mark.parametrize("pad", [padded_by_bytes, padded_by_characters])
@pytest.mark.parametrize("count", [7, 8, 10, 12])
def test_each_length_that_was_ever_written_is_read(count, pad):
    found = decode_slot(1, pad(record_text(count), TEXTS[count]))
    assert isinstance(found, HostRecord)
    assert (found.timestamp_s, found.score, found.hostname) == (42, 3400, "h1")
    assert found.engine_status == UP
    assert found.maintenance is (count >= 8)
    assert found.stopped is (count >= 10)
    assert bool(found.crc32) is (count >= 10)
    assert found.conf_on_shared_storage is (count >= 12)
    assert found.vm_conf_refresh_s == (9 if count >= 12 else 0)
    assert found.text == TEXTS[count]
    assert found.state == ("ON" if count == 7 else "EngineUp")


@pytest.mark.parametrize("count", [7, 8, 9, 10, 11])
def test_every_length_between_is_read_without_any_text(count):
    found = decode_slot(1, padded_by_bytes(record_text(count), ""))
    assert isinstance(found, HostRecord)
    assert found.maintenance is (count >= 8)
    assert found.stopped is (count >= 9)
    assert found.conf_on_shared_storage is (count >= 11)
    assert found.vm_conf_refresh_s == 0
    assert (found.state, found.text) == ("", "")


def test_a_short_record_of_a_writer_with_a_checksum_lost_its_end():
    for count in (7, 8, 9):
        for text in (TEXTS[10], TEXTS[12], "stopped=False\n"):
            found = decode_slot(1, padded_by_bytes(record_text(count), text))
            assert isinstance(found, SlotDamaged)
            assert f"({count} are there)" in found.reason


@pytest.mark.parametrize("count", [10, 11, 12])
def test_the_checksum_counts_wherever_there_is_one(count):
    data = bytearray(padded_by_bytes(record_text(count), ""))
    data[data.index(b"3400")] = ord("2")
    found = decode_slot(1, bytes(data))
    assert isinstance(found, SlotDamaged)
    assert found.reason.startswith("crc32: ")


@pytest.mark.parametrize("count", [7, 8, 9, 10, 11])
def test_what_was_read_can_be_written_in_full(count):
    found = decode_slot(1, padded_by_bytes(record_text(count), ""))
    data = encode_host(found)
    assert len(data[:512].rstrip(b"\0").split(b"|")) == 12
    assert decode_slot(1, data) == replace(found, crc32=decode_slot(1, data).crc32)


@settings(deadline=None, max_examples=150)
@given(PLAIN_RECORD, st.integers(1, 511))
def test_a_record_of_today_that_lost_its_end_is_never_taken_for_an_old_one(record, end):
    data = encode_host(record)
    found = decode_slot(record.host_id, data[:end].ljust(512, b"\0") + data[512:])
    whole = len(data[:512].rstrip(b"\0")) <= end
    assert isinstance(found, HostRecord) if whole else isinstance(found, SlotDamaged)


# --- flags ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [8, 12])
@pytest.mark.parametrize(
    ("value", "meant"), [("0", False), ("1", True), ("2", True), ("00", False), ("-1", False)]
)
def test_a_flag_is_set_when_it_is_above_0(count, value, meant):
    found = decode_slot(1, padded_by_bytes(record_text(count, maintenance=value), ""))
    assert found.maintenance is meant


@pytest.mark.parametrize("value", ["True", "", "1.5", "9" * 20, "²"])
def test_a_flag_that_is_no_number_is_named(value):
    found = decode_slot(1, padded_by_bytes(record_text(12, stopped=value), ""))
    assert isinstance(found, SlotDamaged)
    assert found.reason.startswith("stopped: ")
    assert found.reason.endswith("allowed: 0 or 1")


# --- the status -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [7, 8, 10, 12])
@pytest.mark.parametrize(
    ("status", "meant"),
    [
        ("None", EngineStatus()),
        ("null", EngineStatus()),
        ("vm-down", EngineStatus(EngineVm.DOWN, Health.BAD, "Down")),
        ("vm-up bad-health-status", EngineStatus(EngineVm.UP, Health.BAD, "Up")),
        ("vm-up good-health-status", UP),
        ("{'vm': 'up', 'health': 'good', 'detail': 'Up'}", UP),
        ("{u'health': u'good', u'detail': u'Up', u'vm': u'up'}", UP),
        (
            "{'reason': 'bad vm status', 'health': 'bad', 'vm': 'up', 'detail': 'powering up'}",
            EngineStatus(EngineVm.UP, Health.BAD, "powering up", "bad vm status"),
        ),
    ],
)
def test_a_status_is_read_in_each_of_its_forms(count, status, meant):
    found = decode_slot(1, padded_by_bytes(record_text(count, status=status), ""))
    assert isinstance(found, HostRecord)
    assert found.engine_status == meant


@pytest.mark.parametrize(
    "status",
    [
        "none",
        "vm-up",
        "vm-sideways",
        "{'vm': 'up'}",
        "{'vm': 'sideways', 'health': 'good', 'detail': 'Up'}",
        "{'vm': 'up', 'health': 'good', 'detail': __import__('os')}",
        "{'vm': 'up', 'health': 'good', 'detail': 'a'",
        "{'vm': 'up', 'health': 'good', 'detail': '\\x1b'}",
    ],
)
def test_a_status_that_nobody_wrote_is_named(status):
    found = decode_slot(1, padded_by_bytes(record_text(8, status=status), ""))
    assert isinstance(found, SlotDamaged)
    assert found.reason.startswith("engine_status: ")


# --- names outside ASCII ----------------------------------------------------------------------


@pytest.mark.parametrize("count", [7, 8, 10, 12])
@pytest.mark.parametrize("pad", [padded_by_bytes, padded_by_characters])
@pytest.mark.parametrize("hostname", ["é", "höst-ü", "узел.пример", "主机一", "h😀" * 9])
def test_the_text_is_found_behind_a_name_outside_ascii(hostname, pad, count):
    found = decode_slot(1, pad(record_text(count, hostname=hostname), TEXTS[count]))
    assert isinstance(found, HostRecord)
    assert found.hostname == hostname
    assert found.text == TEXTS[count]
    assert found.state == ("ON" if count == 7 else "EngineUp")


@pytest.mark.parametrize("missing", [0, 1, 2, 3, 30, 31, 32, 33, 60])
def test_the_text_is_found_where_the_record_leaves_little_room(missing):
    """The name fills the record up to `missing` characters, and bytes beyond byte 512."""
    name = "ü" * 31
    name += "n" * (512 - missing - len(record_text(12, hostname=name)))
    found = decode_slot(1, padded_by_characters(record_text(12, hostname=name), TEXTS[12]))
    assert isinstance(found, HostRecord)
    assert (found.hostname, found.text) == (name, TEXTS[12])


@pytest.mark.parametrize("missing", [0, 1, 2, 3, 30, 31, 32, 33, 60])
def test_the_same_for_who_padded_by_bytes(missing):
    name = "ü" * 31
    name += "n" * (512 - missing - len(record_text(12, hostname=name).encode()))
    found = decode_slot(1, padded_by_bytes(record_text(12, hostname=name), TEXTS[12]))
    assert isinstance(found, HostRecord)
    assert (found.hostname, found.text) == (name, TEXTS[12])


def test_bytes_that_are_no_utf8_are_named_with_their_place_behind_such_a_name():
    data = bytearray(padded_by_characters(record_text(12, hostname="üü"), TEXTS[12]))
    data[600] = 0xFF
    found = decode_slot(1, bytes(data))
    assert isinstance(found, SlotDamaged)
    assert found.reason.startswith("text at byte 600: 1 byte (hex ff)")


def test_a_newer_format_is_too_new_whatever_its_bytes():
    assert decode_slot(1, b"2|" + "ü".encode() * 2047) == SlotTooNew(1, 2)


# --- slot 0 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "meant"),
    [
        ("maintenance=True", True),
        ("maintenance=False", False),
        ("maintenance=yes", True),
        ("maintenance=no", False),
        ("maintenance=T", True),
        ("maintenance=f", False),
        ("maintenance=1\n", True),
        ("maintenance=0\n", False),
        ("maintenance=1\r\n", True),
        ("maintenance=1\nother=0", True),
        ("other=1\nmaintenance=0\n", False),
        ("maintenance=1\na line without a sign", True),
        ("maintenance=1\nnäme=ü=x\n\n", True),
        ("maintenance=1\nmaintenance=0", False),
    ],
)
def test_slot_0_is_lines_of_keys_and_words(content, meant):
    assert decode_global(content.encode().ljust(4096, b"\0")) == GlobalRecord(meant)
