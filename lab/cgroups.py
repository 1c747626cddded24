# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A control group for each host, so that their systemds do not meet and memory is bounded."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from lab.processes import wait_until
from lab.settings import Places

ROOT = Path("/sys/fs/cgroup")
HOST_MEMORY_BYTES = 1536 << 20


def machine_has_systemd() -> bool:
    """Whether this machine itself was booted with systemd."""
    return Path("/run/systemd/system").is_dir()


def is_unified() -> bool:
    """Whether the machine's control groups are version 2 only."""
    return (ROOT / "cgroup.controllers").exists()


def group(places: Places) -> str:
    """The name of a lab's control group: another lab on this machine has another one."""
    return f"hosted-engine-lab-{hashlib.sha256(bytes(places.state)).hexdigest()[:8]}"


def launcher(places: Places, host: str) -> list[str]:
    """The words before a command that let it run in the host's own control group."""
    if machine_has_systemd():
        return [
            *("systemd-run", "--quiet", "--scope", "--collect", f"--unit={group(places)}-{host}"),
            f"--description=Host {host} of the hosted-engine lab",
            *("--property=Delegate=yes", f"--property=MemoryMax={HOST_MEMORY_BYTES}"),
        ]
    name = Path(group(places), host)
    groups = [_make(hierarchy / name) for hierarchy in _hierarchies()]
    joins = "".join(f"echo $$ >{one}/cgroup.procs; " for one in groups)
    return ["/bin/sh", "-ec", f'{joins}exec "$@"', "sh"]


def remove(places: Places, host: str) -> None:
    """Remove a host's control groups, which are empty when it is off."""
    _remove_below(Path(group(places), host))


def remove_all(places: Places) -> None:
    """Remove the lab's control groups."""
    _remove_below(Path(group(places)))


def _remove_below(name: Path) -> None:
    # Busy for a moment after the last process: the kernel's own cleaning lags behind.
    for hierarchy in [] if machine_has_systemd() else _hierarchies():
        folder = hierarchy / name
        wait_until(f"{folder} empty", functools.partial(_removed, folder), 10, 0.02)


def _hierarchies() -> list[Path]:
    if is_unified():
        return [ROOT]
    names = ("systemd", "unified", "memory", "cpuacct", "cpu,cpuacct")
    return [ROOT / name for name in names if (ROOT / name / "cgroup.procs").exists()]


def _make(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    limit = folder / "memory.limit_in_bytes"
    if limit.exists():
        limit.write_text(str(HOST_MEMORY_BYTES), encoding="ascii")
    return folder


def _removed(folder: Path) -> bool:
    try:
        for child in folder.iterdir():
            if child.is_dir():
                _removed(child)
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
