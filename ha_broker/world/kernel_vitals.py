"""This host's own condition, from the kernel's files under /proc and /sys."""

from __future__ import annotations

import os
from pathlib import Path

from ha_broker.world.ports import BridgeLook, CpuTimes, MemoryFree, SpaceLook, WorldError

_CARRYING = ("up", "unknown")  # a bridge without a carrier of its own says "unknown"


class KernelVitals:
    """The `HostVitals` of the real world; `root` is where its proc and sys stand."""

    def __init__(self, root: str = "/") -> None:
        self._proc = Path(root) / "proc"
        self._sys = Path(root) / "sys"

    def cpu_times(self) -> CpuTimes:
        """From the line ``cpu`` of /proc/stat (proc(5)); guest time is part of user time."""
        lines = _text(self._proc / "stat").splitlines()
        ticks = [int(word) for word in lines[0].split()[1:9]]
        idle = ticks[3] + ticks[4]
        per_s = os.sysconf("SC_CLK_TCK")
        cpus = sum(1 for line in lines if line.startswith("cpu") and line[3:4].isdigit())
        return CpuTimes((sum(ticks) - idle) / per_s, sum(ticks) / per_s, cpus)

    def memory(self) -> MemoryFree:
        """MemAvailable of /proc/meminfo, and the pools under /sys/kernel/mm/hugepages."""
        for line in _text(self._proc / "meminfo").splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return MemoryFree(int(rest.split()[0]) * 1024, self._huge_pages())
        raise WorldError("read /proc/meminfo", "no MemAvailable in it")

    def _huge_pages(self) -> tuple[tuple[int, int], ...]:
        found = []
        for pool in sorted((self._sys / "kernel/mm/hugepages").glob("hugepages-*kB")):
            size_bytes = int(pool.name[len("hugepages-") : -len("kB")]) * 1024
            free = int(_text(pool / "free_hugepages")) - int(_text(pool / "resv_hugepages"))
            found.append((size_bytes, max(0, free) * size_bytes))
        return tuple(found)

    def bridge(self, name: str) -> BridgeLook:
        """Its operational state (operstate of /sys/class/net)."""
        device = self._sys / "class/net" / name
        if not device.exists():
            return BridgeLook(False, f"there is no network device {name}")
        if not (device / "bridge").exists():
            return BridgeLook(False, f"{name} is no bridge")
        state = _text(device / "operstate").strip()
        return BridgeLook(state in _CARRYING, f"{name} is {state}")

    def space(self, path: str) -> SpaceLook:
        """From statvfs of the file system that holds `path`."""
        try:
            found = os.statvfs(path)
        except OSError as error:
            raise WorldError(f"look at the room of {path}", error.strerror or str(error)) from None
        return SpaceLook(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise WorldError(f"read {path}", error.strerror or str(error)) from None
