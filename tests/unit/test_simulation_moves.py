# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Migrations that a process on a simulated host asks libvirt for: how they go, and end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Callable

import pytest

from simulation.cluster import SimCluster
from simulation.migration import (
    CANCELED,
    COPY_S,
    DROPPED_S,
    FAILS,
    FINISHES,
    HANGS,
    KEEPALIVE_S,
    KEEPS,
    LOST,
    NO_ROUTE_S,
    REFUSED,
    STICKS,
)
from simulation.settings import WorldSettings
from simulation.world import InlineRunner
from simulation.world.hypervisor import JOB_WAIT_S
from world.ports.errors import HypervisorError, HypervisorGoneError
from world.ports.jobs import Outcome
from world.ports.libvirt import DomainState, Ending, MigrationOptions, MigrationResult, Pause

OPTIONS = MigrationOptions(limit_s=30.0)
H2 = "qemu+tls://h2/system"
NOBODY = "qemu+tls://h9/system"
PATIENT = MigrationOptions(limit_s=100.0)


class Move:
    """Three hosts with the engine on h1, and the call that moves it."""

    def __init__(self, cluster: SimCluster) -> None:
        self.cluster = cluster
        self.here, self.there, _ = cluster.hosts.values()
        self.runner = InlineRunner(self.here.clock)
        self.ended: list[Outcome[object]] = []

    def begin(self, address: str = H2, options: MigrationOptions = OPTIONS) -> None:
        assert self.runner.submit("migrate", lambda: self.here.vm.migrate(address, options))

    def after(self, seconds: float) -> None:
        """As the agent's process does: the call is made again until it returns."""
        for _ in range(round(4 * seconds)):
            self.cluster.run_for(0.25)
            self.ended += self.runner.poll()

    @property
    def error(self) -> str:
        (outcome,) = self.ended
        assert isinstance(outcome.error, HypervisorError)
        return outcome.error.why

    @property
    def result(self) -> MigrationResult:
        (outcome,) = self.ended
        assert outcome.error is None
        assert isinstance(outcome.value, MigrationResult)
        return outcome.value

    @property
    def states(self) -> tuple[DomainState, DomainState]:
        return self.here.vm.now.state, self.there.vm.now.state


HERE = (DomainState.RUNNING, DomainState.ABSENT)
THERE = (DomainState.ABSENT, DomainState.RUNNING)


@pytest.fixture
def move() -> Iterator[Move]:
    cluster = SimCluster(WorldSettings())
    cluster.bring_up()
    # Nobody acts by himself: what is looked at is libvirt.
    for host in cluster.hosts.values():
        host.service("ha-agent", "stop")
    cluster.run_for(10)
    move = Move(cluster)
    assert move.states == HERE
    yield move
    cluster.close()


def test_it_blocks_while_the_memory_is_copied_and_tells_how_far_it_is(move: Move) -> None:
    move.begin()
    assert move.here.vm.domain().leaving
    move.after(COPY_S / 2)
    assert (move.ended, move.states) == ([], (DomainState.RUNNING, DomainState.PAUSED))
    assert move.here.vm.domain().copied == pytest.approx(0.5, abs=0.01)
    move.after(COPY_S)
    assert move.states == THERE
    assert move.here.vm.now.ending is Ending.MIGRATED
    assert move.here.vm.domain().copied is None
    assert move.there.engine_is_healthy
    assert move.result.took_s == pytest.approx(COPY_S + 0.3, abs=0.01)
    assert move.result.downtime_ms == pytest.approx(300, abs=10)
    assert move.result.copied_bytes
    assert move.here.vm.calls[-1:] == ["migrate"]


def test_how_long_the_lease_is_free_is_the_world_s(move: Move) -> None:
    move.cluster.moves(FINISHES, gap_s=2.0)
    move.begin()
    move.after(COPY_S + 1)
    assert move.states == (DomainState.PAUSED, DomainState.PAUSED)
    move.after(2)
    assert (move.states, move.result.downtime_ms) == (THERE, pytest.approx(2000, abs=10))


@pytest.mark.parametrize(
    ("end", "why", "left"),
    [
        (FAILS, "the memory could not be copied", DomainState.RUNNING),
        (REFUSED, "the target could not go on with it", DomainState.RUNNING),
        (STICKS, "the target could not go on with it", DomainState.PAUSED),
        (KEEPS, "the target could not go on with it", DomainState.PAUSED),
    ],
)
def test_a_move_that_fails_says_so_and_the_domain_is_as_libvirt_shows_it(
    move: Move, end: str, why: str, left: DomainState
) -> None:
    move.cluster.moves(end)
    move.begin()
    move.after(COPY_S + 3)
    assert move.error == why
    assert move.states == (left, DomainState.ABSENT)


def test_a_vm_that_keeps_its_lease_can_not_be_resumed(move: Move) -> None:
    move.cluster.moves(KEEPS)
    move.begin()
    move.after(COPY_S + 3)
    found = move.here.vm.now
    assert found.pid is not None
    assert found.pause is Pause.MIGRATION
    assert move.here.lockspace.process_holds_lease(found.pid)
    with pytest.raises(HypervisorError, match="holds the lease"):
        move.here.vm.resume_after_migration()
    move.here.vm.destroy()
    assert move.here.lockspace.san.lease is None


def test_a_move_that_hangs_is_not_answered_until_it_is_broken_off(move: Move) -> None:
    move.cluster.moves(HANGS)
    move.begin()
    move.after(COPY_S + 20)
    assert move.ended == []
    assert move.states == (DomainState.PAUSED, DomainState.PAUSED)
    assert move.here.vm.now.pause is Pause.MIGRATION
    move.here.vm.abort_migration()
    assert move.states == HERE
    move.after(1)
    assert move.error == CANCELED


def test_it_is_broken_off_at_its_limit_and_stays(move: Move) -> None:
    move.cluster.moves(FINISHES, copy_s=1000.0)
    move.begin()
    move.after(OPTIONS.limit_s - 1)
    assert move.ended == []
    move.after(3)
    assert (move.error, move.states) == (CANCELED, HERE)
    assert not move.here.vm.now.leaving
    move.after(1000)
    assert move.states == HERE, "nothing of it happens later"


def test_an_abort_while_it_is_copied_leaves_it_here(move: Move) -> None:
    move.begin()
    move.after(1)
    move.here.vm.abort_migration()
    move.after(COPY_S)
    assert (move.error, move.states) == (CANCELED, HERE)
    move.ended.clear()
    move.begin()
    move.after(COPY_S + 1)
    assert move.states == THERE


def test_an_abort_while_the_lease_is_handed_over_is_too_late(move: Move) -> None:
    move.cluster.moves(FINISHES, gap_s=2.0)
    move.begin()
    move.after(COPY_S + 1)
    move.here.vm.abort_migration()
    move.after(3)
    assert move.states == THERE


def off(move: Move) -> None:
    move.there.power_off()


def asleep(move: Move) -> None:
    move.there.suspend()


def without_libvirt(move: Move) -> None:
    move.there.vm.disappear()


def hung(move: Move) -> None:
    move.there.vm.hang()


def cut_off(move: Move) -> None:
    move.there.network_cut()


def with_a_vm(move: Move) -> None:
    move.there.vm.receive()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (off, f"no connection to {H2}: No route to host"),
        (cut_off, f"no connection to {H2}: No route to host"),
        (without_libvirt, f"no connection to {H2}: Connection refused"),
        (asleep, f"no connection to {H2}: No route to host"),
        (with_a_vm, "a domain HostedEngine runs there already"),
    ],
)
def test_a_target_that_can_not_take_it_is_refused_with_its_reason(
    move: Move, fault: Callable[[Move], Any], why: str
) -> None:
    fault(move)
    move.begin()
    move.after(NO_ROUTE_S + 2)
    assert (move.error, move.here.vm.now.state) == (why, DomainState.RUNNING)
    assert not move.here.vm.now.leaving


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("qemu+tls://h1/system", "qemu+tls://h1/system is this very host"),
        (NOBODY, f"no connection to {NOBODY}: Name or service not known"),
    ],
)
def test_an_address_that_leads_nowhere(move: Move, address: str, why: str) -> None:
    move.begin(address)
    move.after(1)
    assert move.error == why


def dropped(move: Move) -> None:
    move.there.network_drop()


@pytest.mark.parametrize("fault", [dropped, hung])
def test_a_target_that_says_nothing_holds_libvirt_up(
    move: Move, fault: Callable[[Move], Any]
) -> None:
    """In vain it is asked for a shutdown, and told to break the move off: it says so when it has a
    connection, and moves nothing then."""
    fault(move)
    move.begin()
    move.after(1)
    shutdowns = InlineRunner(move.here.clock)
    shutdowns.submit("shutdown", move.here.vm.shutdown)
    move.here.vm.abort_migration()
    refused = []
    for _ in range(round(JOB_WAIT_S + OPTIONS.limit_s)):
        move.after(1)
        refused += shutdowns.poll()
    assert "cannot acquire state change lock" in str(refused[0].error)
    assert (move.ended, move.states) == ([], HERE)
    assert not move.here.vm.now.leaving
    move.there.network_heal()
    move.there.vm.heal()
    move.after(COPY_S + 2)
    assert (move.error, move.states) == (CANCELED, HERE)


def test_where_all_is_dropped_tcp_gives_up_at_last(move: Move) -> None:
    dropped(move)
    move.begin()
    move.after(DROPPED_S - 2)
    assert move.ended == []
    move.after(4)
    assert move.error == f"no connection to {H2}: Connection timed out"
    move.begin()
    move.there.network_heal()
    move.after(COPY_S + 2)
    assert move.states == THERE


def test_a_vm_that_is_destroyed_meanwhile_is_gone_at_once(move: Move) -> None:
    dropped(move)
    move.begin()
    move.after(1)
    move.here.vm.destroy()
    assert move.here.vm.now.state is DomainState.ABSENT
    move.there.network_heal()
    move.after(COPY_S + 2)
    assert move.error == "the domain is not running"
    assert move.states == (DomainState.ABSENT, DomainState.ABSENT)


def test_the_address_is_the_one_that_a_host_has_said(move: Move) -> None:
    there = move.there
    there.settings = replace(there.settings, migration_address="2001:db8::2")
    move.begin("qemu+tls://[2001:db8::2]:16514/system")
    move.after(COPY_S + 1)
    assert move.states == THERE


def test_a_target_that_dies_leaves_the_source_running(move: Move) -> None:
    move.begin(options=PATIENT)
    move.after(1)
    move.there.power_off()
    move.after(KEEPALIVE_S)
    assert move.ended == [], "libvirt waits for a word"
    move.after(COPY_S + 2)
    assert (move.error, move.here.vm.now.state) == (LOST, DomainState.RUNNING)


@pytest.mark.parametrize("is_broken_off", [False, True])
def test_a_network_that_is_lost_while_it_is_copied_ends_it(move: Move, is_broken_off: bool) -> None:
    """Breaking it off is no way to end it sooner: the target is to be told of that, too."""
    move.begin(options=PATIENT)
    move.after(1)
    move.here.network_drop()
    if is_broken_off:
        move.here.vm.abort_migration()
    move.after(KEEPALIVE_S - 1)
    assert (move.ended, move.here.vm.now.leaving) == ([], True)
    move.after(COPY_S + 4)
    assert move.error == (CANCELED if is_broken_off else LOST)
    assert move.states == HERE
    move.here.network_heal()
    move.after(COPY_S)
    assert move.states == HERE, "nothing of it happens later"


def test_a_network_that_comes_back_in_time_costs_it_nothing(move: Move) -> None:
    move.begin()
    move.after(1)
    move.here.network_drop()
    move.after(KEEPALIVE_S - 5)
    move.here.network_heal()
    move.after(3)
    assert move.states == THERE


def test_a_network_that_is_lost_while_the_lease_is_handed_over_brings_it_back(move: Move) -> None:
    move.cluster.moves(FINISHES, gap_s=2.0)
    move.begin()
    move.after(COPY_S + 1)
    assert move.states == (DomainState.PAUSED, DomainState.PAUSED)
    move.here.network_drop()
    move.after(KEEPALIVE_S + 4)
    assert (move.error, move.states) == (LOST, HERE)


def test_a_libvirt_that_is_gone_here_ends_the_call_and_not_the_move(move: Move) -> None:
    move.begin()
    move.after(1)
    move.here.vm.disappear()
    move.after(1)
    (outcome,) = move.ended
    assert isinstance(outcome.error, HypervisorGoneError)
    move.here.vm.reappear()
    move.after(COPY_S)
    assert move.states == THERE


def test_the_move_goes_on_without_the_process_that_has_asked_for_it(move: Move) -> None:
    move.begin()
    move.here.vm.starter_died()
    again = InlineRunner(move.here.clock)
    again.submit("migrate", lambda: move.here.vm.migrate(H2, OPTIONS))
    (outcome,) = again.poll()
    assert "another migration is under way" in str(outcome.error)
    move.cluster.run_for(COPY_S + 1)
    assert move.states == THERE


def test_one_move_is_no_other_s_end(move: Move) -> None:
    """Two in a row, to and fro."""
    move.begin()
    move.after(COPY_S + 1)
    assert move.result
    back = Move(move.cluster)
    back.here, back.there = move.there, move.here
    back.begin("qemu+tls://h1/system")
    back.after(COPY_S + 1)
    assert back.result
    assert move.states == HERE
