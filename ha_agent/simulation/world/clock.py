"""Virtual time."""

from __future__ import annotations

from typing import Callable


class CallHangs(BaseException):
    """A fake's call that would block; `InlineRunner` keeps the job's key busy and tries again.

    Not an `Exception`, so that no handler of the code under test takes it for an error.
    """


class VirtualClock:
    """A `Clock` that moves only by `advance` (and by `spend`, for calls that take time)."""

    def __init__(self, start_s: float = 1000.0, wall_start_s: float = 1_700_000_000.0) -> None:
        self._now_s = start_s
        self._wall_offset_s = wall_start_s - start_s
        self._observers: list[Callable[[], None]] = []
        self._job_cost_s: list[float] = []

    def monotonic_s(self) -> float:
        return self._now_s

    def wall_s(self) -> float:
        return self._now_s + self._wall_offset_s

    def shift_wall(self, seconds: float) -> None:
        """Somebody set the wall clock; monotonic time does not notice."""
        self._wall_offset_s += seconds

    def advance(self, seconds: float) -> None:
        """Move on, then let the rest of the simulated world do what was due meanwhile."""
        if seconds < 0:
            raise ValueError(f"a clock does not run backwards: {seconds}")
        self._now_s += seconds
        for observer in self._observers:
            observer()

    def on_advance(self, observer: Callable[[], None]) -> None:
        self._observers.append(observer)

    def spend(self, seconds: float) -> None:
        """A blocking call takes `seconds`: of the running job, or of everybody outside one."""
        if self._job_cost_s:
            self._job_cost_s[-1] += seconds
        else:
            self.advance(seconds)

    def block(self, what: str) -> None:
        """A call can't go on yet: a job is tried again later, outside one some time passes."""
        if self._job_cost_s:
            raise CallHangs(what)
        self.advance(0.5)

    def begin_job(self) -> None:
        self._job_cost_s.append(0.0)

    def end_job(self) -> float:
        """What the job begun last has spent."""
        return self._job_cost_s.pop()
