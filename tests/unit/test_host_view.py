# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The questions about a host, each by its own rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

import pytest

from ha_broker.api.snapshot import HostView, LeaseState, LeaseView, Snapshot
from metadata.liveness import Liveness
from metadata.records import EngineStatus, EngineVm, Health, HostRecord

UP = EngineStatus(EngineVm.UP, Health.BAD)
RECORD = HostRecord(2, 7, 3400, UP, "h2")
LIVES = tuple(Liveness)

Question = Callable[[HostView], bool]

# Who is asked with a fresh record, and with one that is not: where the answer is yes.
RULES: list[tuple[str, Question, set[Liveness], set[Liveness]]] = [
    ("is_live", lambda one: one.is_live, {Liveness.LIVE}, {Liveness.LIVE}),
    ("shows_life", lambda one: one.shows_life, set(LIVES), {Liveness.LIVE}),
    ("fresh_record", lambda one: one.fresh_record is not None, set(LIVES), set()),
    ("sure_record", lambda one: one.sure_record is not None, {Liveness.LIVE}, set()),
    ("is_current", lambda one: one.is_current, set(LIVES) - {Liveness.DEAD}, set()),
    ("agent_speaks", lambda one: one.agent_speaks, set(LIVES), set()),
    ("says_up", lambda one: one.says_up, set(LIVES) - {Liveness.DEAD, Liveness.FREE}, set()),
    ("is_able", lambda one: one.is_able, {Liveness.LIVE}, set()),
]
NAMES = [name for name, *_ in RULES]


@pytest.mark.parametrize(("_name", "ask", "fresh", "stale"), RULES, ids=NAMES)
def test_each_question_has_its_rule(
    _name: str, ask: Question, fresh: set[Liveness], stale: set[Liveness]
) -> None:
    for liveness in LIVES:
        view = HostView(2, liveness, record=RECORD)
        assert ask(replace(view, fresh=True)) == (liveness in fresh), liveness
        assert ask(view) == (liveness in stale), liveness


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"is_live", "shows_life"}))
def test_a_slot_that_changes_without_a_record_says_nothing(name: str) -> None:
    assert not getattr(HostView(2, Liveness.LIVE, error="garbage", fresh=True), name)


@pytest.mark.parametrize(
    ("change", "speaks", "able"),
    [
        ({}, True, True),
        ({"stopped": True}, False, False),
        ({"maintenance": True}, True, False),
        ({"score": 0}, True, False),
    ],
)
def test_what_the_record_says_counts(change: dict[str, Any], speaks: bool, able: bool) -> None:
    view = HostView(2, Liveness.LIVE, record=replace(RECORD, **change), fresh=True)
    assert (view.agent_speaks, view.is_able) == (speaks, able)


@pytest.mark.parametrize(
    ("vm", "health", "up", "healthy"),
    [
        (EngineVm.UP, Health.GOOD, True, True),
        (EngineVm.UP, Health.BAD, True, False),
        (EngineVm.UP, Health.UNKNOWN, True, False),
        (EngineVm.DOWN, Health.GOOD, False, False),
        (EngineVm.UNKNOWN, Health.GOOD, False, False),
    ],
)
def test_an_engine_is_healthy_only_where_it_is_up(
    vm: EngineVm, health: Health, up: bool, healthy: bool
) -> None:
    status = EngineStatus(vm, health)
    assert (status.is_up, status.is_healthy) == (up, healthy)


def test_a_host_without_a_name_is_called_by_its_id() -> None:
    assert HostView(2, record=RECORD).name == "h2"
    assert HostView(2).name == "host 2"
    assert HostView(2, record=replace(RECORD, hostname="")).name == "host 2"


@pytest.mark.parametrize("state", [LeaseState.FREE, LeaseState.UNKNOWN])
def test_who_owned_a_lease_that_is_not_held_does_not_hold_it(state: str) -> None:
    snapshot = Snapshot(1, 0.0, 1, "h1", 0.0, lease=LeaseView(state, owner_id=1))
    assert snapshot.lease.holder_id is None
    assert not snapshot.holds_lease


def test_the_holder_of_a_lease() -> None:
    snapshot = Snapshot(1, 0.0, 1, "h1", 0.0, lease=LeaseView(LeaseState.HELD, owner_id=1))
    assert snapshot.holds_lease
    assert not replace(snapshot, host_id=2).holds_lease


def test_a_host_is_found_by_its_id() -> None:
    own, other = HostView(1), HostView(2)
    snapshot = Snapshot(1, 0.0, 1, "h1", 0.0, hosts=(other, own))
    assert snapshot.own is own
    assert snapshot.host(2) is other
    assert snapshot.host(3) is None
    assert snapshot.host(None) is None
