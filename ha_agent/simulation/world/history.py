"""A history that outlives the agent that wrote it."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from ha_agent.chronicle.entry import Entry
from ha_agent.simulation.world.clock import CallHangs

FULL = "No space left on device"


class SimHistory:
    """A `HistoryStore` in memory; a power cut takes what was not made durable.

    `entries` is all of it. While it `hangs` or is `full`, nothing can be added.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.hangs = False
        self.full = False
        self._durable = 0
        self._boots = 1

    def append(self, entries: Sequence[Entry], durable: bool) -> None:
        if self.hangs:
            raise CallHangs("write the history")
        if self.full:
            raise OSError(errno.ENOSPC, FULL)
        boot = str(self._boots)
        self.entries += [entry._replace(boot=boot) for entry in entries]
        if durable:
            self._durable = len(self.entries)

    def earlier(self) -> Sequence[Entry]:
        boot = str(self._boots)
        return [entry for entry in self.entries if entry.boot == boot]

    def power_off(self) -> None:
        """The host is switched off; what it writes later belongs to another boot."""
        del self.entries[self._durable :]
        self._boots += 1
