# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What stands at the other end of our output: a terminal, and what it can do."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Optional, TextIO

from metadata.plain_text import printable_text

_USUAL_COLUMNS, _USUAL_ROWS = 80, 24


@dataclass(frozen=True)
class Terminal:
    """A terminal's size in characters; a plain one knows no colours and no cursor movements."""

    columns: int
    rows: int
    colour: bool = True
    plain: bool = False


def terminal_of(stream: TextIO) -> Optional[Terminal]:
    """The terminal behind `stream`; None when its reader is a program or a file."""
    if not stream.isatty():
        return None
    columns, rows = os.get_terminal_size(stream.fileno())  # some know no size and say 0
    plain = os.environ.get("TERM", "dumb") in ("", "dumb")
    colour = not plain and not os.environ.get("NO_COLOR")
    return Terminal(columns or _USUAL_COLUMNS, rows or _USUAL_ROWS, colour, plain)


def print_raw(text: str) -> None:
    """Print what a stranger may have written (domain XML, for one) on standard output.

    A program or a file gets every character of it; on a terminal question marks stand for those
    that would steer it.
    """
    if sys.stdout.isatty():
        text = printable_text(text.replace("\r\n", "\n"), keep="\n\t")
    print(text, flush=True)
