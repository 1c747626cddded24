# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Metadata format version 1, case by case; the bytes are the contract with other tools."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from metadata.engine_status import StatusError, status_from_json, status_to_json
from metadata.records import (
    EngineStatus,
    EngineVm,
    GlobalRecord,
    Health,
    HostRecord,
    SlotAbsent,
    SlotDamaged,
    SlotTooNew,
)
from metadata.wire import decode_global, decode_slot, encode_global, encode_host

UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
RECORD = HostRecord(
    host_id=1,
    timestamp_s=4262,
    score=3400,
    engine_status=UP,
    hostname="h1",
    vm_conf_refresh_s=4262,
    state="EngineUp",
    wall_time="Thu Jan  1 01:11:02 1970",
    vm_conf_refresh_wall_time="Thu Jan  1 01:11:02 1970",
)
GOLDEN_RECORD = b'1|1|4262|1|3400|{"vm": "up", "health": "good", "detail": "Up"}|h1|0|0|%s|1|4262'
GOLDEN_CRC = b"d7b9643a"
GOLDEN_TEXT = (
    b"metadata_parse_version=1\n"
    b"metadata_feature_version=1\n"
    b"timestamp=4262 (Thu Jan  1 01:11:02 1970)\n"
    b"host-id=1\n"
    b"score=3400\n"
    b"vm_conf_refresh_time=4262 (Thu Jan  1 01:11:02 1970)\n"
    b"conf_on_shared_storage=True\n"
    b"maintenance=False\n"
    b"state=EngineUp\n"
    b"stopped=False\n"
)


def crc32_by_bits(data: bytes) -> int:
    """CRC-32 (reflected, polynomial 0x04C11DB7) written out, to check the library's."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def slot(*fields: str, crc: str = "", text: bytes = b"") -> bytes:
    """A slot of these twelve (or more) fields with a right CRC, unless one is given."""
    written = list(fields)
    written[9] = "00000000"
    written[9] = crc or f"{crc32_by_bits('|'.join(written).encode()):08x}"
    return "|".join(written).encode().ljust(512, b"\0") + text.ljust(3584, b"\0")


FIELDS = GOLDEN_RECORD.replace(b"%s", b"-").decode().split("|")
NAMES = {
    "parse_version": 0,
    "feature_version": 1,
    "timestamp": 2,
    "host_id": 3,
    "score": 4,
    "engine_status": 5,
    "hostname": 6,
    "maintenance": 7,
    "stopped": 8,
    "conf_on_shared_storage": 10,
    "vm_conf_refresh_time": 11,
}


def changed(name: str, value: str) -> bytes:
    fields = list(FIELDS)
    fields[NAMES[name]] = value
    return slot(*fields)


def record_of(data: bytes) -> list[bytes]:
    return data[:512].rstrip(b"\0").split(b"|")


def text_of(data: bytes) -> list[str]:
    return data[512:].rstrip(b"\0").decode("ascii").split("\n")


# --- the bytes ------------------------------------------------------------------------


def test_golden_bytes():
    assert f"{crc32_by_bits(GOLDEN_RECORD % b'00000000'):08x}".encode() == GOLDEN_CRC
    head = (GOLDEN_RECORD % GOLDEN_CRC).ljust(512, b"\0")
    assert encode_host(RECORD) == head + GOLDEN_TEXT.ljust(3584, b"\0")


def test_golden_bytes_are_read_back():
    head = (GOLDEN_RECORD % GOLDEN_CRC).ljust(512, b"\0")
    found = decode_slot(1, head + GOLDEN_TEXT.ljust(3584, b"\0"))
    assert found == replace(RECORD, crc32="d7b9643a")
    assert found.text == GOLDEN_TEXT.decode()


def test_reason_stands_last_and_only_when_health_is_not_good():
    bad = EngineStatus(EngineVm.DOWN, Health.BAD, "Down", "no | engine")
    text = record_of(encode_host(replace(RECORD, engine_status=bad)))[5]
    assert text == b'{"vm": "down", "health": "bad", "detail": "Down", "reason": "no / engine"}'
    good = replace(UP, reason="left over")
    assert b"reason" not in encode_host(replace(RECORD, engine_status=good))


def test_the_status_json_alone_keeps_the_rule_on_the_reason():
    assert status_to_json(replace(UP, reason="left over")) == (
        '{"vm": "up", "health": "good", "detail": "Up"}'
    )


def test_json_nested_too_deep_is_refused():
    with pytest.raises(StatusError, match="allowed: JSON"):
        status_from_json("[" * 200_000)


def test_first_record_has_an_unknown_engine_status_and_valid_json():
    data = encode_host(HostRecord(3, 1, 0, EngineStatus(), "h3"))
    found = json.loads(record_of(data)[5])
    assert found == {"vm": "unknown", "health": "unknown", "detail": "Unknown"}


def test_the_timeout_follows_the_state_fields_and_notes_follow_it():
    notes = (("why", "score=3400 | fine"), ("penalties", "none"))
    data = encode_host(replace(RECORD, timeout_wall_time="Thu", notes=notes))
    assert text_of(data)[7:] == [
        "maintenance=False",
        "state=EngineUp",
        "stopped=False",
        "timeout=Thu",
        "why=score:3400 | fine",
        "penalties=none",
        "",
    ]


def test_a_note_can_not_pass_for_a_line_of_the_record():
    data = encode_host(replace(RECORD, notes=(("state", "EngineDown"), ("", "x"))))
    assert text_of(data)[-3:] == ["note_state=EngineDown", "note_=x", ""]
    assert decode_slot(1, data).state == "EngineUp"


def test_what_is_not_plain_is_replaced():
    data = encode_host(replace(RECORD, hostname="hé|1\x1b", state="A\nB=\udc80"))
    assert record_of(data)[6] == b"h?/1?"
    assert "state=A B:?" in text_of(data)


def test_without_a_wall_time_the_line_has_the_seconds_only():
    data = encode_host(replace(RECORD, wall_time=""))
    assert "timestamp=4262" in text_of(data)
    assert decode_slot(1, data).wall_time == ""


# --- shortening -----------------------------------------------------------------------


def status_of(data: bytes) -> dict[str, str]:
    return json.loads(record_of(data)[5])


def test_the_reason_is_shortened_first():
    status = EngineStatus(EngineVm.DOWN, Health.BAD, "d" * 100, '"' * 600)
    data = encode_host(replace(RECORD, engine_status=status, hostname="n" * 48))
    found = status_of(data)
    assert found["detail"] == "d" * 100
    assert 0 < len(found["reason"]) < 200
    assert record_of(data)[6] == b"n" * 48
    assert isinstance(decode_slot(1, data), HostRecord)


def test_the_detail_is_shortened_before_the_host_name():
    status = EngineStatus(EngineVm.DOWN, Health.BAD, "d" * 600, "r" * 600)
    data = encode_host(replace(RECORD, engine_status=status, hostname="n" * 48))
    found = status_of(data)
    assert "reason" not in found
    assert len(found["detail"]) > 250
    assert len(data[:512].rstrip(b"\0")) == 512
    assert record_of(data)[6] == b"n" * 48


def test_the_host_name_is_shortened_before_newer_fields_are_dropped():
    newer = ("x" * 200, "y")
    data = encode_host(replace(RECORD, hostname="n" * 600, trailing_fields=newer))
    fields = record_of(data)
    assert fields[12:] == [b"x" * 200, b"y"]
    assert 0 < len(fields[6]) < 300


def test_newer_fields_are_dropped_from_the_end_at_last():
    data = encode_host(replace(RECORD, trailing_fields=("x" * 300, "y" * 300)))
    assert record_of(data)[12:] == [b"x" * 300]
    assert isinstance(decode_slot(1, data), HostRecord)


def test_notes_are_dropped_from_the_end():
    notes = tuple((f"note{number}", str(number) * 500) for number in range(9))
    data = encode_host(replace(RECORD, notes=notes))
    kept = decode_slot(1, data).notes
    assert len(kept) == 6
    assert kept == notes[:6]


# --- rewriting ------------------------------------------------------------------------


def test_rewriting_keeps_the_text_and_newer_fields():
    fields = [*FIELDS, "newer", ""]
    fields[1] = "7"
    text = GOLDEN_TEXT.replace(b"feature_version=1", b"feature_version=7") + b"newer=line\n"
    first = slot(*fields, text=text)
    found = decode_slot(1, first)
    assert found.trailing_fields == ("newer", "")
    assert found.feature_version == 7
    assert encode_host(found) == first


def test_an_older_feature_version_is_raised():
    found = decode_slot(1, changed("feature_version", "0"))
    assert record_of(encode_host(found))[1] == b"1"


# --- refusals -------------------------------------------------------------------------


def test_a_nul_byte_first_means_never_written():
    assert decode_slot(5, b"\0" + b"x" * 4095) == SlotAbsent(5)


@pytest.mark.parametrize("size", [0, 1, 512, 4095])
def test_a_short_block_is_named(size):
    found = decode_slot(5, encode_host(RECORD)[:size])
    assert found == SlotDamaged(5, f"slot: {size} bytes are there, 4096 are needed")


def test_a_newer_parse_version_is_too_new_whatever_follows():
    assert decode_slot(4, b"2|\xff".ljust(4096, b"\0")) == SlotTooNew(4, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("parse_version", "0"),
        ("parse_version", "-1"),
        ("parse_version", "one"),
        ("feature_version", ""),
        ("timestamp", "4262.5"),
        ("timestamp", "1_000"),
        ("timestamp", "٣"),
        ("timestamp", "9" * 20),
        ("host_id", "2"),
        ("host_id", " 1"),
        ("score", "abc"),
        ("score", "+1"),
        ("maintenance", "True"),
        ("maintenance", ""),
        ("stopped", "yes"),
        ("conf_on_shared_storage", "1.0"),
        ("vm_conf_refresh_time", "None"),
    ],
)
def test_a_bad_value_is_named(name, value):
    found = decode_slot(1, changed(name, value))
    assert isinstance(found, SlotDamaged)
    assert found.host_id == 1
    assert found.reason.startswith(f"{name}: ")
    assert "allowed: " in found.reason


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("", "''"),
        ("[1]", "'[1]'"),
        ('{"vm": "up", "health": "good"', '"health": "good"'),
        ("[" * 300, "'[[["),
        ('{"health": "good", "detail": "Up"}', "vm: an empty value"),
        ('{"vm": "sideways", "health": "good", "detail": "Up"}', "vm: 'sideways'"),
        ('{"vm": "up", "health": true, "detail": "Up"}', "health: true"),
        ('{"vm": "up", "health": "good", "detail": 5}', "detail: 5"),
        ('{"vm": "up", "health": "bad", "detail": "", "reason": null}', "reason: an empty value"),
    ],
)
def test_a_bad_engine_status_is_named(value, named):
    found = decode_slot(1, changed("engine_status", value))
    assert isinstance(found, SlotDamaged)
    assert found.reason.startswith("engine_status: ")
    assert named in found.reason


def test_unknown_words_of_a_newer_writer_mean_unknown():
    fields = list(FIELDS)
    fields[1] = "2"
    fields[5] = '{"vm": "dreaming", "health": "odd", "detail": "Up", "more": 1}'
    found = decode_slot(1, slot(*fields))
    assert found.engine_status == EngineStatus(EngineVm.UNKNOWN, Health.UNKNOWN, "Up")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("null", EngineStatus()),
        (
            '{"vm": "already_locked", "health": "bad", "detail": "down", "reason": "locked"}',
            EngineStatus(EngineVm.DOWN, Health.BAD, "down", "locked"),
        ),
        (
            '{"reason": "no vm", "vm": "down", "detail": "unknown", "health": "bad", "more": 1}',
            EngineStatus(EngineVm.DOWN, Health.BAD, "unknown", "no vm"),
        ),
        ('{"vm":"up","health":"good","detail":"Up"}', UP),
    ],
)
def test_what_other_writers_of_this_version_wrote_is_read(value, expected):
    found = decode_slot(1, changed("engine_status", value))
    assert isinstance(found, HostRecord)
    assert found.engine_status == expected


def test_a_separator_inside_the_status_is_damage():
    text = '{"vm": "up", "health": "good", "detail": "a|b"}'
    found = decode_slot(1, changed("engine_status", text))
    assert isinstance(found, SlotDamaged)
    assert found.reason.startswith("engine_status: ")


@pytest.mark.parametrize("count", [1, 2, 6])
def test_too_few_fields_are_counted(count):
    found = decode_slot(1, "|".join(FIELDS[:count]).encode().ljust(4096, b"\0"))
    assert isinstance(found, SlotDamaged)
    assert found.reason.startswith("record: ")
    assert found.reason.endswith(f"allowed: 7 fields or more ({count} are there)")


def test_a_wrong_crc_is_named_with_the_right_one():
    found = decode_slot(1, slot(*FIELDS, crc="deadbeef"))
    assert isinstance(found, SlotDamaged)
    assert found.reason == ("crc32: 'deadbeef' is refused; allowed: d7b9643a, as the record gives")


def test_bytes_that_are_no_utf8_are_named_with_their_field():
    data = bytearray(encode_host(RECORD))
    data[data.index(b"h1")] = 0xFF
    found = decode_slot(1, bytes(data))
    assert isinstance(found, SlotDamaged)
    assert found.reason == "hostname: 2 bytes (hex ff 31) is refused; allowed: UTF-8 bytes"


def test_bytes_in_the_text_that_are_no_utf8_are_named_with_their_place():
    data = bytearray(encode_host(RECORD))
    data[700] = 0xFF
    found = decode_slot(1, bytes(data))
    assert isinstance(found, SlotDamaged)
    assert found.reason.startswith("text at byte 700: 1 byte (hex ff)")


def test_what_others_wrote_is_safe_to_print():
    fields = list(FIELDS)
    fields[5] = r'{"vm": "up", "health": "good", "detail": "\ud800\u001b[2J"}'
    fields[6] = "h\x1b\n"
    found = decode_slot(1, slot(*fields, text=b"state=Engine\x1bUp\nwithout\n"))
    assert found.engine_status.detail == "??[2J"
    assert found.hostname == "h??"
    assert found.state == "Engine?Up"
    assert found.notes == (("without", ""),)


def test_a_record_without_text_has_no_state():
    found = decode_slot(1, slot(*FIELDS))
    assert (found.state, found.text, found.wall_time) == ("", "", "")


# --- slot 0 ---------------------------------------------------------------------------


@pytest.mark.parametrize("maintenance", [True, False])
def test_global_round_trip(maintenance):
    data = encode_global(GlobalRecord(maintenance))
    assert data == b"maintenance=%d" % maintenance + bytes(4083)
    assert decode_global(data) == GlobalRecord(maintenance)


def test_slot_0_never_written_is_not_in_maintenance():
    assert decode_global(bytes(4096)) == GlobalRecord(False)


@pytest.mark.parametrize(
    "content",
    [
        b"maintenance=2",
        b"maintenance=",
        b"maintenance=1 or 2",
        b"maintenance=1\nmaintenance=perhaps",
        b"Maintenance=1",
        b"other=1\n",
        b"garbage",
        b"\xff",
        b"maintenance",
    ],
)
def test_anything_else_in_slot_0_is_damage(content):
    found = decode_global(content.ljust(4096, b"\0"))
    assert isinstance(found, SlotDamaged)
    assert found.host_id == 0
    assert "allowed: maintenance=0 or maintenance=1" in found.reason


def test_slot_0_with_something_behind_the_padding_is_damage():
    assert isinstance(decode_global(b"maintenance=1".ljust(4095, b"\0") + b"x"), SlotDamaged)


def test_a_short_slot_0_is_damage():
    found = decode_global(b"maintenance=1")
    assert found == SlotDamaged(0, "slot: 13 bytes are there, 4096 are needed")
