"""Two hosts that say that the engine runs there: who, and the way out."""

from __future__ import annotations

from typing import Any

import pytest

from ha_broker.api.snapshot import LeaseState, LeaseView, Snapshot, way_out_of_two
from ha_broker.metrics.cluster_families import cluster_families
from hosted_engine.cluster.facts import Cluster
from hosted_engine.cluster.from_broker import cluster_status
from hosted_engine.explain.engine_sentences import engine_sentences
from hosted_engine.status.text import status_text
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
