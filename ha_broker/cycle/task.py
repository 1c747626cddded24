# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Jobs of a part: one at a time, at their hour, and given up when they hang."""

from __future__ import annotations

import math
from typing import Callable, Optional

from ha_broker.cycle.part import NEVER_S
from metadata.schedule import in_step_s
from world.ports.jobs import Clock, Outcome, Runner

# Intervals that are shares of each other meet, but for rounding: one wake-up does for both.
EARLY_S = 0.001


# Just after a deadline a job is late, at it not yet.
LATE_S = 0.001


class HarvestedRunner:
    """A `Runner` whose keys stay busy until their outcome was harvested.

    Else a job that ends between harvest and submission would be followed by another one
    before anybody looked at it.
    """

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock
        self._awaited: dict[str, float] = {}
        self.begun = 0
        """How many jobs were begun so far."""
        self.busy_since_s: Callable[[str], Optional[float]] = self._awaited.get
        """As `Runner.busy_since_s`; until the outcome was harvested. Asked very often."""

    def submit(self, key: str, job: Callable[[], object]) -> bool:
        """As `Runner.submit`."""
        started_at_s = self._clock.monotonic_s()
        if key in self._awaited or not self._runner.submit(key, job):
            return False
        self._awaited[key] = started_at_s
        self.begun += 1
        return True

    def poll(self) -> list[Outcome[object]]:
        """As `Runner.poll`."""
        outcomes = self._runner.poll()
        for outcome in outcomes:
            self._awaited.pop(outcome.key, None)
        return outcomes


class Task:
    """One kind of job, done again and again under its own key.

    It is due at the multiples of its interval, so that jobs of one interval, whatever
    happened in between, are begun and harvested together; never later than that interval.
    """

    def __init__(self, runner: Runner, key: str) -> None:
        self.key = key
        self._runner = runner
        self._busy_since_s = runner.busy_since_s
        self._due_at_s = -math.inf
        self._started_at_s = -math.inf

    def start(self, now_s: float, job: Callable[[], object], interval_s: float) -> bool:
        """Submit `job` if it is due and the previous one has ended."""
        if not self.is_due(now_s) or not self._runner.submit(self.key, job):
            return False
        self._due_at_s = in_step_s(max(now_s, self._due_at_s), interval_s)
        self._started_at_s = now_s
        return True

    def is_due(self, now_s: float) -> bool:
        """Would `start` submit it now? Asked first where making the job is work."""
        return now_s >= self._due_at_s - EARLY_S and self._busy_since_s(self.key) is None

    def hurry(self, at_s: float) -> None:
        """Do it again at `at_s`, if that is earlier; after the running one, if one runs."""
        self._due_at_s = min(self._due_at_s, at_s)

    def quicken(self, interval_s: float) -> None:
        """From now on it is due `interval_s` after its latest start, at most."""
        self._due_at_s = min(self._due_at_s, self._started_at_s + interval_s)

    def postpone(self, until_s: float) -> None:
        """Not before `until_s`."""
        self._due_at_s = until_s

    @property
    def busy_since_s(self) -> Optional[float]:
        """Since when a job of this kind runs."""
        return self._busy_since_s(self.key)

    def stuck_since_s(self, now_s: float, deadline_s: float) -> Optional[float]:
        """Since when a job runs that should have ended by now."""
        since_s = self._busy_since_s(self.key)
        return since_s if since_s is not None and now_s - since_s > deadline_s else None

    def next_due_s(self, now_s: float, deadline_s: float = NEVER_S) -> float:
        """When it is due, or its running job is late; the end of a job wakes by itself."""
        since_s = self._busy_since_s(self.key)
        return self._due_at_s if since_s is None else _later(since_s + deadline_s, now_s)

    @property
    def due_at_s(self) -> float:
        """When it is due; never while its job runs."""
        return self._due_at_s if self._busy_since_s(self.key) is None else NEVER_S

    def late_at_s(self, now_s: float, deadline_s: float) -> float:
        """When the job that runs will be late, if it still is in time."""
        since_s = self._busy_since_s(self.key)
        return NEVER_S if since_s is None else _later(since_s + deadline_s, now_s)


def _later(late_at_s: float, now_s: float) -> float:
    """A moment after it, unless that is over."""
    return late_at_s + LATE_S if late_at_s + LATE_S > now_s else NEVER_S
