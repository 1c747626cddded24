# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a host says of its own starts in the text part of its record.

``cannot-start=WHY``   something stands against starting the engine there now
``start-tries=N``      how often it has tried in vain since the engine was last well, in the
                       units of `fsm.peers.tries_of_turn`
``started-from=N``     the VM on it was started from version N of the shared configuration, whose
                       domain XML is not the one in use any more

Whoever does not know the lines ignores them; a host that writes none is waited for as before.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from metadata.notes import MOST_CONFIG_VERSION, Notes, number_in

CANNOT_START, START_TRIES = "cannot-start", "start-tries"
STARTED_FROM = "started-from"
HOST_SHUTS_DOWN = "this host is being shut down"
"""Why nothing can be started there. Others read it: an engine that is there leaves soon."""
KEYS = (CANNOT_START, START_TRIES, STARTED_FROM)
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


def is_shutting_down(notes: Notes) -> bool:
    """Does a record with such notes say that its host is being shut down?"""
    return dict(notes).get(CANNOT_START) == HOST_SHUTS_DOWN


def started_from_notes(version: Optional[int]) -> Notes:
    """The line that says it; none where the VM has what is in use, or that is not known."""
    return () if version is None else ((STARTED_FROM, str(version)),)


def started_from_in(notes: Notes) -> Optional[int]:
    """The version that the line names; None: there is none that can be understood."""
    return number_in(dict(notes).get(STARTED_FROM, ""), MOST_CONFIG_VERSION)


def started_from_text(host: str, version: int, in_use: Optional[int]) -> str:
    """One sentence for people; `in_use` None: which version is, is not known."""
    use = f"version {in_use} is" if in_use is not None else "another one is"
    return (
        f"The engine's VM on {host} was started from version {version} of the shared "
        f"configuration, and {use} in use: its domain XML holds from the engine's next start."
    )
