# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Who looks over the cycle's shoulder: what must be counted when it happens, not when asked."""

from __future__ import annotations

from typing import Protocol

from ha_broker.api.snapshot import Snapshot
from world.ports.jobs import Outcome


class Observer(Protocol):
    """Told of everything that a later snapshot does not show any more. Quick: it runs in the
    cycle."""

    def job_ended(self, outcome: Outcome[object]) -> None:
        """A job was harvested."""

    def shown(self, snapshot: Snapshot) -> None:
        """A cycle ended with this snapshot."""


class NoObserver:
    """Nobody looks."""

    def job_ended(self, outcome: Outcome[object]) -> None:
        """Nothing."""

    def shown(self, snapshot: Snapshot) -> None:
        """Nothing."""
