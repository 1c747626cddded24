# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""When the entries of the history were made, on the wall clock as it is right now. Pure.

Within one boot of the machine CLOCK_MONOTONIC says how far entries are apart, and the last of them
knows the wall clock best: a clock that was set meanwhile is right for what was before, too.

A boot that ended before its clock was set right is dated wrongly as a whole, and shows by standing
out of the order of the others. The latest boot is believed, for people ask by its clock; of those
before it as many as can all be right in their order, and where that leaves a choice, those that
reach back least. The others are placed between their neighbours.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, Optional

from ha_agent.history.entry import Entry

# Less than this between two entries is how clocks run.
CLOCK_SET_S = 2.0
# The year 2020, before there was any history: a clock below it was never set (it starts at 1970,
# or at the date of the firmware).
NEVER_SET_BELOW_S = 1_577_836_800.0


class Timed(NamedTuple):
    """An entry and its second since the epoch; `set_by_s`: so far the clock was set just before."""

    at_s: float
    entry: Entry
    set_by_s: float = 0.0


class _Boot(NamedTuple):
    """The entries of one boot, and when it began and ended by its own latest clock."""

    entries: Sequence[Entry]
    from_s: float
    to_s: float


def timed(entries: Sequence[Entry]) -> list[Timed]:
    """All of them, in the order of time."""
    boots = [_boot(list(group)) for _, group in groupby(entries, key=lambda entry: entry.boot)]
    believed = _believed(boots)
    latest = max(believed, default=-1)
    found: list[Timed] = []
    starts_s = float("inf")
    for number in reversed(range(latest + 1)):
        boot = boots[number]
        # A believed boot ends when its clock said so; only one that was moved to the gap behind
        # it, and is longer than the gap, moves it.
        ends_s = boot.to_s if number in believed else starts_s
        found[:0] = _placed(boot, min(ends_s, starts_s))
        starts_s = found[0].at_s
    for boot in boots[latest + 1 :]:
        found += _placed(boot, found[-1].at_s + boot.to_s - boot.from_s)
    return found


def _boot(entries: Sequence[Entry]) -> _Boot:
    to_s = entries[-1].wall_s
    return _Boot(entries, to_s - (entries[-1].mono_s - entries[0].mono_s), to_s)


def _believed(boots: Sequence[_Boot]) -> set[int]:
    """The numbers of those whose own clock counts, the latest of them among them."""
    numbers = range(len(boots) - 1, -1, -1)
    candidates = [one for one in numbers if boots[one].to_s >= NEVER_SET_BELOW_S] or list(numbers)
    following: dict[int, Optional[int]] = {}
    # Of the rows of n + 1 boots that end with the latest one: the first boot of the one that
    # reaches back least, and its beginning, negated so that they rise.
    firsts: list[int] = []
    begins: list[float] = []
    for number in candidates:
        length = bisect_right(begins, -boots[number].to_s)
        if firsts and not length:
            continue  # it ends after the latest one has begun
        following[number] = firsts[length - 1] if length else None
        if length == len(firsts):
            firsts.append(number)
            begins.append(-boots[number].from_s)
        elif -boots[number].from_s < begins[length]:
            firsts[length], begins[length] = number, -boots[number].from_s
    believed = set()
    first = firsts[-1] if firsts else None
    while first is not None:
        believed.add(first)
        first = following[first]
    return believed


def _placed(boot: _Boot, ends_s: float) -> Iterator[Timed]:
    before = boot.entries[0]
    offset_s = ends_s - boot.entries[-1].mono_s
    for entry in boot.entries:
        set_by_s = (entry.wall_s - entry.mono_s) - (before.wall_s - before.mono_s)
        before = entry
        yield Timed(
            entry.mono_s + offset_s, entry, set_by_s if abs(set_by_s) > CLOCK_SET_S else 0.0
        )
