# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the storage holds that is not ours, in the words of util-linux's libblkid."""

from __future__ import annotations

import os
from typing import Optional

from hosted_engine.errors import CommandError
from hosted_engine.host.tools import run_tool
from metadata.error_words import shown
from metadata.plain_json import parse_json
from metadata.plain_text import ascii_text

# Of libblkid's tools the one that names all it finds: blkid itself is silent where there are two
# things at once. /usr/sbin is not on everybody's PATH.
WIPEFS = "/usr/sbin/wipefs"
_OPTIONS = ("--no-act", "--json", "--output=TYPE,LABEL,USAGE")
_DEADLINE_S = 3.0
_LONGEST_LABEL = 64
_USAGES = {
    "filesystem": "a file system",
    "partition-table": "a partition table",
    "raid": "a part of a RAID or volume group",
    "crypto": "an encrypted volume",
}


def disk_signature(area: bytes, room: int) -> str:
    """``a file system (ext4, label 'backup')``; empty where nothing is known, or nobody to ask.

    `area` was read from a volume of which `room` bytes are left from there on: a partition table
    that points beyond its end counts as none. It is handed on as a file in memory, so that nobody
    waits for the storage, reads it through the cache or could write to it.
    """
    with os.fdopen(os.memfd_create("area"), "wb") as file:
        file.write(area)
        file.truncate(max(room, len(area)))
        path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
        try:
            found = parse_json(run_tool((WIPEFS, *_OPTIONS, path), _DEADLINE_S).output)
        except (CommandError, ValueError):
            return ""
    return " and ".join(dict.fromkeys(_in_words(**one) for one in found["signatures"]))


def _in_words(type: str, label: Optional[str], usage: str) -> str:
    named = f", label {shown(ascii_text(label, _LONGEST_LABEL))}" if label else ""
    return f"{_USAGES.get(usage, 'data')} ({type}{named})"
