# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What all monitors have in common: when they measure, and what their word is worth.

A monitor is a small class with a name, a unit, and two methods: `job` makes the blocking
measurement that is due, `read` turns its raw result into a `Measurement`. `MonitorPart` does the
rest: it runs the job apart from the cycle, under a key of its own, so that one that hangs
delays nobody; it keeps the last value until it is too old, and says so when measuring fails.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Callable, Optional

from ha_broker.api.monitors import MonitorView, Unit
from ha_broker.cycle.part import NEVER_S, BrokerPorts, ChangeLog, error_text
from ha_broker.cycle.task import Task
from metadata.schedule import in_step_s
from metadata.value_class import value_class
from world.ports.jobs import Outcome

# A value counts for so many intervals beyond the one in which it should have been followed by
# the next: one lost measurement changes nothing.
VALID_INTERVALS = 3


@value_class(frozen=True)
class Measurement:
    """One measurement. `value` None: nothing real was measured, for the reason in `detail`."""

    value: Optional[float]
    detail: str = ""
    limit: Optional[float] = None

    @classmethod
    def of_flag(cls, yes: bool, detail: str) -> Measurement:
        """A BOOLEAN, as it is told: 0 or 1; `MonitorView.flag` is the way back."""
        return cls(1.0 if yes else 0.0, detail)


class Monitor(ABC):
    """One thing that is measured on this host."""

    name: str
    unit: Unit

    @abstractmethod
    def interval_s(self) -> float:
        """How often it is measured."""

    @abstractmethod
    def timeout_s(self) -> float:
        """After that long a measurement is late, and its being late is told."""

    @abstractmethod
    def job(self) -> Optional[Callable[[], object]]:
        """The next measurement, which may block; None: there is nothing to measure."""

    @abstractmethod
    def read(self, result: object, at_s: float) -> Measurement:
        """What the measurement that ended at `at_s` says. Quick: it runs in the cycle."""

    def failed(self, error: Exception) -> Optional[Measurement]:
        """What a measurement that could not be made says; None: nothing."""
        return None

    @property
    def points(self) -> int:
        """What its value may cost in the score, where the weights do not say it."""
        return 0


class MonitorPart:
    """A monitor as part of the cycle."""

    def __init__(self, monitor: Monitor, world: BrokerPorts, change_log: ChangeLog) -> None:
        self._monitor = monitor
        self._change_log = change_log
        self._task = Task(world.runner, f"monitor:{monitor.name}")
        self._reading = Measurement(None, "not measured yet")
        self._seen_at_s: Optional[float] = None
        self._trouble = ""
        self._configured = True
        self._began_at_s: Optional[float] = None
        self._view: Optional[MonitorView] = None
        self._view_ends_s = NEVER_S

    @property
    def keys(self) -> tuple[str, ...]:
        """The runner's key of the measurement."""
        return (self._task.key,)

    def harvest(self, outcome: Outcome[object]) -> None:
        """A measurement ended."""
        self._began_at_s = self._view = None
        if outcome.error is None:
            self._trouble = ""
            self._note(self._monitor.read(outcome.value, outcome.finished_at_s), outcome)
        else:
            self._trouble = error_text(outcome.error)
            self._note(self._monitor.failed(outcome.error), outcome)
        self._change_log.tell(self._monitor.name, self._trouble, logging.WARNING)

    def _note(self, reading: Optional[Measurement], outcome: Outcome[object]) -> None:
        if reading is not None:
            self._reading = reading
            self._seen_at_s = outcome.finished_at_s

    def work(self, now_s: float) -> None:
        """Submit the measurement if it is due."""
        if self._began_at_s is None:
            if self._task.is_due(now_s):
                self._begin(now_s)
        elif now_s - self._began_at_s > self._monitor.timeout_s():
            self._tell_late(now_s - self._began_at_s)

    def _begin(self, now_s: float) -> None:
        job = self._monitor.job()
        self._configured, self._view = job is not None, None
        if job is None:
            self._task.postpone(now_s + self._monitor.interval_s())
        elif self._task.start(now_s, job, self._monitor.interval_s()):
            self._began_at_s = now_s
            # However seldom it is measured: with the others, for which the broker wakes anyway.
            self._task.postpone(in_step_s(now_s, self._monitor.interval_s(), NEVER_S))

    def _tell_late(self, waited_s: float) -> None:
        self._view = None
        self._trouble = f"no result since {waited_s:.0f} s"
        # The log gets one line, not one for each second more.
        late = f"no result within {self._monitor.timeout_s():g} s"
        self._change_log.tell(self._monitor.name, late, logging.WARNING)

    def next_due_s(self, now_s: float) -> float:
        """When it is due, or its measurement is late."""
        return self.dues_s(now_s)[0]

    def dues_s(self, now_s: float) -> tuple[float, float]:
        """When the cycle is to be woken for it, and when `work` may do something.

        Nobody needs to be woken for a look at settings that may have changed, nor for a word on
        how late a measurement is.
        """
        at_s = self._task.next_due_s(now_s, self._monitor.timeout_s())
        waits_for_settings = not self._configured and self._began_at_s is None
        wake_s = NEVER_S if waits_for_settings else at_s
        work_s = now_s if at_s == NEVER_S else at_s
        return wake_s, work_s

    def view(self, now_s: float) -> MonitorView:
        """Its latest word, as far as it still counts; the same value until there is another.

        Every cycle of the broker asks, and most change nothing.
        """
        if self._view is None or now_s > self._view_ends_s:
            self._view, self._view_ends_s = self._look(now_s)
        return self._view

    @property
    def view_ends_s(self) -> float:
        """Until when the word given last holds, if nothing is measured or tried before."""
        return self._view_ends_s

    def _look(self, now_s: float) -> tuple[MonitorView, float]:
        """Its word now, and until when that holds by itself."""
        monitor, reading = self._monitor, self._reading
        value, detail = reading.value, reading.detail
        ends_s = NEVER_S
        if value is not None:
            valid_s = VALID_INTERVALS * monitor.interval_s() + monitor.timeout_s()
            ends_s = (self._seen_at_s or 0.0) + valid_s
        if not self._configured:
            value, detail, ends_s = None, "not configured", NEVER_S
        elif now_s > ends_s:
            value, detail, ends_s = None, self._trouble or "the latest value is too old", NEVER_S
        view = MonitorView(
            name=monitor.name,
            unit=monitor.unit,
            value=value,
            limit=reading.limit,
            detail=detail or self._trouble,
            seen_at_s=self._seen_at_s,
            trouble=self._trouble,
            points=monitor.points,
        )
        return view, ends_s
