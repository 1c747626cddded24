# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""When periodic work is due again."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.schedule import in_step_s, quick_s, quickest_s, with_ticks_s


@pytest.mark.parametrize(
    ("now_s", "interval_s", "due_s"),
    [
        (1000.0, 5.0, 1005.0),
        (1000.001, 5.0, 1005.0),
        (1004.999, 5.0, 1005.0),
        (7.3, 0.5, 7.5),
        (1003.0, 60.0, 1063.0),  # rare work keeps its own time
        (1003.0, 0.0, 1003.0),
        (1003.0, math.inf, math.inf),
    ],
)
def test_short_intervals_end_at_their_multiples(
    now_s: float, interval_s: float, due_s: float
) -> None:
    assert in_step_s(now_s, interval_s) == due_s


@given(st.floats(0, 1e8), st.floats(0.01, 1000))
def test_it_is_due_later_and_within_the_interval(now_s: float, interval_s: float) -> None:
    assert now_s < in_step_s(now_s, interval_s) <= now_s + interval_s


def test_work_that_was_disturbed_falls_into_step_again() -> None:
    due_s = {in_step_s(in_step_s(begun_s, 5.0), 5.0) for begun_s in (1000.0, 1001.7, 1004.2)}
    assert due_s == {1010.0}


@pytest.mark.parametrize(
    ("tick_s", "quick", "quickest"),
    [(0.1, 0.1, 0.1), (0.7, 0.7, 0.5), (2.0, 1.0, 0.5), (5.0, 1.0, 0.5), (25.0, 5.0, 2.5)],
)
def test_quick_looks_are_a_share_of_the_tick(tick_s: float, quick: float, quickest: float) -> None:
    assert quick_s(tick_s) == quick
    assert quickest_s(tick_s) == quickest


@pytest.mark.parametrize(
    ("tick_s", "longest_s", "interval_s"),
    [
        (5.0, 60.0, 60.0),
        (7.0, 60.0, 56.0),
        (45.0, 60.0, 45.0),
        (5.0, 30.0, 30.0),
        (30.0, 30.0, 30.0),
        (45.0, 30.0, 22.5),
        (61.0, 30.0, 61.0 / 3),
    ],
)
def test_an_interval_that_meets_the_ticks(
    tick_s: float, longest_s: float, interval_s: float
) -> None:
    assert with_ticks_s(tick_s, longest_s) == interval_s


@given(st.floats(0.1, 60), st.sampled_from([30.0, 60.0]))
def test_it_is_a_multiple_or_an_equal_share_of_a_tick(tick_s: float, longest_s: float) -> None:
    interval_s = with_ticks_s(tick_s, longest_s)
    ratio = max(interval_s, tick_s) / min(interval_s, tick_s)
    assert 0 < interval_s <= longest_s
    assert ratio == pytest.approx(round(ratio))
