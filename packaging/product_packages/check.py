# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``packaging/check``: the Debian packages on fresh hosts of both releases.

Each release's container is that of tests/run-elsewhere, which runs this command in it with
``--here``: nothing is built, installed or started on the machine itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from product_packages.errors import PackagingError
from product_packages.fresh_host import check_here
from product_packages.sources import EPOCH_VARIABLE, read_sources

SOURCE = Path(__file__).resolve().parents[2]
RELEASES = ("bookworm", "trixie")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Check the packages; returns the exit code."""
    options = _arguments(argv)
    try:
        if options.here:
            refuse_outside_of_a_container()
            check_here(SOURCE)
            return 0
        return _check_releases(options.releases or RELEASES)
    except (PackagingError, OSError) as error:
        print(f"packaging/check: {error}", file=sys.stderr)
        return 1


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="packaging/check",
        description="Build, lint, install, deploy, upgrade, remove and purge the Debian packages "
        "in a container of each release. Needs root and the package registry.",
    )
    parser.add_argument(
        "releases",
        nargs="*",
        metavar="RELEASE",
        help=f"{' or '.join(RELEASES)}; none: all",
    )
    parser.add_argument(
        "--here", action="store_true", help="in this container, which is changed by it"
    )
    options = parser.parse_args(argv)
    if options.here and options.releases:
        parser.error(f"--here takes no release, and {' '.join(options.releases)!r} was given")
    for release in options.releases:
        if release not in RELEASES:
            parser.error(f"no release {release!r}: choose from {', '.join(RELEASES)}")
    return options


def _check_releases(releases: Sequence[str]) -> int:
    # The container gets a copy without git's history: the time of the commit is handed on.
    epoch = {EPOCH_VARIABLE: str(read_sources(SOURCE).epoch_s)}
    failed = []
    for release in releases:
        command = [str(SOURCE / "tests/run-elsewhere"), release, "--packages"]
        done = subprocess.run(command, env={**os.environ, **epoch}, check=False)
        if done.returncode != 0:
            failed.append(release)
    print(f"packaging/check: {'failed: ' + ', '.join(failed) if failed else 'passed'}")
    return 1 if failed else 0


def refuse_outside_of_a_container() -> None:
    """Raise PackagingError on a real machine, whose services would be changed."""
    detect = ["systemd-detect-virt", "--container", "--quiet"]
    if os.geteuid() != 0 or subprocess.run(detect, check=False).returncode != 0:
        raise PackagingError(
            "--here changes the host that it runs on, so it runs as root of a container only"
        )


if __name__ == "__main__":
    sys.exit(main())
