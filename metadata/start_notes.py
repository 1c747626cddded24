"""What a host says of its own starts in the text part of its record.

``cannot-start=WHY``   something stands against starting the engine there now
``start-tries=N``      how often it has tried in vain since the engine was last well, in the
                       units of `fsm.peers.tries_of_turn`

Whoever does not know the lines ignores them; a host that writes none is waited for as before.
"""

from __future__ import annotations

from typing import NamedTuple

from metadata.notes import Notes, number_in

CANNOT_START, START_TRIES = "cannot-start", "start-tries"
KEYS = (CANNOT_START, START_TRIES)
_MOST_TRIES = 9999


class StartNotes(NamedTuple):
    """What the two lines say; empty and 0 where they are missing."""

    cannot_start: str = ""
    tries: int = 0


def start_notes(told: StartNotes) -> Notes:
    """The lines, those that say nothing left out."""
    notes = []
    if told.cannot_start:
        notes.append((CANNOT_START, told.cannot_start))
    if told.tries:
        notes.append((START_TRIES, str(told.tries)))
    return tuple(notes)


def read_start_notes(notes: Notes) -> StartNotes:
    """What the lines say; a number that is none counts as missing."""
    found = dict(notes)
    tries = number_in(found.get(START_TRIES, ""), _MOST_TRIES)
    return StartNotes(found.get(CANNOT_START, ""), tries or 0)
