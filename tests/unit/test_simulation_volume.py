# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A simulated volume holds what was written, wherever that was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.world.volume import BLOCK_SIZE, SparseVolume

SIZE = 3 * BLOCK_SIZE
EDGES = st.sampled_from([0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 2 * BLOCK_SIZE, SIZE])


@given(st.lists(st.tuples(EDGES, st.binary(min_size=1, max_size=3)), max_size=4), EDGES, EDGES)
def test_it_reads_as_a_byte_array_does(
    writes: list[tuple[int, bytes]], start: int, stop: int
) -> None:
    volume, plain = SparseVolume(SIZE), bytearray(SIZE)
    for place, data in writes:
        fitting = data[: SIZE - place]
        before = volume.changes
        volume[place : place + len(fitting)] = fitting
        plain[place : place + len(fitting)] = fitting
        assert volume.changes > before
    assert volume[start:stop] == plain[start:stop]
    assert volume[-2:] == plain[-2:]
    assert bytes(volume) == plain


def test_its_end_is_cut_off_and_put_back() -> None:
    volume = SparseVolume(SIZE)
    del volume[BLOCK_SIZE:]
    assert len(volume) == BLOCK_SIZE
    cut = volume.changes
    volume.extend(b"abc")
    assert 0 < cut < volume.changes
    assert volume[BLOCK_SIZE:] == b"abc"


def test_what_is_not_known_here_is_refused() -> None:
    volume = SparseVolume(8)
    with pytest.raises(ValueError, match="3 bytes do not fit from 0 to 2"):
        volume[0:2] = b"abc"
    with pytest.raises(ValueError, match="2 to 4 is not the end of 8 bytes"):
        del volume[2:4]
    with pytest.raises(ValueError, match="a step of 2"):
        volume[::2]
    assert bytes(volume) == bytes(8)
