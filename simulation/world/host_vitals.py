# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host's own condition in the simulation."""

from __future__ import annotations

from typing import Callable, Optional

from metadata.host_notes import MachineIdentity, machine_identity
from simulation.world.clock import JobClock
from world.ports.host import BridgeLook, CpuTimes, MemoryFree, SpaceLook

GIB = 1 << 30


class SimVitals:
    """A `HostVitals` that says what it is told to.

    `cpu_load` is what all but the engine use of the CPUs (0..1), from now on; the CPUs' times
    follow the host's clock, and what the engine has used (`engine_busy_s`) comes on top.
    `before_call` is called first, with the operation's name.
    """

    def __init__(
        self,
        clock: JobClock,
        cpus: int = 4,
        engine_busy_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.huge_free_bytes: tuple[tuple[int, int], ...] = ()
        self.usual_huge_page: Optional[int] = None
        self.free_bytes = 100 * GIB
        self.total_bytes = 200 * GIB
        self.on_block_device = False
        self.machine_id = self.hardware_id = ""
        self._boots = 0
        self.before_call: Callable[[str], None] = lambda _what: None
        self._engine_busy_s = engine_busy_s
        self._clock = clock
        self._cpus = cpus
        self._cpu_load = 0.0
        self._busy_s = 0.0
        self._counted_at_s = clock.monotonic_s()
        self.reboot()

    def reboot(self) -> None:
        """The host was switched on: its bridge is up, and nothing uses memory or CPUs yet."""
        self._boots += 1
        self.available_bytes = 64 * GIB
        self.bridge_up = True
        self.cpu_load = 0.0

    def identity(self) -> MachineIdentity:
        boot_id = f"{self.hardware_id} {self._boots}" if self.machine_id else ""
        return machine_identity(self.machine_id, self.hardware_id, boot_id)

    @property
    def cpu_load(self) -> float:
        """The load from now on."""
        return self._cpu_load

    @cpu_load.setter
    def cpu_load(self, load: float) -> None:
        self._count()
        self._cpu_load = load

    def _count(self) -> None:
        now_s = self._clock.monotonic_s()
        self._busy_s += self._cpu_load * self._cpus * max(0.0, now_s - self._counted_at_s)
        self._counted_at_s = now_s

    def cpu_times(self) -> CpuTimes:
        self.before_call("cpu_times")
        self._count()
        busy_s = self._busy_s + self._engine_busy_s()
        return CpuTimes(busy_s, self._cpus * self._counted_at_s, self._cpus)

    def memory(self) -> MemoryFree:
        self.before_call("memory")
        return MemoryFree(self.available_bytes, self.huge_free_bytes, self.usual_huge_page)

    def bridge(self, name: str) -> BridgeLook:
        self.before_call("bridge")
        return BridgeLook(self.bridge_up, f"{name} is {'up' if self.bridge_up else 'down'}")

    def space(self, path: str) -> Optional[SpaceLook]:
        self.before_call("space")
        return None if self.on_block_device else SpaceLook(self.free_bytes, self.total_bytes)
