# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The errors of the simulator::

InputError        world or script can't be used (`problems`); a ValueError
SimulationError   a command of the script can't be carried out now
"""

from __future__ import annotations


class InputError(ValueError):
    """World or script can't be used; `problems` has one line for each, all at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class SimulationError(Exception):
    """What was asked for can't be done now; the message is one line for people."""
