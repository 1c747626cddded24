# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How moves of the engine by the agents are drawn, judged and timed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from metadata.settings.parse import ClusterSettings, Timing
from simulation.cluster import SimCluster
from simulation.host import SimHost
from simulation.migration import COPY_S, FINISHES, HANGS, KEEPS
from simulation.oracle import UNASKED_MOVE, Oracle
from simulation.settings import WorldSettings
from simulation.world import CallHangs
from tests.optimum import PATIENCE, Stopwatch
from tests.sim.dice import Dice
from tests.sim.families import moves
from world.ports.libvirt import MigrationOptions

TIMING = Timing(tick_s=5, io_timeout_s=2)
GLOBAL, LOCAL = "global", "local"


@pytest.fixture
def cluster() -> Iterator[SimCluster]:
    made = SimCluster(WorldSettings(cluster=ClusterSettings(timing=TIMING)))
    made.bring_up()
    yield made
    made.close()


def engines_host(cluster: SimCluster) -> SimHost:
    (engine,) = cluster.running_engines()
    return cluster.host(engine.host)


def target_of(cluster: SimCluster) -> SimHost:
    here = engines_host(cluster)
    return next(host for host in cluster.hosts.values() if host is not here)


def agent_moves(here: SimHost, there: SimHost) -> None:
    """The agent orders it, whatever its state machine says."""
    here._current = here.agent_process
    here.clock.begin_job()
    with pytest.raises(CallHangs):
        here.vm.migrate(f"qemu+tls://{there.name}/system", MigrationOptions())
    here.clock.end_job()
    here._current = None


def ask(cluster: SimCluster, host: SimHost, scope: str) -> None:
    assert host.broker is not None
    host.broker.mailbox.ask_maintenance(scope, True)
    host.broker_process.wake()
    host.plan()
    cluster.run_for(1)


# --- who may move it ----------------------------------------------------------------------------


def test_a_move_that_nobody_wants_breaks_a_rule(cluster: SimCluster) -> None:
    oracle = Oracle(cluster)
    agent_moves(engines_host(cluster), target_of(cluster))
    assert [one.rule for one in oracle.violations] == [UNASKED_MOVE]


def test_a_move_by_itself_in_global_maintenance_breaks_a_rule(cluster: SimCluster) -> None:
    oracle, here = Oracle(cluster), engines_host(cluster)
    ask(cluster, target_of(cluster), GLOBAL)
    cluster.run_for(300)
    here.shutdown()
    agent_moves(here, target_of(cluster))
    assert [one.rule for one in oracle.violations] == [UNASKED_MOVE]


@pytest.mark.parametrize("in_global", [False, True])
def test_a_persons_order_is_carried_out_in_any_mode(cluster: SimCluster, in_global: bool) -> None:
    oracle, here = Oracle(cluster), engines_host(cluster)
    if in_global:
        ask(cluster, here, GLOBAL)
        cluster.run_for(300)
    assert here.broker is not None
    here.broker.mailbox.ask_move(None)
    cluster.run_for(30)
    assert engines_host(cluster) is not here
    assert oracle.orders == {"move": 1}
    assert oracle.violations == []


def test_maintenance_moves_the_engine(cluster: SimCluster) -> None:
    oracle, here = Oracle(cluster), engines_host(cluster)
    ask(cluster, here, LOCAL)
    cluster.run_for(30)
    assert engines_host(cluster) is not here
    assert oracle.orders == {"move": 1}
    assert oracle.violations == []


# --- how long it may be away --------------------------------------------------------------------


@pytest.mark.parametrize("gap_s", [0.01, 0.3, 1.5, 3.0])
def test_the_engine_is_away_for_the_gap_alone(cluster: SimCluster, gap_s: float) -> None:
    cluster.moves(FINISHES, gap_s)
    watch, here = Stopwatch(cluster), engines_host(cluster)
    ask(cluster, here, LOCAL)
    cluster.run_for(60)
    (away,) = watch.absences
    assert away.ended_at_s is not None
    assert away.ended_at_s - away.began_at_s == pytest.approx(gap_s, abs=0.01)


@pytest.mark.parametrize("gap_s", [0.3, 3.0])
def test_a_move_that_hangs_in_its_last_step_is_broken_off_before_the_others_boot_the_engine(
    cluster: SimCluster, gap_s: float
) -> None:
    cluster.moves(HANGS, gap_s)
    oracle, watch, here = Oracle(cluster), Stopwatch(cluster), engines_host(cluster)
    guest = here.vm.guest
    ask(cluster, here, LOCAL)
    cluster.run_for(110)
    assert here.vm.guest is guest
    assert here.vm.executes
    # One host after the other is tried, and each hangs.
    assert len(watch.absences) == len(cluster.hosts) - 1
    for away in watch.absences:
        assert away.ended_at_s is not None
        lasted_s = away.ended_at_s - away.began_at_s
        # That the lease is free is seen within a tick; the source takes it back after two more.
        assert 2 * TIMING.tick_s <= lasted_s <= 4 * TIMING.tick_s < TIMING.away_s
    assert set(oracle.orders) == {"move"}
    assert oracle.violations == []


@pytest.mark.parametrize("gap_s", [0.3, 3.0])
def test_a_vm_that_a_move_leaves_paused_with_its_lease_is_started_anew_in_a_minute(
    cluster: SimCluster, gap_s: float
) -> None:
    cluster.moves(KEEPS, gap_s)
    oracle, watch, here = Oracle(cluster), Stopwatch(cluster), engines_host(cluster)
    assert here.broker is not None
    here.broker.mailbox.ask_move(None)
    cluster.run_for(180)
    (away,) = watch.absences
    assert away.ended_at_s is not None
    # The second answer of sanlock is there within two ticks, each in step with the agent's own.
    most_s = TIMING.away_s + 3 * TIMING.tick_s + cluster.settings.engine.boot_s
    assert TIMING.away_s <= away.ended_at_s - away.began_at_s <= most_s
    assert oracle.violations == []


def test_what_a_person_has_libvirt_do_is_waited_for_as_the_settings_say(
    cluster: SimCluster,
) -> None:
    watch, here = Stopwatch(cluster), engines_host(cluster)
    for host in cluster.hosts.values():
        host.libvirt.start_fails(True)
    cluster.migrate(here.name, target_of(cluster).name, 1.0, HANGS)
    cluster.run_for(110)
    assert watch.absences[0].excused_s[PATIENCE] > 2 * (COPY_S + TIMING.away_s)


# --- what is drawn ------------------------------------------------------------------------------


def test_what_is_drawn_for_a_moment_happens_then() -> None:
    dice = Dice(random.Random(1), ["h1", "h2"], TIMING, 1000)
    with dice.at(400):
        assert {dice.moment_s() for _ in range(50)} == {400}
    with dice.at(2000):
        assert dice.moment_s() == 1000
    assert len({dice.moment_s() for _ in range(50)}) > 1


def test_every_way_to_move_the_engine_is_drawn() -> None:
    dice = Dice(random.Random(1), ["h1", "h2", "h3"], TIMING, 100_000)
    for _ in range(300):
        dice.begin()
        moves(dice)
    words = [each.words for each in dice.happenings]
    for sought in ("--vm-migrate", "--to h2", "--mode=local", "--mode=none", "shutdown h1"):
        assert any(sought in one for one in words), sought
    for end in ("finishes", "fails", "refused", "sticks", "keeps", "hangs"):
        gaps = [one for one in words if one.startswith(f"moves end {end} gap")]
        assert all(0 < float(one.split()[-1]) <= 3 for one in gaps)
        assert gaps
