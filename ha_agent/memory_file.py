# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The kept memory's file, which lives as long as the machine is up."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from world.durable import PRIVATE_FILE_MODE, replace_file
from world.regular_file import open_regular

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
# More than it can ever be: a file that somebody else put there shall not fill the memory.
_MOST_BYTES = 1 << 16


class MemoryFile:
    """The `MemoryStore` of the real world."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def read(self) -> Optional[bytes]:
        """What was written last; None: nothing."""
        try:
            with open_regular(self._path) as file:
                return file.read(_MOST_BYTES)
        except FileNotFoundError:
            return None

    def write(self, data: bytes) -> None:
        """Replace it as a whole; it need not survive a power cut.

        It lies beside the broker's socket, where everybody may pass, and is the agent's alone.
        """
        replace_file(self._path, data, mode=PRIVATE_FILE_MODE, durable=False, only_writer=True)

    def boot_id(self) -> str:
        """The kernel's."""
        return Path(_BOOT_ID).read_text(encoding="ascii").strip()
