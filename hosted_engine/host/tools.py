# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Running the system's own tools, which may hang."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Optional

from hosted_engine.errors import CommandError

_KILLED_WITHIN_S = 1.0


@dataclass(frozen=True)
class Done:
    """How a tool ended."""

    code: int
    output: str
    error: str

    @property
    def words(self) -> str:
        """What it said, in one line."""
        said = " ".join((self.error or self.output).split())
        return said or f"exit code {self.code}"


def run_tool(
    command: Sequence[str], deadline_s: Optional[float], name: str = "", interrupt_s: float = 0.0
) -> Done:
    """Run it with the system's plain language; raises CommandError.

    That is when there is no such command, or when it has not ended in time (None: it may take
    any): then it and what it has started are killed. With `interrupt_s` it is interrupted before
    that, as by Ctrl-C, and has so many seconds to leave things in order. One that hangs in the
    kernel is left behind. `name` is what it is called in messages, when that is not its first word.
    """
    # Files, not pipes: what it leaves in the background may keep them open for ever.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as error:
        process = _start(command, output, error)
        try:
            code = process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            ended = "interrupted" if _obeys(process, interrupt_s) else "killed"
            raise CommandError(
                f"{name or command[0]} has not ended within {deadline_s:g} s and was {ended}"
            ) from None
        finally:
            _end(process)
        return Done(code, _text(output), _text(error))


def shown(command: Sequence[str]) -> str:
    """The command line as one would type it."""
    return " ".join(shlex.quote(word) for word in command)


def _start(command: Sequence[str], output: IO[bytes], error: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=error,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
    except FileNotFoundError as missing:
        raise CommandError(f"there is no command {command[0]}; install it") from missing


def _obeys(process: subprocess.Popen[bytes], interrupt_s: float) -> bool:
    """Does it end by itself once it is interrupted?"""
    if not interrupt_s:
        return False
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(interrupt_s)
    return process.poll() is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of it, as far as it can be killed."""
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_KILLED_WITHIN_S)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "backslashreplace")
