"""What a daemon's loop sleeps on: a pipe, so that threads and signal handlers can wake it."""

from __future__ import annotations

import contextlib
import os
import select


class Wake:
    """`wake()` ends a `wait()`, the present or the next one.

    A `threading.Event` would do but for signal handlers: its `set` takes a lock that the
    interrupted `wait` may hold. Writing to a pipe takes none.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)

    def wake(self) -> None:
        """May be called from any thread and from a signal handler."""
        # Full: the loop is being woken already. Closed: it has ended.
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._writer, b"!")

    def wait(self, timeout_s: float) -> bool:
        """Sleep until woken or for `timeout_s`; True: woken."""
        woken = bool(self._poll.poll(max(0.0, timeout_s) * 1000))
        if woken:
            with contextlib.suppress(BlockingIOError):
                os.read(self._reader, 4096)
        return woken

    def close(self) -> None:
        """Free the pipe; later calls of `wake` do nothing."""
        reader, writer, self._reader, self._writer = self._reader, self._writer, -1, -1
        os.close(reader)
        os.close(writer)
