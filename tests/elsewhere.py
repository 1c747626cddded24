# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs a command of this checkout on a fresh Debian of another release, in a booted container.

``tests/run-elsewhere RELEASE [LEVEL ...]`` runs ``tests/run`` there, with ``--demo`` it runs
``lab/demo`` with its options (``--fire-timeout=10``), with ``--packages`` what ``packaging/check``
looks at. The container has a systemd, a network and control groups of its own, and begins with
nothing but what that release installs as "important": what the command needs, it installs itself.
The lab's hosts are containers inside the container.

Runs on the system's Python with the standard library alone.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Optional

from lab import debian_roots, install, mounts, processes, settings
from lab.debian_roots import RELEASES
from lab.errors import LabError
from lab.processes import run, wait_until

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (*debian_roots.TOOLS, "slirp4netns", "systemd-container")
# Beside what has the priority "important": what a machine that boots with systemd has.
INCLUDED = ("ca-certificates", "dbus", "systemd-sysv")

CHECKOUT_INSIDE = "/srv/hosted-engine-ha"
# The name server that slirp4netns offers; it asks this machine's own.
RESOLVER = "nameserver 10.0.2.3\n"
BOOT_TIMEOUT_S = 60.0
OFF_TIMEOUT_S = 15.0
NETWORK_TIMEOUT_S = 10.0
# How a registry is reached from here, it is reached from there; and how slow this machine is.
HANDED_ON = (
    *("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_CERT"),
    *("PIP_DEFAULT_TIMEOUT", "HE_TIME_FACTOR", "CI", "SOURCE_DATE_EPOCH"),
)
OWN_AUTHORITIES = Path("/usr/local/share/ca-certificates")

# Measured with Debian 13 on two cores that had other work.
ABOUT = """\
{release}: a fresh root (200 MB unpacked; made in half a minute, kept), then what the command
installs itself: for all levels about 170 MB of Debian's packages (kept for the next run) and
40 MB from the Python index, in two minutes. Everything is below {state}, at the end about 2 GB;
it may be deleted when no run is under way. The rest takes as long as the same command does here."""


@dataclass(frozen=True)
class Elsewhere:
    """One release's container and its places on this machine."""

    state: Path
    release: str

    @property
    def archive(self) -> Path:
        """The release's fresh root, packed; every run begins with it."""
        return self.state / f"{self.release}.tar"

    @property
    def root(self) -> Path:
        """The root of the present or latest run."""
        return self.state / self.release

    @property
    def packages(self) -> Path:
        """Debian packages that were downloaded."""
        return self.state / f"{self.release}-packages"

    @property
    def wheels(self) -> Path:
        """pip's cache."""
        return self.state / f"{self.release}-wheels"

    @property
    def log(self) -> Path:
        """What making the root and booting it printed."""
        return self.state / f"{self.release}.log"

    @property
    def network(self) -> str:
        """The name of the container's network namespace."""
        return f"elsewhere-{self.release}"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command elsewhere; returns its exit code, 1 when it could not be run."""
    options = _arguments(argv)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        settings.time_factor()  # a wrong one is refused before anything is done
        place = Elsewhere(_state(), options.release)
        with _only_one(place):
            return _run_there(place, _command(options), options.again)
    except LabError as error:
        print(f"tests/run-elsewhere: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tests/run-elsewhere: interrupted", file=sys.stderr)
        return 130


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/run-elsewhere",
        description="Run the tests in a booted container of another Debian release.",
    )
    parser.add_argument("release", choices=RELEASES, metavar="RELEASE", help=" or ".join(RELEASES))
    parser.add_argument(
        "words", nargs="*", metavar="LEVEL", help="as for tests/run, with its options; none: all"
    )
    parser.add_argument("--demo", action="store_true", help="run lab/demo instead of the tests")
    parser.add_argument(
        "--packages", action="store_true", help="check the packages there: see packaging/check"
    )
    parser.add_argument(
        "--again", action="store_true", help="go on in the root that the latest run left"
    )
    options, others = parser.parse_known_intermixed_args(argv)
    # What is not an option here may be one of what is run, which refuses it where it is not.
    options.words += others
    return options


def _command(options: argparse.Namespace) -> list[str]:
    if options.demo and options.packages:
        raise LabError("--demo and --packages were given; one of them is run at a time")
    if options.packages:
        return ["packaging/check", "--here", *options.words]
    return ["lab/demo" if options.demo else "tests/run", *options.words]


def _interrupt(number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt(number)


def _state() -> Path:
    if os.geteuid() != 0:
        raise LabError("needs root: run it with sudo")
    path = Path(os.environ.get("HE_ELSEWHERE_STATE") or "/var/lib/hosted-engine-elsewhere")
    if not path.is_absolute():
        raise LabError(f"HE_ELSEWHERE_STATE={path}: must be an absolute path")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def _only_one(place: Elsewhere) -> Iterator[None]:
    """Hold the release's lock: two runs would share one root."""
    with (place.state / f"{place.release}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LabError(f"another run in {place.release} is under way") from error
        yield


def _run_there(place: Elsewhere, command: Sequence[str], again: bool) -> int:
    if again and not place.root.is_dir():
        raise LabError(f"--again: no root of {place.release} was left; run without it first")
    _install_tools(place)
    print(ABOUT.format(release=place.release, state=place.state), flush=True)
    if not again:
        _make_root(place)
    _copy_checkout(place.root / CHECKOUT_INSIDE.lstrip("/"))
    with _network(place), _booted(place) as leader:
        _trust_own_authorities(leader)
        print(f"{place.release}: {' '.join(command)}", flush=True)
        began_s = time.monotonic()
        code = subprocess.run(_inside(leader, command), check=False).returncode
        took_s = time.monotonic() - began_s
    verdict = "passed" if code == 0 else f"ended with {code}"
    print(f"{place.release}: {' '.join(command)} {verdict} after {took_s:.0f} s", flush=True)
    return code


# --- the root -------------------------------------------------------------------------


def _install_tools(place: Elsewhere) -> None:
    cache = settings.places().cache
    cache.mkdir(parents=True, exist_ok=True)
    install.restore_policy()
    install.install_packages(settings.places(), PACKAGES)
    for folder in (place.packages / "partial", place.wheels):
        folder.mkdir(parents=True, exist_ok=True)


def _make_root(place: Elsewhere) -> None:
    if not place.archive.exists():
        print(f"making a root of {place.release}", flush=True)
        debian_roots.make(place.release, place.archive, "important", INCLUDED, place.log)
    _remove_root(place)
    place.root.mkdir()
    run(["tar", "-C", str(place.root), "-xpf", str(place.archive)], timeout_s=300)
    (place.root / "etc/hostname").write_text(f"{place.release}\n", encoding="ascii")
    (place.root / "etc/resolv.conf").unlink(missing_ok=True)
    (place.root / "etc/resolv.conf").write_text(RESOLVER, encoding="ascii")
    with contextlib.suppress(FileNotFoundError):
        shutil.copytree(OWN_AUTHORITIES, place.root / OWN_AUTHORITIES.relative_to("/"),
                        dirs_exist_ok=True)  # fmt: skip


def _remove_root(place: Elsewhere) -> None:
    mounts.unmount_below(place.root)
    if place.root.exists():
        # The whole tree is ours: nothing of another file system is mounted in it any more.
        shutil.rmtree(place.root)


def _copy_checkout(target: Path) -> None:
    """Copy what git knows or would add, as a fresh clone of the present work has it."""
    words = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = [name for name in run(words).split("\0") if name]
    for entry in target.iterdir() if target.is_dir() else ():
        # The test environment of the latest run serves again, as it does in a checkout.
        if entry.name != ".venv":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for name in names:
        source, copy = ROOT / name, target / name
        if source.is_symlink() or source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)


# --- the container --------------------------------------------------------------------


@contextlib.contextmanager
def _network(place: Elsewhere) -> Iterator[None]:
    """A network of its own that reaches the package registries, and not this machine's loopback."""
    _remove_network(place)
    run(["ip", "netns", "add", place.network])
    words = ["slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback"]
    words += ["--netns-type=path", f"/run/netns/{place.network}", "tap0"]
    with place.log.open("ab") as log:
        slirp = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(f"{place.release}: network", lambda: _has_network(place), NETWORK_TIMEOUT_S)
        yield
    finally:
        slirp.kill()
        slirp.wait()
        _remove_network(place)


def _has_network(place: Elsewhere) -> bool:
    shown = run(["ip", "-n", place.network, "route", "show", "default"])
    return bool(shown.strip())


def _remove_network(place: Elsewhere) -> None:
    if Path(f"/run/netns/{place.network}").exists():
        run(["ip", "netns", "delete", place.network])


@contextlib.contextmanager
def _booted(place: Elsewhere) -> Iterator[int]:
    """The container, up; yields its process 1 as this machine numbers it."""
    # Version 2 of the control groups everywhere: systemd 256 and later know no other.
    environment = {**_environment(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
    with place.log.open("ab") as log:
        supervisor = subprocess.Popen(
            _nspawn(place),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(
            f"{place.release}: process 1 (see {place.log})",
            lambda: supervisor.poll() is not None or _leader(supervisor.pid) is not None,
            BOOT_TIMEOUT_S,
        )
        leader = _leader(supervisor.pid)
        if leader is None:
            raise LabError(f"{place.release} did not start: see {place.log}")
        wait_until(f"{place.release}: its start", lambda: _is_running(leader), BOOT_TIMEOUT_S)
        yield leader
    finally:
        _end(supervisor)


def _nspawn(place: Elsewhere) -> list[str]:
    return [
        "systemd-nspawn",
        *("--directory", str(place.root), "--machine", place.release),
        *("--register=no", "--keep-unit", "--settings=no", "--link-journal=no"),
        *("--resolv-conf=off", "--timezone=off", "--console=pipe", "--capability=all"),
        *(f"--bind={device}" for device in ("/dev/fuse", "/dev/net/tun")),
        *(f"--bind={device}" for device in _devices_if_any()),
        f"--bind={place.packages}:/var/cache/apt/archives",
        f"--bind={place.wheels}:/root/.cache/pip",
        f"--network-namespace-path=/run/netns/{place.network}",
        *("--boot", "systemd.unit=multi-user.target"),
    ]


def _devices_if_any() -> list[str]:
    """KVM, and loop devices for the tests on block devices: a container's /dev gets no new ones."""
    loops = [f"/dev/loop{number}" for number in range(8)]
    wanted = ["/dev/kvm", "/dev/loop-control", *loops]
    return [device for device in wanted if Path(device).exists()]


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")}


def _leader(supervisor: int) -> Optional[int]:
    """The container's process 1: the supervisor's child that has become systemd."""
    for found in processes.processes():
        if found.parent == supervisor and found.program in ("systemd", "init"):
            return found.pid
    return None


def _is_running(leader: int) -> bool:
    """Whether the container's start has finished; a unit that failed does not matter here."""
    done = subprocess.run(
        [*_enter(leader), "systemctl", "is-system-running"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() in ("running", "degraded")


def _enter(leader: int) -> list[str]:
    kinds = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd")
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return ["nsenter", f"--target={leader}", *kinds, "--", "env", "-i", path]


def _inside(leader: int, command: Sequence[str]) -> list[str]:
    """The words that run a command of the checkout as a unit of the container's systemd."""
    # The copy has no repository, which would tell when its sources were made.
    made_s = run(["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]).strip()
    environment = {"SOURCE_DATE_EPOCH": made_s, **os.environ}
    handed_on = [
        f"--setenv={name}={environment[name]}" for name in HANDED_ON if name in environment
    ]
    return [
        *_enter(leader),
        *("systemd-run", "--pipe", "--wait", "--quiet", "--collect", "--setenv=HOME=/root"),
        *("--setenv=LANG=C.UTF-8", f"--working-directory={CHECKOUT_INSIDE}", *handed_on),
        f"{CHECKOUT_INSIDE}/{command[0]}",
        *command[1:],
    ]


def _trust_own_authorities(leader: int) -> None:
    """What this machine's administrator trusts: a registry may be reached through his proxy."""
    run([*_enter(leader), "update-ca-certificates"], timeout_s=120)


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    """Cut the container's power: all that runs in it goes with its process 1."""
    leader = _leader(supervisor.pid)
    if leader is not None:
        processes.kill([leader])
    try:
        supervisor.wait(settings.scaled(OFF_TIMEOUT_S))
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()


if __name__ == "__main__":
    sys.exit(main())
