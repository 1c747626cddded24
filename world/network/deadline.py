"""A moment until which a conversation with somebody else must be over, however it drips."""

from __future__ import annotations

import time


class Deadline:
    """A moment on the monotonic clock, `timeout_s` from now."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._at_s = time.monotonic() + timeout_s

    def is_over(self) -> bool:
        """Is no time left?"""
        return time.monotonic() >= self._at_s

    def left_or_none_s(self) -> float:
        """Seconds that are left; 0: none."""
        return max(0.0, self._at_s - time.monotonic())

    def left_s(self) -> float:
        """Seconds that are left, more than none; raises TimeoutError."""
        left_s = self._at_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no time is left")
        return left_s
