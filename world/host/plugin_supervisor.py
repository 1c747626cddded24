# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Plug-ins of the real world: each in a process of its own, talked to over two pipes.

Whatever a plug-in does, it does it to its own process. One that does not answer in time, says
something that is no answer, or ends, is killed with all that it started, and is left alone for a
while before it is started again: the longer, the more often that happened.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Any, Optional

from metadata.plain_json import is_share, parse_json
from metadata.plain_text import one_line
from world.host.interpreter import module_command
from world.network.deadline import Deadline
from world.ports.errors import WorldError
from world.ports.plugins import PLUGIN_START_S, PluginWord

MODULE = "world.host.plugin_main"
BACK_OFF_S = (10.0, 30.0, 120.0, 600.0)
LONG_LIFE_S = 600.0  # one that lived so long begins anew with the shortest pause
REAP_S = 0.2
MOST_ANSWER = 64 * 1024
_PASSED_ON = ("PATH", "LANG", "PYTHONPATH")


class PluginChild:
    """The `Plugin` of the real world; started at its first measurement."""

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        self._what = f"measure by plug-in {name}"
        self._name = name
        self._options = dict(options)
        self._process: Optional[_Process] = None
        self._closed = False
        self._number = 0
        self._failures = 0
        self._began_at_s = 0.0
        self._rest_until_s = 0.0
        self._why = ""

    def measure(self, timeout_s: float) -> PluginWord:
        """Ask it once; raises WorldError when it gave no measurement, and says why."""
        try:
            answer = self._ask(timeout_s)
        except _BrokenError as error:
            self._give_up(str(error))
            raise WorldError(self._what, self._why) from error
        if "error" in answer:
            raise WorldError(self._what, str(answer["error"]))
        return PluginWord(answer["share"], one_line(answer["detail"]))

    def close(self) -> None:
        """End it; a measurement under way fails, and no other one is begun."""
        self._closed = True
        if self._process is not None:
            self._process.end()

    def _ask(self, timeout_s: float) -> dict[str, Any]:
        process = self._process or self._start()
        self._number += 1
        answer = process.ask(str(self._number), Deadline(timeout_s))
        if answer.get("number") != self._number or not _is_word(answer):
            raise _BrokenError("what it said is no answer")
        return answer

    def _start(self) -> _Process:
        now_s = time.monotonic()
        if now_s < self._rest_until_s or self._closed:
            raise WorldError(self._what, self._why or "it was ended")
        self._began_at_s = now_s
        self._process = process = _Process(self._name)
        if self._closed:  # meanwhile, by another thread that did not see this process
            raise _BrokenError("it was ended")
        said = process.ask(json.dumps(self._options), Deadline(PLUGIN_START_S))
        if "ready" not in said:
            raise _BrokenError(str(said.get("error", "what it said is no answer")))
        return process

    def _give_up(self, why: str) -> None:
        now_s = time.monotonic()
        if self._process is not None:
            self._process.end()
            self._process = None
        if now_s - self._began_at_s >= LONG_LIFE_S:
            self._failures = 0
        rest_s = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        self._failures += 1
        self._rest_until_s = now_s + rest_s
        self._why = f"{why}; left alone for {rest_s:g} s"


class _BrokenError(Exception):
    """Nothing can be had from this process any more; the text says why."""


class _Process:
    """The plug-in's process and what is said with it."""

    def __init__(self, name: str) -> None:
        environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        self._child = subprocess.Popen(
            module_command(MODULE, name, str(os.getpid())),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment,
            bufsize=0,
            start_new_session=True,  # a group of its own, to be ended as one
        )

    def ask(self, line: str, deadline: Deadline) -> dict[str, Any]:
        """Say a line and hear one, as plain data; raises _BrokenError."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(line.encode() + b"\n")
            heard = parse_json(self._line(deadline))
        except TimeoutError:
            raise _BrokenError(f"no answer within {deadline.timeout_s:g} s") from None
        except (OSError, EOFError):
            raise _BrokenError(self._how_it_ended(deadline)) from None
        except ValueError:
            raise _BrokenError("what it said is no answer") from None
        if not isinstance(heard, dict):
            raise _BrokenError("what it said is no answer")
        return heard

    def end(self) -> None:
        """Kill it with its children, and close the pipes."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        # One that hangs in the kernel is collected when the next process is started.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(REAP_S)

    def _line(self, deadline: Deadline) -> bytes:
        """One line, with nothing behind it."""
        assert self._child.stdout is not None
        ready, heard = select.poll(), b""
        ready.register(self._child.stdout, select.POLLIN)
        while not heard.endswith(b"\n"):
            if b"\n" in heard or len(heard) > MOST_ANSWER:
                raise ValueError("more than one short line")
            if not ready.poll(1000 * deadline.left_s()):
                raise TimeoutError
            part = os.read(self._child.stdout.fileno(), MOST_ANSWER)
            if not part:
                raise EOFError
            heard += part
        return heard

    def _how_it_ended(self, deadline: Deadline) -> str:
        """An interpreter that ends closes its pipes first, and on a busy machine long before."""
        patience_s = REAP_S
        with contextlib.suppress(TimeoutError):
            patience_s = max(REAP_S, deadline.left_s())
        try:
            code = self._child.wait(patience_s)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        if code >= 0:
            return f"it ended with exit code {code}"
        return f"it was ended by {signal.Signals(-code).name}"


def _is_word(answer: Mapping[str, Any]) -> bool:
    if "error" in answer:
        return True
    return is_share(answer.get("share", "")) and isinstance(answer.get("detail"), str)
