# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The commands of docs/install.md, each with who runs it: the page is what the check runs."""

from __future__ import annotations

import re
from dataclasses import dataclass

MARKS = ("check", "lab", "not run")
CHECK = "check"
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"(?P<command>.*\S) +# (?P<marks>.+)")


@dataclass(frozen=True)
class Line:
    """One command, and who runs it."""

    command: str
    marks: tuple[str, ...]


def section(page: str, title: str) -> str:
    """The text below the heading `title`; raises ValueError when there is none."""
    parts = _SECTION.split(page)
    return parts[parts.index(title) + 1]


def commands(text: str) -> list[Line]:
    """The lines of all blocks of shell commands; raises ValueError for one without a mark."""
    return [
        _line(line)
        for kind, block in _BLOCK.findall(text)
        if kind == "sh"
        for line in block.splitlines()
    ]


def document(text: str, name: str) -> str:
    """The YAML block that begins with a comment with its file's name; raises ValueError."""
    for kind, block in _BLOCK.findall(text):
        if kind == "yaml" and block.startswith(f"# {name}\n"):
            return str(block)
    raise ValueError(f"no block {name!r}")


def _line(text: str) -> Line:
    found = _LINE.fullmatch(text)
    marks = tuple(re.split(r", *", found["marks"])) if found else ()
    if found is None or not set(marks) <= set(MARKS):
        raise ValueError(f"{text!r}: does not end with who runs it: {', '.join(MARKS)}")
    return Line(found["command"], marks)
