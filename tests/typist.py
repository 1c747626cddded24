# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Somebody at a terminal: waits for each question before typing the answer."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parent.parent
CTRL_C = b"\x03"
CTRL_D = b"\x04"
PRESSED_AGAIN_S = 2.0


class Typist:
    """A command on a terminal of its own; `screen` is what stood on it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.screen = ""
        self._seen = 0
        self._fd, inner = pty.openpty()
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *command], env={**environment, "TERM": "dumb"}, cwd=ROOT,
            stdin=inner, stdout=inner, stderr=inner,
        )  # fmt: skip
        os.close(inner)

    def answer(self, question: str, line: str) -> None:
        self.press(question, line.encode() + b"\n")

    def press(self, question: str, keys: bytes) -> None:
        self._read_until(lambda: question in self.screen[self._seen :], question)
        self._seen = len(self.screen)
        os.write(self._fd, keys)

    def interrupt(self, question: str) -> None:
        """Ctrl-C, again and again, as people press it.

        Python misses one that comes between the question and the moment it begins to read.
        """
        self.press(question, CTRL_C)
        with suppress(OSError):
            while not self._is_quiet():
                os.write(self._fd, CTRL_C)

    def _is_quiet(self) -> bool:
        """Has it ended within a moment? What it has written until then is on the screen."""
        end_s = time.monotonic() + PRESSED_AGAIN_S
        while time.monotonic() < end_s:
            ready, _, _ = select.select([self._fd], [], [], 0.05)
            if ready:
                self.screen += os.read(self._fd, 65536).decode()
            if self._process.poll() is not None:
                return True
        return False

    def end(self) -> int:
        """The exit code."""
        with suppress(OSError):  # the terminal goes away with the command
            self._read_until(lambda: False, "the end")
        self.screen = self.screen.replace("\r\n", "\n")
        return self._process.wait(_scaled(10))

    def close(self) -> None:
        os.close(self._fd)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _read_until(self, seen: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + _scaled(60)
        while not seen():
            ready, _, _ = select.select([self._fd], [], [], max(0.0, end_s - time.monotonic()))
            assert ready, f"no {what!r} in: {self.screen}"
            self.screen += os.read(self._fd, 65536).decode()


@contextmanager
def typing(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Typist]:
    typist = Typist(command, environment)
    try:
        yield typist
    finally:
        typist.close()


def _scaled(seconds: float) -> float:
    return seconds * float(os.environ.get("HE_TIME_FACTOR") or 1)
