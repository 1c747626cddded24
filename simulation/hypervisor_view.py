# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""libvirt as one process on a simulated host sees it."""

from __future__ import annotations

from dataclasses import replace

from simulation.world import SimHypervisor
from world.ports.libvirt import Domain, DomainState, Ending


class ProcessHypervisor:
    """It knows nothing of what ended before the process came."""

    def __init__(self, vm: SimHypervisor, since_s: float) -> None:
        self._vm = vm
        self._since_s = since_s
        self.start = vm.start
        self.shutdown = vm.shutdown
        self.resume_after_migration = vm.resume_after_migration
        self.destroy = vm.destroy
        self.migrate = vm.migrate
        self.abort_migration = vm.abort_migration
        self.on_change = vm.on_change

    def domain(self) -> Domain:
        """As `Hypervisor.domain`."""
        found = self._vm.domain()
        ended_at_s = self._vm.ended_at_s
        long_ago = ended_at_s is not None and ended_at_s < self._since_s
        if found.state == DomainState.ABSENT and long_ago:
            return replace(found, ending=Ending.NONE)
        return found
