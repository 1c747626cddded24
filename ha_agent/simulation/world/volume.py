"""The bytes of a simulated volume."""

from __future__ import annotations

from typing import SupportsIndex, Union

BLOCK_SIZE = 1 << 20
_BLANK = bytes(BLOCK_SIZE)


class SparseVolume(bytearray):
    """Zeros until they are written, as in a sparse file.

    Most of a volume never is; each look at all slots would else copy megabytes of nothing.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: set[int] = set()

    def __setitem__(self, key: Union[SupportsIndex, slice], value: object) -> None:
        start, stop, _ = key.indices(len(self)) if isinstance(key, slice) else (key, key, 1)
        self._written.update(range(int(start) // BLOCK_SIZE, int(stop) // BLOCK_SIZE + 1))
        super().__setitem__(key, value)  # type: ignore[call-overload]

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from `offset` on; ask for no more than there are."""
        blocks = range(offset // BLOCK_SIZE, (offset + size - 1) // BLOCK_SIZE + 1)
        if size <= BLOCK_SIZE and self._written.isdisjoint(blocks):
            return _BLANK[:size]
        with memoryview(self) as view:
            return bytes(view[offset : offset + size])
