# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""When the others' slots are to be read at once: they may answer to what this host has just said.

Where the engine goes, and whether this host takes it, are lines that a host writes before it acts;
then it looks what the others have written. A tick's wait for that would be added to each move, and
to each shutdown.
"""

from __future__ import annotations

from typing import Optional

from metadata.moving_note import moving_to
from metadata.notes import Notes
from metadata.takes_note import takes_told


class AnswerWatch:
    """Of this host's own record."""

    def __init__(self) -> None:
        self._known: Optional[tuple[Optional[str], str]] = None
        self._waits = False
        self._heard = False

    def note(self, published: Notes) -> None:
        """What the agent wants to have said."""
        said = _said(published)
        if said != self._known:
            moving, takes_at = said
            # The first record of a broker is no news, and that it takes the engine asks nothing.
            self._waits = self._known is not None and (moving is not None or not takes_at)
            self._known = said

    def is_due(
        self, on_storage: Notes, written_at_s: Optional[float], read_at_s: Optional[float]
    ) -> bool:
        """Does the storage show it, and have the others not been read since, all of them?"""
        if not self._waits or written_at_s is None or _said(on_storage) != self._known:
            return False
        self._waits = read_at_s is None or read_at_s < written_at_s
        self._heard = self._heard or not self._waits
        return self._waits

    def take_heard(self) -> bool:
        """Were they read just now, for the first time since? It is news though they say the same:
        the agent waits for it."""
        heard, self._heard = self._heard, False
        return heard


def _said(notes: Notes) -> tuple[Optional[str], str]:
    return moving_to(notes), takes_told(notes).address
