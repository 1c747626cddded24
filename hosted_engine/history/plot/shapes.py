# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a drawing is made of; lengths are pixels, `y` grows downwards. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

# DejaVu Sans and Verdana, the widest of the usual ones, take so much of their size a character.
_CHARACTER_WIDTH = 0.62
_BOLD_WIDTH = 0.70


@dataclass(frozen=True)
class Rect:
    """A filled rectangle; `title` is shown when one points at it, where that can be."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    title: str = ""


@dataclass(frozen=True)
class Line:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    colour: str
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True)
class Text:
    """A text whose base line begins (or with `anchor` "middle" or "end": ...) at a point."""

    x: float
    y: float
    text: str
    size: float
    colour: str
    anchor: str = "start"
    bold: bool = False
    title: str = ""


Shape = Union[Rect, Line, Text]


@dataclass(frozen=True)
class Drawing:
    """Shapes, the later ones above the earlier ones, on white."""

    width: float
    height: float
    shapes: tuple[Shape, ...]


def text_width(text: str, size: float, bold: bool = False) -> float:
    """About as wide as `text` is; rather too wide."""
    return len(text) * size * (_BOLD_WIDTH if bold else _CHARACTER_WIDTH)


def shortened(text: str, size: float, room: float, bold: bool = False) -> str:
    """As much of `text` as fits; names differ at their ends, so an ellipsis is for the middle."""
    if text_width(text, size, bold) <= room:
        return text
    kept = max(2, int(room / text_width("x", size, bold)) - 1)
    return f"{text[: kept - kept // 2]}…{text[-(kept // 2) :]}"
