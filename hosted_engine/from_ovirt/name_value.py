# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""oVirt's ``name=value`` files, as its own programs read them. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Assignment:
    """One line of a file; `section` is empty where the file has none."""

    section: str
    name: str
    value: str


def assignments(text: str) -> list[Assignment]:
    """All lines that give a value, in their order.

    Lines without ``=`` and those that begin with ``#`` or ``;`` say nothing to oVirt's programs
    either.
    """
    found: list[Assignment] = []
    section = ""
    for line in map(str.strip, text.lstrip("\ufeff").splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif "=" in line and line[0] not in "#;":
            name, _, value = line.partition("=")
            found.append(Assignment(section, name.strip(), value.strip()))
    return found


def last_values(found: list[Assignment]) -> dict[str, str]:
    """Name -> value; of a name that stands twice the last, as there."""
    return {one.name: one.value for one in found}
