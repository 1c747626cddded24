# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The wheels, of the product and of compat/."""

from __future__ import annotations

import sys
from pathlib import Path

from product_packages.errors import PackagingError
from product_packages.sources import Sources
from product_packages.tools import run

# Without pip: setuptools is all that it takes, and nothing is fetched.
_BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
_NEEDED = "import setuptools, sys; sys.exit(int(setuptools.__version__.split('.')[0]) < 64)"
_WHEEL = "import setuptools.command.bdist_wheel"
_WHEEL_BEFORE_70_1 = "import wheel.bdist_wheel"


def build_wheels(sources: Sources, work: Path) -> list[Path]:
    """Build them below `work`, an empty folder; returns the wheels. Raises PackagingError."""
    _require_setuptools()
    copy = sources.copy_to(work)
    target = work / "wheels"
    target.mkdir()
    for folder in (copy, copy / "compat"):
        run(
            [sys.executable, "-I", "-c", _BUILD, str(target)],
            folder,
            {"SOURCE_DATE_EPOCH": str(sources.epoch_s)},
        )
    return sorted(target.glob("*.whl"))


def _require_setuptools() -> None:
    what = "setuptools from 64 on, and wheel with those before 70.1"
    how = "on Debian: apt-get install python3-setuptools python3-wheel"
    if not _runs(_NEEDED) or not (_runs(_WHEEL) or _runs(_WHEEL_BEFORE_70_1)):
        raise PackagingError(f"missing: {what}, for {sys.executable}; {how}")


def _runs(program: str) -> bool:
    try:
        run([sys.executable, "-I", "-c", program])
    except PackagingError:
        return False
    return True
