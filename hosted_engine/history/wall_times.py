"""When the entries of the history were made, on the wall clock as it is right now. Pure.

Within one boot of the machine CLOCK_MONOTONIC says how far entries are apart, and the last of them
knows the wall clock best: a clock that was set meanwhile is right for what was before, too. Of two
boots the later one knows better: where the earlier one reached beyond its beginning, it is moved
back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from ha_agent.history.entry import Entry

# Less than this between two entries is how clocks run.
CLOCK_SET_S = 2.0


class Timed(NamedTuple):
    """An entry and its second since the epoch; `set_by_s`: so far the clock was set just before."""

    at_s: float
    entry: Entry
    set_by_s: float = 0.0


def timed(entries: Sequence[Entry]) -> list[Timed]:
    """All of them, in the order of time."""
    boots = [list(group) for _, group in groupby(entries, key=lambda entry: entry.boot)]
    found: list[Timed] = []
    starts_s = float("inf")
    for boot in reversed(boots):
        last = boot[-1]
        offset_s = min(last.wall_s, starts_s) - last.mono_s
        found[:0] = _boot(boot, offset_s)
        starts_s = found[0].at_s
    return found


def _boot(entries: Sequence[Entry], offset_s: float) -> Iterator[Timed]:
    before = entries[0]
    for entry in entries:
        set_by_s = (entry.wall_s - entry.mono_s) - (before.wall_s - before.mono_s)
        before = entry
        yield Timed(
            entry.mono_s + offset_s, entry, set_by_s if abs(set_by_s) > CLOCK_SET_S else 0.0
        )
