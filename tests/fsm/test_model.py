"""Every world that a few hosts can come into obeys the rules, and none keeps the engine down."""

from __future__ import annotations

import pytest

from tests.fsm.model.report import Report, explored, gaps
from tests.fsm.model.world import VM_FAULTS, Size

SIZES = (Size(2, 2), Size(2, 3, VM_FAULTS))


@pytest.fixture(scope="module")
def reports() -> dict[Size, Report]:
    return {}


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_no_world_breaks_a_rule_or_keeps_the_engine_down(size, reports, capsys) -> None:
    report = reports[size] = explored(size)
    with capsys.disabled():
        print(f"\n{report.summary}")
    assert not report.failures, report.failures[0]


def test_every_row_fires_every_guard_decides_and_every_state_is_left(reports) -> None:
    if set(reports) != set(SIZES):
        pytest.fail("this test needs the explorations before it")
    found = gaps(list(reports.values()))
    assert (found.rows, found.guards, found.states) == ([], [], []), str(found)
