# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Running other programs, and saying which package brings one that is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from product_packages.errors import PackagingError

# The program: the Debian package that brings it.
PACKAGE_OF = {
    "dpkg-buildpackage": "dpkg-dev",
    "dpkg-deb": "dpkg",
    "dh": "debhelper",
    "dh_python3": "dh-python",
    "git": "git",
    "lintian": "lintian",
    "pip3": "python3-pip",
    "rpm": "rpm",
    "rpmbuild": "rpm",
    "rpmlint": "rpmlint",
}


def require(*programs: str) -> None:
    """Raise PackagingError, naming each program that is missing and the package with it."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        packages = sorted({PACKAGE_OF[name] for name in missing})
        raise PackagingError(
            f"missing: {', '.join(missing)}; on Debian: apt-get install {' '.join(packages)}"
        )


def run(
    command: Sequence[str], folder: Optional[Path] = None, more: Optional[Mapping[str, str]] = None
) -> str:
    """What the program printed, both channels; raises PackagingError with it when it failed.

    The locale, the time zone and Python's own settings of whoever calls are not handed on: they
    would be seen in what is built.
    """
    done = subprocess.run(
        list(command),
        cwd=folder,
        env=environment(more or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise PackagingError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """What a build may know of its surroundings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy")
        or name.startswith("PIP_")
    }
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", **more}
