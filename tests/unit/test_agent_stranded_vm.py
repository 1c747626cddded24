# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A VM that a migration has left paused with its lease: found for certain, and nothing else is."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from ha_agent.observation.stranded_vm import (
    FRESH_TICKS,
    KEY,
    PausedLeaseAnswer,
    PausedVm,
    StrandedVerdict,
    StrandedWatch,
    paused_for_long,
)
from ha_broker.api.snapshot import LeaseState, LeaseView, LockspaceView
from metadata.records import PAUSED, STRANDED, Health
from metadata.settings.parse import Timing
from metadata.states import State
from simulation.world import InlineRunner, SimLockspace, SimSan, VirtualClock
from tests.unit.agent_host import TICK_S, AgentHost
from world.ports.errors import LockspaceBusyError
from world.ports.jobs import Outcome
from world.ports.libvirt import Domain, DomainState, Pause
from world.ports.sanlock import Membership
from world.vm.domain_states import paused

TIMING = Timing()
AWAY_S = TIMING.away_s
VM = PausedVm(7, 100.0)
OURS = LeaseView(LeaseState.HELD, 1, 120.0)


# --- which VM is asked about ----------------------------------------------------------------


@pytest.mark.parametrize("why", [Pause.MIGRATION, Pause.API_ERROR])
def test_a_vm_that_was_paused_for_longer_than_a_good_move_takes(why: Pause) -> None:
    domain = paused(why, 7)
    assert paused_for_long(domain, 100.0, 100.0 + AWAY_S - 1, TIMING) is None
    assert paused_for_long(domain, 100.0, 100.0 + AWAY_S, TIMING) == VM


@pytest.mark.parametrize(
    "domain",
    [
        *(paused(why, 7) for why in Pause if why not in (Pause.MIGRATION, Pause.API_ERROR)),
        paused(Pause.MIGRATION),
        Domain(DomainState.RUNNING, pid=7),
        Domain(DomainState.RUNNING, pid=7, leaving=True),
        Domain(DomainState.UNKNOWN),
        Domain(DomainState.ABSENT),
    ],
)
def test_no_other_one(domain: Domain) -> None:
    assert paused_for_long(domain, 100.0, 100.0 + 10 * AWAY_S, TIMING) is None


# --- the rules ------------------------------------------------------------------------------


def answer(seen_at_s: float, holds: bool = True, vm: PausedVm = VM) -> PausedLeaseAnswer:
    return PausedLeaseAnswer(vm, seen_at_s, holds)


def told(*answers: tuple[PausedLeaseAnswer, float]) -> StrandedVerdict:
    rules = StrandedVerdict()
    for one, at_s in answers:
        rules.answered(one, at_s)
    return rules


def test_one_yes_is_not_enough() -> None:
    assert not told((answer(150), 151)).is_stranded(VM, 151, TIMING)


def test_a_second_one_counts_when_libvirt_was_asked_after_the_first() -> None:
    first = answer(150), 151.0
    assert not told(first, (answer(150.9), 152)).is_stranded(VM, 152, TIMING)
    assert told(first, (answer(151), 152)).is_stranded(VM, 152, TIMING)


@pytest.mark.parametrize("other", [PausedVm(8, 100.0), PausedVm(7, 101.0)])
def test_what_was_said_of_another_process_or_pause_does_not_count(other: PausedVm) -> None:
    assert not told((answer(150, vm=other), 151), (answer(155), 156)).is_stranded(VM, 156, TIMING)
    rules = told((answer(150), 151), (answer(155), 156))
    assert not rules.is_stranded(other, 156, TIMING)


def test_a_no_ends_it() -> None:
    rules = told((answer(150), 151), (answer(155), 156), (answer(160, False), 161))
    assert not rules.is_stranded(VM, 161, TIMING)
    rules.answered(answer(165), 166)
    assert not rules.is_stranded(VM, 166, TIMING), "it takes two again"


def test_what_is_old_does_not_count() -> None:
    rules = told((answer(150), 151), (answer(155), 156))
    assert rules.is_stranded(VM, 156 + FRESH_TICKS * TICK_S, TIMING)
    assert not rules.is_stranded(VM, 157 + FRESH_TICKS * TICK_S, TIMING)


# --- the questions --------------------------------------------------------------------------


class Bench:
    """A watch of host 1 beside the process 7, which holds the lease."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.runner = InlineRunner(self.clock)
        lockspace = SimLockspace(SimSan(self.clock), "h1")
        lockspace.join(1, 10)
        lockspace.acquire(7)
        self.watch = StrandedWatch(self.runner, lockspace, 1)

    def look(
        self, seen_at_s: float, lease: LeaseView = OURS, vm: Optional[PausedVm] = VM
    ) -> tuple[str, ...]:
        """Which questions were put; their answers have arrived."""
        before = len(self.runner.submitted)
        self.watch.look(vm, seen_at_s, lease, TIMING)
        for outcome in self.runner.poll():
            self.watch.take(Outcome(outcome.key, outcome.value, None, seen_at_s, seen_at_s))
        return tuple(self.runner.submitted[before:])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_sanlock_is_asked_once_a_tick(bench: Bench) -> None:
    assert bench.look(150) == (KEY,)
    assert bench.look(150 + TICK_S - 1) == ()
    assert not bench.watch.is_stranded(VM, 150 + TICK_S - 1, TIMING)
    assert bench.look(150 + TICK_S) == (KEY,)
    assert bench.watch.is_stranded(VM, 150 + TICK_S, TIMING)
    assert not bench.watch.is_stranded(None, 150 + TICK_S, TIMING)


@pytest.mark.parametrize(
    "lease",
    [
        LeaseView(LeaseState.FREE, 1, 120.0),
        LeaseView(LeaseState.HELD, 2, 120.0),
        LeaseView(LeaseState.UNKNOWN, 1, 120.0),
        LeaseView(LeaseState.HELD, 1, 99.0),
        LeaseView(LeaseState.HELD, 1),
    ],
    ids=str,
)
def test_unless_the_storage_says_that_this_host_has_the_lease_nobody_asks(
    bench: Bench, lease: LeaseView
) -> None:
    """libvirt may be about to take it or to let it go, and sanlock would refuse that."""
    assert bench.look(150, lease) == ()
    assert bench.look(150) == (KEY,)
    assert bench.look(150 + TICK_S, lease) == ()
    assert bench.look(150 + 2 * TICK_S) == (KEY,)
    assert not bench.watch.is_stranded(VM, 150 + 2 * TICK_S, TIMING)


def test_where_there_is_no_such_vm_nobody_asks(bench: Bench) -> None:
    assert bench.look(150, vm=None) == ()


def test_a_sanlock_that_does_not_say_makes_nothing_certain(bench: Bench) -> None:
    bench.look(150)
    busy = LockspaceBusyError("ask", "it is busy")
    bench.watch.take(Outcome(KEY, None, busy, 152.0, 152.0))
    bench.look(150 + TICK_S)
    assert not bench.watch.is_stranded(VM, 150 + TICK_S, TIMING)


# --- the agent ------------------------------------------------------------------------------


@pytest.fixture
def host() -> AgentHost:
    made = AgentHost()
    made.bring_engine_up()
    return made


def questions(host: AgentHost) -> int:
    return host.runner.submitted.count(KEY)


@pytest.mark.parametrize("why", [Pause.MIGRATION, Pause.API_ERROR])
def test_a_stranded_vm_is_switched_off_and_started_anew_at_once(
    host: AgentHost, why: Pause
) -> None:
    host.vm.pause(why, keeps_lease=True)
    before = host.san.lease_version
    host.run_for(AWAY_S - 1)
    assert questions(host) == 0
    assert host.vm.calls == []
    host.run_for(4 * TICK_S)
    assert host.vm.calls == ["destroy", "start"]
    assert host.state is State.ENGINE_UP
    assert host.san.lease_version == before + 1
    memory = host.agent.memory
    assert (memory.failed_starts_s, memory.crashed_at_s, memory.tries) == ((), None, 0)


def test_an_agent_that_has_not_seen_it_run_finds_it_out(host: AgentHost) -> None:
    host.vm.pause(Pause.MIGRATION, keeps_lease=True)
    host.restart_agent()
    host.run_for(AWAY_S + 4 * TICK_S)
    assert host.vm.calls == ["destroy", "start"]


def test_one_that_is_between_two_hosts_is_not_asked_about(host: AgentHost) -> None:
    """Nor is it switched off: libvirt is told to let it go on, for its lease is free."""
    host.vm.migrates = True
    host.vm.pause(Pause.MIGRATION)
    host.run_for(TIMING.migration_s - TICK_S)
    assert questions(host) == 0
    assert set(host.vm.calls) == {"resume"}


def test_one_that_arrives_is_not_asked_about() -> None:
    host = AgentHost()
    host.another_host_takes_the_lease()
    host.vm.receive()
    host.run_for(TIMING.migration_s - TICK_S)
    assert questions(host) == 0
    assert host.vm.calls == []


@pytest.mark.parametrize("why", [Pause.POSTCOPY, Pause.POSTCOPY_FAILED, Pause.USER, Pause.DUMP])
def test_another_pause_is_not_asked_about(host: AgentHost, why: Pause) -> None:
    host.vm.pause(why, keeps_lease=True)
    host.run_for(AWAY_S + 4 * TICK_S)
    assert questions(host) == 0
    assert host.vm.calls == []


@pytest.mark.parametrize(
    "override",
    [
        {"lease": LeaseView(LeaseState.UNKNOWN, 1)},
        {"lease": LeaseView(LeaseState.FREE)},
        {"lockspace": LockspaceView(Membership.JOINED), "lease": LeaseView()},
    ],
    ids=str,
)
def test_while_the_storage_does_not_say_whose_lease_it_is_nothing_is_done(
    host: AgentHost, override: dict[str, Any]
) -> None:
    host.vm.migrates = True
    host.vm.pause(Pause.MIGRATION, keeps_lease=True)
    host.broker.override = override
    host.run_for(AWAY_S + 6 * TICK_S)
    assert "destroy" not in host.vm.calls


def test_what_libvirt_lets_go_on_in_time_is_left_alone(host: AgentHost) -> None:
    host.vm.pause(Pause.MIGRATION, keeps_lease=True)
    host.run_for(AWAY_S)
    pid = host.vm.now.pid
    host.vm.set_domain(Domain(DomainState.RUNNING, pid=pid))
    host.run_for(AWAY_S)
    assert host.vm.calls == []
    assert host.state is State.ENGINE_UP


def test_an_order_that_comes_late_does_not_meet_a_vm_that_runs(host: AgentHost) -> None:
    """What was judged was paused."""
    host.vm.pause(Pause.MIGRATION, keeps_lease=True)
    pid = host.vm.now.pid
    once = [True]

    def goes_on(what: str) -> None:
        if "destroy" in host.runner.submitted and once:
            once.clear()
            host.vm.set_domain(Domain(DomainState.RUNNING, pid=pid))

    host.vm.before_call = goes_on
    host.run_for(AWAY_S + 4 * TICK_S)
    assert not once
    assert "destroy" not in host.vm.calls
    assert host.state is State.ENGINE_UP


@pytest.mark.parametrize("scope", ["global_maintenance", "local_maintenance"])
def test_in_maintenance_it_is_left_alone_and_people_are_told(host: AgentHost, scope: str) -> None:
    host.vm.pause(Pause.MIGRATION, keeps_lease=True)
    host.broker.override = {scope: True}
    host.run_for(AWAY_S + 4 * TICK_S)
    assert host.vm.calls == []
    said = host.last_published()
    assert STRANDED in said.why
    assert "until somebody switches it off" in said.why
    assert (said.engine_status.detail, said.engine_status.health) == (PAUSED, Health.BAD)
    assert STRANDED in said.engine_status.reason
    host.broker.override = {}
    host.run_for(2 * TICK_S)
    assert host.vm.calls == ["destroy", "start"]
