# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Through all worlds, with every rule asked on the way.

The worlds with the fewest faults come first, breadth first among equals; so each world is
looked at once, with as many faults still to come as there can be.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from fsm.table import TABLE, Row
from tests.fsm.model.goal import is_goal
from tests.fsm.model.moves import Kind
from tests.fsm.model.world import Key, Size, Worlds, broken_in

# Once faults have stopped, only these happen.
_CALM = (Kind.FAIR, Kind.EITHER)


@dataclass
class Graph:
    """What was found. Worlds are numbered in the order of their discovery.

    `calm` has, for each world in which the engine is not up though it could be, the worlds
    that follow without any fault; `must` says whether one of them is sure to come.
    """

    worlds: Worlds
    keys: list[Key] = field(default_factory=list)
    parents: array[int] = field(default_factory=lambda: array("i"))
    depths: array[int] = field(default_factory=lambda: array("H"))
    transitions: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    calm: dict[int, array[int]] = field(default_factory=dict)
    must: dict[int, bool] = field(default_factory=dict)
    violation: Optional[tuple[int, str, int, str]] = None  # world, move, host, what it breaks

    @property
    def depth(self) -> int:
        return max(self.depths)


class Explorer:
    """`run()` stops at the first broken rule, which is then among the nearest."""

    def __init__(self, size: Size, table: Sequence[Row] = TABLE) -> None:
        self.graph = Graph(Worlds(size, table))
        self._numbers: dict[Key, int] = {}
        self._beyond: dict[Key, int] = {}  # behind one more fault, with the world before it

    def run(self) -> Graph:
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        graph = self.graph
        self._add(graph.worlds.first(), -1)
        self._check(0, "the beginning", 0, graph.keys[0])
        at = 0
        for left in range(graph.worlds.size.faults, -1, -1):
            at = self._expand_from(at, left)
            for key, parent in self._beyond.items():
                if key not in self._numbers:
                    self._add(key, parent)
            self._beyond.clear()
        graph.seconds = time.monotonic() - began_s
        graph.cpu_s = time.process_time() - began_cpu_s
        return graph

    def _expand_from(self, at: int, left: int) -> int:
        """All worlds with no further fault; those behind one more are put aside."""
        graph = self.graph
        while at < len(graph.keys) and graph.violation is None:
            self._expand(at, left)
            at += 1
        return at

    def _expand(self, at: int, left: int) -> None:
        graph = self.graph
        calm, must = array("i"), False
        for edge in graph.worlds.edges(graph.keys[at], faults=left > 0):
            graph.transitions += 1
            key = edge.key
            after = self._numbers.get(key)
            if edge.kind is Kind.FAULT:
                if after is None and key not in self._beyond:
                    self._beyond[key] = at
                    self._check(at, edge.name, edge.host_id, key)
                continue
            if after is None:
                after = self._add(key, at)
                self._check(at, edge.name, edge.host_id, key)
            if after != at and edge.kind in _CALM:
                calm.append(after)
                must = must or edge.kind is Kind.FAIR
        if graph.worlds.broken:
            self._blame(at)
        if not is_goal(graph.worlds, graph.keys[at]):
            graph.calm[at], graph.must[at] = calm, must

    def _add(self, key: Key, parent: int) -> int:
        graph = self.graph
        number = self._numbers[key] = len(graph.keys)
        graph.keys.append(key)
        graph.parents.append(parent)
        graph.depths.append(graph.depths[parent] + 1 if parent >= 0 else 0)
        return number

    def _check(self, at: int, name: str, host_id: int, key: Key) -> None:
        for why in broken_in(self.graph.worlds.world(key)):
            if self.graph.violation is None:
                self.graph.violation = (at, name, host_id, why)

    def _blame(self, at: int) -> None:
        graph = self.graph
        if graph.worlds.broken and graph.violation is None:
            graph.violation = (at, "", -1, graph.worlds.broken[0])
