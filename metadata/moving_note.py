# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The line of the text part by which a host says that the engine is leaving it.

``moving=to h2, others wait 40 s``: the others leave the engine's lease alone for so long, each
counting by its own clock. A reader that does not know the line passes over it.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from metadata.notes import Notes

KEY = "moving"
SOMEWHERE = "another-host"
_TEXT = re.compile(r"to (\S{1,64}), others wait (\d{1,5}) s", re.ASCII)


class MovingNote(NamedTuple):
    """Where the engine goes, as far as its host knows, and how long the others shall wait."""

    to: str
    limit_s: float


def encode_moving(note: MovingNote) -> str:
    """The line's value."""
    return f"to {note.to or SOMEWHERE}, others wait {max(1, round(note.limit_s))} s"


def decode_moving(value: str) -> Optional[MovingNote]:
    """What the line says; None: it says nothing that can be understood."""
    found = _TEXT.fullmatch(value)
    return MovingNote(found.group(1), float(found.group(2))) if found else None


def moving_to(notes: Notes) -> Optional[str]:
    """Where a record with such notes says that the engine goes; None: it says nothing of that."""
    found = decode_moving(dict(notes).get(KEY, ""))
    return None if found is None else found.to
