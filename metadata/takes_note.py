# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The line of the text part by which a host says whether it can take the engine alive.

``takes=at qemu+tls://h2/system`` or ``takes=no, too little free memory``. A host that writes
no such line is of an older program, and nothing is moved to it: it could not be asked.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from metadata.notes import Notes

KEY = "takes"
_AT = re.compile(r"at ([!-<>-~]{1,300})", re.ASCII)  # a line has one "=" only
_NO = re.compile(r"no, (.+)")


OLDER_PROGRAM = "its program is older and does not say whether it can take the engine"
"""For people: what such a host's missing line means."""


class TakesNote(NamedTuple):
    """`address`: where its libvirt takes the engine; empty: it can't now, because of `why_not`."""

    address: str = ""
    why_not: str = ""


def encode_takes(note: TakesNote) -> str:
    """The line's value."""
    return f"no, {note.why_not}" if note.why_not or not note.address else f"at {note.address}"


def decode_takes(value: str) -> Optional[TakesNote]:
    """What the line says; None: it says nothing that can be understood."""
    found = _AT.fullmatch(value)
    if found:
        return TakesNote(address=found.group(1))
    found = _NO.fullmatch(value)
    return TakesNote(why_not=found.group(1)) if found else None


def takes_of(notes: Notes) -> Optional[TakesNote]:
    """What a record with such notes says of taking the engine; None: its program does not say."""
    return decode_takes(dict(notes).get(KEY, ""))


def takes_told(notes: Notes) -> TakesNote:
    """The same; both empty where its program does not say."""
    return takes_of(notes) or TakesNote()
