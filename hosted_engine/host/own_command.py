# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A command of ``hosted-engine`` for other programs, in an interpreter of its own.

A program that calls `hosted_engine.client` may have threads, other signals and another standard
output than a command expects, and is not to be copied (`hosted_engine.host.apart`). So what a
command does is left to that command, with its checks, its rights and its words; the program gets
the result.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Optional

from hosted_engine.errors import (
    EXIT_OK,
    EXIT_USAGE,
    NOT_DEPLOYED,
    PROGRAM,
    CommandError,
    NotDeployedError,
    UsageError,
)
from hosted_engine.host.anew import TRUST_NOBODY, import_paths
from hosted_engine.host.tools import Done, run_tool
from metadata.plain_json import parse_json

INTERRUPT_S = 60.0
"""How long an interrupted command may take to leave things in order: it starts services again."""

_SAYS = f"{PROGRAM}: "
# Daemons are begun without Ctrl-C, and what they begin inherits that.
_BEGIN = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
count = int(sys.argv[1])
sys.path[:], sys.argv[1:] = sys.argv[2 : 2 + count], sys.argv[2 + count :]
from hosted_engine.main import main
sys.exit(main())
"""


def run_own_command(words: Sequence[str], limit_s: Optional[float]) -> str:
    """What ``hosted-engine`` with these words prints, at most `limit_s` seconds later.

    Raises CommandError with its own words when it could not be done, and when it took too long;
    UsageError for words that it does not know, NotDeployedError. None: it takes the time that it
    takes.
    """
    paths = import_paths()
    begin = [sys.executable, *TRUST_NOBODY, "-c", _BEGIN, str(len(paths)), *paths]
    done = run_tool([*begin, *words], limit_s, f"{PROGRAM} {words[0]}", INTERRUPT_S)
    if done.code == EXIT_OK:
        return done.output
    why = _why(done, "--json" in words)
    if why == NOT_DEPLOYED:
        raise NotDeployedError()
    raise UsageError(why) if done.code == EXIT_USAGE else CommandError(why)


def _why(done: Done, as_json: bool) -> str:
    """Its last line says it: those before it are warnings, and what was done until then."""
    told = (done.error.strip() or done.output.strip()).splitlines()
    if not told:
        return done.words
    if as_json and not done.error.strip():
        return str(parse_json(told[-1])["error"])
    return told[-1][len(_SAYS) :] if told[-1].startswith(_SAYS) else told[-1]
