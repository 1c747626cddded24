# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Orders to libvirt and what becomes of them."""

from __future__ import annotations

from typing import Optional

import pytest

from fsm.memory import Action
from fsm.observation import StartOutcome
from ha_agent.actions.execute import (
    DESTROY,
    RESUME,
    SHUTDOWN,
    START,
    Executor,
    Judged,
    LatestStart,
    OrderResult,
)
from simulation.world import InlineRunner, SimHypervisor, SimLockspace, SimSan, VirtualClock
from tests.unit.agent_host import PARTS, domain_xml
from world.ports.errors import HypervisorError
from world.ports.libvirt import DomainState, Ending, Pause

LIMIT_S = 60.0
LATEST_S = 15.0


class Bench:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.san = SimSan(self.clock)
        self.lockspace = SimLockspace(self.san, "h1")
        self.lockspace.join(1, 10)
        self.vm = SimHypervisor(self.lockspace)
        self.runner = InlineRunner(self.clock)
        self.version: Optional[int] = None
        self.executor = Executor(
            *(self.runner, self.vm, self.lockspace, PARTS, self.clock),
            lease_version=lambda: self.version,
        )

    @property
    def judged(self) -> Judged:
        """What is here now."""
        return Judged(self.vm.now, self.clock.monotonic_s() + LATEST_S)

    def order(self, action: Action, xml: str = "", blocked_why: str = "") -> str:
        return self.executor.perform(action, xml or domain_xml(), blocked_why, self.judged)

    def harvest(self) -> list[OrderResult]:
        return [self.executor.take(outcome) for outcome in self.runner.poll()]

    @property
    def outcome(self) -> StartOutcome:
        return self.executor.start.outcome


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_start_that_works(bench: Bench) -> None:
    assert bench.outcome is StartOutcome.NONE
    assert bench.order(Action.START_VM) == ""
    assert bench.outcome is StartOutcome.RUNNING
    (result,) = bench.harvest()
    assert bench.outcome is StartOutcome.OK
    assert result.domain is not None
    assert result.domain.state is DomainState.RUNNING
    assert result.error == ""


def test_a_start_that_fails(bench: Bench) -> None:
    bench.vm.start_error = HypervisorError("start the domain", "no memory")
    bench.order(Action.START_VM)
    (result,) = bench.harvest()
    assert bench.outcome is StartOutcome.FAILED
    assert bench.executor.start.why == "no memory"
    assert result == OrderResult(START, 1025.0)


def test_a_lease_lost_to_another_host_is_no_failure(bench: Bench) -> None:
    other = SimLockspace(bench.san, "h2")
    other.join(2, 10)
    other.acquire(9)
    bench.order(Action.START_VM)
    (result,) = bench.harvest()
    assert bench.outcome is StartOutcome.LEASE_HELD
    assert bench.executor.start.why == "Lease is held by another host"
    assert bench.executor.start.lease_held_at_s == result.ended_at_s
    assert result.error == ""
    other.release(9)
    bench.order(Action.START_VM)
    assert bench.executor.start.lease_held_at_s is None


def test_a_start_that_is_blocked_is_not_given(bench: Bench) -> None:
    assert bench.order(Action.START_VM, blocked_why="storage is silent") == "storage is silent"
    assert (bench.outcome, bench.vm.calls) == (StartOutcome.FAILED, [])


def test_what_blocks_a_start_goes_before_what_is_missing(bench: Bench) -> None:
    why = bench.executor.perform(Action.START_VM, "", "storage is silent", bench.judged)
    assert why == "storage is silent"


def test_no_domain_xml_no_start(bench: Bench) -> None:
    why = bench.executor.perform(Action.START_VM, "", "", bench.judged)
    assert why == "there is no domain XML"
    assert (bench.outcome, bench.vm.calls) == (StartOutcome.FAILED, [])


@pytest.mark.parametrize("action", [Action.SHUTDOWN_VM, Action.DESTROY_VM])
def test_stopping_is_never_blocked(bench: Bench, action: Action) -> None:
    bench.order(Action.START_VM)
    bench.harvest()
    assert bench.order(action, blocked_why="storage is silent") == ""
    assert bench.vm.domain().state is DomainState.ABSENT
    assert [result.error for result in bench.harvest()] == [""]


def test_the_error_of_a_stop_is_told(bench: Bench) -> None:
    bench.order(Action.START_VM)
    bench.harvest()
    bench.vm.pause()
    bench.order(Action.SHUTDOWN_VM)
    (result,) = bench.harvest()
    assert (result.order, result.error) == (SHUTDOWN, "it is not running")


def test_an_error_that_is_none_of_ours_is_told_with_its_kind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise ValueError("no such thing")

    bench.order(Action.START_VM)
    bench.harvest()
    monkeypatch.setattr(bench.vm, "shutdown", fails)
    bench.order(Action.SHUTDOWN_VM)
    assert [result.error for result in bench.harvest()] == ["ValueError: no such thing"]


def test_a_new_start_forgets_why_the_one_before_it_failed(bench: Bench) -> None:
    bench.order(Action.START_VM, blocked_why="storage is silent")
    assert bench.executor.start == LatestStart(StartOutcome.FAILED, "storage is silent")
    bench.order(Action.START_VM)
    assert bench.executor.start == LatestStart(StartOutcome.RUNNING)
    bench.harvest()
    assert bench.executor.start == LatestStart(StartOutcome.OK)


def test_the_end_of_a_stop_ends_no_start(bench: Bench) -> None:
    bench.runner.hang(START)
    bench.order(Action.START_VM)
    bench.order(Action.DESTROY_VM)
    (result,) = bench.harvest()
    assert (result.order, result.domain, result.error) == (DESTROY, None, "")
    assert bench.outcome is StartOutcome.RUNNING


def between_hosts(bench: Bench) -> None:
    """A migration from here has left the VM paused."""
    bench.order(Action.START_VM)
    (result,) = bench.harvest()
    assert result.domain is not None and result.domain.pid is not None
    bench.version = bench.lockspace.held_version(result.domain.pid)
    bench.vm.pause(Pause.MIGRATION)


def test_a_vm_between_two_hosts_is_resumed_with_its_lease(bench: Bench) -> None:
    between_hosts(bench)
    assert bench.order(Action.RESUME_VM) == ""
    assert [(result.order, result.error) for result in bench.harvest()] == [(RESUME, "")]
    assert bench.vm.now.state is DomainState.RUNNING


def test_it_is_not_resumed_without_the_version_of_its_lease(bench: Bench) -> None:
    between_hosts(bench)
    bench.version = None
    bench.order(Action.RESUME_VM)
    (result,) = bench.harvest()
    assert (result.order, result.error) == (
        RESUME,
        "it is not known with which version of the lease it ran",
    )
    assert bench.vm.now.state is DomainState.PAUSED


# --- an order that comes late -----------------------------------------------------------


def run_another(bench: Bench) -> None:
    bench.vm.end(Ending.CRASHED)
    bench.vm.start(domain_xml())


LATE = {
    "qemu is another process now (pid 4002, not 4001)": run_another,
    "the VM is paused now, not running": lambda bench: bench.vm.pause(),
    "it came 95 s too late; to be decided anew": lambda bench: bench.clock.advance(110),
}


@pytest.mark.parametrize("why", LATE)
@pytest.mark.parametrize(
    ("action", "call"), [(Action.SHUTDOWN_VM, "shutdown"), (Action.DESTROY_VM, "destroy")]
)
def test_a_late_order_meets_nothing_but_what_was_judged(
    bench: Bench, action: Action, call: str, why: str
) -> None:
    bench.order(Action.START_VM)
    bench.harvest()
    bench.runner.hang(DESTROY if action is Action.DESTROY_VM else SHUTDOWN)
    bench.order(action)
    LATE[why](bench)
    bench.runner.release(DESTROY if action is Action.DESTROY_VM else SHUTDOWN)
    (result,) = bench.harvest()
    assert result.error == why
    assert call not in bench.vm.calls


def test_an_order_that_libvirt_kept_waiting_is_late_too(bench: Bench) -> None:
    bench.order(Action.START_VM)
    bench.harvest()
    bench.vm.hang()
    bench.order(Action.DESTROY_VM)
    bench.clock.advance(LATEST_S + 1)
    bench.vm.heal()
    bench.clock.advance(1)
    (result,) = bench.harvest()
    assert "too late" in result.error
    assert bench.vm.now.state is DomainState.RUNNING


def test_a_vm_that_is_gone_needs_no_order(bench: Bench) -> None:
    bench.order(Action.START_VM)
    bench.harvest()
    bench.runner.hang(DESTROY)
    bench.order(Action.DESTROY_VM)
    bench.vm.end(Ending.CRASHED)
    bench.runner.release(DESTROY)
    assert [result.error for result in bench.harvest()] == [""]
    assert "destroy" not in bench.vm.calls


def test_a_start_that_hangs_is_given_up(bench: Bench) -> None:
    bench.runner.hang(START)
    bench.order(Action.START_VM)
    bench.clock.advance(LIMIT_S)
    assert not bench.executor.give_up_start(bench.clock.monotonic_s(), LIMIT_S)
    bench.clock.advance(1)
    assert bench.executor.give_up_start(bench.clock.monotonic_s(), LIMIT_S)
    assert bench.outcome is StartOutcome.FAILED
    assert bench.executor.start.why == "libvirt has not ended the start within 60 s"
    assert not bench.executor.give_up_start(bench.clock.monotonic_s(), LIMIT_S)


def test_a_start_that_has_ended_is_not_given_up_before_it_was_heard_of(bench: Bench) -> None:
    bench.order(Action.START_VM)
    bench.clock.advance(100)
    assert not bench.executor.give_up_start(bench.clock.monotonic_s(), LIMIT_S)
    bench.harvest()
    assert bench.outcome is StartOutcome.OK


def test_a_given_up_start_stands_against_the_next_one(bench: Bench) -> None:
    bench.runner.hang(START)
    bench.order(Action.START_VM)
    assert bench.executor.unfinished_why(bench.clock.monotonic_s()) == ""
    bench.clock.advance(61)
    bench.executor.give_up_start(bench.clock.monotonic_s(), LIMIT_S)
    why = bench.executor.unfinished_why(bench.clock.monotonic_s())
    assert why == "libvirt has not ended an earlier start for 61 s"
    assert bench.order(Action.START_VM) == "the previous such order has not ended"
    assert bench.runner.submitted == [START]


def test_the_late_end_of_a_given_up_start_changes_no_verdict(bench: Bench) -> None:
    bench.runner.hang(START)
    bench.order(Action.START_VM)
    bench.clock.advance(61)
    bench.executor.give_up_start(bench.clock.monotonic_s(), LIMIT_S)
    bench.runner.release(START)
    (result,) = bench.harvest()
    assert bench.outcome is StartOutcome.FAILED
    assert result.domain is not None, "the VM runs all the same, and that is seen"
    assert bench.executor.unfinished_why(bench.clock.monotonic_s()) == ""


def test_the_late_error_of_a_given_up_start_is_told(bench: Bench) -> None:
    bench.vm.start_error = HypervisorError("start the domain", "no memory")
    bench.runner.hang(START)
    bench.order(Action.START_VM)
    bench.executor.give_up_start(bench.clock.monotonic_s() + 61, LIMIT_S)
    bench.runner.release(START)
    assert [result.error for result in bench.harvest()] == ["no memory"]


@pytest.mark.parametrize(
    ("key", "action", "why"),
    [
        (DESTROY, Action.DESTROY_VM, "the order to switch the VM off has not ended for 9 s"),
        (SHUTDOWN, Action.SHUTDOWN_VM, "the order to shut the VM down has not ended for 9 s"),
    ],
)
def test_a_hanging_stop_stands_against_a_start(
    bench: Bench, key: str, action: Action, why: str
) -> None:
    bench.runner.hang(key)
    bench.order(action)
    bench.clock.advance(9)
    assert bench.executor.unfinished_why(bench.clock.monotonic_s()) == why
    bench.runner.release(key)
    bench.harvest()
    assert bench.executor.unfinished_why(bench.clock.monotonic_s()) == ""
