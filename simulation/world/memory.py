# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What an agent has learnt, and the processes of a simulated host."""

from __future__ import annotations

from typing import Callable, Optional

from simulation.world.clock import HostClock
from simulation.world.hypervisor import SimHypervisor
from world.ports.host import ProcessStart


class SimMemoryStore:
    """A `MemoryStore` that a power cut clears; `data` is what it holds."""

    def __init__(self) -> None:
        self.data: Optional[bytes] = None
        self._boots = 1

    def read(self) -> Optional[bytes]:
        return self.data

    def write(self, data: bytes) -> None:
        self.data = data

    def boot_id(self) -> str:
        return f"boot-{self._boots}"

    def power_off(self) -> None:
        """The host is switched off."""
        self.data = None
        self._boots += 1


class SimProcesses:
    """`Processes` of a host on which only the engine's qemu matters."""

    def __init__(
        self, vm: SimHypervisor, clock: HostClock, world_now_s: Callable[[], float]
    ) -> None:
        self._vm = vm
        self._clock = clock
        self._world_now_s = world_now_s

    def started(self, pid: int) -> Optional[ProcessStart]:
        if self._vm.now.pid != pid:
            return None
        began_s = self._vm.process_began_s
        age_s = self._world_now_s() - began_s
        return ProcessStart(f"{pid}/{began_s:.3f}", self._clock.monotonic_s() - age_s)
