# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How busy the host's CPUs are with everything but the engine, over about a minute."""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from typing import Callable, Optional, Union, cast

from ha_broker.api.monitors import CPU_LOAD
from ha_broker.cycle.part import BrokerPorts, Settings
from ha_broker.monitors.base import VALID_INTERVALS, Measurement
from ha_broker.monitors.host import HostMonitor
from metadata.value_class import value_class
from world.ports.host import CpuTimes
from world.ports.libvirt import EngineCpu, MeasuredHypervisor

WINDOW_S = 60.0


@value_class(frozen=True)
class Sample:
    """The CPUs and the engine at one moment; `engine` None: it is not on this host."""

    host: CpuTimes
    engine: Optional[EngineCpu]


@value_class(frozen=True)
class Stretch:
    """CPU seconds between two samples: those that others than the engine used, and all."""

    others_s: float
    total_s: float


class CpuLoadMonitor(HostMonitor):
    """The fraction of all CPU time that went to others than the engine, as a moving average.

    What lies between two samples counts only if it is real: see `stretch`. At least half of the
    window must be.
    """

    name, unit = CPU_LOAD.name, CPU_LOAD.unit

    def __init__(
        self,
        world: BrokerPorts,
        settings: Settings,
        hypervisor: Callable[[], Optional[MeasuredHypervisor]],
    ) -> None:
        super().__init__(world, settings)
        self._hypervisor = hypervisor
        self._latest: Optional[Sample] = None
        self._latest_at_s = -math.inf
        self._stretches: deque[Optional[Stretch]] = deque()

    def job(self) -> Optional[Callable[[], object]]:
        """One sample; nothing is sampled before the engine's domain is known."""
        hypervisor = self._hypervisor()
        return partial(self._sample, hypervisor) if hypervisor is not None else lambda: None

    def _sample(self, hypervisor: MeasuredHypervisor) -> Sample:
        # The engine first: libvirt may take its time, and the two moments are to be one.
        engine = hypervisor.cpu_time()
        return Sample(self._world.vitals.cpu_times(), engine)

    def read(self, result: object, at_s: float) -> Measurement:
        """Over the window that ends with this sample."""
        if result is None:
            return Measurement(None, "the engine's domain name is not known yet")
        sample = cast(Sample, result)
        found = self._follow(sample, at_s)
        self._latest, self._latest_at_s = sample, at_s
        self._stretches.append(found if isinstance(found, Stretch) else None)
        while len(self._stretches) > self._wanted():
            self._stretches.popleft()
        return self._average("" if isinstance(found, Stretch) else found)

    def _follow(self, sample: Sample, at_s: float) -> Union[Stretch, str]:
        if self._latest is None:
            return "not measured for long enough yet"
        if at_s - self._latest_at_s > VALID_INTERVALS * self.interval_s():
            self._stretches.clear()  # they say nothing of now either
            return "not measured for long enough again"
        return stretch(self._latest, sample)

    def _average(self, trouble: str) -> Measurement:
        real = [found for found in self._stretches if found is not None]
        if 2 * len(real) < self._wanted():
            return Measurement(None, trouble or "not measured for long enough yet")
        load = sum(found.others_s for found in real) / sum(found.total_s for found in real)
        return Measurement(load, f"{load:.0%} without the engine")

    def _wanted(self) -> int:
        """How many stretches make a window."""
        return math.ceil(WINDOW_S / self.interval_s())


def stretch(before: Sample, after: Sample) -> Union[Stretch, str]:
    """What was used between two samples, or why that is not known.

    Numbers that are not real would count the engine's own load against its host. Such are
    those of another qemu process, and libvirt's for a while after a start: none at all, zero,
    or the same again and again.
    """
    total_s = after.host.total_s - before.host.total_s
    busy_s = after.host.busy_s - before.host.busy_s
    if after.host.cpus != before.host.cpus:
        return "the number of CPUs has changed"
    if total_s <= 0 or busy_s < 0:
        return "the kernel's CPU times do not go on"
    engine_s = _engine_s(before.engine, after.engine)
    if isinstance(engine_s, str):
        return engine_s
    return Stretch(min(total_s, max(0.0, busy_s - engine_s)), total_s)


def _engine_s(before: Optional[EngineCpu], after: Optional[EngineCpu]) -> Union[float, str]:
    if before is None and after is None:
        return 0.0
    if before is None or after is None or before.pid != after.pid:
        return "the engine was started or ended meanwhile"
    if before.used_s is None or after.used_s is None or after.pid is None:
        return "libvirt does not tell the engine's CPU time"
    if after.used_s <= before.used_s:
        return "libvirt's CPU time of the engine does not go on"
    return after.used_s - before.used_s
