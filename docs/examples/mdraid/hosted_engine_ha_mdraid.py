# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host whose software RAID array has lost disks should rather not run the engine.

Options: ``array`` (md0), ``file`` (/proc/mdstat).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Optional


class MdRaid:
    """The share of an array's disks that it has lost."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._array = options.get("array", "md0")
        self._file = Path(options.get("file", "/proc/mdstat"))

    def measure(self) -> tuple[Optional[float], str]:
        """Share lost (None: not known), and the same in words."""
        text = self._file.read_text()
        # md0 : active raid1 sdb1[1] sda1[0]
        #       1046528 blocks super 1.2 [2/1] [U_]
        found = re.search(rf"^{re.escape(self._array)} :.*\n.*\[(\d+)/(\d+)\]", text, re.M)
        if found is None:
            return None, f"no array {self._array} in {self._file}"
        wanted, there = map(int, found.groups())
        return (wanted - there) / wanted, f"{self._array}: {there} of {wanted} disks"
