# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The power of a host: a systemd-nspawn machine with namespaces and a systemd of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab import cgroups, hostroot, lan, mounts, processes, san, state
from lab.errors import LabError
from lab.processes import Process, run
from lab.settings import (
    BRIDGE,
    HOST_FABRIC,
    HOST_GUEST_FILES,
    MANAGEMENT_BRIDGE,
    Places,
    host_address,
    scaled,
)

BOOT_TIMEOUT_S = 30.0
POWER_OFF_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 90.0
SUPERVISOR_TIMEOUT_S = 5.0
# Where systemd-nspawn mounts a folder for sockets of its machines, since version 256. It refuses to
# start a machine whose mount a killed predecessor has left.
EXPORTS = Path("/run/systemd/nspawn/unix-export")
# What systemd takes as "power off now, in order".
SIGNAL_POWER_OFF = signal.SIGRTMIN + 4
HOST_ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    *("HOME=/root", "LANG=C.UTF-8", "TERM=dumb"),
)


def leader(places: Places, host: str) -> int | None:
    """The host's process 1 as this machine numbers it; None when the host is off."""
    try:
        pid, started_s = _leader_file(places, host).read_text(encoding="ascii").split()
    except (FileNotFoundError, ValueError):
        return None
    found = processes.process(int(pid))
    # A number used again by another process would have another start time.
    return found.pid if found is not None and repr(found.started_s) == started_s else None


def require_leader(places: Places, host: str) -> int:
    """The host's process 1; an error when the host is off."""
    pid = leader(places, host)
    if pid is None:
        raise LabError(f"{host} is off")
    return pid


def power_on(places: Places, host: str) -> bool:
    """Start a host; returns whether its start has finished (a faulty SAN can delay that)."""
    if leader(places, host) is not None:
        raise LabError(f"{host} is on already")
    cgroups.remove(places, host)
    _remove_exports(host)
    with _notifications(places, host) as notices:
        launcher = _launch(places, host)
        deadline_s = time.monotonic() + scaled(BOOT_TIMEOUT_S)
        started = False
        while not started and time.monotonic() < deadline_s:
            started = _take_notice(places, host, notices, launcher)
    if leader(places, host) is None:
        raise LabError(f"{host} did not start: see {_console(places, host)}")
    return started


def power_off(places: Places, host: str) -> float:
    """Cut a host's power: everything in it is gone at once. Returns the moment of the cut."""
    pid = require_leader(places, host)
    cut_at_s = processes.machine_clock_s()
    # The kernel says goodbye for each killed process; of a machine without power nothing comes.
    lan.set_cable(host, "cut")
    processes.send(pid, signal.SIGKILL)
    _wait_off(places, host, pid, POWER_OFF_TIMEOUT_S)
    return cut_at_s


def shutdown(places: Places, host: str) -> None:
    """Shut a host down in order and wait until it is off."""
    pid = require_leader(places, host)
    os.kill(pid, SIGNAL_POWER_OFF)
    _wait_off(places, host, pid, SHUTDOWN_TIMEOUT_S)


def reboot(places: Places, host: str) -> tuple[float, bool]:
    """Let a host restart itself; returns after how many seconds it was off, and as `power_on`.

    It is the administrator's own command, which asks logind. systemd-nspawn ends with such a host
    where nothing registers it, so it is switched on again from here.
    """
    pid = require_leader(places, host)
    begin_s = time.monotonic()
    run_in(places, host, ["systemctl", "reboot"])
    _wait_off(places, host, pid, SHUTDOWN_TIMEOUT_S)
    off_s = time.monotonic() - begin_s
    return off_s, power_on(places, host)


def command_in(pid: int, command: Sequence[str]) -> list[str]:
    """The words that run a command in the host whose process 1 is ``pid``."""
    kinds = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
    kinds += _time_namespace_words()
    return ["nsenter", f"--target={pid}", *kinds, "--", "env", "-i", *HOST_ENVIRONMENT, *command]


def run_in(places: Places, host: str, command: Sequence[str], timeout_s: float = 60) -> str:
    """Run a command in a host and return its output; its failure is a LabError."""
    try:
        return run(command_in(require_leader(places, host), command), timeout_s)
    except LabError as error:
        raise LabError(f"{host}: {str(error).rpartition(' ...: ')[2]}") from error


def set_network(places: Places, host: str, way: str) -> None:
    """Pull a host's network cable ("cut"), lose what goes through it ("drop"), or "heal" it.

    It stays so over power cuts. What is lost goes to neighbours whose addresses are known, as
    through a router; else the kernel would say after 3 s that there is no way to them.
    """
    marker = _network_marker(places, host)
    if way == "heal":
        marker.unlink(missing_ok=True)
    else:
        marker.write_text(way)
    if not lan.cable_exists(host):
        return
    lan.set_cable(host, way)
    _forget_neighbours(places, host)
    if way == "drop":
        _know_neighbours(places, host)


def _know_neighbours(places: Places, host: str) -> None:
    for other in state.load(places).hosts:
        if other == host or leader(places, other) is None:
            continue
        hardware = run_in(places, other, ["cat", f"/sys/class/net/{MANAGEMENT_BRIDGE}/address"])
        neighbour = [host_address(other), "lladdr", hardware.strip(), "dev", MANAGEMENT_BRIDGE]
        run_in(places, host, ["ip", "neigh", "replace", *neighbour, "nud", "permanent"])


def _forget_neighbours(places: Places, host: str) -> None:
    flush = ["ip", "neigh", "flush", "dev", MANAGEMENT_BRIDGE, "nud", "permanent"]
    run_in(places, host, flush)


def set_bridge(places: Places, host: str, state: str) -> None:
    """Take a host's management bridge "down" or "up"; a host that boots sets it up."""
    run_in(places, host, ["ip", "link", "set", MANAGEMENT_BRIDGE, state])


def network_state(places: Places, host: str) -> str:
    """What was done to the host's network: "cut", "drop", or nothing ("ok")."""
    with contextlib.suppress(FileNotFoundError):
        return _network_marker(places, host).read_text()
    return "ok"


def supervisors(places: Places) -> list[Process]:
    """The systemd-nspawn of every host of this lab, and what launched it."""
    return [found for found in processes.processes() if _is_supervisor(places, found)]


def remove_all(places: Places) -> None:
    """End all hosts, also those whose start was broken off half-way."""
    launched = supervisors(places)
    inits = [pid for name in _built_hosts(places) if (pid := leader(places, name)) is not None]
    children = [
        found.pid
        for found in processes.processes()
        if found.parent in {supervisor.pid for supervisor in launched}
        and not _is_supervisor(places, found)
    ]
    processes.kill(sorted({*inits, *children}))
    for supervisor in launched:
        # It cleans up behind its container; killed at once, it would leave mounts behind.
        processes.wait_gone(supervisor.pid, SUPERVISOR_TIMEOUT_S)
    processes.kill([supervisor.pid for supervisor in launched])
    for name in _built_hosts(places):
        lan.remove_cable(name)
        _remove_exports(name)


def _launch(places: Places, host: str) -> subprocess.Popen[bytes]:
    command = [
        *cgroups.launcher(places, host),
        *_time_namespace_launcher(),
        "systemd-nspawn",
        *("--directory", str(hostroot.root(places, host)), "--machine", host),
        *("--register=no", "--keep-unit", "--settings=no", "--link-journal=no"),
        *("--resolv-conf=off", "--timezone=off", "--console=pipe", "--notify-ready=yes"),
        *(f"--network-bridge={BRIDGE}", "--capability=all", "--bind=/dev/fuse"),
        "--bind=/dev/net/tun",
        *(["--bind=/dev/kvm"] if Path("/dev/kvm").exists() else []),
        f"--bind={san.fabric(places, host)}:{HOST_FABRIC}",
        f"--bind-ro={places.cache / 'guest'}:{HOST_GUEST_FILES}",
        *("--boot", "systemd.unit=multi-user.target"),
    ]
    environment = {
        "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        "NOTIFY_SOCKET": str(_notify_socket(places, host)),
    }
    if not cgroups.is_unified():
        # A systemd of 256 or later knows no version but 2, which is there beside 1.
        own_root = state.load(places).release_of(host) is not None
        environment["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1" if own_root else "0"
    with _console(places, host).open("ab") as console:
        # A session of its own: Ctrl-C in the terminal is not the hosts' business.
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _time_namespace_launcher() -> list[str]:
    """Give a host a monotonic clock that begins near zero, as a machine just switched on has.

    Hosts that all shared this machine's clock would hide every comparison of two hosts' clocks.
    """
    if not _time_namespace_words():
        return []
    monotonic_s, boot_s = int(time.monotonic()), int(processes.machine_clock_s())
    return ["unshare", "--time", "--fork", f"--monotonic=-{monotonic_s}", f"--boottime=-{boot_s}"]


def _time_namespace_words() -> list[str]:
    return ["--time"] if Path("/proc/self/ns/time").exists() else []


@contextlib.contextmanager
def _notifications(places: Places, host: str) -> Iterator[socket.socket]:
    """A socket on which systemd-nspawn tells how the host's start goes."""
    path = _notify_socket(places, host)
    path.unlink(missing_ok=True)
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        notices.bind(str(path))
        notices.settimeout(0.5)
        yield notices
    finally:
        notices.close()
        path.unlink(missing_ok=True)


def _take_notice(
    places: Places, host: str, notices: socket.socket, launcher: subprocess.Popen[bytes]
) -> bool:
    """Take one message; returns whether it says that the start has finished."""
    try:
        lines = notices.recv(4096).decode(errors="replace").splitlines()
    except socket.timeout:
        if launcher.poll() is not None:
            raise LabError(f"{host} did not start: see {_console(places, host)}") from None
        return False
    for line in lines:
        if line.startswith("X_NSPAWN_LEADER_PID="):
            _keep_leader(places, host, int(line.partition("=")[2]))
            way = network_state(places, host)
            if way != "ok":
                lan.set_cable(host, way)
    return "READY=1" in lines


def _keep_leader(places: Places, host: str, pid: int) -> None:
    found = processes.process(pid)
    if found is not None:
        _leader_file(places, host).write_text(f"{pid} {found.started_s!r}", encoding="ascii")


def _wait_off(places: Places, host: str, pid: int, timeout_s: float) -> None:
    if not processes.wait_gone(pid, timeout_s):
        raise LabError(f"{host} is still on after {scaled(timeout_s):g} s")
    _leader_file(places, host).unlink(missing_ok=True)
    for found in list(processes.processes()):
        if _is_supervisor(places, found, host) and not processes.wait_gone(found.pid, timeout_s):
            raise LabError(f"{host}: its systemd-nspawn has not ended")
    lan.remove_cable(host)
    cgroups.remove(places, host)


def _is_supervisor(places: Places, found: Process, host: str = "") -> bool:
    """Whether a process is systemd-nspawn, or what launched it, for our hosts (or one)."""
    wanted = str(hostroot.root(places, host)) if host else f"{places.run}/hosts/"
    named = any(word == wanted if host else word.startswith(wanted) for word in found.command)
    return "systemd-nspawn" in found.command and named and places.are_seen_by(found.pid)


def _remove_exports(host: str) -> None:
    mounts.unmount_below(EXPORTS / host)


def _built_hosts(places: Places) -> list[str]:
    folder = places.run / "hosts"
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def _leader_file(places: Places, host: str) -> Path:
    return places.host(host) / "leader"


def _notify_socket(places: Places, host: str) -> Path:
    return places.host(host) / "notify"


def _console(places: Places, host: str) -> Path:
    return places.host(host) / "console.log"


def _network_marker(places: Places, host: str) -> Path:
    return places.host(host) / "network"
