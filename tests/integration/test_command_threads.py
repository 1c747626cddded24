# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Commands that have threads do what may hang in a new interpreter, and never in a copy."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.integration.threaded_commands import PATHS

LONG_S = 60.0 * float(os.environ.get("HE_TIME_FACTOR", "1"))
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", PATHS)
def test_commands_with_threads_make_no_copy_of_themselves(name: str) -> None:
    # /tmp may be in memory, where no shared storage is accepted.
    with tempfile.TemporaryDirectory(prefix="he-", dir="/var/tmp") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.threaded_commands", name],
            capture_output=True,
            text=True,
            timeout=LONG_S,
            check=False,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
