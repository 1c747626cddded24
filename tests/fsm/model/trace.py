# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Prints how a world came about: which moves, which rows fired, what changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.fsm.model.explore import Graph
from tests.fsm.model.react import Turn
from tests.fsm.model.shape import Host, Lease, World
from tests.fsm.model.world import Edge, Key


def way_to(graph: Graph, at: int) -> list[int]:
    """The worlds from the first to `at`."""
    way = []
    while at >= 0:
        way.append(at)
        at = graph.parents[at]
    return way[::-1]


def told(graph: Graph, way: Sequence[int]) -> Iterator[str]:
    """One line per move, per row that fired and per host that changed."""
    for number, (before, after) in enumerate(zip(way, way[1:]), start=1):
        edges = graph.worlds.edges(graph.keys[before])
        edge = next(edge for edge in edges if edge.key == graph.keys[after])
        yield from _move(graph, number, graph.keys[before], edge)


def told_violation(graph: Graph) -> Iterator[str]:
    assert graph.violation is not None
    at, name, host_id, why = graph.violation
    yield f"VIOLATED: {why}"
    yield from told(graph, way_to(graph, at))
    if name:
        yield f"then: {_who(host_id)} {name}"
        return
    yield from _breaking(graph, graph.keys[at])


def _breaking(graph: Graph, key: Key) -> Iterator[str]:
    """The first move out of `key` whose turns break a rule."""
    worlds = graph.worlds
    for edge in worlds.edges(key):
        turns = worlds.turns(key, edge.host_id, edge.name)
        if any(fired.broken for _, turn in turns for fired in turn.fired):
            yield f"then: {_who(edge.host_id)} {edge.name}"
            yield from _fired(turns)
            return


def _move(graph: Graph, number: int, before: Key, edge: Edge) -> Iterator[str]:
    yield f"{number:3} {_who(edge.host_id)} {edge.name}"
    yield from _fired(graph.worlds.turns(before, edge.host_id, edge.name))
    yield from _changes(graph.worlds.world(before), graph.worlds.world(edge.key))


def _fired(turns: Sequence[tuple[int, Turn]]) -> Iterator[str]:
    for host_id, turn in turns:
        for fired in turn.fired:
            row = fired.row
            if row.keeps_state and not row.actions and not fired.broken:
                continue
            orders = "".join(f" [{action.value}]" for action in row.actions)
            yield f"      h{host_id} {row.source.value} => {row.target.value}{orders}: {fired.why}"
            yield from (f"      ! {why}" for why in fired.broken)


def _changes(before: World, after: World) -> Iterator[str]:
    if before.lease != after.lease:
        yield f"      lease: {_lease(before.lease)} => {_lease(after.lease)}"
    for host_id, (old, new) in enumerate(zip(before.hosts, after.hosts), start=1):
        facts = ", ".join(_facts(old, new))
        if facts:
            yield f"      h{host_id}: {facts}"


def _facts(old: Host, new: Host) -> Iterator[str]:
    for name, was, now in zip(Host._fields, old, new):
        if name not in ("mem", "view", "start") and was != now:
            yield f"{name} {_word(was)} => {_word(now)}"


def _word(value: object) -> str:
    return str(getattr(value, "name", value)).lower()


def _lease(lease: Lease) -> str:
    return f"h{lease.owner} ({lease.left.name.lower()})" if lease.owner else "free"


def _who(host_id: int) -> str:
    return f"h{host_id}:" if host_id else "all:"


def told_world(graph: Graph, at: int) -> Iterator[str]:
    """The world itself, for one that nothing leads out of."""
    world = graph.worlds.world(graph.keys[at])
    yield f"lease {_lease(world.lease)}, global maintenance {world.maintenance}"
    for host_id, host in enumerate(world.hosts, start=1):
        state = host.mem.state.value if host.mem else "no agent"
        facts = ", ".join(_facts(Host(), host))
        yield f"h{host_id}: {state}; {facts}"
