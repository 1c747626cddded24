# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Three hosts get another version of the program, one by one, and the engine goes on.

A simulated version differs in what it writes and reads, see `simulation.other_versions`: an older
one tells nothing beside the record and sees no targets, so nothing is moved to it or by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Callable

import pytest

from hosted_engine.cluster.facts import Cluster
from hosted_engine.simulate.grammar import parse_command
from hosted_engine.simulate.verbs import carry_out
from hosted_engine.upgrade.judgement import Judgement, judge
from metadata.settings.parse import ClusterSettings, Timing
from metadata.states import State
from simulation.cluster import SimCluster
from simulation.errors import SimulationError
from simulation.host import SimHost
from simulation.migration import Course
from simulation.oracle import Oracle
from simulation.settings import WorldSettings, counted_hosts

TICK_S = 5.0
STEP_S = 0.5
LIMIT_S = 120.0
CLUSTER = ClusterSettings(timing=Timing(tick_s=TICK_S, io_timeout_s=2))


class Round:
    """The hosts, all of one version at first, and what was seen of the engine."""

    def __init__(self, cluster: SimCluster) -> None:
        self.cluster = cluster
        self.oracle = Oracle(cluster)
        self.longest_gap_s = 0.0
        self.ran_on = [self.engine_host]
        self._dark_since_s: float | None = None
        self._boots = self.boots
        cluster.on_event.append(self._look)

    @property
    def engine_host(self) -> str:
        (engine,) = [one for one in self.cluster.running_engines() if one.executing]
        return engine.host

    @property
    def boots(self) -> int:
        calls = [call for host in self.cluster.hosts.values() for call in host.vm.calls]
        return sum(call.startswith("start") for call in calls)

    def _look(self) -> None:
        executing = [one.host for one in self.cluster.running_engines() if one.executing]
        assert len(executing) <= 1
        now_s = self.cluster.now_s
        if not executing:
            self._dark_since_s = now_s if self._dark_since_s is None else self._dark_since_s
            return
        if self._dark_since_s is not None:
            self.longest_gap_s = max(self.longest_gap_s, now_s - self._dark_since_s)
            self._dark_since_s = None
        if executing[0] != self.ran_on[-1]:
            self.ran_on.append(executing[0])

    def do(self, words: str) -> None:
        carry_out(parse_command(words, list(self.cluster.hosts)), self.cluster)

    def run_until(self, holds: Callable[[], object]) -> None:
        begin_s = self.cluster.now_s
        while not holds():
            assert self.cluster.now_s - begin_s <= LIMIT_S, self.states
            self.cluster.run_for(STEP_S)

    @property
    def states(self) -> dict[str, State | None]:
        return {name: host.state for name, host in self.cluster.hosts.items()}

    def check(self, name: str) -> Judgement:
        """``--upgrade-check`` on that host; the settings are stored without any new key."""
        host = self.cluster.host(name)
        seen, host_id = host.snapshot, host.host_id
        assert seen is not None
        # A simulated broker of another version knows nothing of it: what is on the storage counts.
        own = next(
            view
            for one in self.cluster.hosts.values()
            if one is not host and one.snapshot is not None
            if (view := one.snapshot.host(host_id)) is not None
        )
        views = tuple(own if view.host_id == host_id else view for view in seen.hosts)
        now_s, wall_s = host.clock.monotonic_s(), host.clock.wall_s()
        return judge(Cluster(replace(seen, hosts=views), CLUSTER, now_s, wall_s), {})

    # --- the steps of docs/upgrade.md -----------------------------------------------------

    def wait_for_turn(self, name: str) -> None:
        self.run_until(lambda: self.check(name).may)

    def local_maintenance(self, name: str) -> None:
        self.do(f"on {name} hosted-engine --set-maintenance --mode=local")
        self.run_until(lambda: self.states[name] is State.LOCAL_MAINTENANCE)

    def package(self, name: str, version: str) -> None:
        """Its script restarts the services."""
        host = self.cluster.host(name)
        self.do(f"on {name} systemctl stop ha-agent ha-broker")
        self.run_until(lambda: stopped(host))
        host.install(version)
        self.do(f"on {name} systemctl start ha-broker ha-agent")
        self.run_until(lambda: host.state not in (None, State.START_STATE))

    def end_maintenance(self, name: str) -> None:
        self.do(f"on {name} hosted-engine --set-maintenance --mode=none")
        self.run_until(self.cluster.is_at_rest)
        self.cluster.run_for(2 * TICK_S)

    def upgrade(self, name: str, version: str, package_first: bool = False) -> None:
        """`package_first`: an engine's host of a program that can't move it yet."""
        if package_first:
            self.package(name, version)
            self.run_until(self.cluster.is_at_rest)
            self.cluster.run_for(2 * TICK_S)
            (reason,) = self.check(name).reasons
            assert "its host goes last" in reason, "all run the same now, which others can take"
        self.local_maintenance(name)
        if not package_first:
            self.package(name, version)
        self.end_maintenance(name)

    def close(self) -> None:
        assert self.oracle.violations == []
        assert self.boots == self._boots, "the engine has never been started anew"
        assert self.longest_gap_s <= Course.gap_s + 0.1


def stopped(host: SimHost) -> bool:
    return host.agent is None and host.broker is None


@contextmanager
def running(version: str) -> Iterator[Round]:
    hosts = tuple(replace(traits, version=version) for traits in counted_hosts(3))
    cluster = SimCluster(WorldSettings(hosts=hosts, cluster=CLUSTER))
    try:
        cluster.bring_up()
        cluster.run_for(2 * TICK_S)
        made = Round(cluster)
        yield made
        made.close()
    finally:
        cluster.close()


@pytest.mark.parametrize(
    ("before", "after"), [("older", "same"), ("older", "newer"), ("same", "newer")]
)
def test_as_the_check_orders_them(before: str, after: str) -> None:
    """The engine moves once, from its own host, which goes last."""
    with running(before) as hosts:
        first = hosts.engine_host
        assert not hosts.check(first).may
        done: list[str] = []
        while len(done) < 3:
            (name, *rest) = [host.name for host in hosts.check(first).order]
            assert len(rest) == 2 - len(done)
            assert name not in done
            package_first = name == first and before == "older"
            if not package_first:
                hosts.wait_for_turn(name)
            hosts.upgrade(name, after, package_first)
            done.append(name)
        assert done[-1] == first
        assert len(hosts.ran_on) == 2
        assert [host.name for host in hosts.check(first).order][-1] == hosts.engine_host
        assert {host.program.told for host in hosts.check(first).hosts} == {
            "99.0" if after == "newer" else "0.1.0"
        }


def test_the_engines_host_each_time_where_all_know_how() -> None:
    """Against the check's advice: the engine moves at each turn, and is never down."""
    with running("same") as hosts:
        left = {"h1", "h2", "h3"}
        while left:
            name = hosts.engine_host if hosts.engine_host in left else sorted(left)[0]
            hosts.upgrade(name, "newer")
            left.remove(name)
        assert len(hosts.ran_on) >= 3
        assert {host.traits.version for host in hosts.cluster.hosts.values()} == {"newer"}


def test_a_host_is_taken_back_to_the_older_version() -> None:
    """It takes no engine alive then; the others go on among themselves."""
    with running("same") as hosts:
        first = hosts.engine_host
        back, other = sorted({"h1", "h2", "h3"} - {first})
        hosts.upgrade(back, "older")
        found = hosts.check(first)
        assert any(f"{back} runs an older program" in one for one in found.warnings)
        hosts.local_maintenance(first)
        assert hosts.engine_host == other
        hosts.end_maintenance(first)
        assert hosts.ran_on == [first, other]


def test_older_hosts_take_no_engine_and_it_stays() -> None:
    """The engine's host first, against the order: its maintenance is refused."""
    with running("older") as hosts:
        first = hosts.engine_host
        hosts.package(first, "same")
        hosts.run_until(hosts.cluster.is_at_rest)
        hosts.cluster.run_for(2 * TICK_S)
        (reason,) = [one for one in hosts.check(first).reasons if "alive" in one]
        assert "its program is older" in reason
        hosts.do(f"on {first} hosted-engine --set-maintenance --mode=local")
        hosts.cluster.run_for(4 * TICK_S)
        assert not hosts.cluster.host(first).in_local_maintenance, "refused"
        assert hosts.ran_on == [first]


def test_another_version_needs_stopped_services() -> None:
    with running("same") as hosts:
        with pytest.raises(SimulationError, match="stop ha-agent and ha-broker first"):
            hosts.cluster.host("h2").install("newer")
        hosts.do("on h2 systemctl stop ha-agent ha-broker")
        hosts.run_until(lambda: stopped(hosts.cluster.host("h2")))
        with pytest.raises(SimulationError, match="no version '9'"):
            hosts.cluster.host("h2").install("9")
