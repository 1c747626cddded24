# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Mounting and unmounting below the lab's state folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError
from lab.processes import run


def mount(kind: str, source: str, target: Path, options: str = "") -> None:
    """Mount a file system, making the folder it goes on."""
    target.mkdir(parents=True, exist_ok=True)
    option_words = ["-o", options] if options else []
    run(["mount", "-t", kind, *option_words, source, str(target)])


def mount_points() -> list[str]:
    """Every mount point of this machine, in the order of mounting."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [_unescape(line.split()[4]) for line in lines]


def disk_mount_points() -> list[str]:
    """The folders on which file systems of block devices are mounted, parents first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[1].startswith("/dev/"):
            found.append(_unescape(before.split()[4]))
    return sorted(set(found))


def unmount_below(folder: Path) -> None:
    """Unmount everything mounted on ``folder`` or below it, the newest first."""
    for point in reversed(_points_below(folder)):
        # Lazily: a process that still looks into it must not keep the lab from going away.
        run(["umount", "--lazy", point])
    left = _points_below(folder)
    if left:
        raise LabError(f"{left[0]}: still mounted")


def opaque_folder(path: Path) -> None:
    """Make a folder of an overlay's upper layer that hides what is below it."""
    path.mkdir(parents=True, exist_ok=True)
    os.setxattr(path, "trusted.overlay.opaque", b"y")


def whiteout(path: Path) -> None:
    """Make a file of an overlay's upper layer that hides a file or folder below it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def overlay(lower: Sequence[Path], upper: Path, work: Path, target: Path) -> None:
    """Mount an overlay."""
    upper.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    layers = ":".join(str(layer) for layer in lower)
    mount("overlay", "overlay", target, f"lowerdir={layers},upperdir={upper},workdir={work}")


def _points_below(folder: Path) -> list[str]:
    root = str(folder)
    return [point for point in mount_points() if point == root or point.startswith(root + "/")]


def _unescape(text: str) -> str:
    """Undo the octal escapes (blank, tab, newline, backslash) of mountinfo."""
    for code in ("040", "011", "012", "134"):
        text = text.replace("\\" + code, chr(int(code, 8)))
    return text
