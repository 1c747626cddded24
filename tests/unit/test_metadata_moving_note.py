# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The line that says that the engine is leaving a host."""

from __future__ import annotations

import pytest

from metadata.moving_note import MovingNote, decode_moving, encode_moving


@pytest.mark.parametrize("note", [MovingNote("h2", 40.0), MovingNote("a.b-c_9", 1.0)])
def test_what_is_written_is_read(note: MovingNote) -> None:
    assert decode_moving(encode_moving(note)) == note


def test_an_unknown_target_and_a_short_time_are_told_all_the_same() -> None:
    assert encode_moving(MovingNote("", 0.2)) == "to another-host, others wait 1 s"


@pytest.mark.parametrize(
    "text",
    ["", "to h2", "to h2, others wait -1 s", "to h2, others wait 999999 s",
     "to h2, others wait x s", "to h 2, others wait 4 s",
     "to h2, others wait 4 s or so", "to h2, others wait \u0664 s"],
)  # fmt: skip
def test_what_is_not_understood_says_nothing(text: str) -> None:
    assert decode_moving(text) is None
