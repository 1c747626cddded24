"""The report on mutants of the code can be trusted: what is changed is run, and noticed."""

from __future__ import annotations

import time

import pytest

from tests.unit import mutants as report
from tests.unit.mutants import HARMLESS, MODULES, Fate, Result, mutants
from tests.unit.mutation import Mutant


def named(text: str) -> Mutant:
    (found,) = [one for one in mutants() if text in one.name]
    return found


FRESH = "ha_broker.storage.liveness.is_fresh: changed_at_s is not None -> changed_at_s is None"


def test_every_module_is_changed_and_every_mutant_has_a_name_of_its_own() -> None:
    names = [mutant.name for mutant in mutants()]
    assert len(names) == len(set(names))
    assert {mutant.module for mutant in mutants()} == set(MODULES)
    assert len(names) > 500
    assert set(HARMLESS) <= set(names)


def test_a_changed_function_is_noticed_by_its_tests() -> None:
    assert "test_broker_lease_view.py::test_fresh" in report.fate_of(named(FRESH)).killer


def test_a_change_lasts_no_longer_than_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from ha_broker.storage.liveness import is_fresh
    from world.ports.sanlock import Liveness

    asked = (0.0, 5.0, Liveness.LIVE, 6.0, 60.0)
    monkeypatch.setattr(report, "_by_tests", lambda *_names: str(is_fresh(*asked)))
    fate = report.fate_of(
        named("ha_broker.storage.liveness.is_fresh: return now_s - changed_at_s <= al")
    )
    assert fate.killer == "None"
    assert is_fresh(*asked) is True


def test_one_that_does_not_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_by_tests", lambda *_names: time.sleep(60))
    assert report.fate_of(named(FRESH), deadline_s=0.2).killer == report.ENDLESS


def test_a_survivor_without_a_reason_fails_the_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "fates", lambda chosen: [Fate(one.name) for one in chosen])
    assert report.main(["--only", FRESH]) == 1
    assert f"unexplained: {FRESH}" in capsys.readouterr().out


def test_the_shares_are_those_of_the_fates() -> None:
    result = Result([Fate("a", "test"), Fate("b"), Fate("c", "story"), Fate("d", "test")])
    assert (result.killed_share, result.survivors) == (0.75, ["b"])
    assert "3 of 4 mutants killed (75.0%)" in result.summary
