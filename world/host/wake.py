# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a daemon's loop sleeps on: a pipe, so that threads and signal handlers can wake it."""

from __future__ import annotations

import contextlib
import os
import select

from world.host.clock_jump import clock_jump_fd


class Wake:
    """`wake()` ends a `wait()`, the present or the next one; so does the machine's own waking up.

    A `threading.Event` would do but for signal handlers: its `set` takes a lock that the
    interrupted `wait` may hold. Writing to a pipe takes none.

    While `_asked`, there is something in the pipe or about to be: whoever comes then need not write
    again, for the loop looks at everything after it has set it back.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._asked = False
        self._jump = clock_jump_fd()
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        if self._jump >= 0:
            self._poll.register(self._jump, select.POLLIN)

    def wake(self) -> None:
        """May be called from any thread and from a signal handler, after what it is about."""
        if self._asked:
            return
        self._asked = True
        # Full: the loop is being woken already. Closed: it has ended.
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._writer, b"!")

    def forget(self) -> None:
        """Of the calls of `wake` so far none ends the next `wait`: for who looks afterwards."""
        self.wait(0)

    def wait(self, timeout_s: float) -> bool:
        """Sleep until woken or for `timeout_s`; True: woken."""
        ready = self._poll.poll(max(0.0, timeout_s) * 1000)
        for fd, _event in ready:
            with contextlib.suppress(OSError):  # it is empty already, or says ECANCELED
                os.read(fd, 4096)
        # After the reading: one that came between the two left nothing in the pipe.
        self._asked = False
        return bool(ready)

    def close(self) -> None:
        """Free the pipe; later calls of `wake` do nothing."""
        reader, writer, self._reader, self._writer = self._reader, self._writer, -1, -1
        os.close(reader)
        os.close(writer)
        jump, self._jump = self._jump, -1
        if jump >= 0:
            os.close(jump)
