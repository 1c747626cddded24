# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The agent's cycle through whole stories, in virtual time, each as a person would tell it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Callable, Optional

import pytest

from ha_agent.agent import START_PATIENCE_S, STOP_PATIENCE_S
from ha_agent.observation import domain_poller
from ha_agent.publication.recent_history import TRANSITIONS_KEPT
from ha_broker.api.snapshot import LockspaceView, StorageView
from metadata.records import EngineVm, Health
from metadata.shared_config import SharedConfig
from metadata.states import State
from simulation.world.clock import CallHangs
from tests.unit.agent_host import SETTINGS, TICK_S, AgentHost, domain_xml, host_view
from world.ports.errors import HypervisorError
from world.ports.libvirt import Domain, DomainState, Ending
from world.ports.sanlock import Membership

TIMING = SETTINGS.timing


@pytest.fixture
def host() -> AgentHost:
    return AgentHost()


@pytest.fixture
def running(host: AgentHost) -> AgentHost:
    host.bring_engine_up()
    host.states.clear()
    return host


# --- starting -------------------------------------------------------------------------


def test_cold_start(host: AgentHost) -> None:
    host.settle()
    assert host.state is State.ENGINE_STARTING
    assert host.vm.calls == ["start"]
    assert host.vm.started_xml == [domain_xml()]
    assert host.last_published().engine_status.detail == "Powering up"
    host.broker.health = Health.BAD
    host.run_for(4 * TICK_S)
    assert host.state is State.ENGINE_STARTING
    host.broker.health = Health.GOOD
    host.run_until(lambda: host.state is State.ENGINE_UP)
    assert host.last_published().engine_status.detail == "Up"
    assert host.last_published().score == 3400
    assert host.vm.calls == ["start"]


def test_the_record_brings_along_what_the_agent_did(host: AgentHost) -> None:
    host.bring_engine_up()
    told = host.last_published()
    changes = [(one.before, one.after) for one in told.transitions]
    assert changes[-2:] == [("EngineStart", "EngineStarting"), ("EngineStarting", "EngineUp")]
    assert changes[0][0] == "StartState"
    assert [one.number for one in told.transitions] == list(range(1, len(changes) + 1))
    assert told.in_state_since_s == told.transitions[-1].at_s
    assert told.life_at_s is not None
    assert told.life_at_s <= told.transitions[0].at_s


def test_a_new_agent_counts_anew(host: AgentHost) -> None:
    host.bring_engine_up()
    before = host.last_published()
    host.run_for(TICK_S)
    host.restart_agent()
    host.run_for(TICK_S)
    after = host.last_published()
    own = [one for one in after.transitions if one.number > 0]
    assert [one.number for one in own] == list(range(1, len(own) + 1))
    assert after.life_at_s is not None
    assert all(one.at_s >= after.life_at_s for one in own)
    assert before.in_state_since_s is not None
    assert after.life_at_s > before.in_state_since_s


def test_what_earlier_agents_did_in_this_boot_is_kept(host: AgentHost) -> None:
    host.bring_engine_up()
    done = [(one.at_s, one.before, one.after) for one in host.last_published().transitions]
    for _ in range(3):
        host.run_for(TICK_S)
        host.restart_agent()
        host.run_for(2 * TICK_S)
    told = host.last_published().transitions
    assert len(told) == TRANSITIONS_KEPT
    first = next(place for place, one in enumerate(told) if one.number == 1)
    assert [one.number for one in told] == list(range(1 - first, len(told) + 1 - first))
    assert [one.at_s for one in told] == sorted(one.at_s for one in told)
    kept = [(one.at_s, one.before, one.after) for one in told if one.at_s <= done[-1][0]]
    assert kept == done[-len(kept) :]
    host.history.power_off()
    host.restart_agent()
    host.run_for(2 * TICK_S)
    assert host.last_published().transitions[0].number == 1


def test_each_state_is_published_before_it_is_acted_on(
    host: AgentHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = host.vm.start
    published: list[str] = []

    def noted_start(xml: str, before_run: Callable[[Optional[int]], None]) -> Domain:
        published.extend(record.state for record in host.broker.published)
        return start(xml, before_run)

    monkeypatch.setattr(host.vm, "start", noted_start)
    host.settle()
    assert published[-1] == "EngineStart"


def test_a_slow_start_is_waited_for(host: AgentHost) -> None:
    host.vm.start_takes_s = 30.0
    host.settle()
    host.run_for(29)
    assert host.state is State.ENGINE_START
    host.run_for(2)
    assert host.state is State.ENGINE_STARTING


def test_a_question_that_waits_for_the_end_of_the_start_makes_nothing_unknown(
    host: AgentHost,
) -> None:
    host.vm.start_takes_s = 12.0
    host.settle()
    host.runner.hang(domain_poller.KEY)
    host.run_for(12)
    assert host.runner.busy_since_s(domain_poller.KEY) is not None
    states = [record.state for record in host.broker.published]
    assert states[-2:] == ["EngineStart", "EngineStarting"]
    host.run_for(TICK_S)
    assert host.state is State.ENGINE_STARTING
    host.run_for(1)
    assert host.state is State.UNKNOWN_LOCAL_VM_STATE, "libvirt hangs after the start, too"


def test_an_answer_from_before_the_start_ended_is_no_failed_start(
    host: AgentHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = host.vm.domain

    def slow_look() -> Domain:
        seen = look()
        host.clock.spend(2.0)
        return seen

    host.broker.override = BLOCKERS["storage fails"]
    host.settle()
    assert host.state is State.ENGINE_DOWN
    monkeypatch.setattr(host.vm, "domain", slow_look)
    monkeypatch.setattr(host.vm, "on_change", lambda _callback: None)
    host.vm._callbacks.clear()
    host.vm.start_takes_s = 1.0
    host.run_for(TICK_S)
    host.broker.override = {}
    host.clock.advance(host.agent.next_due_s - host.clock.monotonic_s())
    host.settle()
    assert host.state is State.ENGINE_START
    host.run_for(1)
    assert host.state is State.ENGINE_STARTING
    host.run_for(1)
    assert host.state is State.ENGINE_STARTING
    assert host.agent.memory.failed_starts_s == ()


def test_the_start_itself_asks_for_the_lease_while_it_runs(host: AgentHost) -> None:
    host.vm.start_takes_s = 12.0
    host.settle()
    host.run_for(11)
    assert host.state is State.ENGINE_START
    assert "lease-check" not in host.runner.submitted
    host.run_for(TICK_S)
    assert "lease-check" in host.runner.submitted


def test_without_the_lock_manager_nothing_runs_and_people_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    host = AgentHost(has_lock_manager=False)
    host.settle()
    assert host.vm.calls == ["start"]
    assert host.vm.domain().state is DomainState.ABSENT
    assert any("lock_manager" in record.message for record in caplog.records)
    host.run_for(60)
    assert 1 <= len(host.agent.memory.failed_starts_s) <= 3


def test_a_start_that_hangs_is_given_up_and_its_late_vm_adopted(host: AgentHost) -> None:
    host.runner.hang("start")
    host.settle()
    assert host.state is State.ENGINE_START
    host.run_for(TIMING.start_s + TICK_S)
    assert host.state is State.ENGINE_DOWN
    assert len(host.agent.memory.failed_starts_s) == 1
    assert host.runner.submitted.count("start") == 1, "no second start beside a hanging one"
    host.runner.release("start")
    host.broker.health = Health.GOOD
    host.run_until(lambda: host.state is State.ENGINE_UP)
    assert host.vm.calls == ["start"]


def test_a_start_that_hangs_behind_the_running_vm_does_not_hide_a_lost_lease(
    host: AgentHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = host.vm.start

    def start_and_hang(xml: str, before_run: Callable[[Optional[int]], None]) -> Domain:
        if not host.vm.started_xml:
            start(xml, before_run)
        raise CallHangs("the last look at the lease")

    monkeypatch.setattr(host.vm, "start", start_and_hang)
    host.settle()
    host.run_for(TIMING.start_s + TICK_S)
    assert host.state is State.ENGINE_STARTING
    host.lockspace.holders.clear()
    host.run_for(TICK_S)
    assert host.vm.calls == ["start", "destroy"]


BLOCKERS: dict[str, dict[str, Any]] = {
    "storage fails": {"storage": StorageView(last_read_at_s=1025.0, error="EIO")},
    "not in the lockspace": {"lockspace": LockspaceView(Membership.OUT, "no sanlock")},
    "broker of another host id": {"host_id": 2},
}


@pytest.mark.parametrize("name", BLOCKERS)
def test_what_blocks_a_start_blocks_it(host: AgentHost, name: str) -> None:
    host.broker.override = BLOCKERS[name]
    host.settle()
    host.run_for(60)
    assert host.state is State.ENGINE_DOWN
    assert host.vm.calls == []
    host.broker.override = {}
    host.run_until(lambda: host.state is State.ENGINE_STARTING)


def test_a_refused_domain_xml_is_not_started_until_it_is_mended(host: AgentHost) -> None:
    host.broker.config = SharedConfig(1, SETTINGS, domain_xml(lease=""))
    host.settle()
    host.run_for(20)
    assert host.vm.calls == []
    assert "the domain XML is refused" in host.services.status_text
    host.broker.config = SharedConfig(2, SETTINGS, domain_xml())
    host.run_until(lambda: host.state is State.ENGINE_STARTING)


# --- the engine dies ------------------------------------------------------------------


def test_good_health_of_the_dead_vm_is_not_the_new_ones(running: AgentHost) -> None:
    stale = running.broker.latest_snapshot().snapshot
    assert stale is not None
    running.clock.advance(1.0)
    running.broker.override = {"engine": stale.engine}
    running.vm.crash()
    running.settle()
    assert running.state is State.ENGINE_STARTING


def test_the_lease_lost_to_another_host_after_a_crash(running: AgentHost) -> None:
    running.broker.override = {"lockspace": LockspaceView(Membership.OUT)}
    running.vm.crash()
    running.settle()
    running.another_host_takes_the_lease()
    running.broker.override = {}
    running.run_for(60)
    assert running.state is State.ENGINE_DOWN
    assert running.vm.calls == []
    assert running.last_published().score == 3400


def test_a_vm_without_its_lease_is_switched_off(running: AgentHost) -> None:
    running.lockspace.holders.clear()
    running.run_for(TICK_S)
    assert running.vm.calls == ["destroy"], "the second look does not wait for a tick"
    assert running.vm.domain().state is DomainState.ABSENT


def test_sanlock_gone_for_long_ends_the_vm_before_another_host_may_start_it(
    running: AgentHost,
) -> None:
    running.lockspace.kill_daemon()
    limit_s = 8.0 * TIMING.io_timeout_s
    running.run_for(limit_s - TICK_S)
    assert running.vm.calls == []
    passed_s = running.run_until(lambda: running.vm.calls == ["destroy"])
    assert passed_s <= 3 * TICK_S


def test_sanlock_restarting_for_a_moment_ends_nothing(running: AgentHost) -> None:
    holders = set(running.lockspace.holders)
    running.lockspace._alive = False
    running.run_for(30)
    running.lockspace._alive = True
    assert running.lockspace.holders == holders
    running.run_for(120)
    assert running.vm.calls == []
    assert running.state is State.ENGINE_UP


def test_sanlocks_silence_in_an_earlier_life_is_not_held_against_the_new_vm(
    running: AgentHost,
) -> None:
    running.lockspace._alive = False
    running.run_for(30)
    running.broker.override = BLOCKERS["not in the lockspace"]
    running.lockspace._alive = True
    running.vm.crash()
    running.run_for(100)
    running.vm.start(domain_xml())  # by an administrator
    running.run_until(lambda: running.state is State.ENGINE_UP)
    assert running.vm.calls == ["start"]


# --- what must not disturb it ---------------------------------------------------------


def test_libvirt_hung_stops_nothing(running: AgentHost) -> None:
    running.runner.hang("domain")
    running.run_for(2 * TICK_S + 1)
    assert running.state is State.UNKNOWN_LOCAL_VM_STATE
    assert "libvirt has not answered for" in running.services.status_text
    running.run_for(600)
    assert running.vm.calls == []
    running.runner.release("domain")
    running.run_until(lambda: running.state is State.ENGINE_UP)
    assert running.vm.calls == []


def test_broker_gone_with_the_engine_here(running: AgentHost) -> None:
    running.broker.gone = True
    running.run_for(3600, step_s=5.0)
    assert running.vm.calls == []
    assert running.state is State.ENGINE_UP
    running.broker.gone = False
    running.run_for(10)
    assert running.state is State.ENGINE_UP
    assert running.last_published().engine_status.health is Health.GOOD


def test_broker_gone_with_the_engine_away_starts_nothing(host: AgentHost) -> None:
    other = host.another_host_takes_the_lease()
    host.settle()
    host.broker.gone = True
    other.release(9001)
    host.run_for(600, step_s=5.0)
    assert host.vm.calls == []
    assert host.state is State.ENGINE_DOWN
    assert "the broker has not answered for" in host.services.status_text
    host.broker.peers = ()
    host.broker.gone = False
    host.run_until(lambda: host.vm.calls == ["start"], limit_s=30)


def test_an_agent_killed_while_libvirt_starts_the_vm_adopts_it(host: AgentHost) -> None:
    host.runner.hang("start")
    host.settle()
    assert host.state is State.ENGINE_START
    host.vm.start(domain_xml())
    host.restart_agent()
    host.broker.health = Health.GOOD
    host.settle()
    assert host.state is State.ENGINE_UP
    assert host.vm.calls == ["start"]


def test_an_agent_frozen_for_long_acts_on_nothing_old(running: AgentHost) -> None:
    """SIGSTOP for ten minutes in bad health: the time-out has passed, the health is old."""
    running.broker.health = Health.BAD
    running.run_until(lambda: running.state is State.ENGINE_UP_BAD_HEALTH)
    running.broker.gone = True
    running.clock.advance(600)
    running.agent.tick()
    assert running.vm.calls == []
    running.broker.gone = False
    running.broker.health = Health.GOOD
    running.run_until(lambda: running.state is State.ENGINE_UP)
    assert running.vm.calls == []


def test_publishing_that_fails_does_not_keep_a_vm_alive(
    running: AgentHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.runner.hang("publish")
    running.broker.health = Health.BAD
    running.run_until(lambda: "shutdown" in running.vm.calls, TIMING.bad_health_s + 60)


# --- stopping the agent ---------------------------------------------------------------


def test_a_stop_is_published_and_touches_nothing(running: AgentHost) -> None:
    running.agent.request_stop()
    assert not running.agent.finished
    running.settle()
    assert running.state is State.AGENT_STOPPED
    record = running.last_published()
    assert (record.stopped, record.score, record.state) == (True, 0, "AgentStopped")
    assert record.engine_status.vm is EngineVm.UP
    assert running.agent.finished
    assert running.vm.calls == []
    assert running.vm.domain().state is DomainState.RUNNING


def test_a_stop_waits_for_the_write_but_not_for_ever(running: AgentHost) -> None:
    written_s = running.clock.monotonic_s() - 1
    running.broker.override = {"storage": StorageView(running.clock.monotonic_s(), written_s)}
    running.agent.request_stop()
    running.settle()
    assert running.state is State.AGENT_STOPPED
    assert not running.agent.finished
    running.run_for(STOP_PATIENCE_S + 1)
    assert running.agent.finished


def test_a_stop_without_a_broker_ends(running: AgentHost) -> None:
    running.broker.gone = True
    running.agent.request_stop()
    running.run_for(STOP_PATIENCE_S + 1)
    assert running.agent.finished
    assert running.vm.calls == []


def test_a_stop_during_a_start_lets_the_lease_check_end(host: AgentHost) -> None:
    host.vm.start_takes_s = 3.0
    host.settle()
    host.agent.request_stop()
    host.settle()
    assert not host.agent.finished
    host.run_for(4)
    assert host.agent.finished
    assert host.vm.calls == ["start"]


@pytest.mark.parametrize("takes_s", [STOP_PATIENCE_S + 5, 10 * START_PATIENCE_S])
def test_a_stop_leaves_no_start_half_done_unless_it_hangs(host: AgentHost, takes_s: float) -> None:
    host.vm.start_takes_s = takes_s
    host.settle()
    host.agent.request_stop()
    patience_s = min(takes_s, START_PATIENCE_S)
    host.run_for(patience_s - 1)
    assert not host.agent.finished
    host.run_for(2)
    assert host.agent.finished


# --- the cycle ------------------------------------------------------------------------


def test_a_change_of_state_is_followed_up_in_the_same_tick(running: AgentHost) -> None:
    running.vm.crash()
    running.agent.tick()
    assert running.vm.calls == [], "libvirt has been asked, and has not answered yet"
    running.agent.tick()
    assert running.vm.calls == ["start"]


def test_a_shorter_tick_counts_from_its_arrival(host: AgentHost) -> None:
    quick = replace(SETTINGS, timing=replace(TIMING, tick_s=1.0))
    host.broker.config = SharedConfig(1, quick, domain_xml())
    host.settle()
    assert host.agent.next_due_s == host.clock.monotonic_s() + 1.0


# --- what people see ------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "ha_agent"]


def test_one_line_per_change_of_state(host: AgentHost, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    host.bring_engine_up()
    changes = [line.split(":")[0] for line in lines(caplog) if " => " in line]
    assert changes == [
        "StartState => ReinitializeFSM",
        "ReinitializeFSM => EngineDown",
        "EngineDown => EngineStart",
        "EngineStart => EngineStarting",
        "EngineStarting => EngineUp",
    ]


def test_a_state_entered_again_says_again_why_it_stays(
    host: AgentHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    host.another_host_takes_the_lease()
    host.settle()
    for maintenance in (True, False):
        host.broker.override = {"global_maintenance": maintenance}
        host.run_for(TICK_S)
    assert lines(caplog).count("EngineDown: the engine's lease is held by h2") == 2


def test_a_long_wait_is_no_flood(host: AgentHost, caplog: pytest.LogCaptureFixture) -> None:
    host.broker.peers = (host_view(2),)
    host.settle()
    host.broker.gone = True
    host.run_for(30)
    caplog.set_level(logging.INFO)
    host.run_for(3600, step_s=5.0)
    assert len(lines(caplog)) <= 2


def test_a_failing_order_is_told_once(
    running: AgentHost, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise HypervisorError("shut the domain down", "the monitor is broken")

    monkeypatch.setattr(running.vm, "shutdown", refuse)
    running.broker.health = Health.BAD
    caplog.set_level(logging.WARNING)
    running.run_for(TIMING.bad_health_s + 120, step_s=5.0)
    told = [line for line in lines(caplog) if "the monitor is broken" in line]
    assert told == ["can't shut the VM down: the monitor is broken"]


def test_the_status_line_says_state_and_reason(running: AgentHost) -> None:
    assert running.services.status_text == "EngineUp: the engine runs here and is healthy"


def test_the_watchdog_hears_of_every_turn(host: AgentHost) -> None:
    host.agent.tick()
    before = host.services.calls.count("WATCHDOG=1")
    host.agent.tick()
    assert host.services.calls.count("WATCHDOG=1") == before + 1


def test_the_next_turn_is_due_one_tick_later(host: AgentHost) -> None:
    host.agent.tick()
    assert host.agent.next_due_s == host.clock.monotonic_s() + TICK_S


def test_an_idle_agent_publishes_once_per_tick(running: AgentHost) -> None:
    before = len(running.broker.published)
    running.run_for(10 * TICK_S)
    assert len(running.broker.published) == before + 10


def test_the_loop_wakes_for_a_time_out_that_falls_between_two_ticks() -> None:
    host = AgentHost()
    host.broker.health = Health.GOOD
    host.run_until(lambda: host.state is State.ENGINE_UP)
    host.run_for(TICK_S / 2)
    host.vm.end(Ending.GUEST_SHUTDOWN)
    host.settle()
    assert host.state is State.ENGINE_UNEXPECTEDLY_DOWN
    offers_itself_at_s = host.clock.monotonic_s() + 2 * SETTINGS.timing.turn_s
    host.run_for(2 * SETTINGS.timing.turn_s - 1)
    assert host.agent.next_due_s == offers_itself_at_s
    host.run_for(1)
    assert host.state is not State.ENGINE_UNEXPECTEDLY_DOWN
