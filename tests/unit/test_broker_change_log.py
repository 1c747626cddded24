# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Troubles of the broker: told once, counted, and told again when they last."""

from __future__ import annotations

import logging

import pytest

from ha_broker.cycle.part import FIRST_REMINDER, ChangeLog
from world.ports.log_fields import ATTRIBUTE


def test_what_lasts_is_counted_and_told_again(caplog: pytest.LogCaptureFixture) -> None:
    changes = ChangeLog()
    with caplog.at_level(logging.INFO):
        for _ in range(10 * FIRST_REMINDER):
            changes.tell("storage", "Input/output error", logging.WARNING)
        changes.tell("storage", "")
        changes.tell("storage", "")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "storage: Input/output error"),
        ("WARNING", "storage: Input/output error (seen 1000 times)"),
        ("WARNING", "storage: Input/output error (seen 10000 times)"),
        ("INFO", "storage: all is well again, after it was seen 10000 times"),
    ]
    last = getattr(caplog.records[-1], ATTRIBUTE)
    assert last == {"HE_TOPIC": "storage", "HE_TIMES": "10000"}


def test_another_trouble_of_the_topic_is_counted_anew(caplog: pytest.LogCaptureFixture) -> None:
    changes = ChangeLog()
    with caplog.at_level(logging.INFO):
        for trouble in ("one", "one", "two", ""):
            changes.tell("storage", trouble)
    assert caplog.messages == ["storage: one", "storage: two", "storage: all is well again"]
