# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The time budget: each inequality holds at its bound and is refused just beyond."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metadata.settings import timing
from metadata.settings.parse import Timing, check_timing

# With tick_s 4 and io_timeout_s 2: every bound below is exact.
BASE = Timing(
    tick_s=4,
    alive_s=12,
    start_s=12,
    starting_s=8,
    bad_health_s=24,
    stop_s=8,
    away_s=16,
    unexpected_down_s=28,
    retry_window_s=84,
    turn_s=12,
    io_timeout_s=2,
    isolated_s=16,
)


@pytest.mark.parametrize(("io_timeout_s", "floor_s"), [(1, 68), (2, 76), (5, 100), (10, 140)])
def test_sanlocks_times(io_timeout_s, floor_s):
    assert timing.lease_floor_s(io_timeout_s, 60) == floor_s
    assert timing.renewal_s(io_timeout_s) == 2 * io_timeout_s
    assert timing.renewal_fail_s(io_timeout_s) == 8 * io_timeout_s
    assert timing.join_s(io_timeout_s) == 2.5 * io_timeout_s


@pytest.mark.parametrize("io_timeout_s", [1, 2, 5, 10])
def test_the_defaults_are_fine_at_every_measured_io_timeout(io_timeout_s):
    assert check_timing(replace(Timing(), io_timeout_s=io_timeout_s)) == []


def test_a_turn_covers_the_moments_at_which_hosts_see_a_death():
    (problem,) = check_timing(replace(Timing(), io_timeout_s=10, turn_s=24))
    assert problem.startswith(
        "turn_s (24) must be at least 2 × io_timeout_s + tick_s (2 × 10 + 5 = 25): "
    )


def test_every_lower_bound_may_be_reached():
    assert check_timing(BASE) == []


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("turn_s", 11, "turn_s (11) must be at least 3 × tick_s (3 × 4 = 12): "),
        (
            "start_s",
            11.5,
            "start_s (11.5) must be at least tick_s + 4 × io_timeout_s (4 + 4 × 2 = 12): ",
        ),
        ("starting_s", 7, "starting_s (7) must be at least 2 × tick_s (2 × 4 = 8): "),
        ("stop_s", 7, "stop_s (7) must be at least 2 × tick_s (2 × 4 = 8): "),
        (
            "away_s",
            15,
            "away_s (15) must be at least 3 × tick_s + 2 × io_timeout_s (3 × 4 + 2 × 2 = 16): ",
        ),
        (
            "isolated_s",
            15,
            "isolated_s (15) must be at least 3 × tick_s + 2 × io_timeout_s (3 × 4 + 2 × 2 = 16): ",
        ),
        (
            "bad_health_s",
            23,
            "bad_health_s (23) must be at least 8 × io_timeout_s + 2 × tick_s"
            " (8 × 2 + 2 × 4 = 24): ",
        ),
        (
            "unexpected_down_s",
            27,
            "unexpected_down_s (27) must be at least turn_s + start_s +"
            " tick_s (12 + 12 + 4 = 28): ",
        ),
        (
            "retry_window_s",
            83,
            "retry_window_s (83) must be at least 3 × (start_s + tick_s) + 3 × turn_s"
            " (3 × (12 + 4) + 3 × 12 = 84): 3 starts",
        ),
    ],
)
def test_just_below_a_bound_is_refused_with_the_numbers(key, value, problem):
    problems = check_timing(replace(BASE, **{key: value}))
    assert len(problems) == 1
    assert problems[0].startswith(problem)
    assert len(problems[0]) > len(problem) + 10  # it says why


def test_alive_must_outlast_three_ticks():
    problems = check_timing(replace(Timing(), tick_s=10, alive_s=20, io_timeout_s=1, turn_s=30))
    assert [problem.split(":")[0] for problem in problems] == [
        "alive_s (20) must be at least 3 × tick_s (3 × 10 = 30)",
        "alive_s (20) must be at least 2 × tick_s + 2 × io_timeout_s (2 × 10 + 2 × 1 = 22)",
    ]


def test_alive_must_outlast_a_slow_write_and_a_slow_read():
    problems = check_timing(replace(Timing(), alive_s=29))
    assert problems == [
        "alive_s (29) must be at least 2 × tick_s + 2 × io_timeout_s (2 × 5 + 2 × 10 = 30): "
        "one slow write and one slow read must not make a living host look dead"
    ]


def test_a_dead_hosts_record_is_stale_when_its_lease_falls_free():
    assert check_timing(replace(Timing(), io_timeout_s=2, alive_s=71)) == []
    (problem,) = check_timing(replace(Timing(), io_timeout_s=2, alive_s=72))
    assert problem.startswith(
        "alive_s + tick_s (72 + 5 = 77) must be at most 8 × io_timeout_s + 60 (8 × 2 + 60 = 76): "
    )


def test_the_engine_is_off_before_another_host_can_take_its_lease():
    slow = replace(
        Timing(), io_timeout_s=2, turn_s=60, start_s=60, away_s=70, unexpected_down_s=560
    )
    at_bound = check_timing(replace(slow, tick_s=19))
    assert not [problem for problem in at_bound if "switched the engine off" in problem]
    beyond = check_timing(replace(slow, tick_s=19.5))
    (problem,) = [problem for problem in beyond if "switched the engine off" in problem]
    assert problem.startswith(
        "3 × tick_s + 15 (3 × 19.5 + 15 = 73.5) must be at most 6 × io_timeout_s + 60 "
        "(6 × 2 + 60 = 72): "
    )


def test_the_number_of_failed_starts_counts():
    assert check_timing(BASE, failed_starts_to_zero=3) == []
    (problem,) = check_timing(BASE, failed_starts_to_zero=4)
    assert "(4 × (12 + 4) + 6 × 12 = 136)" in problem


def test_a_bound_is_not_missed_by_floating_point():
    tenths = replace(BASE, tick_s=0.1, turn_s=0.3, io_timeout_s=1)
    assert not any("turn_s (0.3) must be at least 3 ×" in text for text in check_timing(tenths))


def test_all_problems_come_at_once():
    assert len(check_timing(replace(Timing(), tick_s=60))) >= 5


@pytest.mark.parametrize(
    ("io_timeout_s", "fire_timeout_s", "floor_s"), [(10, 60, 140), (5, 30, 70), (2, 10, 26)]
)
def test_the_pairs_that_sanlocks_manual_names(
    io_timeout_s: int, fire_timeout_s: int, floor_s: int
) -> None:
    assert timing.lease_floor_s(io_timeout_s, fire_timeout_s) == floor_s


def test_which_of_the_pairs_the_default_times_allow() -> None:
    assert check_timing(Timing(io_timeout_s=10), fire_timeout_s=60) == []
    assert check_timing(Timing(io_timeout_s=5), fire_timeout_s=30) == []
    quick = Timing(io_timeout_s=2, tick_s=2, alive_s=20)
    assert check_timing(quick, fire_timeout_s=10) == []
    silent, stale = check_timing(Timing(io_timeout_s=2), fire_timeout_s=10)
    assert silent.startswith(
        "3 × tick_s + 15 (3 × 5 + 15 = 30) must be at most 6 × io_timeout_s + 10 "
        "(6 × 2 + 10 = 22): "
    )
    assert stale.startswith(
        "alive_s + tick_s (60 + 5 = 65) must be at most 8 × io_timeout_s + 10 (8 × 2 + 10 = 26): "
    )


def test_a_shorter_watchdog_time_leaves_less_time_to_switch_the_engine_off() -> None:
    quick = Timing(io_timeout_s=2, tick_s=2, alive_s=20)
    assert timing.sanlock_silence_s(quick, 60) == 16
    assert timing.sanlock_silence_s(quick, 10) == 26 - 4 - 6 - 15
