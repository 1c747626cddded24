# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""All files of a host, to see what an installed and removed package leaves behind."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

# Other file systems, what others keep books in, and what changes by itself.
_LEFT_OUT = (
    *("proc", "sys", "dev", "tmp", "srv", "root"),
    *("var/log", "var/cache", "var/tmp", "var/lib/apt", "var/lib/dpkg", "var/lib/systemd/timers"),
    *("var/lib/systemd/random-seed", "var/lib/libvirt", "var/lib/logrotate"),
)
# Of what runs only our own part is looked at.
_RUN = "run/hosted-engine-ha"
# Written anew by triggers, with equal meaning: their time is in some, the order in others.
_WRITTEN_BY_OTHERS = ("etc/ld.so.cache", "var/lib/man-db", "etc/mailcap")
# The daemons' user stays, as Debian has it: its number must not become somebody else's.
_USERS = ("etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/.pwd.lock")


def snapshot(root: Path, parts: Sequence[str] = (".",)) -> dict[str, str]:
    """What there is below `root`: mode, owner, and for a file in /etc its content, by path.

    `parts`: the folders of it that are looked at.
    """
    found: dict[str, str] = {}
    for folder, names, files in (entry for part in parts for entry in os.walk(root / part)):
        inside = str(Path(folder).relative_to(root))
        names[:] = [name for name in names if not _left_out(_joined(inside, name))]
        for name in (*names, *files):
            path = _joined(inside, name)
            if not _left_out(path):
                found[path] = _description(root, path)
    return found


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """A line for each path that came, went or changed."""
    paths = sorted(set(before) | set(after))
    return [
        f"/{path}: {before.get(path, 'not there')} before, {after.get(path, 'not there')} after"
        for path in paths
        if before.get(path) != after.get(path)
    ]


def _joined(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


def _left_out(path: str) -> bool:
    if path == "run" or path.startswith("run/"):
        return not (_RUN.startswith(path) or path.startswith(_RUN))
    # Compiled modules of others come and go as they are used; of ours nothing stays, folders too.
    if "/__pycache__" in path and "hosted" not in path and "ovirt" not in path:
        return True
    return any(path == name or path.startswith(f"{name}/") for name in _LEFT_OUT) or any(
        path.startswith(name) for name in (*_WRITTEN_BY_OTHERS, *_USERS)
    )


def _description(root: Path, path: str) -> str:
    try:
        status = (root / path).lstat()
        text = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
        if stat.S_ISLNK(status.st_mode):
            return f"{text} -> {(root / path).readlink()}"
        if stat.S_ISREG(status.st_mode) and path.startswith("etc/"):
            return f"{text} {hashlib.sha256((root / path).read_bytes()).hexdigest()[:16]}"
    except FileNotFoundError:
        return "gone"
    return text
