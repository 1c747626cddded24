# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The testimony's line: what is written is read back, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metadata import reach
from metadata.extra_text import decode_text, encode_text
from metadata.reach import (
    KEYS,
    WITNESS,
    Sight,
    is_network_good,
    reach_notes,
    read_testimony,
)
from metadata.records import EngineStatus, HostRecord

RECORD = HostRecord(2, 7, 3400, EngineStatus(), "h2")


@pytest.mark.parametrize("sight", Sight)
@pytest.mark.parametrize("network_good", [True, False, None])
def test_what_is_written_is_read_back_from_a_slot(sight, network_good) -> None:
    testimony = reach.Testimony(sight, 2000, network_good)
    written = replace(RECORD, notes=(("why", "x"), (WITNESS, reach.testimony_text(testimony))))
    text = encode_text(written, 3584).decode("ascii")
    assert all(line.count("=") == 1 for line in text.splitlines())
    assert read_testimony(decode_text(text).notes) == testimony


@pytest.mark.parametrize(
    "value",
    [
        "",
        "dark",
        "dark; engine on host 1",
        "dark; engine on host x; network good",
        "dark; engine on host ١; network good",
        "dark; engine on host 1; network fine",
        "DARK; engine on host 1; network good",
        "dark; engine on host 1; network good, more",
    ],
)
def test_what_is_not_exactly_so_is_no_testimony(value) -> None:
    assert read_testimony(((WITNESS, value),)) is None


def test_a_record_without_the_line_has_no_testimony() -> None:
    assert read_testimony((("why", "the engine's lease is held by h1"),)) is None


def test_only_the_lines_about_reach_are_picked() -> None:
    notes = (("why", "x"), *((key, "y") for key in KEYS))
    assert reach_notes(notes) == notes[1:]


@pytest.mark.parametrize(
    ("failed", "good"), [(None, None), (0.0, True), (0.4, True), (0.5, False), (1.0, False)]
)
def test_a_lost_probe_is_no_bad_network(failed, good) -> None:
    assert is_network_good(failed) is good
