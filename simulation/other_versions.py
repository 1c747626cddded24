# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How other versions of the program write a host's record, and what they pass over in others'."""

from __future__ import annotations

import re
import zlib
from typing import Callable, Optional

from metadata import better_note, moved_note, moving_note, takes_note
from metadata.layout import SLOT_SIZE, slot_address
from metadata.notes import PROGRAM
from metadata.records import VolumeAddress
from metadata.settings.parse import StorageParts

RECORD_SIZE = 512
CRC_FIELD = 9
TOO_NEW_PARSE_VERSION = b"2"
NEWER_FEATURE_VERSION = b"7"
NEWER_PROGRAM = "99.0"
_PROGRAM_LINE = re.compile(rf"(?<=\n){PROGRAM}=[^\n]*".encode("ascii"))

Translate = Callable[[VolumeAddress, bytes], bytes]
# What a version before moves passes over in the text part of a slot.
_NEW_KEYS = "|".join((moving_note.KEY, takes_note.KEY, better_note.KEY, moved_note.KEY))
_NEW_LINES = re.compile(rf"(?m)^(?:{_NEW_KEYS})=.*\n?".encode())


def translator(version: str, host_id: int, parts: StorageParts) -> Optional[Translate]:
    """What turns this program's slot of `host_id` into that of `version`; None: the same."""
    change = _CHANGES.get(version)
    if change is None:
        return None
    own = slot_address(parts, host_id)

    def translate(address: VolumeAddress, data: bytes) -> bytes:
        return change(data) if address == own and len(data) == SLOT_SIZE and data[0] else data

    return translate


def reader(version: str) -> Optional[Callable[[bytes], bytes]]:
    """What turns the bytes that the storage gives into those that `version` heeds; None: all."""
    return _without_moves if version == "older" else None


def _without_moves(data: bytes) -> bytes:
    """So nobody can be asked to take the engine, and nobody is seen to move it."""
    if len(data) % SLOT_SIZE or b"|" not in data:
        return data
    slots = (data[at : at + SLOT_SIZE] for at in range(0, len(data), SLOT_SIZE))
    return b"".join(map(_slot_without_moves, slots))


def _slot_without_moves(slot: bytes) -> bytes:
    text = _NEW_LINES.sub(b"", slot[RECORD_SIZE:])
    return slot[:RECORD_SIZE] + text.ljust(SLOT_SIZE - RECORD_SIZE, b"\0")


def is_record(slot: bytes) -> bool:
    """Are there as many fields as a host's record has?"""
    return len(_fields(slot)) > CRC_FIELD


def older(slot: bytes) -> bytes:
    """A version that writes no text for people beyond the record."""
    return slot[:RECORD_SIZE].ljust(SLOT_SIZE, b"\0")


def newer(slot: bytes) -> bytes:
    """A later version of the same format: one more field, and a line that nobody knows."""
    fields = _fields(slot)
    fields[1] = NEWER_FEATURE_VERSION
    told = f"{PROGRAM}={NEWER_PROGRAM}".encode("ascii")
    text = _PROGRAM_LINE.sub(told, slot[RECORD_SIZE:].rstrip(b"\0")) + b"from_the_future=yes\n"
    return _joined([*fields, b"future"], text)


def too_new(slot: bytes) -> bytes:
    """A format that this program can't read."""
    fields = _fields(slot)
    fields[0] = TOO_NEW_PARSE_VERSION
    return _joined(fields, slot[RECORD_SIZE:].rstrip(b"\0"))


_CHANGES = {"older": older, "newer": newer, "too-new": too_new}


def _fields(slot: bytes) -> list[bytes]:
    return slot[:RECORD_SIZE].rstrip(b"\0").split(b"|")


def _joined(fields: list[bytes], text: bytes) -> bytes:
    fields = [*fields]
    fields[CRC_FIELD] = b"00000000"
    fields[CRC_FIELD] = b"%08x" % zlib.crc32(b"|".join(fields))
    record = b"|".join(fields)[:RECORD_SIZE].ljust(RECORD_SIZE, b"\0")
    return (record + text)[:SLOT_SIZE].ljust(SLOT_SIZE, b"\0")
