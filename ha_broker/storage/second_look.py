# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Nobody is refused for what other hosts have said up to a tick ago: their slots are read again
first.

Who ends another host's local maintenance and then orders a move to it is faster than this host's
round of the slots.
"""

from __future__ import annotations

import math
from typing import Optional

from ha_broker.storage.slot_reader import SlotReader

WITHIN_S = 2.0
"""So long a refusal waits for the reading at most, below what the API waits for an answer: a
storage that hangs makes it no later than this."""

_IN_VAIN = f" (the storage could not be read again within {WITHIN_S:g} s)"


class SecondLook:
    """For one request at a time."""

    def __init__(self, storage: SlotReader) -> None:
        self._storage = storage
        self._asked_at_s: Optional[float] = None
        self._rounds_before = 0

    def is_due(self, now_s: float) -> bool:
        """Is the refusal to wait for a reading that began after it was first asked here?"""
        if self._asked_at_s is None:
            self._asked_at_s, self._rounds_before = now_s, self._storage.rounds_begun
            self._storage.hurry(now_s)
        return not self._has_read and now_s < self.until_s

    @property
    def doubt(self) -> str:
        """What to add to a refusal that has waited in vain; else empty."""
        return "" if self._has_read else _IN_VAIN

    def over(self) -> None:
        """The request has its answer; the next one is another one."""
        self._asked_at_s = None

    @property
    def _has_read(self) -> bool:
        return self._storage.rounds_ended > self._rounds_before

    @property
    def until_s(self) -> float:
        """When a refusal waits no longer; never, if none waits."""
        return math.inf if self._asked_at_s is None else self._asked_at_s + WITHIN_S
