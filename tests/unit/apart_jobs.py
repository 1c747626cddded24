# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Jobs that a new interpreter can be given: it imports them from here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import NoReturn

from hosted_engine.errors import UsageError
from hosted_engine.host.anew import within_deadline_anew
from world.ports.errors import LockspaceError, StorageError

ROOT = Path(__file__).resolve().parents[2]


def run(program: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """A program of its own that finds this checkout."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd=ROOT,
    )


def judge_worker_left_behind(program: str, timeout_s: float) -> None:
    """The program prints the worker that it left, and what it tells people; then it ends."""
    done = run(program, timeout_s)
    child, told = done.stdout.splitlines()
    try:
        assert (done.returncode, done.stderr) == (0, "")
        assert told == "the storage has not answered for 0 s"
        os.kill(int(child), 0)  # it is still there
    finally:
        os.kill(int(child), signal.SIGKILL)


def who() -> tuple[int, int, int]:
    """The process, its parent and its group."""
    return os.getpid(), os.getppid(), os.getpgid(0)


def same(value: object) -> object:
    return value


def modules() -> list[str]:
    return sorted(sys.modules)


def imports_from() -> list[str]:
    return sys.path


def open_files() -> dict[int, str]:
    """What each descriptor leads to; that of the look itself is gone by then."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return {int(link.name): str(link.readlink()) for link in links}


def refuse_usage() -> NoReturn:
    raise UsageError("the offset is refused")


def refuse_storage(number: int) -> NoReturn:
    raise StorageError("read 4096 bytes", "no such device", number)


def refuse_lockspace(number: int) -> NoReturn:
    raise LockspaceError("read the lease", "there is none", number)


def crash() -> NoReturn:
    raise ZeroDivisionError("oops")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    threading.Event().wait()


def hold(pipe: str) -> None:
    """Write into the pipe and keep it open for ever."""
    with Path(pipe).open("wb", buffering=0) as held:
        held.write(b"here")
        hang()


def have_it_held(pipe: str) -> None:
    """By a job of our own."""
    from functools import partial

    within_deadline_anew(partial(hold, pipe), "the storage", 600)
