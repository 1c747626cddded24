# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The pages below docs/ as their tests look at them: headings, links, commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^[ ]*```.*?^[ ]*```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"(?<!!)\[[^\]\n]*(?:\n[^\]\n]+)?\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#{1,4}) (.+)$", re.MULTILINE)


class Section(NamedTuple):
    """What stands below one heading, up to the next one of any level."""

    level: int
    title: str
    text: str


def pages() -> list[Path]:
    """README, ARCHITECTURE, and every page below docs/ but the decisions and the results."""
    below = sorted(DOCS.rglob("*.md"))
    written = [page for page in below if page.relative_to(DOCS).parts[0] not in ("adr", "results")]
    return [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *written]


def prose(text: str) -> str:
    """`text` without its fenced blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    """The targets of all links of a page that lead to no other server."""
    return [link for link in _LINK.findall(prose(text)) if "://" not in link]


def sections(text: str) -> list[Section]:
    """All of a page, in order."""
    plain = prose(text)
    found = list(_HEADING.finditer(plain))
    ends = [one.start() for one in found[1:]] + [len(plain)]
    return [
        Section(len(one.group(1)), one.group(2), plain[one.end() : end])
        for one, end in zip(found, ends)
    ]


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    return {anchor(section.title) for section in sections(text)}


def anchor(title: str) -> str:
    """Small letters, blanks become hyphens, other signs are left out."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def codes(text: str) -> list[str]:
    """What stands between backticks in the prose, and each line of the fenced blocks."""
    lines = [line for block in _FENCE.findall(text) for line in block.splitlines()[1:-1]]
    return [*_CODE.findall(prose(text)), *lines]


def commands(text: str, program: str) -> list[str]:
    """What is to be typed for `program`, without remarks; `program` alone is no command."""
    found = [re.sub(r"\s+#.*", "", code).strip() for code in codes(text)]
    return [code for code in found if code.startswith(f"{program} ")]
