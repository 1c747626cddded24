# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Planned handovers: how long the engine is away beside its guest's own times, and that what the
hosts miss of each other costs time and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator, Set
from typing import Callable

import pytest

from ha_broker.storage.slot_reader import SlotReader
from metadata.schedule import quick_s, quickest_s
from metadata.settings.parse import ClusterSettings, Timing
from metadata.settings.timing import renewal_s
from metadata.settings.values import MigrationSettings
from simulation.cluster import SimCluster
from simulation.host import AGENT, BROKER, SimHost
from simulation.oracle import Oracle
from simulation.settings import EngineTraits, WorldSettings
from tests.sim.draw import draw_plan
from tests.sim.run import CRASH, SAFETY, run_plan

TICK_S = 5.0
IO_TIMEOUT_S = 2
STEP_S = 0.05
# What storage and sanlock take for one look, a step of the clock beside it.
IO_S = 0.2
ONE_LOOK_S = quickest_s(TICK_S) + IO_S
ONE_SLOW_LOOK_S = quick_s(TICK_S) + IO_S
PHASES_S = [phase * TICK_S / 10 for phase in range(10)]
SHORT_S, LONG_S = 0.5, 2 * TICK_S


def cluster_of(at_shutdown: str, guest_s: float) -> SimCluster:
    made = SimCluster(
        WorldSettings(
            cluster=ClusterSettings(
                timing=Timing(tick_s=TICK_S, io_timeout_s=IO_TIMEOUT_S),
                migration=MigrationSettings(at_shutdown=at_shutdown),
            ),
            engine=EngineTraits(shutdown_s=guest_s),
        )
    )
    made.bring_up()
    return made


@pytest.fixture
def made(request: pytest.FixtureRequest) -> Iterator[SimCluster]:
    """By default the guest shuts down in less than a tick, and is not moved."""
    cluster = cluster_of(*getattr(request, "param", ("stop", SHORT_S)))
    yield cluster
    cluster.close()


def engines_host(cluster: SimCluster) -> SimHost:
    (engine,) = cluster.running_engines()
    return cluster.host(engine.host)


def another(cluster: SimCluster, host: SimHost) -> SimHost:
    return next(one for one in cluster.hosts.values() if one is not host)


def run_until(cluster: SimCluster, engines: int, limit_s: float = 60.0) -> float:
    began_s = cluster.now_s
    while len(cluster.running_engines()) != engines:
        assert cluster.now_s - began_s <= limit_s
        cluster.run_for(STEP_S)
    return cluster.now_s - began_s


def maintain(host: SimHost, scope: str, on: bool) -> None:
    assert host.broker is not None
    host.broker.mailbox.ask_maintenance(scope, on)
    host.broker_process.wake()
    host.plan()


def miss_what_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """All slots are still read each tick."""
    monkeypatch.setattr(SlotReader, "watch", lambda *_: None)


# --- how long it is away ------------------------------------------------------------------------


def shut_down_with_host(cluster: SimCluster) -> float:
    engines_host(cluster).shutdown()
    run_until(cluster, 0)
    return run_until(cluster, 1)


def stop_for_want_of_takers(cluster: SimCluster) -> float:
    here = engines_host(cluster)
    for host in cluster.hosts.values():
        if host is not here:
            host.memory(1)
    cluster.run_for(30)
    return shut_down_with_host(cluster)


STOPS: list[tuple[tuple[str, float], Callable[[SimCluster], float]]] = [
    (("stop", SHORT_S), shut_down_with_host),
    (("stop", LONG_S), shut_down_with_host),
    (("migrate", SHORT_S), stop_for_want_of_takers),
]


@pytest.mark.parametrize("phase_s", PHASES_S[::2])
@pytest.mark.parametrize(("made", "stop"), STOPS, indirect=["made"])
def test_an_engine_stopped_with_its_host_is_away_for_one_look(
    made: SimCluster, stop: Callable[[SimCluster], float], phase_s: float
) -> None:
    """However soon its guest ends, and wherever the others are in their tick."""
    oracle, before = Oracle(made), engines_host(made)
    made.run_for(phase_s)
    assert stop(made) <= ONE_LOOK_S
    assert engines_host(made) is not before
    assert oracle.orders == {"shutdown": 1, "start": 1}
    made.run_for(60)
    assert oracle.violations == []


@pytest.mark.parametrize("phase_s", PHASES_S[::2])
def test_the_end_of_global_maintenance_is_noticed_everywhere_within_one_look(
    made: SimCluster, phase_s: float
) -> None:
    """By the host that starts it, wherever the command was given."""
    oracle, last = Oracle(made), engines_host(made)
    maintain(last, "global", True)
    made.run_for(3 * TICK_S)
    last.vm.shutdown_by_user()
    run_until(made, 0)
    made.run_for(3 * TICK_S + phase_s)
    maintain(another(made, last), "global", False)
    assert run_until(made, 1) <= ONE_SLOW_LOOK_S
    made.run_for(60)
    assert oracle.violations == []


def test_a_host_without_others_waits_for_nobody() -> None:
    lonely = SimCluster(
        WorldSettings(
            hosts=WorldSettings().hosts[:1],
            cluster=ClusterSettings(migration=MigrationSettings(at_shutdown="stop")),
            engine=EngineTraits(shutdown_s=SHORT_S),
        )
    )
    lonely.bring_up()
    began_s = lonely.now_s
    lonely.host("h1").shutdown()
    run_until(lonely, 0)
    assert lonely.now_s - began_s <= 1 + SHORT_S
    lonely.close()


# --- what is missed -----------------------------------------------------------------------------


@pytest.mark.parametrize("phase_s", PHASES_S[::3])
@pytest.mark.parametrize("made", [("stop", SHORT_S)], indirect=True)
def test_who_misses_the_words_of_the_other_hosts_starts_it_a_tick_later_at_most(
    made: SimCluster, phase_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two renewals of sanlock's, which an event of its takes, are longer than that."""
    miss_what_is_watched(monkeypatch)
    oracle = Oracle(made)
    made.run_for(phase_s)
    took_s = shut_down_with_host(made)
    assert took_s <= TICK_S + ONE_SLOW_LOOK_S <= 2 * renewal_s(IO_TIMEOUT_S)
    made.run_for(60)
    assert oracle.violations == []


@pytest.mark.parametrize("seed", range(8))
def test_reads_that_are_lost_or_late_break_no_rule(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any history, with as many of the quick reads left out as the seed says."""
    rng, watch = random.Random(seed), SlotReader.watch
    share = rng.choice([0.3, 0.7, 1.0])

    def watch_sometimes(reader: SlotReader, slots: Set[int], interval_s: float) -> None:
        watch(reader, frozenset() if rng.random() < share else slots, interval_s)

    monkeypatch.setattr(SlotReader, "watch", watch_sometimes)
    result = run_plan(draw_plan(81_000 + seed))
    assert result.verdict not in (SAFETY, CRASH), result.report


def test_an_agent_that_dies_as_it_tells_the_others_stops_nothing(made: SimCluster) -> None:
    """Its host goes down without it: the guest ends with the host, and the others start it.

    They wait for its next record as long as for that of any last owner (ADR 36).
    """
    oracle, here = Oracle(made), engines_host(made)
    here.shutdown()
    made.run_for(1)
    here.service(AGENT, "kill")
    run_until(made, 0)
    assert run_until(made, 1) <= TICK_S + 2 * IO_TIMEOUT_S + ONE_SLOW_LOOK_S
    made.run_for(60)
    assert oracle.violations == []


def test_brokers_that_die_as_the_engine_ends_cost_time_only(made: SimCluster) -> None:
    oracle, here = Oracle(made), engines_host(made)
    here.shutdown()
    made.run_for(TICK_S)
    for host in made.hosts.values():
        if host is not here:
            host.service(BROKER, "kill")
    run_until(made, 0)
    run_until(made, 1)
    made.run_for(60)
    assert oracle.violations == []
