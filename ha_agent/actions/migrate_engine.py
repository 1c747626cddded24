# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Moving the engine's VM to another host while it runs.

libvirt lets the lease go as it pauses the VM here, and takes it at the target before the guest goes
on there; where the target can't have it, libvirt lets the VM go on here. So nothing about the
lease is asked for here: whatever comes of a move, one qemu at the most runs with it.
"""

from __future__ import annotations

from dataclasses import field
from typing import Optional

from fsm.observation import MoveOutcome
from fsm.own_moves import PATIENCE_S
from metadata.settings.parse import MigrationSettings
from metadata.value_class import value_class
from world.ports.libvirt import MigrationOptions, MigrationResult

# Where nobody reaches the engine, its stop waits no longer for a libvirt that is silent.
SHORT_PATIENCE_S = 5.0


@value_class(frozen=True)
class MigrationOrder:
    """To whom: the host `target_id`, whose libvirt is at `address`; empty: it does not say.

    So many seconds after its limit it counts as failed, though libvirt has not said so.
    """

    target_id: Optional[int] = None
    address: str = ""
    options: MigrationOptions = field(default_factory=MigrationOptions)
    patience_s: float = PATIENCE_S

    @property
    def impossible_why(self) -> str:
        """Why it can't be given; empty: it can."""
        if self.target_id is None:
            return "it is not said to which host"
        if not self.address:
            return "the target does not say where its libvirt takes the engine"
        return ""


@value_class(frozen=True)
class LatestMove:
    """What became of the latest live migration; `result` of one that is DONE."""

    outcome: MoveOutcome = MoveOutcome.NONE
    why: str = ""
    target_id: Optional[int] = None
    result: Optional[MigrationResult] = None


def options_of(settings: MigrationSettings, limit_s: float) -> MigrationOptions:
    """What the cluster's settings ask of libvirt, and for how long."""
    return MigrationOptions(
        bandwidth_mib_s=settings.bandwidth_mib_s,
        downtime_ms=settings.downtime_ms,
        limit_s=limit_s,
        auto_converge=settings.auto_converge,
        post_copy=settings.post_copy,
        encrypt=settings.encrypt,
    )
