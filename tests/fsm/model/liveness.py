# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Once faults have stopped, does the engine come up, and after how many moves at the most?

The graph holds, for each world without an engine that could have one, what may follow calmly.
From every such world every way must come out of these worlds: none may end among them, and
none may run in a circle. A way without circles is finite, so fairness asks only that what is
sure to come does come.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from tests.fsm.model.explore import Graph


@dataclass
class Liveness:
    """`bound`: moves of the longest way; `stuck`: worlds where nothing comes any more;
    `circle`: worlds that follow each other for ever."""

    bound: int = 0
    furthest: int = 0
    stuck: list[int] = field(default_factory=list)
    circle: list[int] = field(default_factory=list)


def liveness(graph: Graph) -> Liveness:
    found = Liveness(stuck=[at for at, must in graph.must.items() if not must])
    if found.stuck:
        return found
    lengths = _lengths(graph.calm)
    left = [at for at in graph.calm if at not in lengths]
    if left:
        found.circle = _circle(graph.calm, left[0], set(left))
    elif lengths:
        found.furthest = max(lengths, key=lambda at: (lengths[at], -at))
        found.bound = lengths[found.furthest]
    return found


def _lengths(calm: dict[int, array[int]]) -> dict[int, int]:
    """The longest way out of each world, worked out from the ends backwards."""
    before: dict[int, list[int]] = {}
    open_ways = {}
    for at, follows in calm.items():
        inside = [after for after in set(follows) if after in calm]
        open_ways[at] = len(inside)
        for after in inside:
            before.setdefault(after, []).append(at)
    lengths = {at: 1 for at, count in open_ways.items() if count == 0}
    ready = list(lengths)
    while ready:
        after = ready.pop()
        for at in before.get(after, ()):
            open_ways[at] -= 1
            if open_ways[at] == 0:
                inside = (lengths[one] for one in calm[at] if one in calm)
                lengths[at] = 1 + max(inside)
                ready.append(at)
    return lengths


def _circle(calm: dict[int, array[int]], start: int, left: set[int]) -> list[int]:
    """Each of `left` is followed by another one, so a walk among them meets itself."""
    way, places = [start], {start: 0}
    while True:
        after = next(after for after in calm[way[-1]] if after in left)
        if after in places:
            return way[places[after] :]
        places[after] = len(way)
        way.append(after)
