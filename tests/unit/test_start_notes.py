# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a host says of its own starts, in the text part of its record."""

from __future__ import annotations

import pytest

from metadata.start_notes import StartNotes, read_start_notes, start_notes


@pytest.mark.parametrize(
    "told", [StartNotes(), StartNotes("the domain XML is refused"), StartNotes("two ids", 12)]
)
def test_what_is_written_is_read_back(told: StartNotes) -> None:
    assert read_start_notes((("why", "it waits"), *start_notes(told))) == told


def test_what_says_nothing_is_not_written() -> None:
    assert start_notes(StartNotes()) == ()
    assert start_notes(StartNotes("", 3)) == (("start-tries", "3"),)


@pytest.mark.parametrize("tries", ["", "-1", "many", "1.5", "99999", "\u00b2"])
def test_a_number_that_is_none_counts_as_missing(tries: str) -> None:
    assert read_start_notes((("start-tries", tries),)).tries == 0
