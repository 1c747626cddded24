"""How a run of the levels is interrupted, from a terminal or by a signal to it alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Runs one level whose tests are a script that cleans up when it is interrupted.
RUN = """
import sys
from tests import levels
levels._set_up = lambda _levels: sys.argv[1]
sys.exit(levels.main(["unit"]))
"""
TESTS = """#!/bin/sh
trap 'sleep 0.2; echo cleaned up; exit 2' INT
echo begun > {pipe}
while :; do sleep 0.05; done
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("whole_group", [True, False])
def test_interrupted_tests_clean_up_before_the_run_ends(
    tmp_path: Path, number: signal.Signals, whole_group: bool
) -> None:
    pipe, script = tmp_path / "pipe", tmp_path / "tests"
    os.mkfifo(pipe)
    script.write_text(TESTS.format(pipe=pipe))
    script.chmod(0o755)
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(script)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    pipe.read_text()
    if whole_group:
        os.killpg(run.pid, number)
    else:
        run.send_signal(number)
    out, err = run.communicate()
    assert (run.returncode, err) == (130, b"tests/run: interrupted\n")
    assert out.count(b"cleaned up\n") == 1
