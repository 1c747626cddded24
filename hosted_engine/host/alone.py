# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Is this process alone with its one thread? Only then it may be copied.

What another thread holds in the moment of a fork, such as the lock of a module that it is
importing, is held for ever in the copy, which may then hang. So a command's process refuses to be
copied while it has another thread: that is a bug, and one that is told gets mended.
"""

from __future__ import annotations

import os
import time

_THREADS = "/proc/self/task"
_GONE_WITHIN_S = 1.0
_LOOK_EVERY_S = 0.001


class ThisProcess:
    """Whether this one is a command's own."""

    is_command = False


def this_is_a_command() -> None:
    """From now on `refuse_with_threads` refuses.

    It does not where somebody else's process runs our code: that of the tests has threads of
    its runner.
    """
    ThisProcess.is_command = True


def refuse_with_threads() -> None:
    """Raise RuntimeError when this process, a command's own, has another thread.

    The kernel counts, for libraries begin threads that Python does not know. One that has been
    joined is there for a moment longer.
    """
    if not ThisProcess.is_command:
        return
    end_s = time.monotonic() + _GONE_WITHIN_S
    while (count := len(os.listdir(_THREADS))) > 1:  # noqa: PTH208  # pathlib costs 15 ms
        if time.monotonic() > end_s:
            raise RuntimeError(f"a process with {count} threads is about to be copied")
        time.sleep(_LOOK_EVERY_S)
