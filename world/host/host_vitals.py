# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""This host's own condition, from the kernel's files under /proc and /sys."""

from __future__ import annotations

import os
import re
import stat
from typing import Optional

from metadata.error_words import reason, shown
from metadata.host_notes import MachineIdentity, machine_identity
from world.ports.errors import WorldError
from world.ports.host import BridgeLook, CpuTimes, MemoryFree, SpaceLook

_CARRYING = ("up", "unknown")
_POOL = re.compile("hugepages-([0-9]+)kB")
_MEMORY = re.compile(r"^(MemAvailable|Hugepagesize):[ \t]*([0-9]+)\b", re.MULTILINE)
_PIECE_BYTES = 64 * 1024
_KINDS = 8  # user, nice, system, idle, iowait, irq, softirq, steal


class KernelVitals:
    """The `HostVitals` of the real world; `root` is where its proc and sys stand."""

    def __init__(self, root: str = "/") -> None:
        # Plain text: to put a `Path` together costs more than to read the file that it names.
        self._etc, self._proc, self._sys = (
            os.path.join(root, name)  # noqa: PTH118
            for name in ("etc", "proc", "sys")
        )

    def cpu_times(self) -> CpuTimes:
        """From the line ``cpu`` of /proc/stat (proc(5)).

        Its last two numbers, the guests' time, are part of user and nice and not added again.
        Waiting for I/O is idle time; time stolen by a hypervisor below is not there for us.
        """
        lines = _text(f"{self._proc}/stat").splitlines()
        ticks = _ticks(lines[0]) if lines else []
        if len(ticks) < _KINDS:
            raise WorldError("read /proc/stat", "its first line is not that of all CPUs")
        idle = ticks[3] + ticks[4]
        per_s = os.sysconf("SC_CLK_TCK")
        # CPUs that are offline have no line of their own.
        online = sum(1 for line in lines if line.startswith("cpu") and line[3:4].isdigit())
        return CpuTimes((sum(ticks) - idle) / per_s, sum(ticks) / per_s, online)

    def identity(self) -> MachineIdentity:
        """From machine-id(5), the firmware's tables and /proc."""
        return machine_identity(
            machine_id=_text_or_nothing(f"{self._etc}/machine-id"),
            hardware_id=_text_or_nothing(f"{self._sys}/class/dmi/id/product_uuid"),
            boot_id=_text_or_nothing(f"{self._proc}/sys/kernel/random/boot_id"),
        )

    def memory(self) -> MemoryFree:
        """MemAvailable of /proc/meminfo, and the pools under /sys/kernel/mm/hugepages."""
        kib = _meminfo(_text(f"{self._proc}/meminfo"))
        if "MemAvailable" not in kib:
            raise WorldError("read /proc/meminfo", "no MemAvailable in it")
        usual = kib.get("Hugepagesize")
        return MemoryFree(
            available_bytes=kib["MemAvailable"] * 1024,
            huge_free_bytes=self._huge_pages(),
            usual_huge_page=None if usual is None else usual * 1024,
        )

    def _huge_pages(self) -> tuple[tuple[int, int], ...]:
        """Reserved pages are free only in name: somebody's mapping was promised them."""
        found = []
        pools = f"{self._sys}/kernel/mm/hugepages"
        for name in _names_in(pools):
            kib = _POOL.fullmatch(name)
            if kib is None:
                continue
            size_bytes, pool = int(kib[1]) * 1024, f"{pools}/{name}"
            free = _number(f"{pool}/free_hugepages") - _number(f"{pool}/resv_hugepages")
            found.append((size_bytes, max(0, free) * size_bytes))
        return tuple(sorted(found))

    def bridge(self, name: str) -> BridgeLook:
        """Its operational state (operstate of /sys/class/net), whatever kind of bridge it is.

        A Linux bridge is down while none of its ports has a carrier; one of Open vSwitch has no
        carrier of its own and says "unknown" while it is up.
        """
        device = f"{self._sys}/class/net/{name}"
        if "/" in name or not os.path.exists(device):  # noqa: PTH110
            return BridgeLook(False, f"there is no network device {name}")
        state = _text(f"{device}/operstate").strip()
        return BridgeLook(state in _CARRYING, f"{name} is {state}")

    def space(self, path: str) -> Optional[SpaceLook]:
        """From statvfs of the file system that holds `path`; None: a block device."""
        try:
            if stat.S_ISBLK(os.stat(path).st_mode):  # noqa: PTH116
                return None
            found = os.statvfs(path)
        except OSError as error:
            raise WorldError(f"look at the room of {path}", reason(error)) from None
        return SpaceLook(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def _ticks(line: str) -> list[int]:
    words = line.split()
    if words[:1] != ["cpu"]:
        return []
    return [int(word) for word in words[1 : 1 + _KINDS] if word.isdigit()]


def _meminfo(text: str) -> dict[str, int]:
    """The two of its numbers that count."""
    return {name: int(number) for name, number in _MEMORY.findall(text)}


def _number(path: str) -> int:
    text = _text(path).strip()
    if not text.isdigit():
        raise WorldError(f"read {path}", f"{shown(text)} is no number")
    return int(text)


def _text(path: str) -> str:
    try:
        return _read(path)
    except OSError as error:
        raise WorldError(f"read {path}", reason(error)) from None


def _text_or_nothing(path: str) -> str:
    try:
        return _read(path)
    except OSError:
        return ""


def _read(path: str) -> str:
    """With the calls that it takes; a text file's `open` makes twice as many, a dozen times in each
    round of measurements. The kernel makes such a file's text when it is read, and may hand out a
    long one in pieces.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = []
        while piece := os.read(fd, _PIECE_BYTES):
            pieces.append(piece)
    finally:
        os.close(fd)
    return b"".join(pieces).decode("ascii", "replace")


def _names_in(directory: str) -> list[str]:
    """What is in it; nothing where it is not there."""
    try:
        return os.listdir(directory)  # noqa: PTH208  # as `_read`
    except OSError:
        return []
