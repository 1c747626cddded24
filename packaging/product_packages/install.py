# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``packaging/install``: one package's files below a folder, for debian/rules and the RPM spec."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from product_packages import files
from product_packages.errors import PackagingError
from product_packages.version import product_version

SOURCE = Path(__file__).resolve().parents[2]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write the files; returns the exit code."""
    parser = argparse.ArgumentParser(prog="packaging/install", description=__doc__)
    parser.add_argument("package", choices=("product", "compat"))
    parser.add_argument("--destdir", type=Path, required=True, help="the folder that is the root")
    parser.add_argument("--layout", choices=sorted(files.LAYOUTS), required=True)
    parser.add_argument(
        "--python-modules",
        default="usr/lib/python3/dist-packages",
        help="where the distribution's Python looks for modules",
    )
    options = parser.parse_args(argv)
    try:
        version = product_version(SOURCE)
        if options.package == "product":
            found = files.product_files(SOURCE, files.LAYOUTS[options.layout], version)
        else:
            found = files.compat_files(SOURCE, options.python_modules.lstrip("/"), version)
        files.write_files(found, options.destdir)
    except (PackagingError, OSError) as error:
        print(f"packaging/install: {error}", file=sys.stderr)
        return 1
    return 0
