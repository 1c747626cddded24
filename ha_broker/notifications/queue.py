# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Notices that wait to be delivered: bounded, in order for each target, and kept over restarts.

A target is the mail server, or a webhook by its address. One that does not answer is left alone
for a while, longer each time; the others are not held up by it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Optional

from ha_broker.api.json_codec import DataError, from_data, to_data
from ha_broker.notifications.message import Notice
from metadata.plain_json import PlainJsonError, parse_json
from metadata.value_class import value_class

FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 900.0


@value_class(frozen=True)
class QueuedMessage:
    """A notice for one target; `to` are the recipients that do not have it yet (empty: all)."""

    notice: Notice
    target: str
    queued_at_s: float
    to: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """Which one it is."""
        return self.notice.id, self.target


@value_class(frozen=True)
class _QueueLine:
    """An entry in the file; its age counts on where a process ended."""

    notice: Notice
    target: str
    age_s: float
    to: tuple[str, ...] = ()


class Queue:
    """In the order in which they are tried."""

    def __init__(self, entries: tuple[QueuedMessage, ...] = ()) -> None:
        self.entries = entries
        self._pause_s: dict[str, float] = {}
        self._not_before_s: dict[str, float] = {}

    def add(
        self, entry: QueuedMessage, most: int, keep: Collection[tuple[str, str]]
    ) -> Optional[QueuedMessage]:
        """Add it; returns the oldest one, which had to go when there was no room.

        `keep` are the keys of those that are on their way: they don't go.
        """
        gone = None
        if len(self.entries) >= most:
            gone = next((item for item in self.entries if item.key not in keep), None)
        self.entries = (*(item for item in self.entries if item is not gone), entry)
        return gone

    def head(self, target: str) -> Optional[QueuedMessage]:
        """The next one for a target."""
        return next((entry for entry in self.entries if entry.target == target), None)

    def due_s(self, target: str) -> float:
        """When its head may be tried."""
        return self._not_before_s.get(target, 0.0)

    def remove(self, entry: QueuedMessage) -> None:
        """It is delivered, or given up."""
        self.entries = tuple(item for item in self.entries if item.key != entry.key)

    def note_success(self, target: str) -> None:
        """The target takes what it is given: no more pauses."""
        self._pause_s.pop(target, None)
        self._not_before_s.pop(target, None)

    def retry_later(self, entry: QueuedMessage, now_s: float, last: bool) -> None:
        """Try it again after a pause, behind the target's others if it is `last`."""
        place = next((i for i, item in enumerate(self.entries) if item.key == entry.key), None)
        if place is None:
            return  # it went meanwhile
        rest = (*self.entries[:place], *self.entries[place + 1 :])
        self.entries = (*rest, entry) if last else (*rest[:place], entry, *rest[place:])
        pause_s = self._pause_s.get(entry.target, FIRST_PAUSE_S)
        self._pause_s[entry.target] = min(2 * pause_s, LONGEST_PAUSE_S)
        self._not_before_s[entry.target] = now_s + pause_s

    def to_lines(self, now_s: float) -> str:
        """One line of JSON for each."""
        lines = [
            _QueueLine(entry.notice, entry.target, round(now_s - entry.queued_at_s, 3), entry.to)
            for entry in self.entries
        ]
        return "".join(json.dumps(to_data(line)) + "\n" for line in lines)


def queue_from_lines(text: str, now_s: float) -> tuple[Queue, list[str]]:
    """The queue that `to_lines` wrote, and what is wrong with lines that are left out."""
    entries, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            read = from_data(_QueueLine, parse_json(line))
        except (DataError, PlainJsonError) as error:
            problems.append(f"line {number}: {error}")
            continue
        entries.append(QueuedMessage(read.notice, read.target, now_s - read.age_s, read.to))
    return Queue(tuple(entries)), problems
