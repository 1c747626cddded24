"""``hosted-engine --version``."""

from __future__ import annotations

import argparse

from hosted_engine.errors import EXIT_OK, PROGRAM


def run_command(_: argparse.Namespace) -> int:
    """Print the installed version."""
    print(f"{PROGRAM} {version()}")
    return EXIT_OK


def version() -> str:
    """The installed package's version, or that there is none."""
    from importlib import metadata as packages

    try:
        return packages.version("hosted-engine-ha")
    except packages.PackageNotFoundError:
        return "(not installed as a package)"
