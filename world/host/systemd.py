# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""systemd: notifications to it, and a question. The only file that imports `sdnotify`."""

from __future__ import annotations

import os
from typing import Any, Optional

from world.host.shutdown_lock import ShutdownLock
from world.ports.errors import WorldError

_SEND_TIMEOUT_S = 0.5
_ANSWER_TIMEOUT_S = 2.0


class SystemdServiceManager:
    """The `ServiceManager` of the real world.

    Does nothing when NOTIFY_SOCKET is not set. Raises WorldError when it is set and the
    package sdnotify is missing: systemd would wait for READY=1 in vain.
    """

    def __init__(self) -> None:
        self._notifier: Optional[Any] = _notifier() if os.environ.get("NOTIFY_SOCKET") else None
        self._lock = ShutdownLock()

    def ready(self) -> None:
        """READY=1."""
        self._notify("READY=1")

    def status(self, text: str) -> None:
        """STATUS=text, on one line and in ASCII: a line break would begin another message."""
        words = " ".join(text.split())
        plain = "".join(letter if " " <= letter <= "~" else "?" for letter in words)
        self._notify(f"STATUS={plain}")

    def alive(self) -> None:
        """WATCHDOG=1."""
        self._notify("WATCHDOG=1")

    def stopping(self) -> None:
        """STOPPING=1."""
        self._notify("STOPPING=1")

    def extend_timeout(self, seconds: float) -> None:
        """EXTEND_TIMEOUT_USEC."""
        self._notify(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def delays_shutdown(self, why: str) -> None:
        """A lock of logind's, where systemd has started this."""
        if self._notifier is not None:
            self._lock.show(why)

    def machine_stops(self) -> bool:
        """See `ServiceManager.machine_stops`."""
        return machine_stops()

    def _notify(self, message: str) -> None:
        if self._notifier is not None:
            self._notifier.notify(message)


def _notifier() -> Any:
    try:
        import sdnotify  # noqa: PLC0415
    except ImportError as error:
        why = f"{error}; install the package sdnotify"
        raise WorldError("load systemd's notifier", why) from error
    notifier = sdnotify.SystemdNotifier()
    if notifier.socket is not None:
        # A manager that does not read must not stop the daemon; sdnotify drops what fails.
        notifier.socket.settimeout(_SEND_TIMEOUT_S)
    return notifier


def machine_stops() -> bool:
    """Is the whole machine shutting down? Where systemd does not tell, it is not."""
    import subprocess  # noqa: PLC0415  # asked once in a daemon's life, and 160 KiB

    command = ["systemctl", "is-system-running"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_ANSWER_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == "stopping"
