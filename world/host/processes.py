# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which process it is that has a pid, and when it began, from /proc."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Optional

from world.ports.host import ProcessStart

_START_FIELD = 22  # of /proc/PID/stat, counted from 1; the name in field 2 may have blanks


class ProcProcesses:
    """The `Processes` of the real world."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")

    def started(self, pid: int) -> Optional[ProcessStart]:
        """The process that has `pid` now; None: there is none."""
        try:
            text = (self._proc / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
            ticks = int(text.rpartition(")")[2].split()[_START_FIELD - 3])
        except (OSError, ValueError, IndexError):
            return None
        # The kernel counts from the boot, also while the machine was suspended.
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / self._ticks_per_s
        return ProcessStart(f"{pid}/{ticks}", max(0.0, time.monotonic() - age_s))
