# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The others' slots are read at once after a line that they may answer to."""

from __future__ import annotations

import pytest

from ha_broker.storage.answers import AnswerWatch
from metadata.notes import Notes

MOVING: Notes = (("moving", "to h2, others wait 40 s"), ("takes", "no, the VM is there"))
TAKES: Notes = (("takes", "at qemu://h1/system"),)
REFUSES: Notes = (("takes", "no, this host is being shut down"),)


def watch(*said: Notes) -> AnswerWatch:
    made = AnswerWatch()
    for notes in said:
        made.note(notes)
    return made


@pytest.mark.parametrize("news", [MOVING, REFUSES])
def test_they_are_read_once_after_the_line_is_on_the_storage(news: Notes) -> None:
    answers = watch(TAKES, news)
    assert not answers.is_due(TAKES, 10.0, 9.0)  # the write has not been confirmed yet
    assert answers.is_due(news, 10.0, 9.0)
    assert answers.is_due(news, 10.0, 9.9)
    assert not answers.take_heard()
    assert not answers.is_due(news, 10.0, 10.0)
    assert answers.take_heard()
    assert not answers.take_heard()
    assert not answers.is_due(news, 15.0, 10.0)  # written again, and nothing new in it


def test_a_first_record_and_one_that_asks_nothing_need_no_answer() -> None:
    assert not watch(REFUSES).is_due(REFUSES, 10.0, 9.0)
    assert not watch(REFUSES, TAKES).is_due(TAKES, 10.0, 9.0)
    assert not watch(TAKES, TAKES).is_due(TAKES, 10.0, 9.0)


def test_what_was_never_written_or_read_is_waited_for() -> None:
    assert not watch(TAKES, MOVING).is_due(MOVING, None, None)
    assert watch(TAKES, MOVING).is_due(MOVING, 10.0, None)
