# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What became of each thing that was read, for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from metadata.plain_text import one_line


class Fate(str, Enum):
    """What became of it."""

    KEPT = "kept"
    CHANGED = "changed"
    DROPPED = "dropped"
    TO_DO = "to do"  # nothing here can know it


@dataclass(frozen=True)
class Item:
    """`what` was read and what became of it, and why; neither has a secret in it."""

    fate: Fate
    what: str
    why: str


def kept(what: str, why: str) -> Item:
    """It stands in what was made as it stood there."""
    return Item(Fate.KEPT, what, why)


def changed(what: str, why: str) -> Item:
    """Something else stands for it in what was made."""
    return Item(Fate.CHANGED, what, why)


def dropped(what: str, why: str) -> Item:
    """Nothing stands for it."""
    return Item(Fate.DROPPED, what, why)


def to_do(what: str, why: str) -> Item:
    """It is left to the administrator."""
    return Item(Fate.TO_DO, what, why)


def item_lines(items: Iterable[Item]) -> list[str]:
    """In the order of `Fate`; what has one fate for one reason stands in one line."""
    found: dict[tuple[Fate, str], list[str]] = {}
    for item in items:
        found.setdefault((item.fate, item.why), []).append(item.what)
    lines = [(fate, ", ".join(dict.fromkeys(what)), why) for (fate, why), what in found.items()]
    return [
        f"[{fate.value}] {one_line(f'{what}: {why}')}"
        for one in Fate
        for fate, what, why in lines
        if fate is one
    ]
