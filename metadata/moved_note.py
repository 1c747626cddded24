# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The line of the text part by which a host says that the engine has left it alive.

``moved=to h2, took 1.6 s, stood still 0.62 s, 134217728 bytes``: as libvirt reports it; what it has
not said is left out. It is there until a VM of the engine is on that host again. For people alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from metadata.notes import Notes

KEY = "moved"
_TEXT = re.compile(
    r"to (\S{1,64})(?:, took (\d{1,6}\.\d) s)?(?:, stood still (\d{1,6}\.\d\d) s)?"
    r"(?:, (\d{1,15}) bytes)?",
    re.ASCII,
)


class MovedNote(NamedTuple):
    """Where it went; how long the move took, how long the VM did not run, and what was sent."""

    to: str
    took_s: Optional[float] = None
    downtime_s: Optional[float] = None
    copied_bytes: Optional[int] = None


def encode_moved(note: MovedNote) -> str:
    """The line's value."""
    parts = [f"to {note.to}"]
    if note.took_s is not None:
        parts.append(f"took {note.took_s:.1f} s")
    if note.downtime_s is not None:
        parts.append(f"stood still {note.downtime_s:.2f} s")
    if note.copied_bytes is not None:
        parts.append(f"{note.copied_bytes} bytes")
    return ", ".join(parts)


def decode_moved(value: str) -> Optional[MovedNote]:
    """What the line says; None: it says nothing that can be understood."""
    found = _TEXT.fullmatch(value)
    if found is None:
        return None
    to, took, still, sent = found.groups()
    return MovedNote(
        to,
        None if took is None else float(took),
        None if still is None else float(still),
        None if sent is None else int(sent),
    )


def moved_of(notes: Notes) -> Optional[MovedNote]:
    """What a record with such notes says of it; None: nothing."""
    return decode_moved(dict(notes).get(KEY, ""))
