# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What long polls were answered with, so that the next answer can leave out what is the same."""

from __future__ import annotations

import threading
from typing import Optional

from ha_broker.api.snapshot import Snapshot, with_hosts

_MOST = 4  # callers, of which one asks all day: the agent
_MOST_DIGITS = 20


class ToldSnapshots:
    """The latest `_MOST` snapshots that somebody was told, each with a mark and without its hosts.

    A mark has a random part for each `life` of the broker's process; any thread may ask. Whoever
    comes with the mark of one that is not kept any more is told all.
    """

    def __init__(self, life: str) -> None:
        self._life = life
        self._lock = threading.Lock()
        self._latest = 0
        self._by_number: dict[int, Snapshot] = {}

    def remember(self, snapshot: Snapshot) -> str:
        """The mark of a snapshot that is told now."""
        # Of the hosts versions are kept: the records of each tick would be megabytes.
        without_hosts = with_hosts(snapshot, ())
        with self._lock:
            self._latest += 1
            self._by_number[self._latest] = without_hosts
            self._by_number.pop(self._latest - _MOST, None)
            return f"{self._life}.{self._latest}"

    def told(self, mark: str) -> Optional[Snapshot]:
        """The snapshot of a mark; None: it is not kept, or no mark of this life."""
        life, _, digits = mark.partition(".")
        if life != self._life or not (digits.isascii() and digits.isdigit()):
            return None
        with self._lock:
            return self._by_number.get(int(digits)) if len(digits) < _MOST_DIGITS else None
