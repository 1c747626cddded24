# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Virtual time."""

from __future__ import annotations

from typing import Callable, Optional, Protocol


class CallHangs(BaseException):
    """A fake's call that would block; `InlineRunner` keeps the job's key busy and tries again.

    Not an `Exception`, so that no handler of the code under test takes it for an error.
    """


class ProcessEnded(BaseException):  # no error of the code that it ends
    """The process whose code runs now is killed at this very call.

    Not an `Exception`: a killed process handles nothing any more.
    """


class JobClock(Protocol):
    """What an `InlineRunner` needs of a clock."""

    def monotonic_s(self) -> float:
        """Seconds since the host was switched on, or since any other moment."""

    def begin_job(self) -> None:
        """What is spent from now on is spent by a job."""

    def end_job(self) -> float:
        """What the job begun last has spent."""


class VirtualClock:
    """A `Clock` that moves only by `advance` (and by `spend`, for calls that take time).

    `now_s` is for those who ask millions of times; it is set here only.
    """

    def __init__(self, start_s: float = 1000.0, wall_start_s: float = 1_700_000_000.0) -> None:
        self.now_s = start_s
        self._wall_offset_s = wall_start_s - start_s
        self._slept_s = 0.0
        self._observers: list[Callable[[], None]] = []
        self._job_cost_s: list[float] = []

    def monotonic_s(self) -> float:
        return self.now_s

    def boottime_s(self) -> float:
        return self.now_s + self._slept_s

    def wall_s(self) -> float:
        return self.now_s + self._wall_offset_s

    def sleep(self, seconds: float) -> None:
        """The machine was suspended for so long: only boottime and the wall clock went on."""
        self._slept_s += seconds
        self._wall_offset_s += seconds

    def shift_wall(self, seconds: float) -> None:
        """Somebody set the wall clock; monotonic time does not notice."""
        self._wall_offset_s += seconds

    def advance(self, seconds: float) -> None:
        """Move on, then let the rest of the simulated world do what was due meanwhile."""
        if seconds < 0:
            raise ValueError(f"a clock does not run backwards: {seconds}")
        self.now_s += seconds
        for observer in self._observers:
            observer()

    def move_to(self, at_s: float) -> None:
        """Move on for somebody who looks after all that is due himself."""
        self.now_s = at_s

    def on_advance(self, observer: Callable[[], None]) -> None:
        self._observers.append(observer)

    def spend(self, seconds: float) -> None:
        """A blocking call takes `seconds`: of the running job, or of everybody outside one."""
        if self._job_cost_s:
            self._job_cost_s[-1] += seconds
        else:
            self.advance(seconds)

    def block(self, what: str) -> None:
        """A call can't go on yet: a job is tried again later, outside one some time passes.

        The job's runner tries it again each second.
        """
        if self._job_cost_s:
            raise CallHangs(what)
        self.advance(0.5)

    def begin_job(self) -> None:
        self._job_cost_s.append(0.0)

    def end_job(self) -> float:
        """What the job begun last has spent."""
        return self._job_cost_s.pop()


class HostClock:
    """One host's clock: near zero at power-on, and with a wall clock that may be wrong."""

    def __init__(self, base: VirtualClock, wall_offset_s: float = 0.0) -> None:
        self._base = base
        self.begin_job: Callable[[], None] = base.begin_job
        self.end_job: Callable[[], float] = base.end_job
        self._zero_s = base.monotonic_s()
        self._booted_at_s = self._zero_s
        self._stands_since_s: Optional[float] = None
        self.boottime_stands = False
        self._wall_offset_s = wall_offset_s
        self._drift_ppm = 0.0
        self._drifts_since_s = self._zero_s

    def monotonic_s(self) -> float:
        stands_since_s = self._stands_since_s
        now_s = self._base.now_s if stands_since_s is None else stands_since_s
        return now_s - self._zero_s

    def boottime_s(self) -> float:
        return self._base.now_s - self._booted_at_s

    def wall_s(self) -> float:
        return self._base.wall_s() + self._wall_offset_s + self._drifted_s()

    def at_s(self, moment_s: float) -> float:
        """A moment of this host's clock on the world's clock.

        A nanosecond late: rounding must not put it before the moment, or time stands still.
        """
        return moment_s + self._zero_s + 1e-9

    def power_on(self) -> None:
        """Monotonic time begins anew; the wall clock, which has a battery, goes on."""
        self._zero_s = self._booted_at_s = self._base.now_s
        self._stands_since_s = None

    def suspend(self, boottime_stands: bool = False) -> None:
        """Monotonic time stands still until `resume`, and boottime too if it is said so."""
        self._stands_since_s = self._base.now_s
        self.boottime_stands = boottime_stands

    def resume(self) -> float:
        """Monotonic time goes on where it stood; returns for how long that was."""
        assert self._stands_since_s is not None
        stood_s = self._base.now_s - self._stands_since_s
        self._zero_s += stood_s
        self._booted_at_s += stood_s * self.boottime_stands
        self._stands_since_s = None
        return stood_s

    def step_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self._wall_offset_s += seconds

    def drift(self, ppm: float) -> None:
        """From now on the wall clock gains so many microseconds a second."""
        self._wall_offset_s += self._drifted_s()
        self._drifts_since_s = self._base.now_s
        self._drift_ppm = ppm

    def _drifted_s(self) -> float:
        return (self._base.now_s - self._drifts_since_s) * self._drift_ppm / 1e6
