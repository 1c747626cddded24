# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A wake that brings nothing new takes no new decision; whatever may change it does."""

from __future__ import annotations

import pytest

from fsm.machine import fire
from fsm.memory import Memory
from fsm.observation import Observation
from fsm.table import Row
from ha_agent.agent import Agent
from ha_agent.ports import AgentPorts
from ha_broker.api.snapshot import LeaseState, LeaseView
from metadata.settings.parse import ClusterSettings
from metadata.states import State
from tests.unit.agent_host import HOST, SETTINGS, TICK_S, AgentHost, host_view


class CountingHost(AgentHost):
    """Its agent's decisions are counted."""

    def _new_agent(self) -> Agent:
        self.decisions = 0
        ports = AgentPorts(
            self.clock, self.runner, self.vm, self.lockspace, self.broker, self.services
        )
        return Agent(ports, HOST, find_row=self._find_row)

    def _find_row(self, memory: Memory, seen: Observation, config: ClusterSettings) -> Row:
        self.decisions += 1
        return fire(memory, seen, config)

    def new_decisions(self) -> int:
        """How many the wakes of this moment bring."""
        before = self.decisions
        self.settle()
        return self.decisions - before


@pytest.fixture
def host() -> CountingHost:
    """At rest, a moment after a tick; another host has the engine."""
    host = CountingHost()
    host.another_host_takes_the_lease()
    host.run_for(6 * TICK_S)
    assert host.state is State.ENGINE_DOWN
    return host


def test_a_wake_with_nothing_new_decides_nothing(host: CountingHost) -> None:
    host.clock.advance(TICK_S / 4)
    assert host.new_decisions() == 0


def test_each_tick_decides(host: CountingHost) -> None:
    host.clock.advance(TICK_S)
    assert host.new_decisions() >= 1


def test_news_of_the_broker_decides(host: CountingHost) -> None:
    host.clock.advance(TICK_S / 4)
    host.broker.peers = (host_view(2), host_view(3))
    assert host.new_decisions() >= 1


def test_news_of_the_vm_decides(host: CountingHost) -> None:
    host.clock.advance(TICK_S / 4)
    host.vm.disappear()  # libvirt is gone, which is an event
    assert host.new_decisions() >= 1
    assert host.state is State.UNKNOWN_LOCAL_VM_STATE


def test_a_stop_decides(host: CountingHost) -> None:
    host.clock.advance(TICK_S / 4)
    host.agent.request_stop()
    assert host.new_decisions() >= 1
    assert host.state is State.AGENT_STOPPED


def test_time_alone_decides_when_it_may(host: CountingHost) -> None:
    """The turn of this host comes between two ticks."""
    host.broker.peers = (host_view(2, score=3500),)
    host.broker.override = {"lease": LeaseView(LeaseState.FREE, seen_at_s=10.0**9)}
    host.clock.advance(TICK_S / 4)
    host.settle()
    turn_at_s = host.clock.monotonic_s() + SETTINGS.timing.turn_s
    while host.agent.next_due_s < turn_at_s:
        host.clock.advance(host.agent.next_due_s - host.clock.monotonic_s())
        host.settle()
    assert "start" not in host.vm.calls
    assert host.agent.next_due_s == turn_at_s
    host.clock.advance(turn_at_s - host.clock.monotonic_s())
    assert host.new_decisions() >= 1
    assert "start" in host.vm.calls
