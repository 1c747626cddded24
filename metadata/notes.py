# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Names of the notes in a record's text part that programs read."""

from __future__ import annotations

import re
from typing import Optional

MOST_CONFIG_VERSION = 10**18
"""Far more than there will be, and less than what the shared configuration's header holds."""

Notes = tuple[tuple[str, str], ...]
"""Keys and values, in the order in which they stand in the text."""

WHY = "why"
"""Why the host does what it does, for people."""

CONFIG_VERSION = "config-version"
"""The version of the shared configuration that the host goes by."""

GLOBAL_MAINTENANCE = "global-maintenance"
"""What the host last knew of global maintenance: True or False."""

PENALTIES = "penalties"
"""What stands against the host's full score, for people."""

PROGRAM = "program"
"""The version of the program that the host's broker runs; older programs don't tell it."""

_DIGITS = re.compile(r"[0-9]{1,19}")


def number_in(text: str, most: int) -> Optional[int]:
    """The whole number up to `most` that a note says; None: it says none, or one nobody means."""
    number = int(text) if _DIGITS.fullmatch(text) else None
    return None if number is None or number > most else number
