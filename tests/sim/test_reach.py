# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host that is cut off the network gives the engine up within its time, whatever the settings."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ha_agent.actions.migrate_engine import SHORT_PATIENCE_S
from simulation.cluster import SimCluster
from simulation.oracle import Oracle
from simulation.settings import WorldSettings
from tests.sim.draw import draw_world

SEEDS = range(6)
# Ticks for what is seen, written and read between the parts.
LOOKS = 8


def drawn(seed: int) -> WorldSettings:
    """Three hosts or more, with networks to watch, that write as this program does."""
    rng = random.Random(seed)
    world = draw_world(rng, rng.choice((3, 4, 5)))
    hosts = tuple(
        replace(host, host_id=number, gateway=True, version="same")
        for number, host in enumerate(world.hosts, start=1)
    )
    # A host without its gateway is a worse place for the engine; that is looked at elsewhere.
    migration = replace(world.cluster.migration, better_points=0)
    cluster = replace(world.cluster, migration=migration)
    return replace(world, hosts=hosts, cluster=cluster, start="running")


def parts_s(world: WorldSettings) -> dict[str, float]:
    """What may pass from the cut until the engine is healthy elsewhere."""
    timing, network = world.cluster.timing, world.cluster.network
    return {
        "window": (network.probes + 1) * timing.tick_s,
        "isolated": timing.isolated_s,
        "move": world.cluster.migration.out_of_reach_s,
        "shutdown": min(world.engine.shutdown_s, timing.stop_s + 15),
        "lease": 2 * timing.io_timeout_s,
        "start": world.engine.boot_s,
        "looks": LOOKS * timing.tick_s,
    }


@pytest.fixture(params=SEEDS)
def cluster(request: pytest.FixtureRequest) -> Iterator[SimCluster]:
    made = SimCluster(drawn(request.param))
    made.bring_up()
    yield made
    made.close()


def engine_host(cluster: SimCluster) -> str:
    (engine,) = cluster.running_engines()
    return engine.host


def is_up_in_reach(cluster: SimCluster) -> bool:
    return any(one.healthy and one.reached for one in cluster.running_engines())


def run_until_up(cluster: SimCluster, limit_s: float) -> float:
    begin_s = cluster.now_s
    while not is_up_in_reach(cluster) and cluster.now_s - begin_s <= limit_s:
        cluster.run_for(1.0)
    return cluster.now_s - begin_s


@pytest.mark.parametrize("fault", ["cut", "drop"])
def test_the_engine_is_in_reach_again_within_its_time(cluster: SimCluster, fault: str) -> None:
    oracle = Oracle(cluster)
    before = engine_host(cluster)
    getattr(cluster.host(before), f"network_{fault}")()
    limit_s = sum(parts_s(cluster.settings).values())
    took_s = run_until_up(cluster, limit_s)
    assert took_s <= limit_s, f"{took_s:.0f} s > {parts_s(cluster.settings)}"
    assert engine_host(cluster) != before
    assert oracle.violations == []


def test_a_libvirt_that_connects_for_minutes_holds_nothing_up(cluster: SimCluster) -> None:
    """The network is lost between the agent's try and libvirt's: no shutdown gets through then."""
    oracle = Oracle(cluster)
    before = engine_host(cluster)
    cluster.host(before).find_unreached_why = lambda _address: ""
    cluster.host(before).network_drop()
    timing, parts = cluster.settings.cluster.timing, parts_s(cluster.settings)
    if parts["move"]:
        parts["move"] += SHORT_PATIENCE_S
        parts["shutdown"] = timing.stop_s + 15
    took_s = run_until_up(cluster, sum(parts.values()))
    assert took_s <= sum(parts.values()), f"{took_s:.0f} s > {parts}"
    assert engine_host(cluster) != before
    assert oracle.violations == []


def test_a_broken_uplink_counts_as_bad_health(cluster: SimCluster) -> None:
    oracle = Oracle(cluster)
    before = engine_host(cluster)
    cluster.host(before).uplink("cut")
    timing = cluster.settings.cluster.timing
    parts = {**parts_s(cluster.settings), "isolated": timing.bad_health_s}
    took_s = run_until_up(cluster, sum(parts.values()))
    assert timing.bad_health_s <= took_s <= sum(parts.values()), f"{took_s:.0f} s, {parts}"
    assert engine_host(cluster) != before
    assert oracle.violations == []


def test_an_engine_in_reach_stays_where_it_is(cluster: SimCluster) -> None:
    oracle = Oracle(cluster)
    before = engine_host(cluster)
    cluster.host(before).gateway("down")
    timing = cluster.settings.cluster.timing
    cluster.run_for(2 * timing.isolated_s + timing.bad_health_s + 10 * timing.tick_s)
    assert engine_host(cluster) == before
    assert (oracle.orders, oracle.violations) == ({}, [])
