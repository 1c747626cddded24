# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine's page as one of its users sees it: how long it does not answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lab import lan
from lab.background import BackgroundWatcher
from lab.processes import machine_clock_s

# Asked so often; each question is given up after so long, and the next one begins.
EVERY_S = 0.05
PATIENCE_S = 0.5


@dataclass(frozen=True)
class Question:
    """One question: when it was asked, when its answer was there or given up (machine's clock)."""

    asked_s: float
    ended_s: float
    well: bool


@dataclass
class Watch:
    """What was seen: `longest_gap_s` is the time between two answers that were furthest apart.

    It includes the pause between two questions. A page that never answered has the whole time.
    """

    asked: int = 0
    answered: int = 0
    longest_gap_s: float = 0.0


class Watcher(BackgroundWatcher):
    """Asks the page from the beginning of a `with` to its end; `questions` has all of it then."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[Question] = []

    def _run(self) -> None:
        self.questions.extend(ask(lambda: not self._ended.is_set()))


def watch(seconds: float) -> Watch:
    """Ask the page again and again, for so long, or until this is interrupted."""
    ends_s = machine_clock_s() + seconds
    questions: list[Question] = []
    with contextlib.suppress(KeyboardInterrupt):
        for one in ask(lambda: machine_clock_s() < ends_s):
            questions.append(one)
    return judge(questions)


def ask(goes_on: Callable[[], bool]) -> Iterator[Question]:
    """Ask the page as long as that is so."""
    while goes_on():
        asked_s = machine_clock_s()
        well = lan.engine_is_healthy(PATIENCE_S)
        ended_s = machine_clock_s()
        yield Question(asked_s, ended_s, well)
        time.sleep(max(0.0, EVERY_S - (ended_s - asked_s)))


def judge(questions: Sequence[Question]) -> Watch:
    """The figures of all of them."""
    seen = Watch()
    last_s = questions[0].asked_s if questions else 0.0
    for one in questions:
        seen.asked += 1
        seen.answered += one.well
        # What has not been answered until now is a gap already.
        seen.longest_gap_s = max(seen.longest_gap_s, one.ended_s - last_s)
        last_s = one.ended_s if one.well else last_s
    return seen
