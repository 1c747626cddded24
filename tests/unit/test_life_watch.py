"""The loop of all who look at the storage for a while."""

from __future__ import annotations

import pytest

from hosted_engine.cluster.life_watch import changed_in_use, looks


class Time:
    """A clock that goes on by sleeping alone."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_s(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def test_the_last_look_is_when_the_time_is_over() -> None:
    time = Time()
    moments = [time.now_s for _ in looks(time, time.sleep, 2.5, 1.0)]
    assert moments == [101.0, 102.0, 102.5]


def test_what_a_look_takes_counts() -> None:
    time = Time()
    moments = []
    for _ in looks(time, time.sleep, 3.0, 1.0):
        moments.append(time.now_s)
        time.now_s += 0.75
    assert moments == [101.0, 102.75]  # the second one ends at 103.5


@pytest.mark.parametrize("wait_s", [0.0, -1.0])
def test_without_time_there_is_no_look(wait_s: float) -> None:
    time = Time()
    assert list(looks(time, time.sleep, wait_s, 1.0)) == []
    assert time.slept == []


def test_who_has_left_or_come_has_not_renewed() -> None:
    before = {1: "a", 2: "b", 3: "c"}
    assert changed_in_use(before, {1: "a", 2: "other", 4: "d"}) == [2]
