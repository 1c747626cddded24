# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine's guest: a Debian kernel and an initramfs made of busybox and a few scripts."""

from __future__ import annotations

import lzma
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import heartbeat
from lab.errors import LabError
from lab.processes import run
from lab.settings import (
    CONTROL_PORT,
    ENGINE_ADDRESS,
    HEALTH_PATH,
    HEALTH_TEXT,
    PREFIX_LENGTH,
    Places,
)
from lab.templates import render

BUSYBOX = Path("/bin/busybox")
MODULES = (
    *("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci"),
    *("virtio_blk", "failover", "net_failover", "virtio_net"),
    # A panic that the hypervisor notices; the power button.
    *("pvpanic", "pvpanic-mmio", "button", "evdev"),
)
HEALTH_PAGE = f"{HEALTH_TEXT}!Welcome to Health Status!\n"
INITTAB = "::sysinit:/lab/boot\n::shutdown:/lab/service stop\n"
POWER_BUTTON = "#!/bin/sh\nexec /bin/poweroff\n"


@dataclass(frozen=True)
class Entry:
    """One file of an initramfs."""

    name: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def build(places: Places, kernel_root: Path) -> Path:
    """Build kernel and initramfs from an unpacked kernel package; returns their folder."""
    target = places.cache / "guest"
    target.mkdir(parents=True, exist_ok=True)
    (target / "vmlinuz").write_bytes(kernel(kernel_root))
    (target / "initrd").write_bytes(archive(list(_entries(modules(kernel_root, MODULES)))))
    return target


def kernel(kernel_root: Path) -> bytes:
    """The kernel of an unpacked kernel package."""
    return _only(kernel_root / "boot", "vmlinuz-*").read_bytes()


def modules(kernel_root: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Those of its modules that have to be loaded, in that order: some are part of the kernel.

    Which ones differs: Debian 13's cloud kernel has virtio and its PCI transport built in.
    """
    folder = _only(_modules_folder(kernel_root), "*")
    lines = (folder / "modules.builtin").read_text(encoding="ascii").split()
    # File names have dashes or underlines as their authors liked; the kernel takes both as one.
    built_in = {_same(Path(line).name.partition(".")[0]) for line in lines}
    return {name: _module(folder, name) for name in names if _same(name) not in built_in}


def archive(entries: list[Entry]) -> bytes:
    """A cpio archive ("newc") as the kernel unpacks it, not compressed: emulation is slow."""
    parts = [_cpio_member(entry) for entry in entries]
    return b"".join([*parts, _cpio_member(Entry("TRAILER!!!", 0))])


def _entries(loaded: Mapping[str, bytes]) -> Iterator[Entry]:
    for folder in ("bin", "dev", "etc", "etc/acpi", "etc/acpi/PWRF", "lab", "modules", "proc"):
        yield _folder(folder)
    for folder in ("run", "sys", "tmp", "control", "control/cgi-bin", "service"):
        yield _folder(folder)
    yield Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    yield _file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
    for applet in run([str(BUSYBOX), "--list"]).split():
        if applet != "busybox":
            yield Entry(f"bin/{applet}", stat.S_IFLNK | 0o777, b"/bin/busybox")
    yield Entry("init", stat.S_IFLNK | 0o777, b"/bin/busybox")
    for name, module in loaded.items():
        yield _file(f"modules/{name}.ko", module)
    for name in ("boot", "heartbeat", "service"):
        yield _file(f"lab/{name}", _script(name), 0o755)
    yield _file("control/cgi-bin/control", _script("control"), 0o755)
    yield _file("etc/inittab", INITTAB.encode())
    yield _file("etc/acpi/PWRF/00000080", POWER_BUTTON.encode(), 0o755)
    yield from _health_page()


def _health_page() -> Iterator[Entry]:
    page = Path("service" + HEALTH_PATH)
    for parent in list(page.parents)[-3::-1]:
        yield _folder(str(parent))
    yield _file(str(page), HEALTH_PAGE.encode())


def _folder(name: str) -> Entry:
    return Entry(name, stat.S_IFDIR | 0o755)


def _file(name: str, content: bytes, permissions: int = 0o644) -> Entry:
    return Entry(name, stat.S_IFREG | permissions, content)


def _script(name: str) -> bytes:
    values = {
        "ENGINE_ADDRESS": ENGINE_ADDRESS,
        "PREFIX_LENGTH": PREFIX_LENGTH,
        "CONTROL_PORT": CONTROL_PORT,
        "FIRST_SECTOR": heartbeat.FIRST_SECTOR,
        "REGION_SECTORS": heartbeat.REGION_SECTORS,
        "REGIONS": heartbeat.REGIONS,
    }
    return render(f"guest_files/{name}", values).encode()


def _modules_folder(kernel_root: Path) -> Path:
    """Where the package has its modules: Debian 13 packages them below /usr."""
    folders = [kernel_root / "lib/modules", kernel_root / "usr/lib/modules"]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def _same(module: str) -> str:
    return module.replace("-", "_")


def _module(folder: Path, name: str) -> bytes:
    found = sorted(folder.rglob(f"{name}.ko*"))
    if not found:
        raise LabError(f"{folder}: no kernel module {name}")
    content = found[0].read_bytes()
    return lzma.decompress(content) if found[0].suffix == ".xz" else content


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise LabError(f"{folder}/{pattern}: {len(found)} found, one expected")
    return found[0]


def _cpio_member(entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    numbers = [0, entry.mode, 0, 0, 1, 0, len(entry.content), 0, 0, *entry.device, len(name), 0]
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + name
    return _padded(head) + _padded(entry.content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
