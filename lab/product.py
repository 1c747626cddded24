# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The product as its hosts get it: the Debian package of this checkout, installed by apt-get."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from lab import host, hostroot
from lab.errors import LabError
from lab.processes import run_to_the_end
from lab.settings import CHECKOUT, Places

INSTALL_TIMEOUT_S = 120.0
# Where an administrator would have put it.
FOLDER = Path("root")
_NAME = "hosted-engine-ha_*.deb"


def build(places: Places) -> None:
    """Build the package, when the sources have changed."""
    if not (CHECKOUT / "pyproject.toml").exists():
        raise LabError(f"{CHECKOUT}/pyproject.toml: missing, so there is no product to install")
    command = [str(CHECKOUT / "packaging/build"), "deb", "--if-changed"]
    # A copy without git's history does not know when its sources were made.
    environment = {"SOURCE_DATE_EPOCH": str(int(time.time())), **os.environ}
    log = places.cache / "product.log"
    run_to_the_end([*command, "--output", str(places.packages)], environment, log)


def package(places: Places) -> Path:
    """The package that was built."""
    found = sorted(places.packages.glob(_NAME))
    if len(found) != 1:
        raise LabError(f"{places.packages}/{_NAME}: {len(found)} found, one expected")
    return found[0]


def hand_over(places: Places, name: str, file: Path) -> None:
    """Copy a package into a host's /root, the only one there."""
    folder = hostroot.root(places, name) / FOLDER
    for older in folder.glob(_NAME):
        older.unlink()
    try:
        shutil.copyfile(file, folder / file.name)
    except OSError as error:
        raise LabError(f"{file}: {error.strerror}") from error


def install(places: Places, name: str) -> None:
    """Install, upgrade or downgrade to the package in a running host's /root, as one types it."""
    command = f"cd /{FOLDER} && apt-get install --reinstall --allow-downgrades ./{_NAME}"
    try:
        host.run_in(places, name, ("sh", "-c", command), INSTALL_TIMEOUT_S)
    except LabError as error:
        raise LabError(f"the package was not installed: {error}") from error
