# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs a command; what it leaves behind is a failure: ``python3 -m tests.leftovers COMMAND``.

Only what the command itself began counts, whatever others on this machine do meanwhile:

- processes: all that descend from it, for an orphan stays below this one, which reaps them as
  process 1 would;
- mounts and network interfaces: those in namespaces of its own. Root alone can make any, and has
  these; what others mount or unmount meanwhile is seen in there as well.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# How long what was told to end may take: sanlock's helper ends by itself after its daemon.
ENDING_S = 5.0

_CLONE_NEWNS = 0x00020000
_CLONE_NEWNET = 0x40000000
_MS_REC = 0x4000
_MS_SLAVE = 0x80000
_PR_SET_CHILD_SUBREAPER = 36
_MOUNT_TABLE = Path("/proc/self/mountinfo")


def main() -> int:
    """Run the command; its exit code, or 1 when it left something behind."""
    command = sys.argv[1:]
    if not command:
        print("tests.leftovers: no command given", file=sys.stderr)
        return 2
    # Ctrl-C and SIGTERM are the command's, which cleans up; here its end is waited for.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    adopt_orphans()
    # What is opened here goes on showing this namespace: what others have mounted at its reading.
    outside = _MOUNT_TABLE.open(encoding="utf-8")
    apart = enter_own_namespaces()
    mounts, interfaces = mount_table(), interface_names()
    code = _run(command)
    left = [f"process {text}" for text in _lasting_descendants()]
    if apart:
        left += [f"mount {point}" for point in _new_mounts(mounts, parse_mounts(outside.read()))]
        left += [f"interface {name}" for name in sorted(interface_names() - interfaces)]
    if left:
        print("tests/run: left behind:\n  " + "\n  ".join(left), file=sys.stderr)
        _end_descendants()
    return code or (1 if left else 0)


# --- the command's surroundings ---------------------------------------------------------


def adopt_orphans() -> None:
    """Let every process below this one that loses its parent become a child of this one."""
    if _libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def enter_own_namespaces() -> bool:
    """Mounts and network of this process's own; False where it may not make any."""
    libc = _libc()
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET):
        return False
    if libc.mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None):
        raise OSError(ctypes.get_errno(), "mount(MS_SLAVE)")
    _show_own_network()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return True


def _show_own_network() -> None:
    """/sys shows the network namespace in which it was mounted: mount it anew.

    With what was mounted in it, such as the control groups.
    """
    inner = [mount.point for mount in mount_table() if mount.point.startswith("/sys/")]
    fresh = tempfile.mkdtemp(prefix="he-tests-sys-")
    try:
        subprocess.run(["mount", "-t", "sysfs", "sysfs", fresh], check=True)
        for point in inner:
            target = fresh + point[len("/sys") :]
            if Path(target).exists():
                subprocess.run(["mount", "--bind", point, target], check=True)
        subprocess.run(["mount", "--rbind", fresh, "/sys"], check=True)
        subprocess.run(["umount", "--recursive", "--lazy", fresh], check=True)
    finally:
        Path(fresh).rmdir()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


# --- the command ------------------------------------------------------------------------


def _run(command: Sequence[str]) -> int:
    """Run it to its end, and reap whatever ends meanwhile. Returns its exit code."""
    process = os.posix_spawnp(command[0], list(command), os.environ)
    signal.signal(signal.SIGTERM, lambda number, _frame: os.kill(process, number))
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == process:
            # A shell's number for an end by a signal.
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


# --- what is left -----------------------------------------------------------------------


def _lasting_descendants() -> list[str]:
    """What still runs below this process when everything has had time to end."""
    factor = float(os.environ.get("HE_TIME_FACTOR") or 1)
    deadline_s = time.monotonic() + ENDING_S * factor
    while (found := list(_descendants(os.getpid()))) and time.monotonic() < deadline_s:
        _reap()
        time.sleep(0.05)
    return [f"{pid} ({_command_line(pid)[:80]})" for pid in found]


def _end_descendants() -> None:
    """SIGKILL: nothing of a failed run shall disturb the next one. The namespaces go with them."""
    deadline_s = time.monotonic() + ENDING_S
    while (found := list(_descendants(os.getpid()))) and time.monotonic() < deadline_s:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap()
        time.sleep(0.05)


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _descendants(ancestor: int) -> Iterator[int]:
    parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir()
               if entry.name.isdigit()}  # fmt: skip
    for pid in sorted(parents):
        above = parents.get(pid)
        while above and above != ancestor:
            above = parents.get(above)
        if above == ancestor:
            yield pid


def _parent(process: Path) -> int:
    """The parent's number; 0 for one that has ended, reaped or not."""
    try:
        state, parent = (
            (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
        )
    except OSError:
        return 0
    return 0 if state in "ZX" else int(parent)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        return "ended"


@dataclass(frozen=True)
class Mount:
    """A line of a mount table."""

    number: int  # of this mount in this namespace alone
    file_system: str
    root: str
    point: str


def mount_table() -> list[Mount]:
    """What this process sees mounted, parents first."""
    return parse_mounts(_MOUNT_TABLE.read_text(encoding="utf-8"))


def parse_mounts(text: str) -> list[Mount]:
    """The lines of a ``mountinfo`` (proc(5))."""
    fields = [line.split()[:5] for line in text.splitlines()]
    return [Mount(int(number), device, root, point) for number, _, device, root, point in fields]


def _new_mounts(before: Sequence[Mount], outside: Sequence[Mount]) -> list[str]:
    known = {mount.number for mount in before}
    foreign = {(mount.file_system, mount.root, mount.point) for mount in outside}
    return sorted(
        mount.point
        for mount in mount_table()
        if mount.number not in known and (mount.file_system, mount.root, mount.point) not in foreign
    )


def interface_names() -> set[str]:
    """The network interfaces that this process sees."""
    return {name for _, name in socket.if_nameindex()}


if __name__ == "__main__":
    sys.exit(main())
