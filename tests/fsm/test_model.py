# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Every world that a few hosts can come into obeys the rules, and none keeps the engine down."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import NamedTuple

import pytest

from fsm import TABLE, Action, State
from fsm.table import Row
from tests.fsm.model.__main__ import main
from tests.fsm.model.explore import Explorer, Graph
from tests.fsm.model.liveness import liveness
from tests.fsm.model.report import Report, explored, gaps
from tests.fsm.model.world import (
    APART,
    HOST_FAULTS,
    LATE,
    LEASE_KEPT,
    MOVE_FAULTS,
    MOVED_FAULTS,
    OWN_FAULTS,
    PAIR_FAULTS,
    REACH_FAULTS,
    RESTART_FAULTS,
    SHUTDOWN_FAULTS,
    SLEEP_FAULTS,
    STRANDED,
    UNSEEN_FAULTS,
    VM_FAULTS,
    Size,
    Worlds,
)

SIZES = (
    Size(2, 2),
    Size(2, 3, VM_FAULTS),
    Size(2, 3, MOVE_FAULTS),
    Size(3, 1),
    Size(3, 2, HOST_FAULTS),
    Size(2, 2, SLEEP_FAULTS),
    Size(3, 2, REACH_FAULTS),
    Size(2, 3, REACH_FAULTS),
    Size(1, 3, RESTART_FAULTS, keeps=True),
    Size(2, 1, PAIR_FAULTS, keeps=True),
    Size(2, 2, UNSEEN_FAULTS, page=False),
    Size(2, 2, MOVED_FAULTS),
    Size(2, 2, SHUTDOWN_FAULTS),
    Size(3, 1, SHUTDOWN_FAULTS),
    Size(1, 3, SHUTDOWN_FAULTS | LATE),
    Size(2, 3, STRANDED),
    Size(2, 2, LEASE_KEPT),
    Size(1, 2, LEASE_KEPT, keeps=True),
    Size(2, 3, OWN_FAULTS, own=True),
    Size(3, 1, OWN_FAULTS, own=True),
)


class Found(NamedTuple):
    """What a process of its own has found; its worlds are too many to be handed over."""

    summary: str
    failures: list[str]
    report: Report


def found_in(size: Size) -> Found:
    report = explored(size)
    return Found(report.summary, report.failures, replace(report, graph=None))


@pytest.fixture(scope="module")
def explorations(request) -> Iterator[dict[Size, Future[Found]]]:
    """Those that this run asks for, as many at once as there are processors."""
    wanted = {item.callspec.params["size"] for item in request.session.items
              if getattr(item, "callspec", None) and "size" in item.callspec.params}  # fmt: skip
    with ProcessPoolExecutor(mp_context=get_context("fork")) as pool:
        yield {size: pool.submit(found_in, size) for size in SIZES if size in wanted}


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_no_world_breaks_a_rule_or_keeps_the_engine_down(size, explorations, capsys) -> None:
    found = explorations[size].result()
    with capsys.disabled():
        print(f"\n{found.summary}")
    assert not found.failures, found.failures[0]


def test_every_row_fires_every_guard_decides_and_every_state_is_left(explorations) -> None:
    if set(explorations) != set(SIZES):
        pytest.skip("only together with the explorations before it")
    found = gaps([one.result().report for one in explorations.values()])
    assert (found.rows, found.guards, found.states) == ([], [], []), str(found)


# --- that it can fail -----------------------------------------------------------------


def changed(source: State, why: str, **fields) -> tuple[Row, ...]:
    """The table with one row changed."""
    row = next(row for row in TABLE if row.source is source and why in row.why)
    return tuple(replace(one, **fields) if one is row else one for one in TABLE)


def failure_of(table: tuple[Row, ...], size: Size) -> list[str]:
    return explored(size, table).failures[0].splitlines()


def test_a_broken_rule_is_shown_with_the_way_to_it() -> None:
    row = next(row for row in TABLE if Action.START_VM in row.actions)
    guards = tuple(guard for guard in row.guards if guard.name != "out_of_global_maintenance")
    lines = failure_of(
        changed(State.ENGINE_DOWN, "it is this host's turn", guards=guards), Size(2, 1)
    )
    assert lines[0] == (
        "VIOLATED: nothing starts in global maintenance, or while nobody knows of it"
    )
    assert "  1 h1: slot 0 is damaged" in lines[1:4]
    assert any("EngineDown => EngineStart [start-vm]" in line for line in lines)
    assert lines[-1].strip().startswith("!")


def test_a_vm_that_is_not_switched_off_in_time_makes_a_second_engine_possible() -> None:
    table = tuple(row for row in TABLE if "without the engine's lease" not in row.why)
    broken = Explorer(Size(1, 1), table).run().violation
    assert broken is not None
    assert "lease" in broken[3]


def graph_of(calm: dict[int, list[int]], must: dict[int, bool]) -> Graph:
    return Graph(Worlds(Size(1, 0)), calm={at: array("i", calm[at]) for at in calm}, must=must)


def test_the_bound_is_the_longest_calm_way_to_an_engine() -> None:
    found = liveness(graph_of({1: [2, 4], 2: [3], 3: [0]}, {1: True, 2: True, 3: True}))
    assert (found.bound, found.furthest) == (3, 1)
    assert not found.stuck
    assert not found.circle


def test_a_world_where_nothing_is_sure_to_come_is_a_dead_end() -> None:
    found = liveness(graph_of({1: [2], 2: [0]}, {1: True, 2: False}))
    assert found.stuck == [2]


def test_worlds_that_follow_each_other_for_ever_are_a_livelock() -> None:
    found = liveness(graph_of({1: [2], 2: [3, 0], 3: [2]}, {1: True, 2: True, 3: True}))
    assert sorted(found.circle) == [2, 3]


def test_a_host_that_never_offers_itself_again_is_a_dead_end_with_its_way() -> None:
    away = State.ENGINE_UNEXPECTEDLY_DOWN
    table = tuple(
        replace(row, target=away) if "offers itself again" in row.why else row for row in TABLE
    )
    lines = failure_of(table, Size(1, 1))
    assert lines[0].startswith("STUCK")
    assert any("guest powers off" in line for line in lines)
    assert lines[-1].startswith(f"h1: {away.value}")


def test_the_command_prints_counts_and_gaps(capsys) -> None:
    assert main(["--hosts", "1", "--faults", "0"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("1 hosts, 0 faults: ")
    assert "rows that never fired: " in told


def test_the_kinds_of_faults_have_names_that_exist() -> None:
    graph = Explorer(Size(2, 1)).run()
    names = {edge.name for key in graph.keys for edge in graph.worlds.edges(key)}
    assert names >= (VM_FAULTS | HOST_FAULTS | MOVE_FAULTS | SLEEP_FAULTS) - APART
    apart = Explorer(Size(2, 1, REACH_FAULTS)).run()
    names = {edge.name for key in apart.keys for edge in apart.worlds.edges(key)}
    assert names >= REACH_FAULTS
    down = Explorer(Size(2, 1, SHUTDOWN_FAULTS)).run()
    names |= {edge.name for key in down.keys for edge in down.worlds.edges(key)}
    moved = Explorer(Size(2, 2, MOVED_FAULTS)).run()
    names |= {edge.name for key in moved.keys for edge in moved.worlds.edges(key)}
    names |= {edge.name for key in graph.keys for edge in graph.worlds.edges(key)}
    own = Explorer(Size(2, 2, OWN_FAULTS, own=True)).run()
    names |= {edge.name for key in own.keys for edge in own.worlds.edges(key)}
    assert names >= SHUTDOWN_FAULTS | MOVED_FAULTS | STRANDED | LATE | OWN_FAULTS | LEASE_KEPT


def test_a_host_that_slept_and_believes_its_sanlock_is_found(monkeypatch) -> None:
    monkeypatch.setattr("fsm.guards.is_denied", lambda _memory, _observation: False)
    broken = Explorer(Size(1, 1, frozenset({"host is suspended"}))).run().violation
    assert broken is not None
    assert "lease" in broken[3]
