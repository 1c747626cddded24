# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Whole hosts in virtual time, each daemon ticked only when it is due or woken, and metered.

What a tick costs is measured without its jobs: they run on threads of their own in a real
daemon, and here they are mostly the simulated world's.
"""

from __future__ import annotations

import cProfile
import time
from pathlib import Path
from typing import Callable, Optional

from ha_agent.agent import Agent
from ha_agent.ports import AgentPorts, BrokerLook
from ha_broker.api.snapshot import Publication
from ha_broker.broker import Broker
from ha_broker.cycle.part import BrokerPorts
from metadata.domain_xml import lease_element
from metadata.settings.parse import HostSettings
from metadata.shared_config import SharedConfig
from metadata.states import State
from simulation.world import (
    SimHealthPage,
    SimHistory,
    SimHypervisor,
    SimLockspace,
    SimNetworkProbe,
    SimNotificationSender,
    SimServiceManager,
    SimStore,
    SimVitals,
    VirtualClock,
)
from tests.unit.broker_host import PARTS, SETTINGS, Cluster
from world.ports.jobs import Outcome
from world.ports.libvirt import DomainState

XML = f"<domain><name>HostedEngine</name><devices>{lease_element(PARTS)}</devices></domain>"
TICK_S = SETTINGS.timing.tick_s
MOST_TURNS = 100


class Meter:
    """CPU time or, with `counts`, function calls of one daemon's ticks, its jobs apart."""

    def __init__(self) -> None:
        self.ticks = self.tick_ns = self.jobs = self.job_ns = 0
        self.profile: Optional[cProfile.Profile] = None

    def tick(self, tick: Callable[[], object]) -> object:
        job_ns, begun_ns = self.job_ns, time.process_time_ns()
        if self.profile:
            self.profile.enable()
        value = tick()
        if self.profile:
            self.profile.disable()
        self.tick_ns += time.process_time_ns() - begun_ns - (self.job_ns - job_ns)
        self.ticks += 1
        return value

    def job(self, job: Callable[[], object]) -> object:
        begun_ns = time.process_time_ns()
        if self.profile:
            self.profile.disable()
        try:
            return job()
        finally:
            if self.profile:
                self.profile.enable()
            self.job_ns += time.process_time_ns() - begun_ns
            self.jobs += 1


class JobRunner:
    """A `Runner` that executes each job inside `submit`, on the meter's other side."""

    def __init__(self, clock: VirtualClock, meter: Meter, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._meter = meter
        self._wake = wake
        self._ended: dict[str, Outcome[object]] = {}

    def submit(self, key: str, job: Callable[[], object]) -> bool:
        if key in self._ended:
            return False
        begun_s = self._clock.monotonic_s()
        value, error = None, None
        self._clock.begin_job()
        try:
            value = self._meter.job(job)
        except Exception as raised:
            error = raised
        ended_s = begun_s + self._clock.end_job()
        self._ended[key] = Outcome(key, value, error, begun_s, ended_s)
        self._wake()
        return True

    def busy_since_s(self, key: str) -> Optional[float]:
        outcome = self._ended.get(key)
        if outcome is None or outcome.finished_at_s <= self._clock.monotonic_s():
            return None
        return outcome.started_at_s

    def poll(self) -> list[Outcome[object]]:
        now_s = self._clock.monotonic_s()
        due = [outcome for outcome in self._ended.values() if outcome.finished_at_s <= now_s]
        for outcome in due:
            del self._ended[outcome.key]
        return due

    def next_end_s(self) -> float:
        ends = [outcome.finished_at_s for outcome in self._ended.values()]
        return min(ends, default=float("inf"))


class BenchHost:
    """A host with its two daemons."""

    def __init__(self, cluster: BenchCluster, host_id: int, directory: Path) -> None:
        self.clock = cluster.clock
        self.broker_meter, self.agent_meter = Meter(), Meter()
        self.page = SimHealthPage()
        self._broker_runner = JobRunner(self.clock, self.broker_meter, self._wake_broker)
        self._agent_runner = JobRunner(self.clock, self.agent_meter, self._wake_agent)
        self._broker_due_s = self._agent_due_s = 0.0
        self._settings = HostSettings(host_id, f"h{host_id}", PARTS, gateway="gw")
        self._lockspace = SimLockspace(cluster.base.san, f"h{host_id}")
        self.vm = SimHypervisor(self._lockspace)
        self.broker = Broker(
            self._world(cluster), self._settings, str(directory), self._wake_broker
        )
        self.agent = self._make_agent()
        self.vm.on_change(self._domain_changed)

    def _world(self, cluster: BenchCluster) -> BrokerPorts:
        return BrokerPorts(
            clock=self.clock,
            runner=self._broker_runner,
            store=SimStore(cluster.base.volumes),
            lockspace=self._lockspace,
            hypervisor=lambda _name: self.vm,
            health_page=self.page,
            network=SimNetworkProbe(),
            vitals=SimVitals(self.clock),
            notification_sender=SimNotificationSender(self.clock, cluster.base.post_office),
            services=SimServiceManager(),
        )

    def _make_agent(self) -> Agent:
        services = SimServiceManager()
        ports = AgentPorts(
            self.clock, self._agent_runner, self.vm, self._lockspace, self, services, SimHistory()
        )
        return Agent(ports, self._settings)

    # --- BrokerPort -------------------------------------------------------------------

    def latest_snapshot(self) -> BrokerLook:
        return BrokerLook(self.broker.mailbox.snapshot(), self.clock.monotonic_s())

    def publish(self, publication: Publication) -> None:
        self.broker.mailbox.publish(publication)

    def shared_config(self) -> SharedConfig:
        config = self.broker.mailbox.config()
        assert config is not None
        return config

    # --- the loops --------------------------------------------------------------------

    def _wake_broker(self) -> None:
        self._broker_due_s = 0.0

    def _wake_agent(self) -> None:
        self._agent_due_s = 0.0

    def _domain_changed(self) -> None:
        self.agent.domain_changed()
        self._wake_agent()

    def tick_broker(self) -> None:
        self._broker_due_s = float("inf")  # a wake during the tick counts
        before = self.broker.mailbox.snapshot().sequence
        due_s = self.broker_meter.tick(self.broker.tick)
        assert isinstance(due_s, float)
        self._broker_due_s = min(self._broker_due_s, due_s)
        if self.broker.mailbox.snapshot().sequence != before:
            self._wake_agent()

    def tick_agent(self) -> None:
        self._agent_due_s = float("inf")
        self.agent_meter.tick(self.agent.tick)
        self._agent_due_s = min(self._agent_due_s, self.agent.next_due_s)

    def turn(self) -> bool:
        """Tick what is due; was there anything?"""
        now_s = self.clock.monotonic_s()
        broker_due = min(self._broker_due_s, self._broker_runner.next_end_s()) <= now_s
        if broker_due:
            self.tick_broker()
        agent_due = min(self._agent_due_s, self._agent_runner.next_end_s()) <= now_s
        if agent_due:
            self.tick_agent()
        return broker_due or agent_due

    def next_due_s(self) -> float:
        ends_s = self._broker_runner.next_end_s(), self._agent_runner.next_end_s()
        return min(self._broker_due_s, self._agent_due_s, *ends_s)


class BenchCluster:
    """Hosts that settle down with a healthy engine on one of them."""

    def __init__(self, directory: Path, hosts: int) -> None:
        self.base = Cluster(SharedConfig(4, SETTINGS, XML))
        self.clock = self.base.clock
        self.hosts = []
        for host_id in range(1, hosts + 1):
            place = directory / f"h{host_id}"
            place.mkdir()
            self.hosts.append(BenchHost(self, host_id, place))

    def settle_down(self) -> None:
        for host in self.hosts:
            host.page.set(True)
        self.run(300)
        up = [host for host in self.hosts if host.agent.memory.state is State.ENGINE_UP]
        running = [host for host in self.hosts if host.vm._domain.state is DomainState.RUNNING]
        assert len(up) == 1 and up == running, [host.agent.memory for host in self.hosts]

    def run(self, seconds: float) -> None:
        """Let all daemons do what they do in that time."""
        end_s = self.clock.monotonic_s() + seconds
        self._turn()
        while self.clock.monotonic_s() < end_s:
            due_s = min(host.next_due_s() for host in self.hosts)
            # A daemon's loop does not spin either, whatever a part says is due.
            due_s = max(due_s, self.clock.monotonic_s() + 0.02)
            self.clock.advance(min(due_s, end_s) - self.clock.monotonic_s())
            self._turn()

    def _turn(self) -> None:
        for _ in range(MOST_TURNS):
            busy = [host.turn() for host in self.hosts]
            if not any(busy):
                return
        raise AssertionError("a daemon spins")
