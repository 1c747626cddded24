# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A tick of an agent that waits is one look at everything: that its jobs have ended as before makes
no other one. Whatever else comes with them does."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from ha_agent import agent as agent_module
from ha_agent.observation.collect import collect
from ha_broker.api.client import BrokerTimeoutError
from ha_broker.api.snapshot import Publication
from metadata.states import State
from tests.unit.agent_host import TICK_S, AgentHost
from world.ports.libvirt import Domain, DomainState


class Looks:
    """Counts how often everything is looked at."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = collect

        def counted(inputs: Any) -> Any:
            self.count += 1
            return real(inputs)

        patch.setattr(agent_module, "collect", counted)

    def during(self, work: Callable[[], object]) -> int:
        before = self.count
        work()
        return self.count - before


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


@pytest.fixture
def host() -> AgentHost:
    """At rest, just before a tick; another host has the engine."""
    host = AgentHost()
    host.another_host_takes_the_lease()
    host.run_for(6 * TICK_S)
    assert host.state is State.ENGINE_DOWN
    host.clock.advance(host.agent.next_due_s - host.clock.monotonic_s())
    return host


def tick(host: AgentHost) -> None:
    """The turn that is due; its jobs have ended then, and nobody has looked at them."""
    jobs = len(host.runner.submitted)
    host.agent.tick()
    assert sorted(host.runner.submitted[jobs:]) == ["domain", "publish"]


def test_a_tick_with_nothing_new_is_one_look(host: AgentHost, looks: Looks) -> None:
    for _ in range(3):
        assert looks.during(lambda: tick(host)) == 1
        assert looks.during(host.settle) == 0
        host.clock.advance(TICK_S)
    assert host.state is State.ENGINE_DOWN


def test_a_wake_without_an_ended_job_is_a_look(host: AgentHost, looks: Looks) -> None:
    tick(host)
    host.settle()
    assert looks.during(host.agent.tick) == 1


def test_news_of_the_broker_that_come_with_them_are_looked_at(
    host: AgentHost, looks: Looks
) -> None:
    tick(host)
    host.broker.override["sequence"] = 2
    assert looks.during(host.agent.tick) == 1


@pytest.mark.parametrize("change", ["gone", "restarted"])
def test_another_broker_or_none_is_looked_at(host: AgentHost, looks: Looks, change: str) -> None:
    tick(host)
    if change == "gone":
        host.broker.gone = True
    else:
        host.broker.override["started_at_s"] = 5.0
    assert looks.during(host.agent.tick) == 1


def test_a_domain_that_appears_is_looked_at(host: AgentHost, looks: Looks) -> None:
    host.vm.disappear()
    host.agent.tick()
    assert looks.during(host.agent.tick) >= 1
    assert host.state is State.UNKNOWN_LOCAL_VM_STATE


def test_a_domain_that_appears_without_an_event_is_looked_at(host: AgentHost, looks: Looks) -> None:
    tick(host)
    host.settle()
    host.vm._domain = Domain(DomainState.PAUSED, pid=4711)
    host.agent._domain.want()
    host.agent._domain.request()
    assert looks.during(host.agent.tick) >= 1
    assert "destroy" in host.vm.calls, "it holds no lease"


def test_after_a_decision_that_changed_something_each_wake_is_a_look(
    host: AgentHost, looks: Looks
) -> None:
    tick(host)
    host.agent._settled = None
    assert looks.during(host.agent.tick) == 1


def test_an_event_that_comes_with_them_is_followed_up(host: AgentHost, looks: Looks) -> None:
    tick(host)
    host.agent.domain_changed()
    jobs = len(host.runner.submitted)
    assert looks.during(host.agent.tick) == 1
    assert "domain" in host.runner.submitted[jobs:]


def test_where_the_engine_is_each_answer_is_looked_at(looks: Looks) -> None:
    host = AgentHost()
    host.bring_engine_up()
    host.run_for(3 * TICK_S)
    host.clock.advance(host.agent.next_due_s - host.clock.monotonic_s())
    host.agent.tick()
    assert looks.during(host.agent.tick) == 1


def test_a_stop_that_comes_with_them_is_looked_at(host: AgentHost, looks: Looks) -> None:
    tick(host)
    host.agent.request_stop()
    assert looks.during(host.agent.tick) >= 1
    assert host.state is State.AGENT_STOPPED


def test_the_hosts_shutdown_is_looked_at(host: AgentHost, looks: Looks) -> None:
    tick(host)
    host.agent.request_stop(with_host=True)
    assert looks.during(host.agent.tick) >= 1


def test_a_record_that_could_not_be_handed_over_is_looked_at(host: AgentHost, looks: Looks) -> None:
    def publish(_record: Publication) -> None:
        raise BrokerTimeoutError("publish", "no answer within 5 s")

    host.broker.publish = publish  # type: ignore[assignment,method-assign]
    tick(host)
    assert looks.during(host.agent.tick) == 1


def test_a_record_that_said_more_is_looked_at(host: AgentHost, looks: Looks) -> None:
    host.broker.override["local_maintenance"] = True
    host.broker.override["sequence"] = 2
    host.agent.tick()
    assert host.state is not State.ENGINE_DOWN
    host.clock.advance(0.01)
    assert looks.during(host.agent.tick) >= 1
