# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Free memory, held against what the engine's VM needs to start here."""

from __future__ import annotations

from typing import Callable, Optional, Union, cast

from ha_broker.api.monitors import MEMORY_FREE
from ha_broker.monitors.base import Measurement
from ha_broker.monitors.host import HostMonitor
from metadata.domain_xml import MemoryNeed, memory_need
from metadata.errors import DomainXmlError
from metadata.shared_config import SharedConfig
from world.ports.host import MemoryFree

MIB = 1 << 20


class MemoryMonitor(HostMonitor):
    """What the engine could get, in bytes; the limit is what it needs.

    The need is `monitors.memory_needed_mib`, else what the shared domain XML says; where that
    takes huge pages, free huge pages of its sizes count and nothing else does.
    """

    name, unit = MEMORY_FREE.name, MEMORY_FREE.unit
    _read_config: Optional[SharedConfig] = None
    _domain_need: Union[MemoryNeed, str] = "the shared configuration has not been read yet"

    def job(self) -> Optional[Callable[[], object]]:
        """One look at the kernel's numbers."""
        return self._world.vitals.memory

    def read(self, result: object, at_s: float) -> Measurement:
        """Free memory of the kind that the engine takes."""
        need = self._need()
        if isinstance(need, str):
            return Measurement(None, need)
        free, kind = _free(cast(MemoryFree, result), need)
        limit = float(need.size_bytes)
        detail = f"{free // MIB} MiB {kind} for an engine of {need.size_bytes // MIB} MiB"
        return Measurement(float(free), detail, limit)

    def _need(self) -> Union[MemoryNeed, str]:
        """What the engine needs, or why that is not known."""
        self._read_domain()
        given_mib = self._settings.cluster.monitors.memory_needed_mib
        if not given_mib:
            return self._domain_need
        if isinstance(self._domain_need, str):
            return MemoryNeed(given_mib * MIB)
        huge, sizes = self._domain_need.huge_pages, self._domain_need.page_sizes
        return MemoryNeed(given_mib * MIB, huge, sizes)

    def _read_domain(self) -> None:
        """Once for each configuration."""
        config = self._settings.config
        if config is None or config is self._read_config:
            return
        self._read_config = config
        try:
            self._domain_need = memory_need(config.domain_xml)
        except DomainXmlError as error:
            self._domain_need = error.why


def _free(memory: MemoryFree, need: MemoryNeed) -> tuple[int, str]:
    """Bytes that count, and what they are in words."""
    if not need.huge_pages:
        return memory.available_bytes, "available"
    usual = () if memory.usual_huge_page is None else (memory.usual_huge_page,)
    sizes = need.page_sizes or usual
    free = sum(free for size, free in memory.huge_free_bytes if size in sizes)
    names = " and ".join(f"{size // 1024} KiB" for size in sizes) or "no size"
    return free, f"in free huge pages of {names}"
