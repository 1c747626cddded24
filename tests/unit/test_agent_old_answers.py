# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is old counts for nothing: a broker that is gone, libvirt's word from before an order."""

from __future__ import annotations

import pytest

from ha_agent.observation.domain_poller import KEY
from metadata.settings.timing import sanlock_silence_s
from metadata.states import State
from tests.unit.agent_host import SETTINGS, AgentHost
from world.ports.errors import LockspaceGoneError
from world.ports.libvirt import Domain, DomainState

SILENCE_S = sanlock_silence_s(SETTINGS.timing, 60)


class OneFailure:
    """sanlock fails to answer a single question about the VM's lease."""

    def __init__(self, host: AgentHost) -> None:
        self.left = 1
        host.lockspace.before_call = self

    def __call__(self, what: str) -> None:
        if self.left and what.startswith("ask for the leases"):
            self.left -= 1
            raise LockspaceGoneError(what, "the sanlock daemon does not answer")


@pytest.fixture
def up() -> AgentHost:
    host = AgentHost()
    host.bring_engine_up()
    return host


def test_a_broker_that_is_gone_tells_nothing_of_the_storage_now(up: AgentHost) -> None:
    """What it read last is older than sanlock may be silent; one failed answer is no such time."""
    up.broker.gone = True
    up.run_for(SILENCE_S + 30)
    failure = OneFailure(up)
    up.run_for(30)
    assert failure.left == 0
    assert up.vm.calls == []
    assert up.vm.domain().state is DomainState.RUNNING


def test_a_storage_that_has_been_silent_counts_while_the_broker_says_so(up: AgentHost) -> None:
    """The same from a broker that lives: a sanlock that died can't have renewed since then."""
    read_at_s = up.clock.monotonic_s()
    before = up.broker._snapshot(read_at_s).storage
    up.broker.override = {"storage": before}
    up.run_for(SILENCE_S + 30)
    OneFailure(up)
    up.run_until(lambda: up.state is State.ENGINE_FORCE_STOP or "destroy" in up.vm.calls)


def test_libvirts_word_from_before_a_start_ended_is_void() -> None:
    """Asked before, it says that there is no VM; that would be a VM that ended at once."""
    host = AgentHost()
    other = host.another_host_takes_the_lease()
    host.run_for(20)
    assert host.state is State.ENGINE_DOWN
    host.runner.hang(KEY)
    host.agent.domain_changed()
    host.settle()
    other.release(9001)
    host.broker.peers = ()
    host.run_until(lambda: host.vm.now.state is DomainState.RUNNING, 4.0)
    truth, host.vm.domain = host.vm.domain, lambda: Domain(DomainState.ABSENT)  # type: ignore
    host.runner.release(KEY)
    host.vm.domain = truth  # type: ignore[method-assign]
    host.settle()
    assert host.state is State.ENGINE_STARTING
    assert host.agent.memory.failed_starts_s == ()
