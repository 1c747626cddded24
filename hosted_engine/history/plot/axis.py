# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The axis of time: which moments are marked, and how. Pure but for the local time zone."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ha_broker.api.times import local_time

DAY_S = 86400
_STEPS_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
    3600, 7200, 10800, 21600, 43200,
    DAY_S, 2 * DAY_S, 7 * DAY_S, 14 * DAY_S, 28 * DAY_S,
)  # fmt: skip


@dataclass(frozen=True)
class Tick:
    """A mark at a second since the epoch; `day` only where it is another one than before."""

    at_s: float
    label: str
    day: str = ""


def ticks(from_s: float, to_s: float, most: int) -> list[Tick]:
    """At most about `most` marks at round local times between the two."""
    step_s = next((step for step in _STEPS_S if (to_s - from_s) / step <= most), _STEPS_S[-1])
    found, day = [], ""
    for at_s in _moments(from_s, to_s, step_s):
        local = local_time(at_s)
        today = time.strftime("%Y-%m-%d", local)
        label = time.strftime("%H:%M:%S" if step_s < 60 else "%H:%M", local)
        found.append(Tick(at_s, label, "" if today == day else today))
        day = today
    return found


def _moments(from_s: float, to_s: float, step_s: int) -> list[float]:
    """Counted from a local midnight; a change to summer time moves the marks behind it."""
    local = local_time(from_s)
    midnight_s = time.mktime((*local[:3], 0, 0, 0, 0, 0, -1))
    first = int((from_s - midnight_s) // step_s)
    count = int((to_s - midnight_s) // step_s)
    return [
        midnight_s + number * step_s
        for number in range(first, count + 1)
        if from_s <= midnight_s + number * step_s <= to_s
    ]
