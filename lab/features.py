# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the lab needs of this machine, and whether it is there."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError
from lab.processes import run
from lab.settings import USUAL_FIRE_TIMEOUT_S, Places, scaled

KVM_TRIAL_TIMEOUT_S = 8.0
PROBE_LINK = "helabprobe"


def missing() -> list[str]:
    """The names of everything this machine lacks; empty when the lab can run."""
    if os.geteuid() != 0:
        return ["root rights"]
    tests = {
        "amd64 processor": platform.machine() == "x86_64",
        "apt-get (Debian)": shutil.which("apt-get") is not None,
        "/usr/bin/python3": Path("/usr/bin/python3").exists(),
        "overlay file system": _file_system("overlay"),
        "FUSE (/dev/fuse)": _device("/dev/fuse", "fuse"),
        "TUN/TAP (/dev/net/tun)": _device("/dev/net/tun", "tun"),
        "network bridges": _link_type("bridge"),
        "veth network pairs": _link_type("veth"),
        "control group hierarchy for systemd": _systemd_control_groups(),
    }
    spaces = ("pid", "net", "mnt", "uts", "ipc", "cgroup")
    tests.update({f"{name} namespaces": Path(f"/proc/self/ns/{name}").exists() for name in spaces})
    return [name for name, present in tests.items() if not present]


def require() -> None:
    """Refuse a machine on which the lab cannot run, naming what is missing."""
    lacking = missing()
    if lacking:
        raise LabError(f"this machine lacks: {', '.join(lacking)}")


def require_fire_timeout(fire_timeout_s: int, roots: Sequence[Path]) -> None:
    """Refuse a watchdog time that the sanlock of one of these roots does not know of.

    ``watchdog_fire_timeout`` is a setting from sanlock 3.9.0 on; an older daemon logs a line about
    it and keeps its 60 s.
    """
    if fire_timeout_s == USUAL_FIRE_TIMEOUT_S:
        return
    for root in roots:
        version = run(["chroot", str(root), "sanlock", "version"]).strip()
        if _numbers(version) < (3, 9):
            whose = "this machine's" if root == Path("/") else f"{root.name}'s"
            raise LabError(
                f"--fire-timeout {fire_timeout_s}: {whose} sanlock {version} knows only "
                f"{USUAL_FIRE_TIMEOUT_S} s; watchdog_fire_timeout came with 3.9.0"
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def accelerator(places: Places) -> str:
    """``kvm`` when a real trial shows that it runs our guest's kernel, else ``tcg``."""
    known = places.cache / "accelerator"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    if known.exists():
        tried, _, name = known.read_text(encoding="ascii").partition(" ")
        if tried == boot:
            return name
    name = "kvm" if _kvm_runs(places.cache / "guest") else "tcg"
    known.write_text(f"{boot} {name}", encoding="ascii")
    return name


def _kvm_runs(guest: Path) -> bool:
    """Boot our kernel under KVM and wait for its first words.

    A /dev/kvm that opens proves nothing: on some machines its guests never execute a line.
    """
    if not Path("/dev/kvm").exists():
        return False
    command = [
        *("qemu-system-x86_64", "-machine", "pc,accel=kvm", "-cpu", "host", "-m", "128"),
        *("-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"),
        *("-kernel", str(guest / "vmlinuz"), "-append", "console=ttyS0 panic=-1"),
    ]
    try:
        # Without an initramfs the kernel panics at the end of its start, and qemu ends.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=scaled(KVM_TRIAL_TIMEOUT_S),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and b"Linux version" in done.stdout


def _file_system(name: str) -> bool:
    _load_module(name)
    return name in Path("/proc/filesystems").read_text(encoding="ascii").split()


def _device(path: str, module: str) -> bool:
    _load_module(module)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _link_type(kind: str) -> bool:
    if not shutil.which("ip"):
        # Not installed yet on a fresh machine; asked again when it is.
        return True
    try:
        run(["ip", "link", "add", PROBE_LINK, "type", kind])
    except LabError:
        return False
    run(["ip", "link", "delete", PROBE_LINK])
    return True


def _systemd_control_groups() -> bool:
    root = Path("/sys/fs/cgroup")
    return any((root / name).exists() for name in ("cgroup.controllers", "systemd/cgroup.procs"))


def _load_module(name: str) -> None:
    """Ask for a kernel module; many kernels have it built in."""
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "--quiet", name], capture_output=True, check=False)
