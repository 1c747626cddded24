# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Running a program of which nothing is certain: not that it ends, nor how much it says."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Optional

from metadata.error_words import reason

_CHUNK = 65536
# How long the end of a killed program is waited for; one that hangs in the kernel is left alone.
_END_S = 1.0
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PAGER": "cat", "SYSTEMD_COLORS": "0", "COLUMNS": "200"}


@dataclass(frozen=True)
class Output:
    """What was said (standard output and error mixed), and how it ended.

    `why` is empty when the program ended by itself with `exit_code` 0; `cut` says that it had
    said more than was wanted.
    """

    data: bytes = b""
    exit_code: Optional[int] = None
    why: str = ""
    cut: bool = False


class Programs:
    """Runs programs, from several threads at once, until it is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def run(self, command: Sequence[str], deadline_s: float, most_bytes: int) -> Output:
        """Run it for at most `deadline_s` seconds; keep at most `most_bytes` of what it says."""
        try:
            process = self._start(command)
        except FileNotFoundError:
            return Output(why=f"{command[0]} is not installed")
        except OSError as error:
            return Output(why=f"{command[0]} can't be run: {reason(error)}")
        if process is None:
            return Output(why="given up")
        try:
            return _follow(process, time.monotonic() + deadline_s, deadline_s, most_bytes)
        finally:
            with self._lock:
                self._running.discard(process)
            _end(process)

    def close(self) -> None:
        """Kill what runs; nothing else begins."""
        with self._lock:
            self._closed = True
            for process in self._running:
                _kill(process)

    def _start(self, command: Sequence[str]) -> Optional[subprocess.Popen[bytes]]:
        """Under the lock, so that none begins behind `close`."""
        with self._lock:
            if self._closed:
                return None
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,
            )
            self._running.add(process)
            return process


def _follow(
    process: subprocess.Popen[bytes], until_s: float, deadline_s: float, most_bytes: int
) -> Output:
    assert process.stdout is not None
    data, ended = _read(process.stdout, until_s, most_bytes)
    if len(data) > most_bytes:
        return Output(data[:most_bytes], cut=True)
    try:
        code = process.wait(max(0.0, until_s - time.monotonic())) if ended else None
    except subprocess.TimeoutExpired:
        code = None
    if code is None:
        return Output(data, why=f"has not ended within {deadline_s:.2g} s")
    return Output(data, code, "" if code == 0 else f"ended with exit code {code}")


def _read(stream: IO[bytes], until_s: float, most_bytes: int) -> tuple[bytes, bool]:
    """What it says until then, one byte more than `most_bytes` at the most; has it ended?"""
    data = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while len(data) <= most_bytes:
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not selector.select(left_s):
                return bytes(data), False
            chunk = os.read(stream.fileno(), _CHUNK)
            if not chunk:
                return bytes(data), True
            data += chunk
    return bytes(data), False


def _end(process: subprocess.Popen[bytes]) -> None:
    """It and what it started."""
    _kill(process)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    if process.stdout is not None:
        process.stdout.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
