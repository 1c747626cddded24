# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The shared configuration in the agent's hands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from ha_agent.observation.config_cache import KEY, ConfigCache
from ha_broker.api.snapshot import ConfigView
from metadata.settings.parse import ClusterSettings, EngineSettings
from metadata.shared_config import SharedConfig
from simulation.world import InlineRunner, VirtualClock
from tests.unit.agent_host import PARTS, SETTINGS, domain_xml

GOOD = SharedConfig(4, SETTINGS, domain_xml())


class Bench:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.runner = InlineRunner(self.clock)
        self.answer: Any = GOOD
        self.heard: list[ClusterSettings] = []
        self.keeper = ConfigCache(self.runner, self, PARTS, self.heard.append)  # type: ignore[arg-type]

    def shared_config(self) -> SharedConfig:
        if isinstance(self.answer, Exception):
            raise self.answer
        assert isinstance(self.answer, SharedConfig)
        return self.answer

    def cycle(self, sequence: Optional[int] = 4, error: str = "", again: bool = True) -> None:
        self.keeper.look(ConfigView(sequence, error))
        self.keeper.request(again)
        for outcome in self.runner.poll():
            self.keeper.take(outcome)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_fetched_once_per_change(bench: Bench) -> None:
    bench.cycle()
    bench.cycle()
    assert bench.runner.submitted == [KEY]
    assert bench.keeper.domain_xml == GOOD.domain_xml
    assert bench.keeper.loaded_at_s == 1000.0
    assert bench.keeper.current() is True
    assert bench.keeper.blocked_why() == ""
    assert bench.heard == [SETTINGS]


def test_two_changes_within_one_second_are_told_apart(bench: Bench) -> None:
    """Records have whole seconds of it, and other hosts see a newer version by another one."""
    bench.clock.advance(0.1)
    told = []
    for sequence in (4, 5, 6):
        bench.answer = SharedConfig(sequence, SETTINGS, domain_xml())
        bench.cycle(sequence)
        bench.clock.advance(0.2)
        assert bench.keeper.loaded_at_s is not None
        told.append(int(bench.keeper.loaded_at_s))
    assert told == [1000, 1001, 1002]
    bench.clock.advance(60.0)
    bench.answer = SharedConfig(7, SETTINGS, domain_xml())
    bench.cycle(7)
    assert bench.keeper.loaded_at_s == bench.clock.monotonic_s()


def test_defaults_until_there_is_one(bench: Bench) -> None:
    assert bench.keeper.settings == ClusterSettings()
    assert bench.keeper.domain_xml == ""
    bench.cycle(sequence=None)
    assert bench.runner.submitted == []
    assert bench.keeper.current() is None
    why = "there is no shared configuration: the broker has not read it yet"
    assert bench.keeper.blocked_why() == why


def test_what_the_broker_says_of_it_is_told(bench: Bench) -> None:
    bench.cycle(sequence=None, error="both copies are damaged")
    why = "there is no shared configuration: both copies are damaged"
    assert bench.keeper.blocked_why() == why


def test_damaged_later(bench: Bench) -> None:
    bench.cycle()
    bench.cycle(error="both copies are damaged")
    assert bench.keeper.settings == SETTINGS
    why = "the shared configuration can't be read: both copies are damaged"
    assert bench.keeper.blocked_why() == why


def test_a_change_is_fetched_and_blocks_until_then(bench: Bench) -> None:
    bench.cycle()
    newer = SharedConfig(
        5, replace(SETTINGS, engine=EngineSettings(health_text="ok")), domain_xml()
    )
    bench.answer = newer
    bench.runner.hang(KEY)
    bench.cycle(sequence=5)
    why = "the shared configuration has changed and is being fetched"
    assert bench.keeper.blocked_why() == why
    assert bench.keeper.current() is None, "no penalty for the moment that a fetch takes"
    bench.runner.release(KEY)
    bench.cycle(sequence=5)
    assert bench.keeper.settings == newer.settings
    assert bench.keeper.blocked_why() == ""


def test_a_fetch_that_fails_is_told_and_tried_at_the_next_tick(bench: Bench) -> None:
    bench.answer = OSError("no broker")
    bench.cycle()
    assert bench.keeper.blocked_why() == "the shared configuration can't be fetched: no broker"
    bench.cycle(again=False)
    assert bench.runner.submitted == [KEY]
    bench.answer = GOOD
    bench.cycle()
    assert bench.keeper.blocked_why() == ""


def test_outdated_when_the_newer_one_cannot_be_fetched(bench: Bench) -> None:
    bench.cycle()
    bench.answer = OSError("no broker")
    bench.cycle(sequence=5)
    assert bench.keeper.current() is False
    assert bench.keeper.settings == SETTINGS


REFUSED = {
    "has no lease": domain_xml(lease=""),
    "must lie at": domain_xml().replace(str(PARTS.lease.offset), "0"),
    "its name is 'Other'": domain_xml(name="Other"),
    "can't be read": "<domain",
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_bad_domain_xml_is_refused_with_its_reason(bench: Bench, why: str) -> None:
    bench.answer = SharedConfig(4, SETTINGS, REFUSED[why])
    bench.cycle()
    assert bench.keeper.blocked_why().startswith("the domain XML is refused: ")
    assert why in bench.keeper.blocked_why()
