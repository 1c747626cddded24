# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""This checkout's package, and that of the next version, which has nothing else that is new."""

import subprocess
import time
from pathlib import Path

from product_packages.main import build
from product_packages.sources import EPOCH_VARIABLE, Sources
from product_packages.version import product_version

from metadata.program import VERSION

ROOT = Path(__file__).resolve().parents[2]
NEXT = VERSION + ".1"


def next_package(folder: Path) -> str:
    """Built below an empty folder; returns where it is."""
    # A copy without git's history does not know when its sources were made.
    sources = Sources(ROOT, product_version(ROOT), int(time.time()))
    return _product(build("deb", sources.next_version(folder), folder / "next", twice=False))


def package_of(checkout: str, folder: Path) -> str:
    """Another checkout's, as that one builds it."""
    words = [f"{checkout}/packaging/build", "deb", "--output", str(folder)]
    subprocess.run(
        ["env", f"{EPOCH_VARIABLE}={int(time.time())}", *words], check=True, capture_output=True
    )
    return _product(list(folder.glob("*.deb")))


def _product(packages: "list[Path]") -> str:
    (found,) = [path for path in packages if path.name.startswith("hosted-engine-ha_")]
    return str(found)
