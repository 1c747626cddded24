# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a conversation with somebody else may cost: until when it lasts, and how much is said."""

from __future__ import annotations

import time

MOST_HEARD_BYTES = 256 * 1024
"""In one conversation, over all its answers: pages and replies that matter are far shorter."""


class TooMuchError(OSError):
    """The other side has said more than anybody needs to."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"more than {most_bytes} bytes came in answer")


class Deadline:
    """A moment on the monotonic clock, `timeout_s` from now, and bytes that may be heard until
    then."""

    def __init__(self, timeout_s: float, most_bytes: int = MOST_HEARD_BYTES) -> None:
        self.timeout_s = timeout_s
        self._most_bytes = self._left_bytes = most_bytes
        self._at_s = time.monotonic() + timeout_s

    def is_over(self) -> bool:
        """Is no time left?"""
        return time.monotonic() >= self._at_s

    def left_or_none_s(self) -> float:
        """Seconds that are left; 0: none."""
        return max(0.0, self._at_s - time.monotonic())

    def heard(self, count: int) -> int:
        """So many bytes more have come; returns them. Raises TooMuchError."""
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise TooMuchError(self._most_bytes)
        return count

    def left_s(self) -> float:
        """Seconds that are left, more than none; raises TimeoutError."""
        left_s = self._at_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no time is left")
        return left_s
