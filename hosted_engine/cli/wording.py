# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How numbers and lists read in sentences. Pure."""

from __future__ import annotations

from collections.abc import Sequence

NO_BREAK = "\u00a0"
MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0


def span(seconds: float) -> str:
    """A length of time, as exactly as somebody who waits for it needs it."""
    seconds = max(0.0, seconds)
    if seconds < 2 * MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    if seconds < 2 * DAY_S:
        return f"{seconds / HOUR_S:.0f} h"
    return f"{seconds / DAY_S:.0f} days"


def listed(names: Sequence[str], word: str = "and") -> str:
    """``h1, h2 and h3``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


def command(words: str) -> str:
    """A command that is to be typed, kept on one line."""
    return words.replace(" ", NO_BREAK)


def clause(text: str) -> str:
    """`text` as part of a sentence: without its full stop."""
    return " ".join(text.split()).rstrip(".")


def capital(text: str) -> str:
    """`text` as the beginning of a sentence."""
    return f"{text[:1].upper()}{text[1:]}"
