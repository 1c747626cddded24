# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which lines are worth a place in the log."""

from __future__ import annotations

import pytest

from ha_agent.publication.log_filter import ReasonFilter, gist

SAME = [
    ("silent for 16 s", "silent for 17 s"),
    ("80% failed", "75% failed"),
    ("score 3400", "score 2400"),
    ("turn in 1.5 s", "turn in 15 s"),
]
OTHER = [
    ("h1 goes first", "h2 goes first"),
    ("held by host 2", "held by host 3"),
    ("also uses host id 2", "also uses host id 3"),
    ("no memory", "no storage"),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_a_changed_number_is_the_same_reason(one: str, two: str) -> None:
    assert gist(one) == gist(two)


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_another_name_is_another_reason(one: str, two: str) -> None:
    assert gist(one) != gist(two)


def test_a_reason_is_news_once() -> None:
    reasons = ReasonFilter()
    assert reasons.is_news("stay", "silent for 16 s", 100)
    assert not reasons.is_news("stay", "silent for 17 s", 101)
    assert not reasons.is_news("stay", "silent for 900 s", 2000)


def test_reasons_that_take_turns_do_not_flood() -> None:
    reasons = ReasonFilter(quiet_s=60)
    told = [reasons.is_news("stay", "ab"[second % 2], second) for second in range(600)]
    assert sum(told) == 2 * 10


def test_topics_are_apart() -> None:
    reasons = ReasonFilter()
    assert reasons.is_news("publish", "no broker", 100)
    assert reasons.is_news("stay", "no broker", 100)


def test_a_settled_topic_begins_anew() -> None:
    reasons = ReasonFilter()
    assert not reasons.is_open("publish")
    reasons.is_news("publish", "no broker", 100)
    assert reasons.is_open("publish")
    reasons.forget("publish")
    assert not reasons.is_open("publish")
    assert reasons.is_news("publish", "no broker", 101)


def test_memory_is_bounded() -> None:
    reasons = ReasonFilter()
    for number in range(1000):
        reasons.is_news("stay", f"h{number} goes first", number)
    assert len(reasons._told_at_s) <= 16
