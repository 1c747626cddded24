# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is kept of a run: a log, its hash, and which rows of the table were seen."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, deque
from functools import cache
from typing import Callable

from fsm.table import TABLE, Row
from metadata.states import State

KEPT_LINES = 2000

TellLine = Callable[[str], None]


def tell_nobody(_line: str) -> None:
    """A search of many seeds shows no lines."""


class Recorder:
    """A listener of the cluster; `digest` is the same for runs that went the same way.

    `tell` gets each line of the log when it is written.
    """

    def __init__(self, tell: TellLine = tell_nobody) -> None:
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.transitions: Counter[tuple[str, str, str]] = Counter()
        self._hash = hashlib.sha256()
        self._tell = tell

    def transition(self, at_s: float, host: str, before: State, after: State, why: str) -> None:
        self.transitions[before.value, after.value, row_label(before, after, why)] += 1
        self.line(at_s, f"{host}: {before.value} => {after.value}: {why}")

    def fact(self, at_s: float, host: str, text: str) -> None:
        self.line(at_s, f"{host}: {text}" if host else text)

    def line(self, at_s: float, text: str) -> None:
        written = f"{at_s:10.2f} {text}"
        self.lines.append(written)
        self._hash.update(written.encode() + b"\n")
        self._tell(written)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def row_label(before: State, after: State, why: str) -> str:
    """The reason without names and numbers, as the table has it; empty: in no row."""
    for row, pattern in _patterns(before, after):
        if pattern.fullmatch(why):
            return row.why
    return ""


def all_rows() -> set[tuple[str, str, str]]:
    """Every row that changes the state, as `Recorder.transitions` names it."""
    return {(row.source.value, row.target.value, row.why) for row in TABLE if not row.keeps_state}


@cache
def _patterns(before: State, after: State) -> list[tuple[Row, re.Pattern[str]]]:
    rows = [row for row in TABLE if row.source is before and row.target is after]
    return [(row, _pattern(row.why)) for row in rows]


def _pattern(why: str) -> re.Pattern[str]:
    parts = re.split(r"\{\w+\}", why)
    return re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)
