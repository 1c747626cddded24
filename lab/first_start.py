# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Measures the guest's own boot: from its first qemu process to the first healthy answer."""

from __future__ import annotations

import threading

from lab import engine, lan
from lab.errors import LabError
from lab.processes import machine_clock_s
from lab.settings import Places, scaled
from lab.state import Lab

LOOK_EVERY_S = 0.05


class FirstStart:
    """Looks on while the hosts are still being deployed: the first may start the engine."""

    def __init__(self, places: Places, lab: Lab) -> None:
        self._places = places
        self._lab = lab
        self._boot_s: float | None = None
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def guest_boot_s(self, timeout_s: float) -> float:
        """Wait for the first healthy answer; returns how long the guest took to it."""
        self._thread.join(scaled(timeout_s))
        self._given_up.set()
        if self._boot_s is None:
            raise LabError(f"engine not healthy within {scaled(timeout_s):g} s of its deployment")
        return self._boot_s

    def give_up(self) -> None:
        """Stop looking."""
        self._given_up.set()

    def _watch(self) -> None:
        started_s: float | None = None
        while not self._given_up.wait(LOOK_EVERY_S):
            if started_s is None or not self._runs(started_s):
                started_s = self._start()
            elif lan.engine_is_healthy():
                self._boot_s = machine_clock_s() - started_s
                return

    def _runs(self, started_s: float) -> bool:
        return self._start() == started_s

    def _start(self) -> float | None:
        found = engine.running(self._places, self._lab)
        return found[0].process.started_s if len(found) == 1 else None
