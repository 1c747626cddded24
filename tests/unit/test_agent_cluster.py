# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Three whole hosts in virtual time: what may happen to them that no script of a scenario can say.

All else that happens to whole hosts is told in `tests/scenarios`, with each moment of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

import pytest

from metadata.states import State
from simulation.cluster import SimCluster
from simulation.host import AGENT, BROKER, SimHost
from simulation.oracle import START, Oracle
from simulation.settings import WorldSettings, parse_world

WORLD = parse_world("{hosts: 3, cluster: {timing: {tick_s: 5, io_timeout_s: 2}}}")
TIMING = WORLD.cluster.timing
BOOT_S = WORLD.engine.boot_s


class Watched:
    """A cluster of which each moment is judged."""

    def __init__(self, world: WorldSettings = WORLD) -> None:
        self.cluster = SimCluster(world)
        self.oracle = Oracle(self.cluster)

    def runner(self) -> Optional[SimHost]:
        """The host whose engine is healthy and whose agent says so."""
        names = [one.host for one in self.cluster.running_engines() if one.healthy]
        up = [name for name in names if self.cluster.host(name).state is State.ENGINE_UP]
        return self.cluster.host(up[0]) if up else None

    def wait_healthy(self, limit_s: float) -> SimHost:
        end_s = self.cluster.now_s + limit_s
        while (host := self.runner()) is None:
            states = {name: one.state for name, one in self.cluster.hosts.items()}
            assert self.cluster.now_s < end_s, f"no healthy engine after {limit_s} s: {states}"
            self.cluster.run_for(0.5)
        return host

    def close(self) -> None:
        self.cluster.close()
        assert self.oracle.violations == []


@pytest.fixture
def cold() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.close()


@pytest.fixture
def running(cold: Watched) -> Watched:
    cold.cluster.bring_up()
    return cold


def test_a_start_that_hangs_lets_another_host_go(cold: Watched) -> None:
    first = cold.cluster.host("h1")
    cold.cluster.run_for(first.traits.boot_s + 1)
    runner = first.agent_process._runner
    runner.hang("start")
    other = cold.wait_healthy(300)
    assert other is not first
    assert runner.busy_since_s("start") is not None
    runner.release("start")
    cold.cluster.run_for(60)
    assert [one.host for one in cold.cluster.running_engines()] == [other.name]
    assert cold.runner() is other


def lose_the_release(watched: Watched, host: SimHost) -> None:
    """The VM ends while sanlock can't write: the lease stays this host's on the storage."""
    host.lockspace.fail_storage()
    watched.cluster.engine_kill()
    host.lockspace.heal_storage()
    assert watched.cluster.shared.san.lease is not None


def test_a_lease_that_could_not_be_released_is_taken_again_by_its_host(running: Watched) -> None:
    host, orders = running.wait_healthy(0), running.oracle.orders[START]
    lose_the_release(running, host)
    assert running.wait_healthy(TIMING.turn_s + BOOT_S + 4 * TIMING.tick_s) is host
    assert running.oracle.orders[START] == orders + 1


def test_a_lease_left_over_by_a_host_that_went_in_order_is_taken_by_another(
    running: Watched,
) -> None:
    host = running.wait_healthy(0)
    host.service(AGENT, "stop")
    running.cluster.run_for(TIMING.tick_s)
    assert host.agent is None
    lose_the_release(running, host)
    running.cluster.run_for(TIMING.tick_s)
    host.service(BROKER, "stop")
    running.cluster.run_for(1)
    assert host.broker is None
    assert host.lockspace.leave_if_unused(host.host_id)
    host.power_off()
    assert running.wait_healthy(120 + BOOT_S) is not host
