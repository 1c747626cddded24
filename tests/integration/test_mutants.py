# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The report on mutants of the code can be trusted: what is changed is run, and noticed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Optional

import pytest

from tests.unit import mutants as report
from tests.unit.executed_lines import executed_lines
from tests.unit.mutants import HARMLESS, MODULES, Court, Fate, Knowledge, Result, mutants
from tests.unit.mutation import Mutant

LIVENESS = "ha_broker.storage.liveness"
FRESH = f"{LIVENESS}.is_fresh: changed_at_s is not None -> changed_at_s is None"
OLD = f"{LIVENESS}.is_fresh: return now_s - changed_at_s <= alive_s -> return None"


def named(name: str) -> Mutant:
    (found,) = [one for one in mutants() if one.name == name]
    return found


class Said:
    """A witness that does as it is told."""

    def __init__(self, name: str, call: Callable[[], bool] = lambda: False) -> None:
        self.name = name
        self._call = call

    def objects(self) -> bool:
        return self._call()


def asked_fresh(changed_at_s: Optional[float] = 5.0) -> bool:
    from ha_broker.storage.liveness import is_fresh
    from metadata.liveness import Liveness

    return is_fresh(0.0, changed_at_s, Liveness.LIVE, 6.0, 60.0)


def court(*witnesses: Said, lines: Optional[Sequence[int]] = None) -> Court:
    """They execute all lines of liveness, or these."""
    chosen = frozenset((LIVENESS, number) for number in lines or range(100))
    return Court([Knowledge(one, chosen, 1.0) for one in witnesses])


def test_every_module_is_changed_and_every_mutant_has_a_name_of_its_own() -> None:
    names = [mutant.name for mutant in mutants()]
    assert len(names) == len(set(names))
    assert {mutant.module for mutant in mutants()} == set(MODULES)
    assert len(names) > 500
    assert set(HARMLESS) <= set(names)


def test_a_changed_function_is_noticed_by_its_tests() -> None:
    fates: list[Fate] = []
    report.try_all([named(FRESH), named(OLD)], fates.append, ["broker_lease_view"], [])
    assert [fate.mutant for fate in fates] == [FRESH, OLD]
    assert all("test_broker_lease_view.py::test_fresh" in fate.killer for fate in fates)


def test_a_story_notices_what_no_test_was_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    fates: list[Fate] = []
    monkeypatch.setattr(report.scenarios, "differs", lambda name: name == "b" and not asked_fresh())
    report.try_all([named(OLD)], fates.append, ["slot_notes"], ["a", "b"])
    assert [fate.killer for fate in fates] == ["b"]


def test_a_change_lasts_no_longer_than_its_process() -> None:
    fate = court(Said("a", lambda: asked_fresh() is None)).fate_of(named(OLD))
    assert fate.killer == "a"
    assert asked_fresh() is True


def test_one_that_waits_for_ever_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "IDLE_S", 0.2)
    assert court(Said("a", lambda: bool(time.sleep(60)))).fate_of(named(FRESH)).killer == (
        report.ENDLESS
    )


def test_one_that_works_for_ever_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> bool:
        while True:
            pass

    monkeypatch.setattr(report, "LEAST_WORK_S", 0.0)
    monkeypatch.setattr(report, "MOST_WORK", 0)
    assert court(Said("a", work)).fate_of(named(FRESH)).killer == report.ENDLESS


def test_one_that_breaks_a_witness_is_noticed() -> None:
    fate = court(Said("a"), Said("b", lambda: bool(1 // 0))).fate_of(named(FRESH))
    assert fate.killer.startswith("b: ZeroDivisionError")


def test_only_those_who_execute_the_changed_statement_are_asked() -> None:
    mutant = named(OLD)
    here, elsewhere = [mutant.lines[0]], [mutant.lines[0] + 1]
    assert court(Said("a", lambda: True), lines=here).fate_of(mutant).killer == "a"
    assert court(Said("a", lambda: True), lines=elsewhere).fate_of(mutant).killer == ""


def test_the_lines_of_a_mutant_are_those_of_its_statement() -> None:
    source = Path("ha_broker/storage/liveness.py")
    lines = (Path(__file__).parents[2] / source).read_text(encoding="utf-8").splitlines()
    assert [lines[number - 1].strip() for number in named(FRESH).lines] == [
        "if changed_at_s is not None:"
    ]
    assert [lines[number - 1].strip() for number in named(OLD).lines] == [
        "return now_s - changed_at_s <= alive_s"
    ]


def test_executed_are_the_lines_that_were_gone_through_and_no_others() -> None:
    old, fresh = named(OLD).lines[0], named(FRESH).lines[0]
    with_change = executed_lines(asked_fresh, [LIVENESS])
    without = executed_lines(lambda: asked_fresh(None), [LIVENESS])
    assert {(LIVENESS, fresh), (LIVENESS, old)} <= with_change
    assert (LIVENESS, fresh) in without
    assert (LIVENESS, old) not in without


def test_who_objects_to_the_unchanged_code_is_not_asked() -> None:
    known = report.explore([Said("a", lambda: True), Said("b", asked_false)])
    assert [one.witness.name for one in known] == ["b"]
    assert {module for module, _ in known[0].lines} == {LIVENESS}


def asked_false() -> bool:
    return not asked_fresh()


def test_a_survivor_without_a_reason_fails_the_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        report, "try_all", lambda chosen, keep, *_: [keep(Fate(one.name)) for one in chosen]
    )
    assert report.main(["--only", FRESH]) == 1
    assert f"unexplained: {FRESH}" in capsys.readouterr().out


def test_survivors_in_the_log_are_tried_again_when_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tried: list[str] = []

    def survive(chosen: Sequence[Mutant], keep: Callable[[Fate], None], *_: object) -> None:
        for one in chosen:
            tried.append(one.name)
            keep(Fate(one.name, "" if one.name == FRESH else "test"))

    monkeypatch.setattr(report, "try_all", survive)
    log = ["--log", str(tmp_path / "log"), "--only", "is_fresh"]
    assert report.main(log) == 1
    assert len(tried) > 2
    tried.clear()
    assert report.main(log) == 1
    assert tried == []
    assert report.main([*log, "--again"]) == 1
    assert tried == [FRESH]


def test_a_run_that_is_cut_short_has_tried_a_sample_of_all_modules() -> None:
    everything = mutants()
    tried = report.spread(everything)
    assert sorted(one.name for one in tried) == sorted(one.name for one in everything)
    assert {one.module for one in tried[: len(tried) // report.STRIDE]} >= set(MODULES) - {LIVENESS}


def test_the_page_says_what_was_tried_and_by_whom() -> None:
    tried = [Fate(FRESH, "test", 30.0), Fate(OLD)]
    told = report.page(Result(tried), ["broker_lease_view"], [])
    of_module = sum(one.module == LIVENESS for one in mutants())
    assert f"Tried: 2 of {len(mutants())} mutants, a sample of each module." in told
    assert "1 of 2 mutants killed (50.0%), 1 survived, 1 of them unexplained" in told
    assert "Unit tests asked: broker_lease_view." in told
    assert "Stories of whole hosts asked after them: none." in told
    assert f"| {LIVENESS} | {of_module} | 2 | 1 |" in told
    assert f"- `{OLD}`: UNEXPLAINED" in told


def test_the_shares_are_those_of_the_fates() -> None:
    result = Result([Fate("a", "test"), Fate("b"), Fate("c", "story"), Fate("d", "test")])
    assert (result.killed_share, result.survivors) == (0.75, ["b"])
    assert "3 of 4 mutants killed (75.0%)" in result.summary
