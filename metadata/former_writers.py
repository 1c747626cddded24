# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How earlier agents of format version 1 wrote what today is written otherwise.

Their slots may still stand on a volume, or be written by hosts that are not upgraded yet; they
mean what they meant to their own readers. What each of these rules is for:

- The record grew: 7 fields at first, then `maintenance` (8), `stopped` and the checksum (10), the
  two about the configuration (12). `ABSENT_FIELDS` are the values of those who did not have them.
- The status was a few words, then Python's own text of a dictionary, then JSON; ``None`` was what
  an agent wrote before its first look.
- Slot 0 is lines of ``key=value`` to them, and its value any word for yes or no.
- They padded the record to 512 characters: with a host name outside ASCII that is more bytes.
"""

from __future__ import annotations

import re
import zlib
from typing import Optional

LEAST_FIELDS = 7
FIELDS_BEFORE_CRC = 9
CRC_FIELD = 9
NO_CRC = b"00000000"

# An agent that did not know these fields was in maintenance nowhere that others could see, told
# nothing of its end, and had no configuration on the shared storage.
ABSENT_FIELDS = {
    "maintenance": "0",
    "stopped": "0",
    "crc32": "",
    "conf_on_shared_storage": "0",
    "vm_conf_refresh_time": "0",
}
# The checksum came together with `stopped`, in record and text: a short record whose text has
# this line lost its end.
_LINE_SINCE_CRC = re.compile(rb"(?:^|\n)stopped=")

_STATUS_WORDS = {
    "vm-down": {"vm": "down", "health": "bad", "detail": "Down"},
    "vm-up bad-health-status": {"vm": "up", "health": "bad", "detail": "Up"},
    "vm-up good-health-status": {"vm": "up", "health": "good", "detail": "Up"},
}
_NOT_LOOKED_YET = "None"
_PAIR = r"u?'([^'\\]*)': u?'([^'\\]*)'"
_PAIRS = re.compile(_PAIR)
_PYTHON_DICTIONARY = re.compile(rf"\{{{_PAIR}(?:, {_PAIR})*\}}")

_YES = frozenset({b"1", b"true", b"t", b"yes", b"y"})
_NO = frozenset({b"0", b"false", b"f", b"no", b"n"})


def is_not_looked_yet(text: str) -> bool:
    """Is this the status of an agent that had not looked at the engine yet?"""
    return text == _NOT_LOOKED_YET


def status_document(text: str) -> Optional[dict[str, str]]:
    """A status that is not JSON as the object that JSON would give; None: nobody wrote that."""
    if text in _STATUS_WORDS:
        return _STATUS_WORDS[text]
    if _PYTHON_DICTIONARY.fullmatch(text):
        return dict(_PAIRS.findall(text))
    return None


def lost_its_end(fields: int, text: bytes) -> bool:
    """Is a record of so many fields the beginning of a longer one, by the text behind it?

    Nothing else would tell: what has no checksum can't fail it.
    """
    return fields <= FIELDS_BEFORE_CRC and _LINE_SINCE_CRC.search(text) is not None


def global_maintenance(content: bytes) -> Optional[bool]:
    """What the lines of slot 0 say, the last one first; None: nothing that can be read."""
    said = [value for key, _, value in _pairs(content) if key == b"maintenance"]
    words = [value.strip().lower() for value in said]
    if not words or not all(word in _YES | _NO for word in words):
        return None
    return words[-1] in _YES


def _pairs(content: bytes) -> list[tuple[bytes, bytes, bytes]]:
    return [line.partition(b"=") for line in content.split(b"\n")]


def split_slot(data: bytes, record_size: int) -> tuple[bytes, bytes]:
    """Record (without its padding) and text of a slot, wherever the padding ends.

    `record_size` bytes are the record's, or as many characters. The two differ only where a
    character takes more than one byte, and are told apart by what stands between the two ends:
    padding, then the record was padded by characters; the end of a record without any padding,
    then its checksum decides; else text.
    """
    end = _end_of_characters(data, record_size)
    if end != record_size and not _is_padded_by_characters(data, record_size, end):
        end = record_size
    return without_padding(data[:end]), data[end:]


def without_padding(data: bytes) -> bytes:
    """`data` without the NUL bytes at its end; where no others are in it, that is found at once."""
    end = data.find(b"\0")
    if end >= 0 and data.endswith(bytes(len(data) - end)):
        return data[:end]
    return data.rstrip(b"\0")


def _is_padded_by_characters(data: bytes, record_size: int, end: int) -> bool:
    if not data[record_size:end].strip(b"\0"):
        return True
    is_full = b"\0" not in data[:record_size]
    return is_full and has_own_crc(data[:end].rstrip(b"\0").split(b"|"))


def has_own_crc(fields: list[bytes]) -> bool:
    """Do the fields of a record give the checksum that stands among them?"""
    return len(fields) > CRC_FIELD and fields[CRC_FIELD] == checksum(fields)


def checksum(fields: list[bytes]) -> bytes:
    """The checksum over the fields of a record, as it stands among them."""
    covered = fields.copy()
    covered[CRC_FIELD] = NO_CRC
    return b"%08x" % zlib.crc32(b"|".join(covered))


def _end_of_characters(data: bytes, count: int) -> int:
    """Behind which byte `count` characters of UTF-8 have ended."""
    if data[:count].isascii():
        return count
    begins = [place for place, byte in enumerate(data) if byte & 0xC0 != 0x80]
    return begins[count] if len(begins) > count else len(data)
