"""A control group for each host, so that their systemds do not meet and memory is bounded."""

from __future__ import annotations

import functools
from pathlib import Path

from lab.processes import wait_until

ROOT = Path("/sys/fs/cgroup")
GROUP = "hosted-engine-lab"
HOST_MEMORY_BYTES = 1536 << 20


def machine_has_systemd() -> bool:
    """Whether this machine itself was booted with systemd."""
    return Path("/run/systemd/system").is_dir()


def is_unified() -> bool:
    """Whether the machine's control groups are version 2 only."""
    return (ROOT / "cgroup.controllers").exists()


def launcher(host: str) -> list[str]:
    """The words before a command that let it run in the host's own control group."""
    if machine_has_systemd():
        return [
            *("systemd-run", "--quiet", "--scope", "--collect", f"--unit={GROUP}-{host}"),
            f"--description=Host {host} of the hosted-engine lab",
            *("--property=Delegate=yes", f"--property=MemoryMax={HOST_MEMORY_BYTES}"),
        ]
    groups = [_make(hierarchy, host) for hierarchy in _hierarchies()]
    joins = "".join(f"echo $$ >{group}/cgroup.procs; " for group in groups)
    return ["/bin/sh", "-ec", f'{joins}exec "$@"', "sh"]


def remove(host: str) -> None:
    """Remove a host's control groups, which are empty when it is off."""
    _remove_below(Path(GROUP) / host)


def remove_all() -> None:
    """Remove the lab's control groups."""
    _remove_below(Path(GROUP))


def _remove_below(name: Path) -> None:
    # Busy for a moment after the last process: the kernel's own cleaning lags behind.
    for hierarchy in [] if machine_has_systemd() else _hierarchies():
        group = hierarchy / name
        wait_until(f"{group} empty", functools.partial(_removed, group), 10, 0.02)


def _hierarchies() -> list[Path]:
    if is_unified():
        return [ROOT]
    names = ("systemd", "unified", "memory", "cpuacct", "cpu,cpuacct")
    return [ROOT / name for name in names if (ROOT / name / "cgroup.procs").exists()]


def _make(hierarchy: Path, host: str) -> Path:
    group = hierarchy / GROUP / host
    group.mkdir(parents=True, exist_ok=True)
    limit = group / "memory.limit_in_bytes"
    if limit.exists():
        limit.write_text(str(HOST_MEMORY_BYTES), encoding="ascii")
    return group


def _removed(group: Path) -> bool:
    try:
        for child in group.iterdir():
            if child.is_dir():
                _removed(child)
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
