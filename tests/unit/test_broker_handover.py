# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Whose slots a broker reads more often than the others, and how often it reads the lease then."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ha_broker.engine_words import EngineWords, words_on_the_engine
from ha_broker.lockspace.lease_reader import LEASE
from metadata.layout import slot_address
from metadata.liveness import Liveness
from metadata.notes import Notes
from metadata.records import POWERING_DOWN
from metadata.schedule import quick_s, quickest_s
from metadata.start_notes import HOST_SHUTS_DOWN
from tests.unit.agent_host import host_view
from tests.unit.broker_host import DOWN, JOIN_S, PARTS, TICK_S, UP, Cluster, Host

OWNER, OTHER = 2, 3
STOPPING = replace(UP, detail=POWERING_DOWN)
MOVING: Notes = (("moving", "to h1, others wait 40 s"),)
GOING_DOWN: Notes = (("cannot-start", HOST_SHUTS_DOWN),)
TICKS = 4


# --- the words ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "healthy", "giving"),
    [
        ({"engine_status": UP}, True, False),
        ({"engine_status": UP, "notes": (("cannot-start", "two hosts have its id"),)}, True, False),
        ({"engine_status": UP, "notes": MOVING}, True, True),
        ({"engine_status": UP, "notes": GOING_DOWN}, False, True),
        ({"engine_status": STOPPING}, False, True),
    ],
)
def test_what_a_record_says_of_the_engines_end(
    record: dict[str, Any], healthy: bool, giving: bool
) -> None:
    found = words_on_the_engine((host_view(OWNER, record=record),), own_id=1)
    there = frozenset({OWNER})
    assert found == EngineWords(healthy, there, there if giving else frozenset())


@pytest.mark.parametrize(
    "view",
    [
        host_view(OWNER, record={"engine_status": DOWN, "notes": GOING_DOWN}),
        host_view(OWNER, record={"engine_status": STOPPING, "stopped": True}),
        host_view(OWNER, record={"engine_status": STOPPING}, fresh=False),
        host_view(1, record={"engine_status": STOPPING}),
    ],
)
def test_nobody_waits_for_a_host_that_has_no_engine_or_says_no_more_nor_for_itself(
    view: Any,
) -> None:
    assert words_on_the_engine((view,), own_id=1) == EngineWords()


def test_a_dead_host_may_be_waited_for_but_has_no_healthy_engine() -> None:
    dead = host_view(OWNER, record={"engine_status": UP}, liveness=Liveness.DEAD)
    assert words_on_the_engine((dead,), own_id=1) == EngineWords(to_tell=frozenset({OWNER}))


# --- the reads ------------------------------------------------------------------------


class Peers:
    """Two more hosts, of which one has had the engine; their records are written each tick."""

    def __init__(self, cluster: Cluster, host: Host) -> None:
        self.cluster, self.host = cluster, host
        self._written = 10
        self._owner = cluster.peer(OWNER)
        cluster.peer(OTHER)
        self._owner.acquire(4711)
        self.tell()
        cluster.run(JOIN_S + 60)

    def tell(self, **owners: Any) -> None:
        """Both write their records."""
        self._written += 1
        self.cluster.put_record(OWNER, self._written, **{"engine_status": UP, **owners})
        self.cluster.put_record(OTHER, self._written)

    def let_go(self) -> None:
        self._owner.release(4711)

    def reads(self, **owners: Any) -> Counter[str]:
        """In some ticks, after one in which it has got used to what they say."""
        self._run(1, owners)
        self.host.store.reads.clear()
        self.host.runner.submitted.clear()
        self._run(TICKS, owners)
        slots = {slot_address(PARTS, slot).offset: slot for slot in range(4)}
        found = Counter(
            f"slot {slots[place.offset + 4096 * one]}"
            for place, size in self.host.store.reads
            for one in range(size // 4096)
            if place.path == PARTS.metadata.path and place.offset + 4096 * one in slots
        )
        return found + Counter(lease=self.host.runner.submitted.count(LEASE))

    def _run(self, ticks: int, owners: dict[str, Any]) -> None:
        for _ in range(ticks):
            self.tell(**owners)
            self.cluster.run(TICK_S)


@pytest.fixture
def peers(tmp_path: Path) -> Peers:
    cluster = Cluster()
    return Peers(cluster, cluster.host(1, tmp_path))


def in_all(interval_s: float) -> int:
    return round(TICKS * TICK_S / interval_s)


def test_at_rest_all_is_read_each_tick(peers: Peers) -> None:
    found = peers.reads()
    assert {found[name] for name in ("slot 0", "slot 2", "slot 3")} == {TICKS}
    assert found["lease"] <= TICKS + 1


@pytest.mark.parametrize(
    ("owners", "lease_s"),
    [
        ({"engine_status": STOPPING}, quickest_s(TICK_S)),
        ({"notes": GOING_DOWN}, quickest_s(TICK_S)),
        ({"notes": MOVING}, TICK_S),
    ],
)
def test_a_host_that_lets_the_engine_go_is_read_often_and_no_other(
    peers: Peers, owners: dict[str, Any], lease_s: float
) -> None:
    found = peers.reads(**owners)
    assert found["slot 2"] >= in_all(quickest_s(TICK_S))
    assert found["slot 0"] == found["slot 3"] == TICKS
    assert in_all(lease_s) <= found["lease"] <= in_all(lease_s) + 1


def test_the_last_owner_of_a_free_lease_is_read_each_second_while_it_speaks(peers: Peers) -> None:
    peers.let_go()
    found = peers.reads(engine_status=DOWN)
    assert found["slot 2"] >= in_all(quick_s(TICK_S))
    assert found["slot 0"] == found["slot 3"] == TICKS
    assert peers.reads(engine_status=DOWN, stopped=True)["slot 2"] == TICKS


def test_slot_0_is_read_each_second_while_only_maintenance_keeps_the_engine_down(
    peers: Peers,
) -> None:
    peers.host.ask("global", True)
    assert peers.reads()["slot 0"] <= TICKS + 1
    peers.let_go()
    found = peers.reads(engine_status=DOWN, stopped=True)
    assert found["slot 0"] >= in_all(quick_s(TICK_S))
    assert found["slot 3"] == TICKS
