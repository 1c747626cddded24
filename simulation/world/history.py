# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A history that outlives the agent that wrote it."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from ha_agent.history.entry import Entry
from simulation.world.clock import CallHangs

FULL = "No space left on device"


class SimHistory:
    """A `HistoryStore` in memory, which a power cut does not touch.

    `entries` is all of it. While it `hangs` or is `full`, nothing can be added.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.hangs = False
        self.full = False
        self._boots = 1

    def append(self, entries: Sequence[Entry]) -> None:
        if self.hangs:
            raise CallHangs("write the history")
        if self.full:
            raise OSError(errno.ENOSPC, FULL)
        boot = str(self._boots)
        self.entries += [entry._replace(boot=boot) for entry in entries]

    def earlier(self) -> Sequence[Entry]:
        boot = str(self._boots)
        return [entry for entry in self.entries if entry.boot == boot]

    def power_off(self) -> None:
        """The host is switched off; what it writes later belongs to another boot."""
        self._boots += 1
