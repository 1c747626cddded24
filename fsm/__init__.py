# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The decision: one table of rows, walked by one pure function.

No clock, I/O, logging, randomness or environment in this package: time is a number in the
observation, and everything to do comes out in a `Decision`.
"""

from fsm.decision import Decision
from fsm.memory import Action, Memory, Score
from fsm.observation import Observation
from fsm.step import step
from fsm.table import TABLE, Row
from metadata.penalties import Penalty
from metadata.states import State

__all__ = [
    "TABLE",
    "Action",
    "Decision",
    "Memory",
    "Observation",
    "Penalty",
    "Row",
    "Score",
    "State",
    "step",
]
