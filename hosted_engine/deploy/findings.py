# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a check of ``--deploy`` finds, and running many checks of which any may hang."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any, Callable, cast

from hosted_engine.errors import CommandError
from hosted_engine.host.apart import Apart
from metadata.error_words import reason_with_file
from world.ports.errors import WorldError


class Level(str, Enum):
    """How bad it is; with a `FAIL` nothing is changed."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """What a check found, and (each one a sentence or a command) how to mend it."""

    level: Level
    detail: str
    mend: tuple[str, ...] = ()
    name: str = ""

    @property
    def text(self) -> str:
        """All of it in one line, without the level."""
        return "; ".join([f"{self.name}: {self.detail}", *self.mend])


def ok(detail: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, detail)


def warn(detail: str, *mend: str) -> Finding:
    """Deploying goes on; `detail` says what is lost."""
    return Finding(Level.WARN, detail, mend)


def fail(detail: str, *mend: str) -> Finding:
    """Deploying is refused."""
    return Finding(Level.FAIL, detail, mend)


@dataclass(frozen=True)
class Check:
    """One check; `look` may raise CommandError or WorldError, which is a `FAIL`."""

    name: str
    look: Callable[[], Finding]


def run_checks(checks: Sequence[Check], deadline_s: float) -> Iterator[Finding]:
    """All findings in the checks' order, all within `deadline_s` after the beginning.

    The checks run beside each other, each in a copy of this process, which has one thread until
    then (see `apart`): one that hangs is a `FAIL` and is given up.
    """
    end_s = time.monotonic() + deadline_s
    running = [Apart(partial(_look, check)) for check in checks]
    try:
        for check, run in zip(checks, running):
            yield replace(_finding(run, deadline_s, end_s), name=check.name)
    finally:
        for run in running:
            run.end()


def _look(check: Check) -> Finding:
    try:
        return check.look()
    except (CommandError, WorldError, OSError) as error:
        return fail(reason_with_file(error))


def _finding(run: Apart, deadline_s: float, end_s: float) -> Finding:
    """What the check found; a bug in it is raised here, where somebody hears of it."""
    try:
        return cast(Finding, run.result("what it asks", deadline_s, end_s))
    except CommandError as error:
        return fail(error.message)


# --- telling people -------------------------------------------------------------------------

_MARKS = {Level.OK: "[ ok ]", Level.WARN: "[warn]", Level.FAIL: "[fail]"}


def finding_lines(found: Finding) -> list[str]:
    """``[fail] name: detail``, and below it how to mend it."""
    detail = CommandError(found.detail).message  # it may hold what a stranger wrote
    first = f"{_MARKS[found.level]} {found.name}{f': {detail}' if detail else ''}"
    return [first, *(f"       mend: {line}" for line in found.mend)]


def failures_text(findings: Sequence[Finding]) -> str:
    """Every failure in one line; empty: there is none."""
    return "; ".join(found.text for found in findings if found.level is Level.FAIL)


def findings_data(findings: Sequence[Finding]) -> dict[str, Any]:
    """As one JSON document."""
    return {
        "ok": not failures_text(findings),
        "checks": [
            {
                "name": found.name,
                "result": found.level.value,
                "detail": found.detail,
                "mend": list(found.mend),
            }
            for found in findings
        ],
    }
