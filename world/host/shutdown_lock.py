# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Has `systemd-inhibit --list` say that, and why, a shutdown of this host takes a while.

It holds up nothing: that does the service's own stop. logind asks those who hold such a lock before
it shuts the host down, and waits 5 s at most (InhibitDelayMaxSec); the lock is let go then within a
second. It is held by a child, systemd's own tool, which needs no right but that to hold a delaying
lock, and polkit gives that to everybody. Where there is no logind, or it refuses, nothing is shown.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:
    import subprocess

WHO = "hosted-engine-ha"
# Whoever can't have the lock asks again after so long.
AGAIN_S = 60.0
_PREPARES = (
    "busctl --timeout=2 get-property org.freedesktop.login1 /org/freedesktop/login1 "
    "org.freedesktop.login1.Manager PreparingForShutdown"
)
# The signal that says it reaches programs alone that speak D-Bus, and this is asked of a socket.
_UNTIL_SHUTDOWN = f'until [ "$({_PREPARES} 2>&1)" = "b true" ]; do sleep 1; done'


class ShutdownLock:
    """The lock, while there is a reason for it. Never raises, and waits for nobody."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._why = ""
        self._again_at_s = 0.0
        self._child: Optional[subprocess.Popen[bytes]] = None

    def show(self, why: str) -> None:
        """Hold it for that reason; empty: not at all. To be said again and again."""
        if why != self._why:
            self._let_go()
            self._why, self._again_at_s = why, 0.0
        held = self._child is not None and self._child.poll() is None
        if why and not held and self._clock_s() >= self._again_at_s:
            self._again_at_s = self._clock_s() + AGAIN_S
            self._hold()

    def _hold(self) -> None:
        import subprocess  # noqa: PLC0415  # on the engine's host alone, and 160 KiB

        lock = ("--what=shutdown", "--mode=delay", f"--who={WHO}", f"--why={self._why}")
        with suppress(OSError):
            self._child = subprocess.Popen(
                ["systemd-inhibit", *lock, "sh", "-c", _UNTIL_SHUTDOWN],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _let_go(self) -> None:
        """All that the child has started goes with it."""
        if self._child is not None and self._child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            # It is a moment's work, and nobody's child may be left.
            self._child.wait()
        self._child = None
