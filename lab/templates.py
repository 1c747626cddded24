# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Texts with ``@NAME@`` places in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from lab.errors import LabError

FOLDER = Path(__file__).resolve().parent


def render(name: str, values: Mapping[str, object]) -> str:
    """Fill in a file of the lab; a name that is not given is an error, not an empty text."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    left = re.search(r"@[A-Z_]+@", text)
    if left:
        raise LabError(f"{FOLDER / name}: {left.group()} has no value")
    return text
