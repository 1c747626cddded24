# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is mounted here, from the kernel's own list: asking it never waits for the storage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

MOUNTINFO = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One mounted file system: its mount point, type and source."""

    point: str
    kind: str
    source: str


def mounted_at(point: str, mountinfo: Path = MOUNTINFO) -> Optional[Mount]:
    """What is mounted on exactly this folder, the latest where there are several."""
    found = [mount for mount in _mounts(mountinfo) if mount.point == point]
    return found[-1] if found else None


def mount_above(path: str, mountinfo: Path = MOUNTINFO) -> Optional[Mount]:
    """What holds `path`, a path without links, whether that exists or not.

    Not by the device's number, which btrfs gives each subvolume anew.
    """
    found = [mount for mount in _mounts(mountinfo) if _is_below(path, mount.point)]
    deepest = max((len(mount.point) for mount in found), default=0)
    latest = [mount for mount in found if len(mount.point) == deepest]
    return latest[-1] if latest else None


def _is_below(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _mounts(mountinfo: Path) -> list[Mount]:
    """proc(5): `ID PARENT DEVICE ROOT POINT OPTIONS [OPTIONAL…] - TYPE SOURCE OPTIONS`."""
    mounts = []
    for line in mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        first, last = before.split(" "), after.split(" ")
        if len(first) > 4 and len(last) > 1:
            mounts.append(Mount(_unescape(first[4]), last[0], _unescape(last[1])))
    return mounts


def _unescape(text: str) -> str:
    """Blank, tab, newline and backslash stand there in octal."""
    return _ESCAPED.sub(lambda match: chr(int(match.group(1), 8)), text)
