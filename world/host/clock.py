# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The machine's clocks."""

from __future__ import annotations

import time


class SystemClock:
    """The `Clock` of the real world.

    CLOCK_MONOTONIC is one clock for all processes of a machine and begins anew at its boot,
    so its values may travel between local processes but never between hosts.
    """

    def monotonic_s(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    def boottime_s(self) -> float:
        """Seconds of CLOCK_BOOTTIME."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_s(self) -> float:
        """Seconds since the epoch."""
        return time.time()
