# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Work in a process of its own, as reading storage needs it."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any, Callable, NoReturn

import pytest

from hosted_engine.errors import CommandError, UsageError
from hosted_engine.host.apart import within_deadline_apart
from tests.unit import apart_jobs

FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
LONG_S = 30.0 * FACTOR


def apart(job: Callable[[], Any], deadline_s: float = LONG_S) -> Any:
    return within_deadline_apart(job, "the storage", deadline_s)


def test_result_comes_back_from_another_process() -> None:
    assert apart(lambda: ("done", os.getpid() == os.getppid())) == ("done", False)
    assert apart(os.getpid) != os.getpid()


def test_result_of_any_size_comes_back_whole() -> None:
    assert apart(lambda: b"x" * 3_000_000) == b"x" * 3_000_000


def test_error_comes_back_as_what_it_is() -> None:
    def refuse() -> NoReturn:
        raise UsageError("the offset is refused")

    with pytest.raises(UsageError, match="the offset is refused") as caught:
        apart(refuse)
    assert caught.value.exit_code == 2


def test_bug_comes_back_by_its_name() -> None:
    def crash() -> NoReturn:
        raise ZeroDivisionError("oops")

    with pytest.raises(RuntimeError, match=r"ZeroDivisionError: oops"):
        apart(crash)


def test_work_that_does_not_end_is_given_up_in_time() -> None:
    begun_s = time.monotonic()
    with pytest.raises(CommandError, match=r"the storage has not answered for 0 s"):
        apart(threading.Event().wait, 0.2)
    assert time.monotonic() - begun_s < 5 * FACTOR


def test_worker_that_is_killed_is_told() -> None:
    with pytest.raises(CommandError, match="could not be asked"):
        apart(lambda: os.kill(os.getpid(), signal.SIGKILL))


ENDS_WHILE_ITS_WORKER_HANGS = """
import os, time
from hosted_engine.host import apart
from hosted_engine.errors import CommandError
apart._end = lambda child: print(child, flush=True)  # as if it could not be killed
try:
    apart.within_deadline_apart(lambda: time.sleep(60), "the storage", 0.2)
except CommandError as error:
    print(error)
"""


def test_nobody_waits_for_a_worker_that_can_not_be_killed() -> None:
    """Neither the command nor whoever reads its output to the end."""
    apart_jobs.judge_worker_left_behind(ENDS_WHILE_ITS_WORKER_HANGS, LONG_S)
