"""What the broker's loop sleeps on; threads and signal handlers wake it."""

from __future__ import annotations

import contextlib
import os
import select


class Wake:
    """`wake()` ends a `wait()`, the present or the next one.

    A pipe, since the set of a `threading.Event` takes a lock, which the wait that a signal
    handler interrupts may hold.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)

    def wake(self) -> None:
        """From any thread or signal handler; a full pipe wakes well enough."""
        with contextlib.suppress(OSError):
            os.write(self._writer, b"w")

    def wait(self, timeout_s: float) -> bool:
        """Until woken, at most `timeout_s`; True: woken."""
        woken = bool(self._poll.poll(max(0.0, timeout_s) * 1000))
        if woken:
            with contextlib.suppress(BlockingIOError):
                os.read(self._reader, 4096)
        return woken
