# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is watched from outside while the engine moves: its processes, and who has its lease."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from lab import engine, host
from lab.background import BackgroundWatcher
from lab.processes import machine_clock_s
from lab.settings import HOST_LEASES, LEASE_OFFSET, LOCKSPACE, RESOURCE, Places
from lab.state import Lab

LEASE_OWNERS = Path(__file__).with_name("lease_owners.py")
LOOKS_EVERY_S = 0.1
ENDING_S = 10.0


class ProcessWatcher(BackgroundWatcher):
    """Which hosts have a qemu process of the engine, a paused one included.

    `changes` has (machine's clock, hosts) of each change, from the beginning of a `with` on.
    """

    def __init__(self, places: Places, lab: Lab) -> None:
        super().__init__()
        self.changes: list[tuple[float, list[str]]] = []
        self._places = places
        self._lab = lab

    def _run(self) -> None:
        while not self._ended.wait(LOOKS_EVERY_S):
            found = engine.processes_of(self._places, self._lab)
            hosts = sorted({one.host for one in found})
            if not self.changes or self.changes[-1][1] != hosts:
                self.changes.append((machine_clock_s(), hosts))


class LeaseWatcher:
    """Who holds the engine's lease, as one host reads it from the storage.

    `changes` has (machine's clock, host or "") of each change, from the beginning of a `with` on.
    """

    def __init__(self, places: Places, reader: str) -> None:
        self.changes: list[tuple[float, str]] = []
        arguments = [LOCKSPACE, RESOURCE, HOST_LEASES, str(LEASE_OFFSET)]
        command = ["/usr/bin/python3", "-c", LEASE_OWNERS.read_text(encoding="utf-8"), *arguments]
        self._command = host.command_in(host.require_leader(places, reader), command)

    def __enter__(self) -> LeaseWatcher:
        self._child = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._child.wait(ENDING_S)
        self._thread.join(ENDING_S)

    def _read(self) -> None:
        for line in self._child.stdout or ():
            number = line.strip()
            self.changes.append((machine_clock_s(), f"h{number}" if number != "0" else ""))
