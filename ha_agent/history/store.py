# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The history's two files: appended to, read, and begun anew before they grow too large.

``history.jsonl`` is the present one; once it has reached its size it becomes
``history.1.jsonl`` in the place of the one before. So the newest half at least is always there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ha_agent.history.entry import BOOT_LENGTH, Entry, entry_of, line_of
from world.durable import make_open_directory, sync_directory
from world.regular_file import open_regular, open_to_append

PRESENT, PAST = "history.jsonl", "history.1.jsonl"
FILE_BYTES = 4 << 20
# As much as a new agent reads of what its predecessor wrote.
_TAIL_BYTES = 128 << 10
# A file that somebody else put there shall not fill the memory.
_MOST_READ_BYTES = 4 * FILE_BYTES
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class FileHistory:
    """The `HistoryStore` of the real world; all its methods block and raise OSError."""

    def __init__(self, directory: str, file_bytes: int = FILE_BYTES) -> None:
        self._directory = Path(directory)
        self._present = self._directory / PRESENT
        self._file_bytes = file_bytes
        self._boot = ""

    def append(self, entries: Sequence[Entry]) -> None:
        """Add all of them or none; from now on they survive a power cut."""
        boot = self._boot_id()
        text = "".join(f"{line_of(entry._replace(boot=boot))}\n" for entry in entries)
        make_open_directory(self._directory)
        self._rotate()
        new = not self._present.exists()
        with open_to_append(self._present) as file:
            _append(file.fileno(), text.encode("ascii"))
            os.fsync(file.fileno())
        if new:
            sync_directory(self._directory)

    def earlier(self) -> Sequence[Entry]:
        """The latest entries of this boot, the oldest first."""
        boot = self._boot_id()
        found = (entry_of(line) for line in _lines(self._present, _TAIL_BYTES))
        return [entry for entry in found if entry is not None and entry.boot == boot]

    def _rotate(self) -> None:
        with suppress(FileNotFoundError):
            if self._present.stat().st_size >= self._file_bytes:
                self._present.replace(self._directory / PAST)
                sync_directory(self._directory)

    def _boot_id(self) -> str:
        if not self._boot:
            self._boot = Path(_BOOT_ID).read_text(encoding="ascii").strip()[:BOOT_LENGTH]
        return self._boot


class KeptEntries(NamedTuple):
    """All that the files hold; `damaged` is how many lines could not be read."""

    entries: tuple[Entry, ...]
    damaged: int


def read_history(directory: str) -> KeptEntries:
    """Both files, the oldest entry first; none where there is no such file; raises OSError."""
    entries, damaged = [], 0
    for name in (PAST, PRESENT):
        for line in _lines(Path(directory) / name, _MOST_READ_BYTES):
            entry = entry_of(line)
            if entry is not None:
                entries.append(entry)
            elif line.strip():
                damaged += 1
    return KeptEntries(tuple(entries), damaged)


def _append(descriptor: int, data: bytes) -> None:
    """All of it or, where the disk is full, nothing."""
    size = os.fstat(descriptor).st_size
    # What a power cut left of a line must not spoil the next one.
    torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    data = b"\n" + data if torn else data
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _lines(path: Path, most_bytes: int) -> Iterator[str]:
    """The lines in the last `most_bytes`."""
    try:
        with open_regular(path) as file:
            start = max(0, os.fstat(file.fileno()).st_size - most_bytes)
            file.seek(start)
            content = file.read(most_bytes)
    except FileNotFoundError:
        return
    lines = content.decode("utf-8", "replace").split("\n")
    yield from lines[1:] if start else lines
