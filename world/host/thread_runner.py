# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Threads for work that may hang: one per key, for as long as the key has work."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import Callable, Optional

from metadata.value_class import value_class
from world.ports.jobs import Clock, Outcome

# A thread costs some 40 KiB; making one, a tenth of a millisecond. What each tick or a monitor does
# never rests so long; what is done at the start, or when the configuration changes, does.
IDLE_S = 60.0


class JobFailedError(Exception):
    """A job raised what is no `Exception`, or its thread could not be made."""


@value_class(frozen=True)
class _Job:
    """One piece of work and the second at which it was handed in."""

    work: Callable[[], object]
    started_at_s: float


class ThreadRunner:
    """The `Runner` of the real world.

    A key's thread is made at its first job, is a daemon thread (a job that never returns does
    not keep the process from ending), sleeps between jobs, and ends when none came for `idle_s`;
    the next job gets a new one. `wake` is called from the job's thread after its outcome can be
    polled; it must be quick and must not raise.
    """

    def __init__(self, clock: Clock, wake: Callable[[], None], idle_s: float = IDLE_S) -> None:
        self._clock = clock
        self._wake = wake
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._workers: dict[str, _Worker] = {}
        self._outcomes: list[Outcome[object]] = []
        self._stopped = False

    def submit(self, key: str, job: Callable[[], object]) -> bool:
        """Start `job` under `key`; False when that key is still busy or the runner stopped.

        A thread that can't be made, for there are too many, is the job's outcome.
        """
        with self._lock:
            if self._stopped:
                return False
            worker = self._workers.get(key)
            if worker is not None:
                return worker.hand_over(_Job(job, self._clock.monotonic_s()))
            try:
                worker = self._workers[key] = _Worker(
                    key, self._work_once, self._may_end, self._idle_s
                )
                return worker.hand_over(_Job(job, self._clock.monotonic_s()))
            except RuntimeError as error:
                now_s = self._clock.monotonic_s()
                failure = JobFailedError(f"it has no thread: {error}")
                self._outcomes.append(Outcome(key, None, failure, now_s, now_s))
        self._wake()
        return True

    def busy_since_s(self, key: str) -> Optional[float]:
        """Monotonic second at which the running job of `key` began; None when idle."""
        with self._lock:
            worker = self._workers.get(key)
            return None if worker is None else worker.busy_since_s()

    def poll(self) -> list[Outcome[object]]:
        """The jobs that ended since the last call, in the order in which they ended."""
        with self._lock:
            outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Take no more jobs and end the threads; False: a hung job is still there after it."""
        with self._lock:
            self._stopped = True
            workers = list(self._workers.values())
        for worker in workers:
            worker.end()
        deadline_s = self._clock.monotonic_s() + timeout_s
        for worker in workers:
            worker.join(max(0.0, deadline_s - self._clock.monotonic_s()))
        return not any(worker.is_alive() for worker in workers)

    def _work_once(self, worker: _Worker, job: _Job) -> None:
        value, error = _run(job.work)
        ended_at_s = self._clock.monotonic_s()
        outcome = Outcome(worker.key, value, error, job.started_at_s, ended_at_s)
        with self._lock:
            self._outcomes.append(outcome)
            worker.done()
        self._wake()

    def _may_end(self, worker: _Worker) -> bool:
        """Asked by a worker that nothing came for; its place is free if a job has not come yet."""
        with self._lock:
            idle = worker.busy_since_s() is None
            if idle:
                del self._workers[worker.key]
        return idle


class _Worker:
    """One key's thread; `hand_over`, `busy_since_s` and `done` need the runner's lock."""

    def __init__(
        self,
        key: str,
        work_once: Callable[[_Worker, _Job], None],
        may_end: Callable[[_Worker], bool],
        idle_s: float,
    ) -> None:
        self.key = key
        self._work_once = work_once
        self._may_end = may_end
        self._idle_s = idle_s
        self._job: Optional[_Job] = None
        self._handed_over: SimpleQueue[Optional[_Job]] = SimpleQueue()  # None: no more will come
        self._thread = threading.Thread(target=self._loop, name=f"job-{key}", daemon=True)
        self._thread.start()

    def hand_over(self, job: _Job) -> bool:
        if self._job is not None:
            return False
        self._job = job
        self._handed_over.put(job)
        return True

    def busy_since_s(self) -> Optional[float]:
        return None if self._job is None else self._job.started_at_s

    def done(self) -> None:
        self._job = None

    def end(self) -> None:
        self._handed_over.put(None)

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _loop(self) -> None:
        while (job := self._next_job()) is not None:
            self._work_once(self, job)

    def _next_job(self) -> Optional[_Job]:
        """None: no more will come."""
        while True:
            try:
                return self._handed_over.get(timeout=self._idle_s)
            except Empty:
                if self._may_end(self):
                    return None


def _run(work: Callable[[], object]) -> tuple[object, Optional[Exception]]:
    """Whatever a job raises is its outcome: its thread must live on."""
    try:
        return work(), None
    except Exception as error:
        return None, error
    except BaseException as error:  # a library's `sys.exit`, for one, ends no daemon
        failure = JobFailedError(f"it raised {type(error).__name__}: {error}")
        failure.__cause__ = error
        return None, failure
