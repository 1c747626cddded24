# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--wait``: following what was asked for to its end, with lines of progress for people."""

from __future__ import annotations

import argparse
import time
from typing import Callable, Optional

from hosted_engine.errors import CommandError, NotReachedError, UsageError

LOOK_EVERY_S = 1.0
# Somebody who waits wants to see now and then that the command lives.
TELL_EVERY_S = 30.0
# Room for one answer of a broker or a libvirt that is slow: the rest may go over the time.
LEAST_LOOK_S = 1.0

Look = Callable[[float], str]
"""Told how many seconds it may take; returns what is still missing, or nothing: reached.

A CommandError that it raises says that nothing is known for now, and is waited out, too;
`EndedError` says that waiting longer is of no use.
"""


class EndedError(CommandError):
    """What is waited for can't come about any more."""


def wait_s(options: argparse.Namespace, default_s: float) -> Optional[float]:
    """How long to follow; None: not asked for. Raises UsageError for a time without a wait."""
    timeout_s: Optional[float] = options.timeout
    if options.wait:
        return default_s if timeout_s is None else timeout_s
    if timeout_s is not None:
        raise UsageError("--timeout goes with --wait: it says how long to wait")
    return None


def print_line(line: str) -> None:
    """At once, for somebody who waits."""
    print(line, flush=True)


def say_nothing(_line: str) -> None:
    """For somebody who does not follow."""


def follow(
    look: Look, goal: str, timeout_s: float, *, tell: Callable[[str], None] = print_line
) -> None:
    """Return once `look` misses nothing; `tell` what is missing whenever that changes.

    Raises NotReachedError, naming `goal` and what is missing, after `timeout_s`.
    """
    began_s = time.monotonic()
    told, told_at_s = "", began_s
    while True:
        missing = _look(look, began_s + timeout_s - time.monotonic())
        if not missing:
            return
        now_s = time.monotonic()
        if now_s - began_s >= timeout_s:
            raise NotReachedError(f"not reached within {timeout_s:g} s: {goal}; {missing}")
        if missing != told or now_s - told_at_s >= TELL_EVERY_S:
            tell(f"{now_s - began_s:5.0f} s  {missing}")
            told, told_at_s = missing, now_s
        time.sleep(min(LOOK_EVERY_S, began_s + timeout_s - now_s))


def _look(look: Look, left_s: float) -> str:
    try:
        return look(max(LEAST_LOOK_S, left_s))
    except EndedError:
        raise
    except CommandError as error:
        return error.message
