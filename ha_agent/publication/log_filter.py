# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which lines are worth a place in the log: each reason once, not once per tick."""

from __future__ import annotations

import re

# A number by itself ("for 16 s"). "h2", "id 2" and "host 2" name something: they differ.
_NUMBER = re.compile(r"(?<![\w.])(?<!host )(?<!id )\d+(?:\.\d+)?(?!\w)")
_REMEMBERED = 16


def gist(reason: str) -> str:
    """`reason` without its changing numbers: the same gist is the same reason."""
    return _NUMBER.sub("#", reason)


class ReasonFilter:
    """Says whether a reason is news; bounded memory.

    A reason is news when it differs from the previous one of its topic, and was not news
    within the last `quiet_s` (two reasons that take turns shall not fill the log).
    """

    def __init__(self, quiet_s: float = 60.0) -> None:
        self._quiet_s = quiet_s
        self._latest: dict[str, str] = {}
        self._told_at_s: dict[tuple[str, str], float] = {}
        self._times: dict[str, int] = {}

    def is_news(self, topic: str, reason: str, now_s: float) -> bool:
        """Is `reason` to be told now? Remembers and counts it."""
        key = gist(reason)
        self._times[topic] = self._times.get(topic, 0) + 1
        if self._latest.get(topic) == key:
            return False
        self._latest[topic] = key
        told_at_s = self._told_at_s.get((topic, key))
        if told_at_s is not None and now_s - told_at_s < self._quiet_s:
            return False
        self._tell(topic, key, now_s)
        return True

    def forget(self, topic: str) -> None:
        """The topic is settled: its next reason is news, whatever it is."""
        self._latest.pop(topic, None)
        self._times.pop(topic, None)
        self._told_at_s = {pair: at_s for pair, at_s in self._told_at_s.items() if pair[0] != topic}

    def is_open(self, topic: str) -> bool:
        """Has a reason of `topic` been told that was not settled since?"""
        return topic in self._latest

    def times(self, topic: str) -> int:
        """How many reasons of `topic` there were since it was settled last, told or not."""
        return self._times.get(topic, 0)

    def _tell(self, topic: str, key: str, now_s: float) -> None:
        self._told_at_s[(topic, key)] = now_s
        while len(self._told_at_s) > _REMEMBERED:
            self._told_at_s.pop(next(iter(self._told_at_s)))
