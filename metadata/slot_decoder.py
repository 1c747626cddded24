# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Decodes slots that are looked at again and again: what stays the same is worked out once.

A host rewrites its slot in each tick, and mostly only the time in it is new. What a slot says
follows from its bytes alone, so what is kept here never gets old: it is told from the bytes that
stand there now, all 4096 of them compared in each look. Nothing here knows when a look was.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Container, Mapping
from typing import NamedTuple, Optional

from metadata.extra_text import is_plain, wall_time_in
from metadata.former_writers import NO_CRC, without_padding
from metadata.layout import SLOT_SIZE
from metadata.records import DecodedSlot, HostRecord, rewritten_record
from metadata.wire import RECORD_SIZE, decode_slot

_TIMESTAMP_LINE = b"\ntimestamp="
_NOTHING = bytes(SLOT_SIZE)


# A record with its checksum third from the end, where newer fields do not follow it.
_RECORD = re.compile(
    rb"[^|]*\|[^|]*\|([0-9]+)\|[^|]*\|[^|]*\|[^|]*\|[^|]*\|[^|]*\|[^|]*\|([0-9a-f]{8})\|[^|]*\|[^|]*"
)


class _Places(NamedTuple):
    """Where the time stands in a slot that is ASCII: the bytes from `..` to `.._end`.

    `line` is behind ``timestamp=`` in the text's only line of that key; the text is printable up to
    `end`, from which on all is NUL.
    """

    timestamp: int
    timestamp_end: int
    crc: int
    crc_end: int
    record_end: int
    line: int
    line_end: int
    end: int


class _Said:
    """What the bytes of a slot say; `places` once they were searched for."""

    __slots__ = ("decoded", "places")

    def __init__(self, decoded: DecodedSlot) -> None:
        self.decoded = decoded
        self.places: Optional[_Places] = None


class SlotDecoder:
    """`decode_slot` for the same slots again and again; for one thread.

    `_bytes`, the latest ones of each slot, and `_said`, what they say, hold for these very bytes.
    Other bytes are the same record rewritten when they differ in the timestamp, the checksum that
    follows from it, and the time in the text, and in nothing else; then all else is taken over, and
    values that are equal are the same objects. So are the places of the three, which are searched
    for in the first of such a row: where all other bytes are equal, and what stands in these can't
    be taken for an end of them, they are at the same bytes. `_no_record` has the slots that hold
    none.
    """

    def __init__(self) -> None:
        self._bytes: dict[int, bytes] = {}
        self._said: dict[int, _Said] = {}
        self._no_record: set[int] = set()

    def decode(self, host_id: int, data: bytes) -> DecodedSlot:
        """As `metadata.wire.decode_slot`; the very same value for the same bytes."""
        before = self._bytes.get(host_id)
        if before is not None:
            said = self._said[host_id]
            if before == data:
                return said.decoded
            record = _rewritten(before, said, data)
            if record is not None:
                self._bytes[host_id], said.decoded = data, record
                return record
        return self._decode_in_full(host_id, data)

    def _decode_in_full(self, host_id: int, data: bytes) -> DecodedSlot:
        decoded = decode_slot(host_id, data)
        if isinstance(decoded, HostRecord):
            self._no_record.discard(host_id)
        else:
            self._no_record.add(host_id)
        self._bytes[host_id], self._said[host_id] = data, _Said(decoded)
        return decoded

    def news(self, slots: Mapping[int, bytes]) -> dict[int, bytes]:
        """Those of `slots` that `decode` may say something new of: all but the records whose very
        bytes it was given last."""
        known, no_record = self._bytes.get, self._no_record
        return {
            slot: data for slot, data in slots.items() if known(slot) != data or slot in no_record
        }

    def forget_all_but(self, ids: Container[int]) -> None:
        """Nobody looks at the other slots any more."""
        for host_id in [one for one in self._bytes if one not in ids]:
            del self._bytes[host_id], self._said[host_id]
            self._no_record.discard(host_id)


def _rewritten(old: bytes, said: _Said, data: bytes) -> Optional[HostRecord]:
    """The record in `data`, where only the time differs from what `old` says; None: more does."""
    before, places = said.decoded, said.places
    if not isinstance(before, HostRecord) or len(data) != SLOT_SIZE:
        return None
    if places is None:
        places = said.places = _places(old)
        if places is None:
            return None
    at, at_end, crc, crc_end, record_end, line, line_end, end = places
    timestamp, crc32, moment = data[at:at_end], data[crc:crc_end], data[line:line_end]
    # What is behind `end` is not looked at in `old` again: most of a slot, and nothing is there.
    is_rewritten = (
        data.startswith(old[:at])
        and data.startswith(old[at_end:crc], at_end)
        and data.startswith(old[crc_end:line], crc_end)
        and data.startswith(old[line_end:end], line_end)
        and data.endswith(_NOTHING[end:])
        and timestamp.isdigit()
        and moment.isascii()
    )
    if not is_rewritten:
        return None
    told, seconds = moment.decode("ascii"), timestamp.decode("ascii")
    covered = data[:crc] + NO_CRC + data[crc_end:record_end]
    if not told.isprintable() or crc32 != b"%08x" % zlib.crc32(covered):
        return None
    return rewritten_record(
        before,
        timestamp_s=int(seconds),
        crc32=crc32.decode("ascii"),
        wall_time=_wall_time(told, seconds),
        text=data[RECORD_SIZE:end].decode("ascii"),
    )


def _wall_time(told: str, seconds: str) -> str:
    """As `wall_time_in`, for which most lines have the record's own seconds."""
    head, mark, tail = told.partition(" (")
    return tail[:-1] if mark and head == seconds and tail[-1:] == ")" else wall_time_in(told)


def _places(slot: bytes) -> Optional[_Places]:
    """Where the time stands in a slot that holds a record; None: it is not a usual one."""
    if len(slot) != SLOT_SIZE or not slot.isascii():
        return None
    found = _RECORD.fullmatch(without_padding(slot[:RECORD_SIZE]))
    line = slot.find(_TIMESTAMP_LINE, RECORD_SIZE) + len(_TIMESTAMP_LINE)
    line_end, end = slot.find(b"\n", line), slot.find(b"\0", RECORD_SIZE)
    if found is None or not RECORD_SIZE < line <= line_end < end:
        return None
    if not slot.endswith(_NOTHING[end:]) or not is_plain(slot[RECORD_SIZE:end]):
        return None
    if not _is_the_only_line(slot, line):
        return None
    return _Places(*found.span(1), *found.span(2), found.end(), line, line_end, end)


def _is_the_only_line(data: bytes, line: int) -> bool:
    """Has no other line of the text the key of that of the time? (The last one would count.)"""
    again = data.find(_TIMESTAMP_LINE, line)
    return again < 0 and not data.startswith(_TIMESTAMP_LINE[1:], RECORD_SIZE)
