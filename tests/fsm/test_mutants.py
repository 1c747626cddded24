# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The report on mutants can be trusted: a sample is killed, and a harmless change is not."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from fsm import TABLE, Action
from fsm.table import Note, rows_of
from tests.fsm import mutants as report
from tests.fsm.mutants import KILLERS, Asked, Fate, Mutant, Result, by_tests, fates, mutants

SMALL = [asked for asked in KILLERS if asked.name == "model, small"]
# The large explorations take minutes for one that only they find.
QUICK = [asked for asked in KILLERS if asked.name in ("model, small", "stories", "model, special")]
JOBS = os.cpu_count() or 1


def test_every_row_is_changed_in_every_way() -> None:
    names = [mutant.name for mutant in mutants()]
    assert len(names) == len(set(names))
    assert sum("row removed" in name for name in names) == len(TABLE)
    assert sum("negated" in name for name in names) == sum(len(row.guards) for row in TABLE)
    assert sum("action" in name and "dropped" in name for name in names) == sum(
        len(row.actions) for row in TABLE
    )
    noted = [note for row in TABLE for note in row.notes]
    assert Note.CRASH in noted
    assert sum(": note " in name for name in names) == len(noted)


def test_each_mutant_differs_from_the_table_in_one_row() -> None:
    for mutant in mutants():
        if "removed" not in mutant.name:
            assert sum(one != other for one, other in zip(mutant.table, TABLE)) == 1


def test_a_dozen_mutants_are_killed_by_the_explorations_and_the_stories() -> None:
    chosen = list(mutants())[5::53]
    assert len(chosen) >= 12
    alive = [fate.mutant for fate in fates(chosen, JOBS, QUICK) if not fate.killer]
    assert alive == []


def test_the_true_table_and_a_change_of_words_survive() -> None:
    words = replace(TABLE[0], why=f"{TABLE[0].why}.")
    harmless = [Mutant("none", TABLE), Mutant("words", (words, *TABLE[1:]))]
    assert [fate.killer for fate in fates(harmless, 1, SMALL)] == ["", ""]


def test_the_tests_are_asked_about_the_changed_table() -> None:
    row = next(row for row in TABLE if Action.START_VM in row.actions)
    idle = tuple(replace(one, actions=()) if one is row else one for one in TABLE)
    stories = Asked("stories", by_tests(["tests/fsm/test_stories.py"]))
    fate, none = fates([Mutant("idle", idle), Mutant("none", TABLE)], 1, [stories])
    assert "test_a_lonely_host" in fate.why
    assert none.killer == ""


def test_a_table_without_a_row_for_what_it_meets_is_killed() -> None:
    last = rows_of(TABLE[0].source)[-1]
    table = tuple(row for row in TABLE if row is not last)
    (fate,) = fates([Mutant("no last row", table)], 1, SMALL)
    assert "no row for StartState" in fate.why


def test_a_survivor_without_a_reason_fails_the_report(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(report, "KILLERS", [])
    monkeypatch.setattr(report, "fates", lambda chosen, _jobs: [Fate(one.name) for one in chosen])
    page = tmp_path / "mutants.md"
    assert report.main(["--only", "0: to", "--write", str(page)]) == 1
    assert "unexplained: 0: to" in capsys.readouterr().out
    assert "UNEXPLAINED" in page.read_text(encoding="utf-8")


def test_a_run_goes_on_from_its_log(tmp_path, capsys) -> None:
    log = tmp_path / "log"
    (name,) = [mutant.name for mutant in mutants() if mutant.name.startswith("0: row removed")]
    log.write_text(json.dumps(vars(Fate(name, "somebody", "before"))) + "\n", encoding="utf-8")
    assert report.main(["--only", "0: row removed: StartState", "--log", str(log)]) == 0
    assert "1 of 1 mutants killed (100.0%)" in capsys.readouterr().out


def test_every_explained_survivor_is_a_mutant() -> None:
    assert set(report.HARMLESS) <= {mutant.name for mutant in mutants()}


def test_the_shares_are_those_of_the_fates() -> None:
    result = Result([Fate("a", "model"), Fate("b", "model"), Fate("c"), Fate("d", "tests")])
    assert result.killed_share == pytest.approx(0.75)
    assert result.survivors == ["c"]
