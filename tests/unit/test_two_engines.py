# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Two hosts that say that the engine runs there: who, and the way out."""

from __future__ import annotations

from typing import Any

import pytest

from ha_broker.api.snapshot import (
    LeaseState,
    LeaseView,
    Snapshot,
    hosts_that_say_up,
    way_out_of_two,
)
from ha_broker.metrics.cluster_families import cluster_families
from hosted_engine.cluster.facts import Cluster
from hosted_engine.cluster.from_broker import cluster_status
from hosted_engine.explain.engine_sentences import engine_sentences
from hosted_engine.status.text import status_text
from metadata.records import PAUSED, EngineStatus, EngineVm, Health
from tests.unit.agent_host import SETTINGS, UP, host_view, snapshot

NOW_S = 5000.0
THEIR_LEASE = LeaseView(LeaseState.HELD, 2, NOW_S)
BOTH = "h1 and h2 both say that the engine runs there"


def seen(*up: int, lease: LeaseView = THEIR_LEASE, **fields: Any) -> Snapshot:
    """Three hosts, of which those of `up` say so."""
    hosts = tuple(
        host_view(host_id, record={"engine_status": UP} if host_id in up else {}, **fields)
        for host_id in (1, 2, 3)
    )
    return snapshot(NOW_S, hosts=hosts, lease=lease)


@pytest.mark.parametrize("up", [(), (2,), (1,)])
def test_one_or_none_is_as_it_should_be(up: tuple[int, ...]) -> None:
    assert way_out_of_two(seen(*up)) == ""


def test_a_record_that_is_old_says_nothing() -> None:
    assert way_out_of_two(seen(1, 2, fresh=False)) == ""


@pytest.mark.parametrize(
    ("lease", "end"),
    [
        (THEIR_LEASE, "its lease is h2's; on h1: 'hosted-engine --vm-poweroff'"),
        (LeaseView(), "look with 'virsh list' on each; the one without the engine's lease must go"),
    ],
)
def test_both_are_named_with_the_way_out(lease: LeaseView, end: str) -> None:
    found = way_out_of_two(seen(1, 2, lease=lease))
    assert found.startswith(f"{BOTH}: {end}")


ARRIVING = EngineStatus(EngineVm.UP, Health.BAD, PAUSED, "paused: a live migration holds it")
TO_H2 = (("moving", "to h2, others wait 40 s"),)


@pytest.mark.parametrize("paused", [1, 2])
def test_a_vm_that_moves_is_on_two_hosts_and_runs_on_one(paused: int) -> None:
    """The source says that it moves; one of both is paused, first the target, then the source."""
    statuses = {1: UP, 2: UP, paused: ARRIVING}
    moving = tuple(
        host_view(host_id, record={"engine_status": status, "notes": TO_H2 if host_id == 1 else ()})
        for host_id, status in statuses.items()
    )
    found = snapshot(NOW_S, hosts=moving, lease=THEIR_LEASE)
    assert way_out_of_two(found) == ""
    assert [view.host_id for view in hosts_that_say_up(found)] == [3 - paused]


def test_two_that_run_are_two_though_one_says_that_it_moves() -> None:
    up = {"engine_status": UP, "notes": TO_H2}
    hosts = (host_view(1, record=up), host_view(2, record={"engine_status": UP}))
    assert way_out_of_two(snapshot(NOW_S, hosts=hosts, lease=THEIR_LEASE)).startswith(BOTH)


def test_a_paused_one_that_nobody_moves_is_one_too_many() -> None:
    hosts = (
        host_view(1, record={"engine_status": UP}),
        host_view(2, record={"engine_status": ARRIVING}),
    )
    assert way_out_of_two(snapshot(NOW_S, hosts=hosts, lease=THEIR_LEASE)).startswith(BOTH)


def test_three_are_all_named() -> None:
    found = way_out_of_two(seen(1, 2, 3))
    assert found.startswith("h1, h2 and h3 all say that the engine runs there: its lease is h2's; ")
    assert "on h1 and h3:" in found


def test_status_and_explain_tell_it_first() -> None:
    two = seen(1, 2)
    text = status_text(cluster_status(two, NOW_S))
    assert text.startswith(f"!! {BOTH}")
    assert engine_sentences(Cluster(two, SETTINGS, NOW_S, 1.7e9))[0].startswith(f"H{BOTH[1:]}")


def test_the_metric_names_both() -> None:
    samples = [
        sample.labels["host"]
        for family in cluster_families(seen(1, 2), {}, NOW_S)
        for sample in family.samples
        if sample.name.endswith("host_engine_up")
    ]
    assert samples == ["h1", "h2"]
