# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Slots decoded in short ways say what they say field by field, after whatever was there before."""

from __future__ import annotations

import zlib
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metadata import extra_text, former_writers, wire
from metadata.layout import SLOT_SIZE
from metadata.records import DecodedSlot, HostRecord, SlotAbsent, SlotDamaged
from metadata.slot_decoder import SlotDecoder, _places
from metadata.wire import RECORD_SIZE, decode_slot, encode_host
from tests.unit.broker_host import record
from tests.unit.metadata_strategies import ANY_RECORD, PLAIN_RECORD

HOST_ID = 7
many = settings(deadline=None, max_examples=60)


def by_fields(host_id: int, data: bytes) -> DecodedSlot:
    """The reference: no short way, nothing kept."""
    if len(data) < SLOT_SIZE or not data[0]:
        return decode_slot(host_id, data)
    head, text = former_writers.split_slot(data[:SLOT_SIZE], RECORD_SIZE)
    return wire._decode_by_fields(host_id, head, text)


def told(decoded: DecodedSlot) -> tuple[type, dict[str, Any]]:
    """All of it, the text that is not compared and the types too."""
    values = asdict(decoded)
    return type(decoded), {key: (type(value), value) for key, value in values.items()}


def with_crc(data: bytes) -> bytes:
    """The slot with the checksum that its record has now."""
    head = data[:RECORD_SIZE].rstrip(b"\0")
    fields = head.split(b"|")
    if len(fields) <= 9:
        return data
    fields[9] = b"00000000"
    fields[9] = b"%08x" % zlib.crc32(b"|".join(fields))
    return b"|".join(fields).ljust(RECORD_SIZE, b"\0")[:RECORD_SIZE] + data[RECORD_SIZE:]


def slot_of(found: HostRecord) -> bytes:
    return encode_host(replace(found, host_id=HOST_ID))


@st.composite
def changed(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with some bytes changed, most of them where something stands."""
    end = data.rstrip(b"\0")
    places = st.one_of(st.integers(0, max(0, len(end) - 1)), st.integers(0, SLOT_SIZE - 1))
    odd = st.sampled_from(b'|=\n\0-09a(){}"\x1b\x7f\x80\xc3\xff')
    edited = bytearray(data.ljust(SLOT_SIZE, b"\0"))
    for place, byte in draw(st.lists(st.tuples(places, st.one_of(odd, st.integers(0, 255))))):
        edited[place] = byte
    return with_crc(bytes(edited)) if draw(st.booleans()) else bytes(edited)


@st.composite
def rewritten(draw: st.DrawFn, found: HostRecord) -> bytes:
    """The record as its host writes it a moment later, or with something else new, too."""
    later = replace(found, timestamp_s=draw(st.integers(-5, 10**6)))
    if draw(st.booleans()):
        wall = st.one_of(st.text(max_size=30), st.sampled_from(["Tue Nov 14 22:13:25 2023", ""]))
        later = replace(later, wall_time=draw(wall))
    if draw(st.integers(0, 3)) == 0:
        new = {"score": 1, "stopped": True, "state": "EngineUp", "hostname": "other"}
        later = replace(later, **dict([draw(st.sampled_from(sorted(new.items())))]))
    if draw(st.integers(0, 3)) == 0:
        note = draw(st.sampled_from([("timestamp", "9 (never)"), ("why", "x"), ("k", "v=w")]))
        later = replace(later, notes=(*later.notes, note))
    return slot_of(later)


@st.composite
def histories(draw: st.DrawFn) -> list[bytes]:
    """What stands in one slot, look after look."""
    found = replace(draw(st.one_of(PLAIN_RECORD, ANY_RECORD)), host_id=HOST_ID)
    slots = [slot_of(found)]
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.integers(0, 5))
        if kind <= 2:
            slots.append(draw(rewritten(found)))
        elif kind == 3:
            slots.append(draw(changed(slots[-1])))
        elif kind == 4:
            slots.append(bytes(bytearray(draw(st.sampled_from(slots)))))
        else:
            odd = st.sampled_from([bytes(SLOT_SIZE), b"", b"1|1|", b"x" * SLOT_SIZE])
            slots.append(draw(odd))
    return slots


@many
@given(histories())
def test_what_is_no_news_is_a_record_that_was_decoded_last(slots: list[bytes]) -> None:
    decoder, last = SlotDecoder(), b"none yet"
    for data in [one for slot in slots for one in (slot, bytes(bytearray(slot)))]:
        is_known = data == last and isinstance(by_fields(HOST_ID, data), HostRecord)
        assert decoder.news({HOST_ID: data}) == ({} if is_known else {HOST_ID: data})
        before = decoder.decode(HOST_ID, data)
        assert not is_known or decoder.decode(HOST_ID, last) is before
        last = data
    decoder.forget_all_but({1})
    assert decoder.news({HOST_ID: last}) == {HOST_ID: last}


@many
@given(histories())
def test_a_history_of_slots_is_decoded_as_each_alone(slots: list[bytes]) -> None:
    decoder = SlotDecoder()
    for data in slots:
        assert told(decoder.decode(HOST_ID, data)) == told(by_fields(HOST_ID, data))


@many
@given(histories())
def test_the_short_way_decodes_as_the_fields_do(slots: list[bytes]) -> None:
    for data in slots:
        assert told(decode_slot(HOST_ID, data)) == told(by_fields(HOST_ID, data))


@many
@given(st.lists(st.sampled_from([b"\0", b"a", b"\0\0\0", b"|"])).map(b"".join))
def test_padding_is_all_the_nul_bytes_at_the_end(data: bytes) -> None:
    assert former_writers.without_padding(data) == data.rstrip(b"\0")


TEXT_LINES = st.sampled_from(
    ["state=EngineUp", "timestamp=7 (noon)", "timestamp=7", "timeout=later", "", "=", "why=x=y"]
)


@many
@given(st.lists(st.one_of(TEXT_LINES, st.text(max_size=8))), st.booleans(), st.data())
@example([], True, None)
def test_a_text_is_read_as_line_by_line(lines: list[str], usual: bool, data: Any) -> None:
    before = extra_text.encode_text(record(HOST_ID), 3000).decode() if usual else ""
    if usual and data is not None and data.draw(st.booleans()):
        every = before.split("\n")
        del every[data.draw(st.integers(0, len(every) - 1))]
        before = "\n".join(every)
    text = before + "\n".join(lines)
    assert extra_text.decode_text(text) == extra_text._text_by_lines(text)


# --- the short ways are gone -----------------------------------------------------------------


@pytest.fixture
def full_ways(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each slot that was decoded in full."""
    found: list[int] = []

    def counted(host_id: int, data: bytes) -> DecodedSlot:
        found.append(host_id)
        return decode_slot(host_id, data)

    monkeypatch.setattr("metadata.slot_decoder.decode_slot", counted)
    return found


def test_what_stays_the_same_is_not_decoded_again(full_ways: list[int]) -> None:
    decoder = SlotDecoder()
    first = decoder.decode(HOST_ID, slot_of(record(HOST_ID, 1000)))
    assert decoder.decode(HOST_ID, slot_of(record(HOST_ID, 1000))) is first
    later = decoder.decode(HOST_ID, slot_of(record(HOST_ID, 1005)))
    assert isinstance(first, HostRecord) and isinstance(later, HostRecord)
    assert (later.timestamp_s, later.notes is first.notes) == (1005, True)
    assert full_ways == [HOST_ID]


def test_a_longer_number_is_decoded_in_full(full_ways: list[int]) -> None:
    decoder = SlotDecoder()
    for timestamp_s in (998, 999, 1000, 1001):
        found = decoder.decode(HOST_ID, slot_of(record(HOST_ID, timestamp_s)))
        assert isinstance(found, HostRecord) and found.timestamp_s == timestamp_s
    assert len(full_ways) == 2


def test_places_are_searched_for_once_in_a_row_of_rewritings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched: list[bytes] = []

    def counted(slot: bytes) -> object:
        searched.append(slot)
        return _places(slot)

    monkeypatch.setattr("metadata.slot_decoder._places", counted)
    decoder = SlotDecoder()
    for timestamp_s in (1000, 1005, 1010, 1015, 1015):
        decoder.decode(HOST_ID, slot_of(record(HOST_ID, timestamp_s)))
    assert len(searched) == 1
    decoder.decode(HOST_ID, slot_of(record(HOST_ID, 1020, score=7)))
    decoder.decode(HOST_ID, slot_of(record(HOST_ID, 1025, score=7)))
    assert len(searched) == 2


def test_a_wrong_checksum_is_found_though_nothing_else_is_new() -> None:
    decoder = SlotDecoder()
    data = slot_of(record(HOST_ID, 1000))
    decoder.decode(HOST_ID, data)
    torn = data.replace(b"|1000|", b"|1005|", 1)
    assert isinstance(decoder.decode(HOST_ID, torn), SlotDamaged)
    assert isinstance(decoder.decode(HOST_ID, data), HostRecord)


FIRST = slot_of(record(HOST_ID, 1000, wall_time="noon", notes=(("why", "xxxxxxxxxx=y"),)))
LATER = slot_of(record(HOST_ID, 1005, wall_time="late", notes=(("why", "xxxxxxxxxx=y"),)))


@pytest.mark.parametrize(
    "change",
    [
        (b"|1000|", b"|1|00|"),
        (b"|1000|", b"|-100|"),
        (b"|1000|", b"|10 0|"),
        (b"1000 (noon)", b"1000\n(noon)"),
        (b"1000 (noon)", b"1000\0(noon)"),
        (b"1000 (noon)", b"1000 (no\xc3\xb6)"),
        (b"1000 (noon)", b"1000 (no\x1bn)"),
        (b"why=xxxxxxxxxx", b"timestamp=1 (x"),
        (b"why=xxxxxxxxxx", b"why=\ntimestamp"),
        (b"metadata_parse_version=1", b"timestamp=1 (xxxxxxxxx)\n"),
        (b"|h7|", b"|\x007|"),
    ],
    ids=repr,
)
def test_odd_slots_before_and_after_usual_ones(change: tuple[bytes, bytes]) -> None:
    odd = FIRST.replace(*change, 1)
    assert odd != FIRST
    for first in (odd, with_crc(odd)):
        later = first.replace(b"1005", b"1000").replace(b"1000", b"1005")
        for slots in (
            (FIRST, first, LATER),
            (FIRST, LATER, first, with_crc(later), LATER),
            (first, FIRST, LATER),
            (first, LATER, first),
            (first, with_crc(later), first, LATER),
        ):
            decoder = SlotDecoder()
            for data in slots:
                assert told(decoder.decode(HOST_ID, data)) == told(by_fields(HOST_ID, data))


def test_the_record_of_one_slot_says_nothing_of_another() -> None:
    decoder = SlotDecoder()
    data = slot_of(record(HOST_ID, 1000))
    decoder.decode(HOST_ID, data)
    assert isinstance(decoder.decode(HOST_ID + 1, data), SlotDamaged)


def test_a_slot_that_was_emptied_is_absent() -> None:
    decoder = SlotDecoder()
    decoder.decode(HOST_ID, slot_of(record(HOST_ID, 1000)))
    assert decoder.decode(HOST_ID, bytes(SLOT_SIZE)) == SlotAbsent(HOST_ID)


def test_slots_that_nobody_reads_any_more_are_forgotten(full_ways: list[int]) -> None:
    decoder = SlotDecoder()
    data = slot_of(record(HOST_ID, 1000))
    decoder.decode(HOST_ID, data)
    decoder.forget_all_but({HOST_ID})
    decoder.decode(HOST_ID, data)
    decoder.forget_all_but({HOST_ID + 1})
    decoder.decode(HOST_ID, data)
    assert len(full_ways) == 2
