# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Moments for people: whatever the number, there is a text."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_broker.api.times import is_wall_time, local_time, moment_text, utc_time
from metadata.plain_json import LARGEST

EXTREMES = [LARGEST, -LARGEST, 1e15, -1e15, 253402300800.0, -62167219200.0, 0.0, -1.0]


@pytest.fixture(params=["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("wall_s", EXTREMES)
def test_every_number_is_a_moment_in_every_zone(wall_s: float) -> None:
    for local in (local_time(wall_s), utc_time(wall_s)):
        assert time.asctime(local)
        assert time.strftime("%Y-%m-%d %H:%M:%S %z", local)
        assert isinstance(time.mktime(local), float)
    assert moment_text(wall_s, 0.0, wall_s)


@given(st.floats(-LARGEST, LARGEST))
def test_any_number_is_a_moment(wall_s: float) -> None:
    assert time.asctime(local_time(wall_s))


@given(st.floats(0, 2e10))
def test_a_real_moment_is_itself(wall_s: float) -> None:
    assert local_time(wall_s) == time.localtime(wall_s)
    assert utc_time(wall_s) == time.gmtime(wall_s)


@pytest.mark.parametrize(
    ("wall_s", "can_be"), [(0.0, True), (1.7e9, True), (-1.0, False), (1e12, False), (1e300, False)]
)
def test_what_a_clock_can_have_shown(wall_s: float, can_be: bool) -> None:
    assert is_wall_time(wall_s) is can_be
