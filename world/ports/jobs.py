# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Time, and work that may hang."""

from __future__ import annotations

from typing import Callable, Generic, Optional, Protocol, TypeVar

from metadata.value_class import value_class

T = TypeVar("T")


class Clock(Protocol):
    """Time. Only `monotonic_s` ever decides; `wall_s` is for people."""

    def monotonic_s(self) -> float:
        """Seconds of CLOCK_MONOTONIC, which stands still while the machine is suspended."""

    def boottime_s(self) -> float:
        """Seconds of CLOCK_BOOTTIME: as monotonic, but it counts a suspend too.

        How far the two are apart tells how long the machine has slept; nothing else is
        reckoned with it.
        """

    def wall_s(self) -> float:
        """Seconds since the epoch."""


@value_class(frozen=True)
class Outcome(Generic[T]):
    """How a submitted job ended: a value, or the error that it raised."""

    key: str
    value: Optional[T]
    error: Optional[Exception]
    started_at_s: float
    finished_at_s: float


class Runner(Protocol):
    """Runs blocking jobs apart from the cycle, at most one per key at a time.

    A job that hangs occupies its own key only. A finished job calls the runner's wake
    callback, so that the cycle need not wait for its next tick.
    """

    def submit(self, key: str, job: Callable[[], object]) -> bool:
        """Start `job` under `key`; False when that key is still busy."""

    def busy_since_s(self, key: str) -> Optional[float]:
        """Monotonic second at which the running job of `key` began; None when idle."""

    def poll(self) -> list[Outcome[object]]:
        """The jobs that ended since the last call, in the order in which they ended."""
