# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The SAN: two shared volumes and, for each host, a path of its own to them.

A path is one nbdkit process, so one host's path can be hung or made to fail while the others
work on. It does not touch the LAN. Beside it stands a second small nbdkit that shows the
machine's clock as a disk, for the guest's heartbeats.
"""

from __future__ import annotations

import signal
from pathlib import Path

from lab import processes
from lab.errors import LabError
from lab.processes import run, wait_until
from lab.settings import LEASES_SIZE_BYTES, Places

FAULTS = ("hang", "fail")
# Sparse; regions of the heartbeats are spread over it at random.
ENGINE_DISK_SIZE_BYTES = 16 << 30


def create_volumes(places: Places) -> None:
    """Make the empty shared volumes."""
    places.san.mkdir(parents=True)
    for volume, size_bytes in (
        (places.leases, LEASES_SIZE_BYTES),
        (places.engine_disk, ENGINE_DISK_SIZE_BYTES),
    ):
        with volume.open("wb") as file:
            file.truncate(size_bytes)


def fabric(places: Places, host: str) -> Path:
    """The folder with a host's sockets to the SAN."""
    return places.host(host) / "fabric"


def connect(places: Places, host: str) -> None:
    """Start a host's path to the volumes, and its clock."""
    fabric(places, host).mkdir(parents=True)
    _start_nbdkit(
        places,
        host,
        "san",
        [
            *("--filter=error", "file", f"dir={places.san}"),
            *("error=EIO", "error-rate=100%", f"error-file={_error_file(places, host)}"),
        ],
    )
    # $3 is the length asked for. The answer is text, padded with blanks: seconds, host.
    read = f'read s _ </proc/uptime; printf "%-*s" $3 "$s {host}"'
    _start_nbdkit(places, host, "clock", ["-r", "eval", "get_size=echo 4096", f"pread={read}"])


def set_fault(places: Places, host: str, fault: str) -> None:
    """Hang a host's path to the SAN, or let all its I/O fail."""
    pid = _path_pid(places, host)
    if fault == "hang":
        processes.send(pid, signal.SIGSTOP)
        wait_until(f"{host}: storage path stopped", lambda: is_hung(places, host), 5, 0.01)
    else:
        _error_file(places, host).touch()


def heal(places: Places, host: str) -> None:
    """Undo both faults. What was sent into a hung path is carried out now, as on a real SAN."""
    _error_file(places, host).unlink(missing_ok=True)
    processes.send(_path_pid(places, host), signal.SIGCONT)


def fault_of(places: Places, host: str) -> str:
    """``hang``, ``fail`` or nothing."""
    if is_hung(places, host):
        return "hang"
    return "fail" if _error_file(places, host).exists() else ""


def is_hung(places: Places, host: str) -> bool:
    """Whether a host's path to the SAN is stopped."""
    found = processes.process(_path_pid(places, host))
    return found is not None and found.stopped


def remove(places: Places) -> None:
    """End every nbdkit of the lab. One that is killed leaves its scripts in /tmp."""
    run_folder = f"{places.run}/"
    mine = [
        found.pid
        for found in processes.processes()
        if found.program == "nbdkit"
        and any(run_folder in word for word in found.command)
        and places.are_seen_by(found.pid)
    ]
    processes.end(mine)


def _start_nbdkit(places: Places, host: str, name: str, words: list[str]) -> None:
    socket_path = fabric(places, host) / f"{name}.sock"
    pid_file = _pid_file(places, host, name)
    # It goes into the background once it answers, and writes its pid file after that. (In the
    # foreground it would ask the kernel to be ended with its parent.)
    # One thread for each connection: with more, its threads can race when a client has gone
    # while it was stopped, and nbdkit aborts (raw_send_socket: Assertion `sock >= 0').
    command = ["nbdkit", "--threads=1", "--unix", str(socket_path), "--pidfile", str(pid_file)]
    run([*command, *words])
    wait_until(f"{host}: {name}.sock", lambda: _read_pid(pid_file) is not None, 10, 0.01)


def _path_pid(places: Places, host: str) -> int:
    pid = _read_pid(_pid_file(places, host, "san"))
    found = processes.process(pid) if pid is not None else None
    if found is None or found.program != "nbdkit":
        raise LabError(f"{host}: its storage path (nbdkit) is not running")
    return found.pid


def _read_pid(pid_file: Path) -> int | None:
    try:
        text = pid_file.read_text(encoding="ascii")
    except OSError:
        return None
    return int(text) if text.strip().isdigit() else None


def _pid_file(places: Places, host: str, name: str) -> Path:
    return places.host(host) / f"{name}.pid"


def _error_file(places: Places, host: str) -> Path:
    return places.host(host) / "storage-fails"
