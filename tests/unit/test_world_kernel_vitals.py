# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The host's own condition, from made-up kernel files and from the real ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from world.host.host_vitals import KernelVitals
from world.ports.errors import WorldError
from world.ports.host import BridgeLook, CpuTimes, MemoryFree

TICKS = os.sysconf("SC_CLK_TCK")
STAT = "proc/stat"
MEMINFO = "proc/meminfo"
POOLS = "sys/kernel/mm/hugepages"
# user nice system idle iowait irq softirq steal guest guest_nice; guests' time is in user and nice
CPU_LINES = f"""cpu  {40 * TICKS} {10 * TICKS} {20 * TICKS} {100 * TICKS} {5 * TICKS} {TICKS} \
{2 * TICKS} {3 * TICKS} {30 * TICKS} {4 * TICKS}
cpu0 1 1 1 1 1 1 1 1 1 1
cpu3 1 1 1 1 1 1 1 1 1 1
intr 12345 0 0
ctxt 1
""".replace("\\\n", "")


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def refusal(root: Path, method: str, *arguments: str) -> str:
    with pytest.raises(WorldError) as caught:
        getattr(KernelVitals(str(root)), method)(*arguments)
    return str(caught.value)


# --- CPUs -----------------------------------------------------------------------------


def test_guests_are_counted_once_and_waiting_for_io_is_idle(tmp_path: Path) -> None:
    write(tmp_path, STAT, CPU_LINES)
    times = KernelVitals(str(tmp_path)).cpu_times()
    assert times == CpuTimes(busy_s=76, total_s=181, cpus=2)


def test_an_old_kernel_without_guests_is_fine(tmp_path: Path) -> None:
    write(tmp_path, STAT, f"cpu {TICKS} 0 0 {TICKS} 0 0 0 0\ncpu0 1 0 0 1 0 0 0 0\n")
    assert KernelVitals(str(tmp_path)).cpu_times() == CpuTimes(1, 2, 1)


@pytest.mark.parametrize("text", ["", "cpu 1 2 3\n", "intr 1 2 3 4 5 6 7 8 9\n", "cpu a b c\n"])
def test_other_cpu_lines_are_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path, STAT, text)
    assert "its first line is not that of all CPUs" in refusal(tmp_path, "cpu_times")


def test_what_can_not_be_read_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/proc/stat: No such file" in refusal(tmp_path, "cpu_times")
    assert f"{tmp_path}/proc/meminfo: No such file" in refusal(tmp_path, "memory")
    assert f"{tmp_path}/none: No such file" in refusal(tmp_path, "space", f"{tmp_path}/none")


# --- memory ---------------------------------------------------------------------------


def test_available_memory_and_no_huge_pages(tmp_path: Path) -> None:
    write(tmp_path, MEMINFO, "MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:  7 kB\n")
    assert KernelVitals(str(tmp_path)).memory() == MemoryFree(7 * 1024)


def test_huge_pages_that_are_promised_to_somebody_are_not_free(tmp_path: Path) -> None:
    write(tmp_path, MEMINFO, "MemAvailable: 7 kB\nHugePages_Total: 8\nHugepagesize: 2048 kB\n")
    for size_kib, free, reserved in ((1048576, 3, 0), (2048, 8, 5), (64, 1, 2)):
        write(tmp_path, f"{POOLS}/hugepages-{size_kib}kB/free_hugepages", f"{free}\n")
        write(tmp_path, f"{POOLS}/hugepages-{size_kib}kB/resv_hugepages", f"{reserved}\n")
    found = KernelVitals(str(tmp_path)).memory()
    assert found.huge_free_bytes == ((64 << 10, 0), (2 << 20, 6 << 20), (1 << 30, 3 << 30))
    assert found.usual_huge_page == 2 << 20


def test_other_memory_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path, MEMINFO, "MemFree: 1 kB\nMemAvailable: much\n")
    assert "no MemAvailable in it" in refusal(tmp_path, "memory")
    write(tmp_path, MEMINFO, "MemAvailable: 1 kB\n")
    write(tmp_path, f"{POOLS}/hugepages-2048kB/free_hugepages", "-1\n")
    assert "free_hugepages: '-1' is no number" in refusal(tmp_path, "memory")


# --- the bridge -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "up"),
    [
        ("up", True),
        ("unknown", True),
        ("down", False),
        ("lowerlayerdown", False),
        ("dormant", False),
        ("testing", False),
        ("notpresent", False),
    ],
)
def test_a_bridge_is_up_while_it_can_carry(tmp_path: Path, state: str, up: bool) -> None:
    write(tmp_path, "sys/class/net/br0/operstate", f"{state}\n")
    assert KernelVitals(str(tmp_path)).bridge("br0") == BridgeLook(up, f"br0 is {state}")


def test_a_bridge_that_is_not_there_is_not_up(tmp_path: Path) -> None:
    write(tmp_path, "sys/class/net/br0/operstate", "up\n")
    for name in ("br1", "../net/br0"):
        look = KernelVitals(str(tmp_path)).bridge(name)
        assert look == BridgeLook(False, f"there is no network device {name}")


# --- this machine ---------------------------------------------------------------------


def test_the_real_cpus_grow_busier_by_what_we_use() -> None:
    vitals = KernelVitals()
    before, used_before_s = vitals.cpu_times(), sum(os.times()[:2])
    while (used_s := sum(os.times()[:2]) - used_before_s) < 0.3:
        pass
    after = vitals.cpu_times()
    assert after.busy_s - before.busy_s > used_s / 2
    assert after.total_s - before.total_s > after.busy_s - before.busy_s - 0.001
    assert after.cpus == os.cpu_count()


def test_the_real_memory_and_room(tmp_path: Path) -> None:
    found = KernelVitals().memory()
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < found.available_bytes < whole
    space = KernelVitals().space(str(tmp_path))
    assert space is not None
    assert 0 < space.free_bytes < space.total_bytes


def test_a_block_device_has_no_room_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("stat.S_ISBLK", lambda _mode: True)
    assert KernelVitals().space(str(tmp_path)) is None


def test_the_loopback_carries_without_a_carrier_of_its_own() -> None:
    assert KernelVitals().bridge("lo") == BridgeLook(True, "lo is unknown")
