# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A monotonic clock that stood still for one host's processes: what a suspend leaves behind.

A time namespace would not do: its offset is fixed before the first process runs in it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("standing_clock.c")
_NS_PER_S = 1_000_000_000


def need_compiler() -> None:
    """Skip, naming what is missing."""
    if shutil.which("tcc") is None:
        pytest.skip("no command tcc: install the package tcc")


class StandingClock:
    """CLOCK_MONOTONIC as the processes see it that run in `environment`."""

    def __init__(self, directory: Path) -> None:
        self._library = directory / "standing_clock.so"
        self._file = directory / "clock_stood_ns"
        self._stood_ns = 0
        directory.mkdir()
        self._tell()
        # Neither headers nor start files of the C library: the compiler's package is all it needs.
        command = ["tcc", "-shared", "-nostdinc", "-nostdlib", "-o", str(self._library)]
        subprocess.run([*command, str(_SOURCE)], check=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to see this clock."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_STOOD_FILE": str(self._file)}

    def stood_still(self, seconds: float) -> None:
        """From now on it is behind by so much more."""
        self._stood_ns += int(seconds * _NS_PER_S)
        self._tell()

    def _tell(self) -> None:
        """In one step: the processes read it at any moment."""
        written = self._file.with_suffix(".new")
        written.write_text(str(self._stood_ns))
        written.replace(self._file)
