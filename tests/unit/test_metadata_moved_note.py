# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The lines about moves that are over: where the engine has gone, and how often in a day."""

from __future__ import annotations

import pytest

from metadata.better_note import decode_better_moves
from metadata.moved_note import MovedNote, decode_moved, encode_moved


@pytest.mark.parametrize(
    "note",
    [
        MovedNote("h2"),
        MovedNote("a.b-c_9", 1.6, 0.62, 134217728),
        MovedNote("h2", took_s=12.0),
        MovedNote("h2", downtime_s=0.05),
        MovedNote("h2", copied_bytes=0),
    ],
)
def test_what_is_written_is_read(note: MovedNote) -> None:
    assert decode_moved(encode_moved(note)) == note
    assert "=" not in encode_moved(note)


@pytest.mark.parametrize(
    "text",
    ["", "to", "to h 2", "from h2", "to h2, took long", "to h2, 5 bytes, took 1.0 s",
     "to h2, took \u0664.0 s", "to h2, took 1.0 s and so on"],
)  # fmt: skip
def test_what_is_not_understood_says_nothing(text: str) -> None:
    assert decode_moved(text) is None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("3", 3),
        ("9999", 9999),
        ("", 0),
        ("-1", 0),
        ("3.5", 0),
        ("99999", 0),
        ("\u0664", 0),
    ],
)
def test_what_is_no_count_is_none(text: str, count: int) -> None:
    assert decode_better_moves(text) == count
