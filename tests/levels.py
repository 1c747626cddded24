# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Sets up the test environment and runs the levels: ``python3 -m tests.levels [LEVEL ...]``.

Runs on the system's Python with the standard library alone; the tests themselves run in a
virtual environment of their own, beside the checkout's sources, or, with
``--distribution-packages``, on the system's Python with what the distribution has, or, with
``--python EXECUTABLE``, on another interpreter with an environment for it.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Optional

ROOT = Path(__file__).resolve().parent.parent
SYSTEM_PYTHON = "/usr/bin/python3"
VENV = ROOT / ".venv"
# Both made by tests/lock.py.
REQUIREMENTS = ROOT / "tests/requirements.txt"
BUILD_REQUIREMENTS = ROOT / "tests/build-requirements.txt"
# Nothing that is not pinned is fetched for a build either.
HERMETIC = ("--no-build-isolation",)
# In an environment: what it was made from.
STAMP = "installed-for"
OLDEST_PYTHON = (3, 9)
# The oldest ones can read this, too.
WHICH_PYTHON = (
    "import platform as p; print(p.python_implementation().lower() + ' ' + p.python_version())"
)

PURE = ("unit", "fsm", "scenarios", "sim")
# How many processes share a level's tests: the pure ones need the cores, those with real daemons
# mostly wait, each file for its own. The other levels have one machine, or use all of it.
SIDE_BY_SIDE = {
    "unit": ("--numprocesses=auto",),
    "scenarios": ("--numprocesses=auto",),
    "integration": ("--numprocesses=3", "--dist=loadfile"),
}
REAL = ("contract", "integration", "lab")
# Mostly waits for real daemons, so it runs beside the pure ones, which take what it leaves of the
# cores: their clocks are virtual, and a lower priority only makes them longer.
BESIDE_PURE = "contract"
PURE_NICENESS = 5
LEVELS = ("lint", *PURE, *REAL)
# Too long for every run: only where it is named.
OTHER_LAB = "lab-other"
ON_DEMAND = (OTHER_LAB, "lab_long")
LABS = ("lab", *ON_DEMAND)
# A level with another folder than its name.
FOLDER = {OTHER_LAB: "lab"}

# What the environment of all levels is made with: a fresh Debian's Python has no `ensurepip`.
ENVIRONMENT_PACKAGES = ("python3-venv",)
# What the tests of a level need beside the lab's packages.
PACKAGES = {
    # tcc compiles what sets the clock of one host's sanlock back; SASL has SCRAM by its modules.
    "contract": ("tcc", "openssl", "libsasl2-modules"),
    # An environment with nothing but wheels of this checkout takes YAML from the system.
    "integration": (
        *("prometheus", "nodejs", "mandoc", "zsh", "fish", "librsvg2-bin"),
        "python3-yaml",
        *("dpkg-dev", "debhelper", "dh-python"),
    ),
    "lab": ("prometheus", "nodejs", "curl"),
    OTHER_LAB: ("prometheus", "nodejs", "curl"),
    "lab_long": ("curl",),
}
# Packages that only some releases have; elsewhere another one brings what is in them.
PACKAGES_SINCE = {13: {"contract": ("qemu-system-modules-spice",)}}

# What the pure levels take from the distribution where nothing else is to be used.
DISTRIBUTION_PACKAGES = (
    *("python3-transitions", "python3-sdnotify", "python3-prometheus-client", "python3-yaml"),
    *("python3-libvirt", "python3-sanlock", "python3-rich"),
    *("python3-pytest", "python3-pytest-xdist", "python3-hypothesis", "openssl"),
)
# The modules that they bring, each of which must come from where the distribution puts it.
DISTRIBUTION_FOLDER = "/usr/lib/python3/dist-packages"
WHERE_FROM = """
import importlib
for name in "transitions sdnotify prometheus_client yaml libvirt sanlock pytest xdist rich".split():
    print(name, importlib.import_module(name).__file__)
"""

# What `lab up` is told as --release.
RELEASE_VARIABLE = "HE_LAB_RELEASE"
# A lab of the tests' own, beside one that somebody may have built to play with.
LAB_STATE = "/var/lib/hosted-engine-lab-tests"


class LevelError(Exception):
    """A level could not be run, or failed; the message is for people."""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the named levels, all without a name. Returns 0 when every one passed."""
    options = _arguments(argv)
    os.environ.setdefault("HE_LAB_STATE", LAB_STATE)
    # A shell's job in the background ignores Ctrl-C, and so would all that the tests start.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        python = _python_for(options)
        failed = _failed(options.levels, python)
    except LevelError as error:
        print(f"tests/run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tests/run: interrupted", file=sys.stderr)
        return 130
    print(f"tests/run: {'failed: ' + ', '.join(failed) if failed else 'every level passed'}")
    return 1 if failed else 0


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    """`levels`, and what they are to be run with: `distribution_packages` or `python`."""
    parser = argparse.ArgumentParser(
        prog="tests/run", description="Set up and run the tests; no level means all of them."
    )
    names = f"one of {', '.join(LEVELS)}; or, only where it is named, {', '.join(ON_DEMAND)}"
    parser.add_argument("levels", nargs="*", metavar="LEVEL", help=names)
    with_what = parser.add_mutually_exclusive_group()
    with_what.add_argument(
        "--distribution-packages",
        action="store_true",
        help=f"use no package but the distribution's: with {', '.join(PURE)} alone",
    )
    with_what.add_argument(
        "--python",
        metavar="EXECUTABLE",
        help="run them on this interpreter, 3.9 at least, in an environment of its own without "
        f"libvirt's and sanlock's bindings: with {', '.join(PURE)} alone",
    )
    options = parser.parse_args(argv)
    usual = PURE if options.distribution_packages or options.python else LEVELS
    allowed = usual if usual is PURE else (*LEVELS, *ON_DEMAND)
    for level in options.levels:
        if level not in allowed:
            parser.error(f"no level {level!r}: choose from {', '.join(allowed)}")
    options.levels = [level for level in allowed if level in (options.levels or usual)]
    return options


# --- setting up -----------------------------------------------------------------------


def _python_for(options: argparse.Namespace) -> str:
    """The Python that runs the tests, with all that they need."""
    if options.distribution_packages:
        return _set_up_distribution()
    if options.python:
        return _set_up_another(options.python)
    return _set_up(options.levels)


def _set_up(levels: Sequence[str]) -> str:
    """The system's Python in a virtual environment that sees the system's libvirt and sanlock."""
    _install_packages(levels, ENVIRONMENT_PACKAGES)
    return _environment(SYSTEM_PYTHON, VENV, "--system-site-packages")


def _set_up_another(python: str) -> str:
    """Another Python, in a virtual environment for its name and version; installs nothing else."""
    name, version = _which(python)
    if tuple(map(int, version.split(".")[:2])) < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise LevelError(f"{python} is Python {version}; {oldest} is the oldest that will do")
    _say(f"{name} {version}, without libvirt's and sanlock's bindings: {python}")
    # More has no wheel for other implementations, and takes more to be built than setuptools.
    built = HERMETIC if name == "cpython" else ()
    return _environment(python, ROOT / f".venv-{name}-{version}", built=built)


def _which(python: str) -> tuple[str, str]:
    """The interpreter's name and version, as in `cpython`, `3.9.18`."""
    try:
        name, version = _run([python, "-c", WHICH_PYTHON]).split()
    except (OSError, ValueError) as error:
        raise LevelError(f"{python} is no Python that can be run: {error}") from error
    return name, version


def _environment(python: str, folder: Path, *options: str, built: Sequence[str] = HERMETIC) -> str:
    """A virtual environment, made anew when something in it may have changed; its Python.

    `options` are venv's, `built` pip's for what has no wheel for this interpreter.
    """
    inside = str(folder / "bin" / "python")
    stamp = folder / STAMP
    wanted = _fingerprint(python)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return inside
    _say("setting up the test environment")
    _run([python, "-m", "venv", "--clear", *options, str(folder)])
    pip = [inside, "-m", "pip", "install", "--quiet"]
    # The system's libvirt and sanlock serve, its other packages don't: where they happen to be
    # installed, they are older than what the sources are checked against.
    hashed = ["--ignore-installed", "--require-hashes", "--requirement"]
    # What has no wheel is built by the setuptools that came first, whose hash is known.
    _run([*pip, *hashed, str(BUILD_REQUIREMENTS)])
    _run([*pip, *built, *hashed, str(REQUIREMENTS)])
    _run([*pip, "--no-build-isolation", "--no-deps", "-e", str(ROOT)])
    stamp.write_text(wanted, encoding="utf-8")
    return inside


def _set_up_distribution() -> str:
    """The system's Python, which finds the distribution's packages and this checkout."""
    _install_packages((), DISTRIBUTION_PACKAGES)
    os.environ.update(PYTHONNOUSERSITE="1", PYTHONPATH=str(ROOT))
    for line in _run([SYSTEM_PYTHON, "-c", WHERE_FROM]).splitlines():
        name, file = line.split(maxsplit=1)
        if not file.startswith(DISTRIBUTION_FOLDER):
            raise LevelError(f"{name} is that of {file}, not the distribution's: remove it first")
    shown = _run(["dpkg-query", "--show", "--showformat=${Package} ${Version}, ",
                  *DISTRIBUTION_PACKAGES])  # fmt: skip
    _say(f"the distribution's packages alone: {shown.strip(', ')}")
    return SYSTEM_PYTHON


def _install_packages(levels: Sequence[str], others: Sequence[str] = ()) -> None:
    """The same packages as the lab's, in the same harmless way."""
    if os.geteuid() != 0:
        if set(levels) & {*REAL, *ON_DEMAND}:
            needy = ", ".join((*REAL, *ON_DEMAND))
            raise LevelError(f"the levels {needy} need root; run it with sudo")
        return
    # Only root installs anything.
    from lab import debian_roots, install, lifecycle, settings
    from lab.errors import LabError

    tables = [PACKAGES, *(table for since, table in PACKAGES_SINCE.items() if _debian() >= since)]
    more = sorted({name for table in tables for level in levels for name in table.get(level, ())})
    more += others
    try:
        places = settings.places()
        places.cache.mkdir(parents=True, exist_ok=True)
        install.restore_policy()
        install.install_packages(places, more)
        if set(LABS) & set(levels):
            # The tests themselves run in a network of their own, where nothing can be fetched.
            lifecycle.prepare(places, _releases(levels, debian_roots.RELEASES))
        elif "contract" in levels:
            install.build_guest(places)
    except LabError as error:
        raise LevelError(str(error)) from error


def _releases(levels: Sequence[str], known: Sequence[str]) -> list[str]:
    """Of which Debian releases the levels have hosts with a root of their own."""
    mixed = list(known) if "lab_long" in levels else []
    return mixed + ([_other_release(known)] if OTHER_LAB in levels else [])


def _other_release(known: Sequence[str]) -> str:
    """The release that this machine is not: of two, or the newest on a machine of none of them."""
    own = _os_release().get("VERSION_CODENAME", "")
    return next(release for release in reversed(known) if release != own)


def _debian() -> float:
    """The release's number; a system without one (testing) is newer than all."""
    number = _os_release().get("VERSION_ID", "")
    return float(number) if number.replace(".", "", 1).isdigit() else math.inf


def _os_release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    fields = (line.split("=", 1) for line in lines if "=" in line)
    return {name: value.strip('"') for name, value in fields}


def _fingerprint(python: str) -> str:
    files = (ROOT / "pyproject.toml").read_bytes() + REQUIREMENTS.read_bytes()
    text = files + inspect.getsource(_environment).encode()
    version = subprocess.run([python, "--version"], capture_output=True, check=True).stdout
    return hashlib.sha256(text + version + str(ROOT).encode()).hexdigest()


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        raise LevelError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


# --- running --------------------------------------------------------------------------


def _failed(levels: Sequence[str], python: str) -> list[str]:
    """Run the levels; the names of those that failed."""
    pure = [level for level in levels if level in PURE]
    beside = BESIDE_PURE if pure and BESIDE_PURE in levels else None
    alone = [level for level in levels if level not in pure and level != beside]
    failed = [level for level in alone if level not in REAL and not _passes(level, python)]
    with _Beside(beside, python) as other:
        failed += [level for level in pure if not _passes(level, python, nice=beside is not None)]
        if beside is not None and not other.passes():
            failed.append(beside)
    return failed + [level for level in alone if level in REAL and not _passes(level, python)]


def _passes(level: str, python: str, nice: bool = False) -> bool:
    _say(f"level {level}")
    began_s = time.monotonic()
    passed = _lint() if level == "lint" else _pytest(level, python, nice)
    _say_result(level, passed, began_s)
    return passed


def _say_result(level: str, passed: bool, began_s: float) -> None:
    _say(f"level {level} {'passed' if passed else 'failed'} in {time.monotonic() - began_s:.0f} s")


def _pytest(level: str, python: str, nice: bool) -> bool:
    """The level's tests; something left behind by them is a failure as well."""
    child = _begin(level, python, niceness=PURE_NICENESS if nice else 0)
    try:
        return child.wait() == 0
    except KeyboardInterrupt:
        _interrupt(child)
        raise


def _begin(
    level: str, python: str, output: Optional[IO[bytes]] = None, niceness: int = 0
) -> subprocess.Popen[bytes]:
    command = ["nice", "-n", str(niceness)] if niceness else []
    command += [sys.executable, "-m", "tests.leftovers"]
    folder = FOLDER.get(level, level)
    command += [python, "-m", "pytest", "-q", f"tests/{folder}"]
    command += SIDE_BY_SIDE.get(level, ())
    if level in LABS:
        # What is too long for each run is to be seen.
        command.append("--durations=15")
    # A group of their own: they are told of an interruption once, by whichever way it came here.
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "HE_TEST_LEVEL": folder, **_told(level)},
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _told(level: str) -> dict[str, str]:
    """Of which release the lab's hosts are to be."""
    if level != OTHER_LAB:
        return {}
    from lab.debian_roots import RELEASES

    return {RELEASE_VARIABLE: _other_release(RELEASES)}


def _interrupt(child: subprocess.Popen[bytes]) -> None:
    """They take down what they have built. A second interruption does not wait for that."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGINT)
        child.wait()


class _Beside:
    """A level (None: nothing) that runs while others do; it is heard when it has ended."""

    def __init__(self, level: Optional[str], python: str) -> None:
        self._level, self._python = level, python

    def __enter__(self) -> _Beside:
        if self._level is not None:
            _say(f"level {self._level} begins beside the others")
            self._began_s = time.monotonic()
            self._output = tempfile.TemporaryFile()
            self._child = _begin(self._level, self._python, self._output)
        return self

    def __exit__(self, *_: object) -> None:
        if self._level is not None:
            _interrupt(self._child)
            self._output.close()

    def passes(self) -> bool:
        """Wait for its end, and print all that it said."""
        assert self._level is not None
        _say(f"level {self._level}")
        passed = self._child.wait() == 0
        self._output.seek(0)
        print(self._output.read().decode(errors="replace"), end="", flush=True)
        _say_result(self._level, passed, self._began_s)
        return passed


def _lint() -> bool:
    tools = VENV / "bin"
    commands = (
        [str(tools / "ruff"), "check", "."],
        [str(tools / "ruff"), "format", "--check", "."],
        [str(tools / "mypy")],
    )
    codes = [subprocess.run(command, check=False, cwd=ROOT).returncode for command in commands]
    return not any(codes)


def _say(text: str) -> None:
    print(f"=== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
