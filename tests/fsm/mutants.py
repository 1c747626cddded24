# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Does a wrong table get caught? ``python -m tests.fsm.mutants [--jobs N] [--write FILE]``

Every row is changed in every small way, one change at a time, and each changed table is given
to the checkers until one of them objects: the model checker, from small explorations to large
ones, then the tests of the decision core, run on the changed table. A table that nobody objects
to must stand in `HARMLESS` with its reason, or the program ends with 1.

A worker is a forked process, and the table is changed in its memory only.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Callable, NamedTuple, Optional

import pytest

import fsm.machine
import fsm.table
from fsm.table import TABLE, Row
from metadata.states import State
from tests.fsm.model.report import explored, gaps, name_of
from tests.fsm.model.world import (
    MOVE_FAULTS,
    MOVED_FAULTS,
    OWN_FAULTS,
    PAIR_FAULTS,
    REACH_FAULTS,
    RESTART_FAULTS,
    SHUTDOWN_FAULTS,
    UNSEEN_FAULTS,
    VM_FAULTS,
    Size,
)

ROOT = Path(__file__).parents[2]

Table = tuple[Row, ...]
# Says what is wrong with a table; empty: nothing.
Killer = Callable[[Table], str]


class Mutant(NamedTuple):
    """A table with one change. `name` tells it, by the row's place in the table."""

    name: str
    table: Table


@dataclass(frozen=True)
class Fate:
    mutant: str
    killer: str = ""  # empty: it survived
    why: str = ""
    seconds: float = 0.0


# --- the mutants ----------------------------------------------------------------------


def mutants() -> Iterator[Mutant]:
    """Every mutant, in the table's order."""
    for place, row in enumerate(TABLE):
        yield Mutant(f"{place}: row removed: {name_of(row)}", _without(place))
        for change, changed in _changes(row):
            yield Mutant(f"{place}: {change}: {name_of(row)}", _with(place, changed))


def _without(place: int) -> Table:
    return (*TABLE[:place], *TABLE[place + 1 :])


def _with(place: int, row: Row) -> Table:
    return (*TABLE[:place], row, *TABLE[place + 1 :])


def _changes(row: Row) -> Iterator[tuple[str, Row]]:
    for at, guard in enumerate(row.guards):
        others = row.guards[:at], row.guards[at + 1 :]
        yield f"guard {guard.name} negated", replace(row, guards=(*others[0], ~guard, *others[1]))
    for target in _other_targets(row):
        yield f"to {target.value}", replace(row, target=target)
    for action in row.actions:
        kept = tuple(other for other in row.actions if other is not action)
        yield f"action {action.value} dropped", replace(row, actions=kept)
    for note in row.notes:
        kept_notes = tuple(other for other in row.notes if other is not note)
        yield f"note {note.value} dropped", replace(row, notes=kept_notes)


def _other_targets(row: Row) -> list[State]:
    """Stay where it is, or go where an agent is idle, or where it believes to have the engine."""
    targets = (row.source, State.ENGINE_DOWN, State.ENGINE_UP)
    return [target for target in dict.fromkeys(targets) if target is not row.target]


# --- who may object -------------------------------------------------------------------

SMALL = (Size(1, 1), Size(2, 1), Size(1, 2), Size(1, 3, VM_FAULTS), Size(2, 2, VM_FAULTS))
RESTARTS = Size(1, 3, RESTART_FAULTS, keeps=True)
UNSEEN = Size(2, 1, UNSEEN_FAULTS, page=False)
MOVED, SHUTDOWN = Size(2, 2, MOVED_FAULTS), Size(2, 2, SHUTDOWN_FAULTS)
OWN = Size(2, 2, OWN_FAULTS, own=True)
SPECIAL = (Size(2, 2, REACH_FAULTS), RESTARTS, UNSEEN, MOVED, SHUTDOWN, OWN)
LARGE = (
    *(Size(3, 1), Size(2, 2), Size(2, 3, VM_FAULTS), Size(2, 3, MOVE_FAULTS)),
    Size(3, 2, REACH_FAULTS),
)
STORIES = (
    *("tests/fsm/test_stories.py", "tests/fsm/test_reach.py", "tests/fsm/test_handover.py"),
    *("tests/fsm/test_moves.py", "tests/fsm/test_own_moves.py"),
    "tests/unit/test_agent_stories.py",
)
PROPERTIES = ("tests/fsm/test_table.py",)
# The page is that of the true table, so it would object to everything.
NOT_ASKED = ("test_the_committed_page_is_the_tables",)


def by_model(sizes: Sequence[Size]) -> Killer:
    """The explorations of these sizes, one after the other."""

    def kill(table: Table) -> str:
        for size in sizes:
            failures = explored(size, table).failures
            if failures:
                return failures[0].splitlines()[0]
        return ""

    return kill


def by_coverage(table: Table) -> str:
    """Rows that never fire, guards that never decide, states that are never left."""
    pairs = Size(2, 1, PAIR_FAULTS, keeps=True)
    sizes = (*LARGE, RESTARTS, pairs, UNSEEN, MOVED, SHUTDOWN, OWN)
    found = gaps([explored(size, table) for size in sizes], table)
    return next(iter([*found.rows, *found.guards, *found.states]), "")


def by_tests(paths: Sequence[str]) -> Killer:
    """These tests, on the changed table."""

    def kill(table: Table) -> str:
        failed = _Failures()
        _inject(table)
        options = [str(ROOT / path) for path in paths]
        options += [f"--deselect={path}::{name}" for path in paths for name in NOT_ASKED]
        options += ["-x", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
        with contextlib.redirect_stdout(io.StringIO()):
            pytest.main(options, plugins=[failed])
        return failed.first

    return kill


class _Failures:
    """A plugin of pytest that remembers the first failed test."""

    def __init__(self) -> None:
        self.first = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.first:
            self.first = report.nodeid


def _inject(table: Table) -> None:
    """Make `table` the table of this process, in everything that read it at import."""
    fsm.table.TABLE = fsm.machine.TABLE = fsm.TABLE = table
    fsm.machine._ROWS = {state: fsm.table.rows_of(state) for state in State}
    fsm.machine._machine.cache_clear()
    fsm.machine.walk.__defaults__ = (table,)
    for name, module in list(sys.modules.items()):
        if name.startswith("tests.") and getattr(module, "TABLE", None) is TABLE:
            module.TABLE = table


@dataclass(frozen=True)
class Asked:
    name: str
    kill: Killer


# In the order in which they are asked: the quick ones first. Whoever has further checkers of
# the decision core (scenarios, a simulator) adds them here.
KILLERS: list[Asked] = [
    Asked("model, small", by_model(SMALL)),
    Asked("stories", by_tests(STORIES)),
    Asked("model, special", by_model(SPECIAL)),
    Asked("model, large", by_model(LARGE)),
    Asked("model's coverage", by_coverage),
    Asked("properties", by_tests(PROPERTIES)),
]


def fate_of(mutant: Mutant, killers: Sequence[Asked]) -> Fate:
    """Who objects first."""
    began_s = time.monotonic()
    for asked in killers:
        try:
            why = asked.kill(mutant.table)
        except AssertionError as error:  # a table without a row for what was met
            why = str(error) or "an assertion of the program"
        if why:
            return Fate(mutant.name, asked.name, why, time.monotonic() - began_s)
    return Fate(mutant.name, seconds=time.monotonic() - began_s)


# --- the report -----------------------------------------------------------------------

# Who survives, and why that is no gap: agreed upon one by one.
HARMLESS: dict[str, str] = {}

# What the workers inherit; a table holds functions, which can't be sent to them.
_inherited: list[tuple[Mutant, Sequence[Asked]]] = []


def fates(
    chosen: Sequence[Mutant], jobs: int, killers: Sequence[Asked] = KILLERS
) -> Iterator[Fate]:
    """The fate of each, in order; each in a process of its own."""
    _inherited[:] = [(mutant, killers) for mutant in chosen]
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        yield from pool.imap(_fate, range(len(chosen)), chunksize=1)


def _fate(at: int) -> Fate:
    return fate_of(*_inherited[at])


@dataclass(frozen=True)
class Result:
    fates: list[Fate]

    @property
    def survivors(self) -> list[str]:
        return [fate.mutant for fate in self.fates if not fate.killer]

    @property
    def unexplained(self) -> list[str]:
        return [name for name in self.survivors if name not in HARMLESS]

    @property
    def killed_share(self) -> float:
        return 1 - len(self.survivors) / len(self.fates) if self.fates else 0.0

    @property
    def summary(self) -> str:
        killed = len(self.fates) - len(self.survivors)
        return (
            f"{killed} of {len(self.fates)} mutants killed ({self.killed_share:.1%}), "
            f"{len(self.survivors)} survived, {len(self.unexplained)} of them unexplained"
        )


def page(result: Result) -> str:
    """The report in Markdown."""
    counted = Counter(fate.killer for fate in result.fates if fate.killer)
    seconds = sum(fate.seconds for fate in result.fates)
    lines = [
        "# Mutants of the table",
        "",
        "Written by `python -m tests.fsm.mutants --write docs/results/mutants.md`: each row of",
        "`fsm/table.py` removed, sent elsewhere (two other targets), without each of its actions",
        "and notes, and with each of its guards negated. The first checker that objects kills.",
        "",
        f"{result.summary}; {seconds / 60:.0f} min of work.",
        "",
        "| killed by | mutants |",
        "|---|---|",
        *(f"| {asked.name} | {counted[asked.name]} |" for asked in KILLERS),
        "",
        "## Survivors",
        "",
        *(f"- `{name}`: {HARMLESS.get(name, 'UNEXPLAINED')}" for name in result.survivors),
        "",
        "## All of them",
        "",
        "| mutant | killed by | with the words |",
        "|---|---|---|",
        *(f"| {fate.mutant} | {fate.killer} | {fate.why} |" for fate in result.fates),
    ]
    return "\n".join(lines) + "\n"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """0 when every survivor is explained."""
    options = _arguments(argv)
    chosen = [mutant for mutant in mutants() if options.only in mutant.name]
    chosen = chosen[:: options.every]
    known = {fate.mutant: fate for fate in _logged(options.log)}
    new = [mutant for mutant in chosen if mutant.name not in known]
    for number, fate in enumerate(fates(new, options.jobs), start=1):
        known[fate.mutant] = fate
        _log(options.log, fate)
        told = f"{fate.killer}: {fate.why}" if fate.killer else "SURVIVED"
        print(f"{number}/{len(new)} {fate.seconds:.1f} s  {fate.mutant}  {told}", flush=True)
    result = Result([known[mutant.name] for mutant in chosen])
    print(result.summary)
    print("".join(f"unexplained: {name}\n" for name in result.unexplained), end="")
    if options.write:
        options.write.write_text(page(result), encoding="utf-8")
    return 1 if result.unexplained else 0


def _logged(path: Optional[Path]) -> list[Fate]:
    """The fates that an earlier run has found (of the same table)."""
    if path is None or not path.exists():
        return []
    return [Fate(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _log(path: Optional[Path], fate: Fate) -> None:
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(fate)) + "\n")


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fsm.mutants", description="Change the table, and see who objects."
    )
    parser.add_argument("--jobs", type=int, default=1, help="workers (default 1)")
    parser.add_argument("--only", default="", metavar="TEXT", help="mutants with TEXT in the name")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth of them")
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="keep what is found in FILE, and go on from it"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the report to FILE")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
