# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What was told before, by the broker and by the agent, so that what is the same need not be told
again."""

from __future__ import annotations

import threading
from typing import Optional

from ha_broker.api.snapshot import Publication, Snapshot, with_hosts

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


class LatestRecord:
    """What this host's agent said last, with a mark as those of `ToldSnapshots`; any thread may
    ask."""

    def __init__(self, life: str) -> None:
        self._life = life
        self._lock = threading.Lock()
        self._number = 0
        self._latest: Optional[Publication] = None

    def remember(self, publication: Publication) -> str:
        """The mark of what is said now."""
        with self._lock:
            self._number, self._latest = self._number + 1, publication
            return self._mark

    def told(self, mark: str) -> Optional[Publication]:
        """What was said as of `mark`; None: something else was said since, or it is no mark."""
        with self._lock:
            return self._latest if mark == self._mark else None

    @property
    def _mark(self) -> str:
        return f"{self._life}.{self._number}"
