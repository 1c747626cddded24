# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The line ``penalties`` of a host's record, written and read.

::

    network -320 (20% of the latest probes failed, since 12:03:05); bridge -600 (...)

The costliest come first; what does not fit into the line is only counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ha_broker.api.times import moment_text
from metadata.extra_text import NOTE_LIMIT
from metadata.notes import PENALTIES
from metadata.penalties import Penalty
from metadata.value_class import value_class

KEY = PENALTIES

_ROOM_FOR_THE_COUNT = len("; and 99 more")
_MOMENT = r"[\d: -]+\d"
_ONE = re.compile(
    r"(?P<name>[\w.-]+) -(?P<points>\d+) \((?P<reason>.*?)"
    rf"(?:, since (?P<since>{_MOMENT}))?(?:, until (?P<until>{_MOMENT}))?\)(?:; |$)",
    re.ASCII,
)
_REST = re.compile(r"and \d+ more", re.ASCII)


@value_class(frozen=True)
class NotedPenalty:
    """A penalty as another host's record tells it; `since` and `until` are its local times."""

    name: str
    points: int
    reason: str
    since: str = ""
    until: str = ""


def penalties_note(penalties: Sequence[Penalty], now_s: float, wall_s: float) -> str:
    """The line's value; `wall_s` is the wall clock at monotonic second `now_s`."""
    items = [_item(penalty, now_s, wall_s) for penalty in _costliest_first(penalties)]
    kept = len(items)
    while kept > 1 and _length(items[:kept]) > _room(kept, len(items)):
        kept -= 1
    rest = [f"and {len(items) - kept} more"] if kept < len(items) else []
    return "; ".join([*items[:kept], *rest])


def read_note(text: str) -> tuple[NotedPenalty, ...]:
    """The penalties in the line's value; none when another program wrote it otherwise."""
    found, place = [], 0
    while place < len(text) and not _REST.fullmatch(text, place):
        match = _ONE.match(text, place)
        if match is None:
            return ()
        found.append(_noted(match))
        place = match.end()
    return tuple(found)


def _costliest_first(penalties: Sequence[Penalty]) -> list[Penalty]:
    return sorted(penalties, key=lambda penalty: -penalty.points)


def _item(penalty: Penalty, now_s: float, wall_s: float) -> str:
    parts = [penalty.reason]
    if penalty.began_at_s is not None:
        parts.append(f"since {moment_text(penalty.began_at_s, now_s, wall_s)}")
    if penalty.ends_at_s is not None:
        parts.append(f"until {moment_text(penalty.ends_at_s, now_s, wall_s)}")
    return f"{penalty.name} -{penalty.points} ({', '.join(parts)})"


def _length(items: Sequence[str]) -> int:
    return len("; ".join(items))


def _room(kept: int, count: int) -> int:
    return NOTE_LIMIT if kept == count else NOTE_LIMIT - _ROOM_FOR_THE_COUNT


def _noted(match: re.Match[str]) -> NotedPenalty:
    name, points, reason, since, until = match.groups(default="")
    return NotedPenalty(name, int(points), reason, since, until)
