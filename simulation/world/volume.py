# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The bytes of a simulated volume."""

from __future__ import annotations

BLOCK_SIZE = 1 << 20
_BLANK = bytes(BLOCK_SIZE)
# So few bytes are copied twice sooner than a view on them is made and given up.
COPIED_TWICE = 1 << 16


class SparseVolume:
    """Zeros until they are written, as in a sparse file.

    Most of a volume never is; each look at all slots would else copy megabytes of nothing. It
    takes slices without a step, as a bytearray does, and no other change than those here: all
    of them know what was written. `changes` counts them: while it stays, so do the bytes.
    """

    def __init__(self, size: int) -> None:
        self.changes = 0
        self._bytes = bytearray(size)
        self._written: set[int] = set()

    def __len__(self) -> int:
        return len(self._bytes)

    def __bytes__(self) -> bytes:
        return bytes(self._bytes)

    def __getitem__(self, places: slice) -> bytes:
        start, stop = self._bounds(places)
        if stop - start <= BLOCK_SIZE and self._is_blank(start, stop):
            return _BLANK[: stop - start]
        if stop - start <= COPIED_TWICE:
            return bytes(self._bytes[start:stop])
        with memoryview(self._bytes) as view:
            return bytes(view[start:stop])

    def _is_blank(self, start: int, stop: int) -> bool:
        first, last = start // BLOCK_SIZE, (stop - 1) // BLOCK_SIZE
        if first == last:
            return first not in self._written
        return self._written.isdisjoint(_blocks(start, stop))

    def __setitem__(self, places: slice, data: bytes) -> None:
        """ValueError: that would change the size."""
        start, stop = self._bounds(places)
        if stop - start != len(data):
            raise ValueError(f"{len(data)} bytes do not fit from {start} to {stop}")
        self.changes += 1
        self._written.update(_blocks(start, stop))
        self._bytes[start:stop] = data

    def __delitem__(self, places: slice) -> None:
        """Cut the end off; ValueError for a piece that is not the end."""
        start, stop = self._bounds(places)
        if stop != len(self):
            raise ValueError(f"{start} to {stop} is not the end of {len(self)} bytes")
        self.changes += 1
        del self._bytes[start:]

    def extend(self, data: bytes) -> None:
        """Put `data` behind the end."""
        self.changes += 1
        start = len(self)
        self._bytes.extend(data)
        self._written.update(_blocks(start, len(self)))

    def _bounds(self, places: slice) -> tuple[int, int]:
        start, stop = places.start, places.stop
        whole = places.step is None and start is not None and stop is not None
        if whole and 0 <= start <= stop <= len(self._bytes):
            return start, stop  # as nearly all are
        start, stop, step = places.indices(len(self))
        if step != 1:
            raise ValueError(f"a step of {step} is not known here")
        return start, max(start, stop)


def _blocks(start: int, stop: int) -> range:
    return range(start // BLOCK_SIZE, (stop + BLOCK_SIZE - 1) // BLOCK_SIZE)
