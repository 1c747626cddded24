# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A simulated host's path to the shared storage: its own I/O and sanlock's take the same one."""

from __future__ import annotations

import errno
import math
from typing import Callable

from simulation.world import SimLockspace, SimStore

WORKS, HANGS, FAILS = "works", "hangs", "fails"


class StoragePath:
    """Lies outside the host: it stays as it is over a power cut.

    `now_s` tells the world's time; `wake` is called when the path has changed. `next_s` is when
    `run` has something to do.
    """

    def __init__(
        self,
        store: SimStore,
        lockspace: SimLockspace,
        now_s: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self.next_s = math.inf
        self._store = store
        self._lockspace = lockspace
        self._usual_latency_s = store.latency_s
        self._now_s = now_s
        self._wake = wake
        self._path = WORKS
        self._flap_s = math.inf

    def hang(self) -> None:
        """It takes requests and never answers."""
        self._set(HANGS)

    def fail(self) -> None:
        """It answers with I/O errors."""
        self._set(FAILS)

    def slow(self, seconds: float) -> None:
        """Each operation of the daemons takes so long."""
        self._store.latency_s = seconds

    def flap(self, period_s: float) -> None:
        """It hangs for one period, works for one, and so on."""
        self._flap_s = period_s
        self._flap()

    def heal(self) -> None:
        """It works as usual."""
        self.next_s = math.inf
        self._store.latency_s = self._usual_latency_s
        self._set(WORKS)

    def run(self) -> None:
        """Change by itself, if that is due."""
        if self.next_s <= self._now_s():
            self._flap()

    def _flap(self) -> None:
        self.next_s = self._now_s() + self._flap_s
        self._set(HANGS if self._path == WORKS else WORKS)

    def _set(self, path: str) -> None:
        self._path = path
        self._store.heal()
        self._lockspace.heal_storage()
        if path == HANGS:
            self._store.hang()
            self._lockspace.hang_storage()
        elif path == FAILS:
            self._store.fail(errno.EIO)
            self._lockspace.fail_storage(errno.EIO)
        self._wake()
