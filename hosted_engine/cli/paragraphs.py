# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Sentences as paragraphs of a width that people read well. Pure."""

from __future__ import annotations

import textwrap

from metadata.plain_text import ascii_text

WIDTH = 92
_LONGEST = 2000


def plain(text: str) -> str:
    """What other hosts wrote goes to a terminal."""
    return ascii_text(text, _LONGEST)


def filled(text: str, first: str = "", rest: str = "") -> str:
    """Lines of at most `WIDTH` columns where words allow, which begin with `first` and `rest`."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
