# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One exploration with all its questions, and what is printed of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fsm.table import TABLE, Row
from metadata.states import State
from tests.fsm.model.coverage import Coverage, coverage
from tests.fsm.model.explore import Explorer, Graph
from tests.fsm.model.liveness import Liveness, liveness
from tests.fsm.model.trace import told, told_violation, told_world, way_to
from tests.fsm.model.world import Size


@dataclass
class Report:
    size: Size
    graph: Graph
    live: Liveness
    covered: Coverage

    @property
    def failures(self) -> list[str]:
        """Counterexamples, each as one text."""
        if self.graph.violation is not None:
            return ["\n".join(told_violation(self.graph))]
        if self.live.stuck:
            return ["\n".join(self._stuck())]
        if self.live.circle:
            return ["\n".join(self._circle())]
        return []

    @property
    def summary(self) -> str:
        graph = self.graph
        return (
            f"{self.size}: {len(graph.keys)} worlds, {graph.transitions} transitions, "
            f"depth {graph.depth}, {graph.seconds:.0f} s ({graph.cpu_s:.0f} s of CPU); "
            f"{len(graph.worlds.reactor.steps)} distinct decisions; "
            f"the engine is up after at most {self.live.bound} moves"
        )

    def _stuck(self) -> Iterator[str]:
        at = self.live.stuck[0]
        yield "STUCK: no engine, a host could run it, and nothing is sure to happen any more"
        yield from told(self.graph, way_to(self.graph, at))
        yield from told_world(self.graph, at)

    def _circle(self) -> Iterator[str]:
        circle = self.live.circle
        yield "LIVELOCK: without any further fault the engine may never come up"
        yield from told(self.graph, way_to(self.graph, circle[0]))
        yield "and from there in a circle:"
        yield from told(self.graph, [*circle, circle[0]])
        yield from told_world(self.graph, circle[0])


def explored(size: Size, table: Sequence[Row] = TABLE) -> Report:
    graph = Explorer(size, table).run()
    live = liveness(graph) if graph.violation is None else Liveness()
    return Report(size, graph, live, coverage(graph.worlds.reactor))


@dataclass
class Gaps:
    """What no exploration has shown of the table."""

    rows: list[str] = field(default_factory=list)
    guards: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = (
            ("rows that never fired", self.rows),
            ("guards that never decided", self.guards),
            ("states that were never left", self.states),
        )
        return "\n".join(
            f"{title}: {len(found)}" + "".join(f"\n  {one}" for one in found)
            for title, found in parts
        )


def gaps(reports: Sequence[Report], table: Sequence[Row] = TABLE) -> Gaps:
    """What the explorations have left out together; AgentStopped ends with its process."""
    together = Coverage()
    for report in reports:
        together.add(report.covered)
    return Gaps(
        [name_of(row) for row in together.silent_rows(table)],
        [f"{name_of(row)}: {guard.name}" for row, guard in together.idle_guards(table)],
        [state.value for state in together.kept_states(table) if state is not State.AGENT_STOPPED],
    )


def name_of(row: Row) -> str:
    return f"{row.source.value} => {row.target.value} if {row.label}"
