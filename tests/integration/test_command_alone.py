# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A command's process with threads refuses to be copied; each test has a process of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from metadata.layout import required_size, storage_parts
from tests.unit import apart_jobs

FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
LONG_S = 60.0 * FACTOR
ROOT = Path(__file__).resolve().parents[2]

A_THREAD = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
A_THREAD_OF_A_LIBRARY = """
import ctypes, threading
library = ctypes.CDLL(None)
assert library.pthread_create(ctypes.byref(ctypes.c_ulong()), None, library.pause, None) == 0
assert threading.active_count() == 1
"""
RUN_MAIN = """
import sys
from hosted_engine.main import main
sys.argv[1:] = ["--vm-status", "--json", "--timeout=0", "--metadata={volume}"]
sys.exit(main({words}))
"""
OWN, SOMEBODY_ELSES = "", "sys.argv[1:]"


def run(program: str) -> subprocess.CompletedProcess[str]:
    return apart_jobs.run(program, LONG_S)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Reading it is done by a copy of the process."""
    path = tmp_path / "leases"
    with path.open("wb") as file:
        file.truncate(required_size(storage_parts(str(path))))
    return path


@pytest.mark.parametrize("begin", [A_THREAD, A_THREAD_OF_A_LIBRARY])
def test_command_with_a_thread_refuses_and_calls_it_a_bug(begin: str, volume: Path) -> None:
    done = run(begin + RUN_MAIN.format(volume=volume, words=OWN))
    assert done.returncode == 1
    assert "a process with 2 threads is about to be copied" in done.stdout
    assert "this is a bug, please report it" in done.stdout


@pytest.mark.parametrize(("begin", "words"), [("", OWN), (A_THREAD, SOMEBODY_ELSES)])
def test_who_is_alone_or_no_command_is_copied(begin: str, words: str, volume: Path) -> None:
    done = run(begin + RUN_MAIN.format(volume=volume, words=words))
    assert (done.returncode, done.stderr) == (0, "")
    assert "error" not in done.stdout


CLEANUP = """
import sys
from hosted_engine.host import alone
from hosted_engine.storage.cleanup import main
sys.argv[1:] = ["--help"]
main(); print(alone.ThisProcess.is_command)
"""


def test_the_cleanup_is_a_command_as_the_others() -> None:
    assert run(CLEANUP).stdout.splitlines()[-1] == "True"


JOINED = """
from hosted_engine.host.alone import refuse_with_threads, this_is_a_command
from hosted_engine.host.deadline import within_deadline
this_is_a_command()
for _ in range(200):
    within_deadline(int, "nobody", 60)
    refuse_with_threads()
"""


def test_a_thread_that_has_ended_is_no_reason() -> None:
    """The kernel may count it for a moment longer than Python."""
    assert run(JOINED).stderr == ""


DEPLOYS = """
from hosted_engine.host.alone import this_is_a_command
from hosted_engine.deploy.findings import Check, ok, run_checks
from hosted_engine.deploy.check_input import look_at_storage
from hosted_engine.deploy.answers import parse_answers
from hosted_engine.host.storage_deadline import bounded, with_storage
from hosted_engine.host.environment import real_environment
from tests.unit.apart_jobs import who
this_is_a_command()
look_at_storage(real_environment(), parse_answers({{"storage": {{"path": "{volume}"}}}}, "answers"))
bounded("sanlock", "sanlock", 60).upper()
checks = [Check(str(number), lambda: ok(str(len(with_storage(who))))) for number in range(3)]
print(*[found.detail for found in run_checks(checks, 60)])
"""


def test_deploy_is_alone_when_it_begins_its_checks(volume: Path) -> None:
    done = run(DEPLOYS.format(volume=volume))
    assert (done.stdout, done.stderr) == ("3 3 3\n", "")
