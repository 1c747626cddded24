# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which rows fired, which guards decided anything, which states were left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fsm.guards import Guard
from fsm.machine import walk
from fsm.memory import Memory
from fsm.observation import Observation
from fsm.step import step
from fsm.table import Row
from metadata.settings.parse import ClusterSettings
from metadata.states import State
from tests.fsm.model import concrete
from tests.fsm.model.react import Reactor

Place = tuple[int, int]  # row and guard, by their places


@dataclass
class Coverage:
    """By the rows' places in the table. `decisive`: guards that alone kept a row that
    would have come first from firing."""

    fired: set[int] = field(default_factory=set)
    decisive: set[Place] = field(default_factory=set)

    def add(self, other: Coverage) -> None:
        self.fired |= other.fired
        self.decisive |= other.decisive

    def silent_rows(self, table: Sequence[Row]) -> list[Row]:
        return [row for place, row in enumerate(table) if place not in self.fired]

    def idle_guards(self, table: Sequence[Row]) -> list[tuple[Row, Guard]]:
        return [
            (row, guard)
            for place, row in enumerate(table)
            for at, guard in enumerate(row.guards)
            if (place, at) not in self.decisive
        ]

    def kept_states(self, table: Sequence[Row]) -> list[State]:
        """States that no row which fired has left."""
        left = {table[place].source for place in self.fired if not table[place].keeps_state}
        return [state for state in State if state not in left]


def coverage(reactor: Reactor) -> Coverage:
    """Of all the situations that were met."""
    found = Coverage()
    places = {id(row): place for place, row in enumerate(reactor.table)}
    for (mem, seen), (_, fired, _) in reactor.steps.items():
        place = places[id(fired.row)]
        found.fired.add(place)
        memory = _remembering(concrete.early(mem), seen, reactor.config)
        found.decisive.update(_decisive(reactor, place, memory, seen))
    return found


def _remembering(memory: Memory, seen: Observation, config: ClusterSettings) -> Memory:
    """The memory as the guards get it: with what the observation itself adds."""
    known: list[Memory] = []

    def find(memory: Memory, observation: Observation, _config: object) -> Row:
        known.append(memory)
        return walk(memory, observation, config)

    step(memory, seen, config, find)
    return known[0]


def _decisive(reactor: Reactor, fired: int, memory: Memory, seen: Observation) -> Iterator[Place]:
    for place, row in enumerate(reactor.table[:fired]):
        if row.source is memory.state:
            holding = [guard(memory, seen, reactor.config) for guard in row.guards]
            if holding.count(False) == 1:
                yield place, holding.index(False)
