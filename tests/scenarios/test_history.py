# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What simulated hosts remember of a power cut: the same as happened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ha_agent.history.entry import AgentStarted, Entry
from hosted_engine.history.changes import ToldChange, changes_of
from hosted_engine.history.timeline import FREE, HostPast, Past, past_of
from hosted_engine.history.wall_times import timed
from simulation.cluster import SimCluster
from simulation.settings import HostTraits, WorldSettings

CUT_S, OFF_S, REST_S = 30.0, 400.0, 300.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[SimCluster]:
    """The engine's host h1 has lost its power and come back."""
    cluster = SimCluster(WorldSettings(tuple(HostTraits(f"h{n}", n) for n in (1, 2, 3))))
    try:
        cluster.bring_up()
        assert [engine.host for engine in cluster.running_engines()] == ["h1"]
        cluster.run_for(CUT_S)
        cluster.hosts["h1"].power_off()
        cluster.run_for(OFF_S)
        cluster.hosts["h1"].power_on()
        cluster.run_for(REST_S)
        yield cluster
    finally:
        cluster.close()


def entries(cluster: SimCluster, name: str) -> list[Entry]:
    return cluster.hosts[name].history.entries


def past(cluster: SimCluster, name: str) -> Past:
    return past_of(timed(entries(cluster, name)))


def host(found: Past, name: str) -> HostPast:
    return next(one for one in found.hosts if one.name == name)


def told(cluster: SimCluster, name: str) -> list[ToldChange]:
    return changes_of(timed(entries(cluster, name)))


@pytest.mark.parametrize("witness", ["h2", "h3"])
def test_each_survivor_can_tell_of_all(cluster: SimCluster, witness: str) -> None:
    found = past(cluster, witness)
    h1 = [span.value for span in host(found, "h1").states]
    assert h1[-3:] == ["EngineUp", "dead", "EngineDown"]
    assert host(found, "h2").states[-1].value == "EngineUp"
    assert host(found, "h2").engine[-1].value == "healthy"
    owners = [span.value for span in found.lease if span.value != FREE]
    assert owners[-2:] == ["h1", "h2"]


def test_the_survivors_agree_on_the_order(cluster: SimCluster) -> None:
    def order(name: str) -> list[tuple[str, str]]:
        return [(one.host, one.after) for one in told(cluster, name) if one.kind == "life"]

    wanted = [("h1", "silent"), ("h1", "dead"), ("h1", "live")]
    assert order("h2")[-3:] == order("h3")[-3:] == wanted


def test_what_the_host_that_fell_knew_is_still_there_with_a_gap(cluster: SimCluster) -> None:
    begins = [one for one in entries(cluster, "h1") if isinstance(one.fact, AgentStarted)]
    assert [one.boot for one in begins] == ["1", "2"]
    first, second = host(past(cluster, "h1"), "h1").states[-2:]
    (up,) = [one for one in host(past(cluster, "h1"), "h1").states if one.value == "EngineUp"]
    assert second.value == "EngineDown"
    assert first.from_s >= up.to_s + OFF_S - 60  # a sign of life is at most a minute old


def test_its_own_word_and_the_others_agree(cluster: SimCluster) -> None:
    (own,) = [one for one in host(past(cluster, "h2"), "h2").states if one.value == "EngineUp"]
    (seen,) = [one for one in host(past(cluster, "h3"), "h2").states if one.value == "EngineUp"]
    assert 0 <= seen.from_s - own.from_s < 2 * cluster.settings.cluster.timing.tick_s
