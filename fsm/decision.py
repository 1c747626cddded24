# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What comes out of a step: the new memory, the actions, and the row that says why."""

from __future__ import annotations

from typing import Optional

from fsm.memory import Action, Memory, Score
from fsm.table import Row
from metadata.value_class import value_class


@value_class(frozen=True)
class Decision:
    """The result of `fsm.step`.

    `row` is the row that fired, `why` its reason with the observation's names filled in;
    `timeout_at_s` is when the state will be left by time-out, if it has one; `wake_at_s` is the
    next moment at which time alone may change the decision (None: only news can).
    """

    memory: Memory
    actions: tuple[Action, ...]
    row: Row
    why: str
    score: Score
    timeout_at_s: Optional[float] = None
    wake_at_s: Optional[float] = None
    changed: bool = False
