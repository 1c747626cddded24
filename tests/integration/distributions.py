# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Wheels of this checkout, built and installed without any network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD_TIMEOUT_S = 120.0
_NO_SOURCES = shutil.ignore_patterns(
    ".git", ".venv", "*.egg-info", "build", "__pycache__", ".*_cache", "tests", "lab"
)
# Nothing is fetched: what building takes is in the environment of the tests.
_OFFLINE = ("--no-deps", "--no-index", "--disable-pip-version-check", "--quiet")


def build_wheel(sources: Path, directory: Path) -> Path:
    """The wheel of `sources`, made from a copy, since a build leaves files in its sources."""
    copy = directory / f"sources-of-{sources.name}"
    shutil.copytree(sources, copy, ignore=_NO_SOURCES)
    target = directory / f"wheel-of-{sources.name}"
    _pip("wheel", "--no-build-isolation", "--wheel-dir", str(target), str(copy))
    (wheel,) = target.iterdir()
    return wheel


def top_level_names(wheel: Path) -> set[str]:
    """What the wheel adds to the names that a program can import."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name.split("/")[0] for name in archive.namelist()}
    return {name for name in names if not name.endswith((".dist-info", ".data"))}


def environment(directory: Path, *wheels: Path) -> Path:
    """A virtual environment of its own with these wheels; returns its Python."""
    venv = directory / "venv"
    command = [sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", str(venv)]
    subprocess.run(command, check=True, timeout=BUILD_TIMEOUT_S)
    python = venv / "bin" / "python"
    for wheel in wheels:
        _pip("--python", str(python), "install", str(wheel))
    return python


def _pip(*words: str) -> None:
    at = 2 if words[0] == "--python" else 0  # an option of pip itself, before its command
    command = [*words[: at + 1], *_OFFLINE, *words[at + 1 :]]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *command],
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"pip {' '.join(command)}:\n{done.stdout}{done.stderr}"
