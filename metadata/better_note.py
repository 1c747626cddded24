# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The line of the text part by which a host counts its moves of the engine to a better host.

``better-moves=2``: so many within the latest 24 hours. All hosts together have a limit, so each
goes by the others' lines, too. A reader that does not know the line passes over it.
"""

from __future__ import annotations

import re

KEY = "better-moves"
_COUNT = re.compile(r"[0-9]{1,4}", re.ASCII)


def decode_better_moves(value: str) -> int:
    """What the line says; 0 where it says nothing that can be understood."""
    return int(value) if _COUNT.fullmatch(value) else 0
