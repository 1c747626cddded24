# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The service manager."""

from __future__ import annotations


class SimServiceManager:
    """A `ServiceManager` that remembers what it was told, or its last status only."""

    def __init__(self, keep_log: bool = True) -> None:
        self.calls: list[str] = []
        self._keep_log = keep_log
        self.status_text = ""
        self.host_goes_down = False
        self.delay_why = ""

    def ready(self) -> None:
        self._note("READY=1")

    def status(self, text: str) -> None:
        self._note(f"STATUS={text}")
        self.status_text = text

    def alive(self) -> None:
        self._note("WATCHDOG=1")

    def stopping(self) -> None:
        self._note("STOPPING=1")

    def extend_timeout(self, seconds: float) -> None:
        self._note(f"EXTEND_TIMEOUT_USEC={seconds * 1e6:.0f}")

    def delays_shutdown(self, why: str) -> None:
        self.delay_why = why

    def machine_stops(self) -> bool:
        return self.host_goes_down

    def _note(self, call: str) -> None:
        if self._keep_log:
            self.calls.append(call)
