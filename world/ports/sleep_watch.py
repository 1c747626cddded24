# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Has this machine slept?"""

from __future__ import annotations

from world.ports.jobs import Clock

# Between the two readings the process may have to wait; a sleep this short matters to nobody.
SHORTEST_S = 1.0


class SleepWatch:
    """Compares CLOCK_BOOTTIME, which counts a suspend, with CLOCK_MONOTONIC, which does not.

    A pause by an outer hypervisor stops both, and shows nowhere: what was looked at before it
    looks fresh afterwards, until the next look.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._apart_s = self._now_apart_s()

    def slept_s(self) -> float:
        """How long the machine has slept since the last call; 0: it has not."""
        before_s, self._apart_s = self._apart_s, self._now_apart_s()
        slept_s = self._apart_s - before_s
        return slept_s if slept_s >= SHORTEST_S else 0.0

    def _now_apart_s(self) -> float:
        return self._clock.boottime_s() - self._clock.monotonic_s()
