# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --version``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hosted_engine.errors import EXIT_OK, PROGRAM
from metadata.program import VERSION

if TYPE_CHECKING:
    import argparse


def run_command(_: argparse.Namespace) -> int:
    """Print the version."""
    print(f"{PROGRAM} {VERSION}")
    return EXIT_OK
