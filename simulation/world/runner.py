# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A runner without threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

from simulation.world.clock import CallHangs, JobClock
from world.ports.jobs import Outcome

# How often a job that can't go on looks whether it can: what has hung for hours is in no hurry.
RETRY_S = 1.0
RETRY_SHARE = 0.02
# What no job means to raise: a mistake in the code, which is not to pass for an outcome here.
MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    TypeError,
)


@dataclass
class _Pending:
    """A job that has not run to its end yet."""

    job: Callable[[], object]
    started_at_s: float
    tried_at_s: float

    @property
    def next_try_s(self) -> float:
        """When it looks again."""
        return self.tried_at_s + max(RETRY_S, RETRY_SHARE * (self.tried_at_s - self.started_at_s))


class InlineRunner:
    """A `Runner` that executes each job inside `submit`.

    A job whose calls spend virtual time ends that much later. `hang(key)` keeps every job of
    that key from being executed until `release(key)`; a job that meets something that hangs is
    tried again at each poll. While it is `frozen` nothing is executed at all. `before_submit`
    is called first, with the job's key; what it raises is passed on. `keep_log` is for tests:
    `submitted` lists the keys.
    """

    def __init__(
        self,
        clock: JobClock,
        wake: Callable[[], None] = lambda: None,
        before_submit: Callable[[str], None] = lambda _key: None,
        keep_log: bool = True,
    ) -> None:
        self.submitted: list[str] = []
        self.frozen = False
        self._before_submit = before_submit
        self._keep_log = keep_log
        self._clock = clock
        self._wake = wake
        self._hanging: set[str] = set()
        self._pending: dict[str, _Pending] = {}
        self._ended: list[Outcome[object]] = []

    def submit(self, key: str, job: Callable[[], object]) -> bool:
        if self.busy_since_s(key) is not None:
            return False
        self._before_submit(key)
        if self._keep_log:
            self.submitted.append(key)
        now_s = self._clock.monotonic_s()
        self._attempt(key, _Pending(job, now_s, now_s))
        return True

    def busy_since_s(self, key: str) -> Optional[float]:
        if key in self._pending:
            return self._pending[key].started_at_s
        if not self._ended:
            return None
        now_s = self._clock.monotonic_s()
        for outcome in self._ended:
            if outcome.key == key and outcome.finished_at_s > now_s:
                return outcome.started_at_s
        return None

    def poll(self) -> list[Outcome[object]]:
        if not self._pending and not self._ended:
            return []
        for key in list(self._pending):
            self._attempt(key, self._pending.pop(key))
        now_s = self._clock.monotonic_s()
        if not self._ended:
            return []
        due = [outcome for outcome in self._ended if outcome.finished_at_s <= now_s]
        self._ended = [outcome for outcome in self._ended if outcome.finished_at_s > now_s]
        return sorted(due, key=lambda outcome: outcome.finished_at_s)

    def hang(self, key: str) -> None:
        self._hanging.add(key)

    def release(self, key: str) -> None:
        """Let the jobs of `key` run again; one that was submitted meanwhile ends now."""
        self._hanging.discard(key)
        if key in self._pending:
            self._attempt(key, self._pending.pop(key))

    def next_end_s(self) -> Optional[float]:
        """When the next outcome appears by itself, for simulators; None: not foreseeable."""
        if not self._ended:
            return None
        return min([outcome.finished_at_s for outcome in self._ended])

    def next_try_s(self) -> Optional[float]:
        """When a job that could not go on should be tried again; None: there is none."""
        if self.frozen or not self._pending:
            return None
        return min(job.next_try_s for job in self._pending.values())

    def _attempt(self, key: str, pending: _Pending) -> None:
        begun_s = self._clock.monotonic_s()
        pending.tried_at_s = begun_s
        if key in self._hanging or self.frozen:
            self._pending[key] = pending
            return
        self._clock.begin_job()
        try:
            value, error, hangs = _run(pending.job)
        finally:
            spent_s = self._clock.end_job()
        finished_at_s = begun_s + spent_s
        if hangs:
            self._pending[key] = pending
            return
        self._ended.append(Outcome(key, value, error, pending.started_at_s, finished_at_s))
        self._wake()


def _run(job: Callable[[], object]) -> tuple[object, Optional[Exception], bool]:
    try:
        return job(), None, False
    except CallHangs:
        return None, None, True
    except MISTAKES:
        raise
    except Exception as error:  # the job's own failure is an outcome
        return None, error, False
