# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A value that counts only once it has held for a while. Pure."""

from __future__ import annotations

from typing import Generic, Optional, TypeVar

from metadata.value_class import replaced, value_class

T = TypeVar("T")


@value_class(frozen=True)
class Debounced(Generic[T]):
    """`settled` is what counts; `candidate` has been seen without a break since `since_s`.

    seen        the latest value that was known in this life of the process
    witnessed   before the candidate another value was seen: the change was not merely found
    """

    settled: Optional[T] = None
    candidate: Optional[T] = None
    since_s: float = 0.0
    seen: Optional[T] = None
    witnessed: bool = False

    @property
    def resting(self) -> bool:
        """Is nothing about to change?"""
        return self.candidate is None

    def look(self, value: Optional[T], now_s: float) -> Debounced[T]:
        """The value is this now; what is not known ends a candidate's time."""
        if value is None or value == self.settled:
            return self._rest(value)
        if value == self.candidate:
            return self
        witnessed = self.seen is not None and self.seen != value
        return replaced(self, candidate=value, since_s=now_s, seen=value, witnessed=witnessed)

    def _rest(self, value: Optional[T]) -> Debounced[T]:
        seen = self.seen if value is None else value
        if self.candidate is None and seen == self.seen:
            return self
        return replaced(self, candidate=None, seen=seen)

    def has_held(self, now_s: float, hold_s: float) -> bool:
        """Has the candidate been seen for long enough?"""
        return self.candidate is not None and now_s - self.since_s >= hold_s

    def settle(self, value: Optional[T] = None) -> Debounced[T]:
        """The candidate (or `value` in its place) counts from now on."""
        settled = self.candidate if value is None else value
        return replaced(self, settled=settled, candidate=None)
