# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""All notes that this program writes into a record's text part, whoever of it does."""

from __future__ import annotations

from metadata import host_notes, moving_note, notes, reach, start_notes, takes_note

AGENT_KEYS = frozenset(
    (notes.WHY, notes.PENALTIES, *start_notes.KEYS, moving_note.KEY, takes_note.KEY, *reach.KEYS)
)
"""What the agent hands over; the broker adds the others."""

OWN_KEYS = AGENT_KEYS | {
    *(notes.CONFIG_VERSION, notes.GLOBAL_MAINTENANCE, notes.PROGRAM),
    *(host_notes.MACHINE, host_notes.HARDWARE, host_notes.BOOT, host_notes.FIRE_TIMEOUT),
}
"""One of these that is left out now is over, also where a newer program has written it before."""
