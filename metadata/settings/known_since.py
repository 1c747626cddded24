# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which of the shared settings an older program refuses. Pure.

A program refuses the whole configuration that has a key which it does not know, and goes on with
the version that it read before; once its services are restarted it has none. So whoever adds a key
to the settings adds it here, too, with the version that brings it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Optional

Version = tuple[int, ...]

NEW_KEYS: tuple[tuple[Version, tuple[str, ...]], ...] = (((0, 1, 0), ("migration",)),)
"""Dotted keys by the version of the program that was the first to know them."""

_VERSION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6}){0,5})(?:[^0-9.].*)?")


def version_in(text: str) -> Optional[Version]:
    """The numbers of a version (``1.2`` of ``1.2rc1``); None: the text is none."""
    found = _VERSION.fullmatch(text)
    return tuple(int(part) for part in found.group(1).split(".")) if found else None


def refused_by(version: Version, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys in `settings`, as they are stored, that a program of `version` does not know."""
    return tuple(
        key
        for since, keys in NEW_KEYS
        for key in keys
        if version < since and _has(settings, key.split("."))
    )


def _has(data: Any, path: list[str]) -> bool:
    for name in path:
        if not isinstance(data, Mapping) or name not in data:
            return False
        data = data[name]
    return True
