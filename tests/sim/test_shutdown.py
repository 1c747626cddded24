# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host that is shut down in order: its engine goes alive to another host, or ends in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from metadata.settings.parse import ClusterSettings, Timing
from metadata.settings.values import MigrationSettings
from simulation.cluster import EngineProcess, SimCluster
from simulation.errors import SimulationError
from simulation.host import AGENT, BROKER
from simulation.migration import FINISHES
from simulation.oracle import Oracle
from simulation.settings import EngineTraits, HostTraits, WorldSettings, counted_hosts
from simulation.world import Guest
from tests.optimum import Stopwatch

TICK_S = 5.0
# One look at the lease, a tenth of a tick, and what storage and sanlock take.
LOOK_S = 0.6
STEP_S = 0.05
PHASES_S = [phase * TICK_S / 10 for phase in range(10)]
GAP_S, COPY_S = 0.8, 4.0
# What the source's page may be away for: the course's gap, on the clock's grid.
GRID_S = 0.01


def world_of(at_shutdown: str, hosts: tuple[HostTraits, ...] = counted_hosts(3)) -> WorldSettings:
    return WorldSettings(
        hosts=hosts,
        cluster=ClusterSettings(
            timing=Timing(tick_s=TICK_S, io_timeout_s=2),
            migration=MigrationSettings(at_shutdown=at_shutdown),
        ),
        # Longer than a tick: the others have read by then that the guest is about to end.
        engine=EngineTraits(shutdown_s=TICK_S + 1),
    )


def cluster_of(world: WorldSettings) -> Iterator[SimCluster]:
    made = SimCluster(world)
    made.bring_up()
    made.moves(FINISHES, GAP_S, COPY_S)
    yield made
    made.close()


@pytest.fixture
def stopping() -> Iterator[SimCluster]:
    yield from cluster_of(world_of("stop"))


@pytest.fixture
def moving() -> Iterator[SimCluster]:
    yield from cluster_of(world_of("migrate"))


def run_until_engines_are(cluster: SimCluster, hosts: int, limit_s: float) -> float:
    begin_s = cluster.now_s
    while len(cluster.running_engines()) != hosts:
        assert cluster.now_s - begin_s <= limit_s
        cluster.run_for(STEP_S)
    return cluster.now_s - begin_s


def guest_of(cluster: SimCluster, engine: EngineProcess) -> Guest:
    guest = cluster.host(engine.host).vm.guest
    assert guest is not None
    return guest


@pytest.mark.parametrize("phase_s", PHASES_S)
def test_an_engine_that_is_stopped_is_started_elsewhere_a_look_after_its_end(
    stopping: SimCluster, phase_s: float
) -> None:
    """Whenever in their tick the others are: they know since the stop that the end is near."""
    cluster, oracle = stopping, Oracle(stopping)
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


@pytest.mark.parametrize("phase_s", PHASES_S)
def test_the_engine_leaves_alive_and_is_away_for_the_gap_alone(
    moving: SimCluster, phase_s: float
) -> None:
    cluster, oracle, watch = moving, Oracle(moving), Stopwatch(moving)
    (before,) = cluster.running_engines()
    guest = guest_of(cluster, before)
    cluster.run_for(phase_s)
    cluster.host(before.host).shutdown()
    cluster.run_for(90)
    (after,) = cluster.running_engines()
    assert not cluster.host(before.host).power
    assert after.host != before.host
    assert guest_of(cluster, after) is guest  # it never booted
    (away,) = watch.absences
    assert away.ended_at_s is not None
    assert away.ended_at_s - away.began_at_s <= GAP_S + GRID_S
    assert oracle.violations == []
    assert oracle.orders == {"move": 1}  # nobody started, stopped or switched off anything


def failures_of(cluster: SimCluster) -> dict[str, tuple[object, ...]]:
    memories = {name: host.agent.memory for name, host in cluster.hosts.items() if host.agent}
    return {
        name: (one.failed_starts_s, one.tries, one.crashed_at_s, one.held_off_until_s)
        for name, one in memories.items()
    }


def test_a_host_that_gets_the_engine_counts_no_failure_and_the_others_neither(
    moving: SimCluster,
) -> None:
    (before,) = moving.running_engines()
    counted = failures_of(moving)
    del counted[before.host]
    moving.host(before.host).shutdown()
    moving.run_for(90)
    assert failures_of(moving) == counted
    assert {moving.host(name).score for name in counted} == {3400}


def nobody_has_memory(cluster: SimCluster, others: list[str]) -> None:
    for name in others:
        cluster.host(name).memory(1)


def nobody_is_on_duty(cluster: SimCluster, others: list[str]) -> None:
    for name in others:
        host = cluster.host(name)
        assert host.broker is not None
        host.broker.mailbox.ask_maintenance("local", True)
        host.broker_process.wake()


def nobody_has_a_bridge(cluster: SimCluster, others: list[str]) -> None:
    for name in others:
        cluster.host(name).bridge("down")


def libvirt_hangs_everywhere_else(cluster: SimCluster, others: list[str]) -> None:
    for name in others:
        cluster.host(name).libvirt.hang()


@pytest.mark.parametrize(
    "refuse",
    [nobody_has_memory, nobody_is_on_duty, nobody_has_a_bridge, libvirt_hangs_everywhere_else],
)
def test_an_engine_that_nobody_takes_is_shut_down_in_order(
    moving: SimCluster, refuse: object
) -> None:
    cluster, oracle = moving, Oracle(moving)
    (before,) = cluster.running_engines()
    others = [name for name in cluster.hosts if name != before.host]
    assert callable(refuse)
    refuse(cluster, others)
    cluster.run_for(60)
    cluster.host(before.host).shutdown()
    began_s = cluster.now_s
    run_until_engines_are(cluster, 0, limit_s=4 * TICK_S)
    assert oracle.orders == {"shutdown": 1}
    assert cluster.now_s - began_s <= 4 * TICK_S
    cluster.run_for(60)
    assert not cluster.host(before.host).power
    assert oracle.violations == []


def test_hosts_of_an_older_program_get_no_engine_alive() -> None:
    """They start it, once its guest has ended in order."""
    hosts = tuple(
        replace(traits, version="older") if traits.host_id > 1 else traits
        for traits in counted_hosts(3)
    )
    for cluster in cluster_of(world_of("migrate", hosts)):
        oracle = Oracle(cluster)
        (before,) = cluster.running_engines()
        if before.host != "h1":
            pytest.fail("the engine was to begin on the newer host")
        cluster.host("h1").shutdown()
        run_until_engines_are(cluster, 0, limit_s=4 * TICK_S)
        run_until_engines_are(cluster, 1, limit_s=30)
        assert oracle.orders == {"shutdown": 1, "start": 1}
        cluster.run_for(60)
        assert oracle.violations == []


def test_nothing_is_started_any_more_on_a_host_that_is_shut_down(moving: SimCluster) -> None:
    """As systemd refuses it: the shutdown would never end."""
    (before,) = moving.running_engines()
    host = moving.host(before.host)
    host.shutdown()
    for verb in ("start", "restart"):
        for unit in (AGENT, BROKER):
            with pytest.raises(SimulationError, match="is being shut down"):
                host.service(unit, verb)
    with pytest.raises(SimulationError, match="is being shut down already"):
        host.shutdown()
    host.service(BROKER, "kill")
    moving.run_for(8)  # longer than RestartSec of either
    assert host.broker is None
    moving.run_for(MigrationSettings().shutdown_s + 60)
    assert not host.power
    host.power_on()
    moving.run_for(60)
    assert host.broker is not None
    assert host.agent is not None


# --- hosts that go down together ----------------------------------------------------------------


@pytest.mark.parametrize("later_s", [-1.0, -0.5, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.5, 2.0])
def test_the_engine_goes_to_the_host_that_stays(moving: SimCluster, later_s: float) -> None:
    """The one that looks best goes down with its source, or a moment before or after it."""
    cluster, watch = moving, Stopwatch(moving)
    (before,) = cluster.running_engines()
    best, stays = (name for name in cluster.hosts if name != before.host)
    first, second = (best, before.host) if later_s >= 0 else (before.host, best)
    cluster.host(first).shutdown()
    cluster.run_for(abs(later_s))
    cluster.host(second).shutdown()
    cluster.run_for(120)
    (after,) = cluster.running_engines()
    assert after.host == stays
    assert sum(one.ended_at_s - one.began_at_s for one in watch.absences if one.ended_at_s) <= 2
