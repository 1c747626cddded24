"""A host that is shut down in order: its engine's lease is free when its guest has ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from metadata.settings.parse import ClusterSettings, Timing
from simulation.cluster import SimCluster
from simulation.oracle import Oracle
from simulation.settings import EngineTraits, WorldSettings

TICK_S = 5.0
# One quick look at the lease, a fifth of a tick, and what storage and sanlock take.
LOOK_S = 1.1
STEP_S = 0.05
PHASES_S = [phase * TICK_S / 10 for phase in range(10)]
WORLD = WorldSettings(
    cluster=ClusterSettings(timing=Timing(tick_s=TICK_S, io_timeout_s=2)),
    engine=EngineTraits(shutdown_s=1.0),
)


@pytest.fixture
def cluster() -> Iterator[SimCluster]:
    made = SimCluster(WORLD)
    made.bring_up()
    yield made
    made.close()


def run_until_engines_are(cluster: SimCluster, hosts: int, limit_s: float) -> float:
    begin_s = cluster.now_s
    while len(cluster.running_engines()) != hosts:
        assert cluster.now_s - begin_s <= limit_s
        cluster.run_for(STEP_S)
    return cluster.now_s - begin_s


@pytest.mark.parametrize("phase_s", PHASES_S)
def test_the_engine_is_started_elsewhere_a_look_after_its_end(
    cluster: SimCluster, phase_s: float
) -> None:
    """Whenever in their tick the others are: they know since the stop that the end is near."""
    oracle = Oracle(cluster)
    (before,) = cluster.running_engines()
    cluster.run_for(phase_s)
    cluster.host(before.host).shutdown()
    run_until_engines_are(cluster, 0, limit_s=30)
    took_s = run_until_engines_are(cluster, 1, limit_s=30)
    (after,) = cluster.running_engines()
    assert after.host != before.host
    assert took_s <= LOOK_S
    cluster.run_for(60)
    assert oracle.violations == []
