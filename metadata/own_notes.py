"""All notes that this program writes into a record's text part, whoever of it does."""

from __future__ import annotations

from metadata import host_notes, moving_note, notes, reach, start_notes

OWN_KEYS = frozenset(
    (
        *(notes.CONFIG_VERSION, notes.GLOBAL_MAINTENANCE, notes.WHY, notes.PENALTIES),
        *(host_notes.MACHINE, host_notes.HARDWARE, host_notes.BOOT, host_notes.FIRE_TIMEOUT),
        *(*start_notes.KEYS, moving_note.KEY, *reach.KEYS),
    )
)
"""One of these that is left out now is over, also where a newer program has written it before."""
