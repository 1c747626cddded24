# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Have the others' records been read since the storage shows what this host's own one says? Pure.

Two hosts that each write first and read then can't miss each other: one of them, at the least,
reads what the other one has written. So the engine is not sent to a host that goes down meanwhile,
or that host knows that it comes.
"""

from __future__ import annotations

from typing import Optional

from ha_broker.api.snapshot import StorageView


class Heard:
    """Of one line of the record."""

    def __init__(self) -> None:
        self._said = ""
        self._since_s: Optional[float] = None

    def look(self, said: str, storage: StorageView) -> bool:
        """`said`: what the storage shows of it, written by us; empty: nothing yet."""
        if said != self._said:
            self._said = said
            self._since_s = storage.last_write_at_s if said else None
        read_at_s, since_s = storage.last_read_at_s, self._since_s
        return since_s is not None and read_at_s is not None and read_at_s >= since_s
