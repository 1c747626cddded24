# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The process in which one plug-in lives, and nothing else of ours.

``python -m world.host.plugin_main NAME PARENT_PID``, as `plugin_supervisor` starts it. It reads
the plug-in's options (a line of JSON) and then a line with a number for each measurement; it
answers each number, and first of all its start, with a line of JSON.

It ends with the process that started it, is switched off before anything else when memory is
short, and after `CPU_S` seconds of processor time altogether. A plug-in that writes to its
standard output, or reads its standard input, disturbs nobody: both lead nowhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import reprlib
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Optional

from metadata.plain_json import is_share, parse_json

GROUP = "hosted_engine_ha.monitors"
MOST_DETAIL = 300
CPU_S = 30
MEMORY_BYTES = 1 << 30
FILES = 256
NICENESS = 10
FIRST_TO_GO = "500"  # of 1000; the daemons have 0

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


class PluginFaultError(Exception):
    """What is wrong with the plug-in, in a sentence."""


def main(arguments: Optional[list[str]] = None) -> int:
    """Serve until nobody asks any more."""
    name, parent = arguments or sys.argv[1:]
    _end_with(int(parent))
    _be_modest()
    requests, answers = _take_channels()
    first = requests.readline()
    if not first:
        return 0
    try:
        plugin = load(name, parse_json(first))
    except BaseException as fault:  # its import may raise anything, SystemExit too
        _answer(answers, {"error": _in_words(fault)})
        return 1
    _answer(answers, {"ready": True})
    for request in iter(requests.readline, b""):
        _answer(answers, {"number": int(request), **measurement(plugin)})
    return 0


def load(name: str, options: Mapping[str, str]) -> Any:
    """The installed plug-in `name`, made with its options; raises whatever its code raises."""
    found = {each.name: each for each in _entry_points()}
    if name not in found:
        installed = ", ".join(sorted(found)) or "none"
        raise PluginFaultError(f"no such plug-in is installed; installed: {installed}")
    return found[name].load()(dict(options))


def measurement(plugin: Any) -> dict[str, Any]:
    """One answer of the plug-in as plain data: share and detail, or what is wrong."""
    try:
        share, detail = _pair(plugin.measure())
    except BaseException as fault:  # SystemExit too: it may not end this process by that
        return {"error": _in_words(fault)}
    return {"share": share, "detail": _short(detail)}


def _entry_points() -> list[Any]:
    from importlib import metadata  # noqa: PLC0415  # the broker, too, imports this module

    found: Any = metadata.entry_points()
    if hasattr(found, "select"):
        return list(found.select(group=GROUP))
    return list(found.get(GROUP, ()))  # Python 3.9


def _pair(result: Any) -> tuple[Optional[float], str]:
    try:
        share, detail = result
    except (TypeError, ValueError):
        given = reprlib.repr(result)
        raise PluginFaultError(f"measure() gave {given}; allowed: a pair (share, detail)") from None
    if not is_share(share):
        given = reprlib.repr(share)
        raise PluginFaultError(
            f"measure() gave the share {given}; allowed: a number from 0 to 1, or None"
        )
    if not isinstance(detail, str):
        given = reprlib.repr(detail)
        raise PluginFaultError(f"measure() gave the detail {given}; allowed: a text")
    return share, detail


def _in_words(fault: BaseException) -> str:
    if isinstance(fault, PluginFaultError):
        return _short(str(fault))
    with contextlib.suppress(Exception):
        return _short(f"{type(fault).__name__}: {fault}")
    return type(fault).__name__


def _short(text: str) -> str:
    return " ".join(text[: 4 * MOST_DETAIL].split())[:MOST_DETAIL]


def _answer(answers: BinaryIO, content: Mapping[str, Any]) -> None:
    answers.write(json.dumps(content).encode() + b"\n")
    answers.flush()


def _take_channels() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output for us alone; the plug-in gets /dev/null in their places."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
    return requests, answers


def _end_with(parent: int) -> None:
    """Be killed when the parent is gone, however it went, and whatever the plug-in does then."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:  # gone before that was said
        os._exit(1)


def _be_modest() -> None:
    os.umask(0o077)
    os.nice(NICENESS)
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_NOFILE, FILES),
    ):
        _limit(kind, most)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    sys.exit(main())
