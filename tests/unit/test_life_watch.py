# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The loop of all who look at the storage for a while."""

from __future__ import annotations

import pytest

from hosted_engine.cluster.life_watch import changed_in_use, looks
from simulation.world import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(start_s=100.0)


def test_the_last_look_is_when_the_time_is_over(clock: VirtualClock) -> None:
    moments = [clock.now_s for _ in looks(clock, clock.advance, 2.5, 1.0)]
    assert moments == [101.0, 102.0, 102.5]


def test_what_a_look_takes_counts(clock: VirtualClock) -> None:
    moments = []
    for _ in looks(clock, clock.advance, 3.0, 1.0):
        moments.append(clock.now_s)
        clock.advance(0.75)
    assert moments == [101.0, 102.75]  # the second one ends at 103.5


@pytest.mark.parametrize("wait_s", [0.0, -1.0])
def test_without_time_there_is_no_look(clock: VirtualClock, wait_s: float) -> None:
    assert list(looks(clock, clock.advance, wait_s, 1.0)) == []
    assert clock.now_s == 100.0


def test_who_has_left_or_come_has_not_renewed() -> None:
    before = {1: "a", 2: "b", 3: "c"}
    assert changed_in_use(before, {1: "a", 2: "other", 4: "d"}) == [2]
