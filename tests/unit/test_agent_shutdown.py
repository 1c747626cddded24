# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""An agent whose host is shut down: it ends once the engine has left, and not before."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

import pytest

from fsm.observation import HostStop, Vm
from ha_agent.host_shutdown import WHY, HostShutdown, delay_why
from metadata.settings.parse import MigrationSettings, Timing
from metadata.shared_config import SharedConfig
from metadata.states import State
from tests.unit.agent_host import SETTINGS, TICK_S, AgentHost, host_view
from world.ports.libvirt import DomainState, Pause

MIGRATE = MigrationSettings(shutdown_s=100.0)
MOVE_S = MIGRATE.shutdown_s / 2


def begun() -> HostShutdown:
    shutdown = HostShutdown()
    shutdown.begin(1000.0)
    return shutdown


@pytest.mark.parametrize(
    ("policy", "after_s", "wanted"),
    [
        ("migrate", 0.0, HostStop.MIGRATE),
        ("migrate", MOVE_S - 0.1, HostStop.MIGRATE),
        ("migrate", MOVE_S, HostStop.STOP),
        ("migrate", MIGRATE.shutdown_s - 0.1, HostStop.STOP),
        ("migrate", MIGRATE.shutdown_s, None),
        ("stop", 0.0, HostStop.STOP),
        ("stop", MIGRATE.shutdown_s, None),
        ("leave", 0.0, None),
    ],
)
def test_half_of_the_time_is_for_a_move_and_half_for_the_guest(
    policy: str, after_s: float, wanted: Optional[HostStop]
) -> None:
    assert begun().wanted(1000.0 + after_s, replace(MIGRATE, at_shutdown=policy)) is wanted


def test_without_a_shutdown_nothing_is_wanted() -> None:
    assert HostShutdown().wanted(1000.0, MIGRATE) is None
    assert not HostShutdown().has_begun


@pytest.mark.parametrize(
    ("tick_s", "shutdown_s", "after_s"), [(5.0, 180.0, 5.0), (5.0, 12.0, 3.0), (60.0, 100.0, 25.0)]
)
def test_all_have_read_of_it_a_tick_later_or_it_is_not_waited_for(
    tick_s: float, shutdown_s: float, after_s: float
) -> None:
    timing, settings = Timing(tick_s=tick_s), replace(MIGRATE, shutdown_s=shutdown_s)
    assert begun().told_at_s(timing, settings) == 1000.0 + after_s
    assert HostShutdown().told_at_s(timing, settings) is None


@pytest.mark.parametrize(
    ("vm", "state", "waits"),
    [
        (Vm.RUNNING, State.ENGINE_UP, True),
        (Vm.IN_TRANSIT, State.ENGINE_MIGRATING_AWAY, True),
        (Vm.UNKNOWN, State.UNKNOWN_LOCAL_VM_STATE, True),
        (Vm.ABSENT, State.ENGINE_START, True),
        (Vm.ABSENT, State.ENGINE_DOWN, False),
        (Vm.PAUSED, State.ENGINE_UP_BAD_HEALTH, False),
        (Vm.RUNNING, State.GLOBAL_MAINTENANCE, False),
    ],
)
def test_it_waits_for_a_vm_that_can_leave(vm: Vm, state: State, waits: bool) -> None:
    shutdown = begun()
    assert shutdown.waits(1001.0, MIGRATE, vm, state) is waits
    assert shutdown.waits(1002.0, MIGRATE, Vm.RUNNING, State.ENGINE_UP) is waits


@pytest.mark.parametrize(
    ("vm", "state", "policy", "words"),
    [
        (Vm.RUNNING, State.ENGINE_UP, "migrate", "moves to another host first, 100 s at the most"),
        (Vm.RUNNING, State.ENGINE_UP, "stop", "is shut down first, 100 s at the most"),
        (Vm.RUNNING, State.ENGINE_UP, "leave", ""),
        (Vm.RUNNING, State.GLOBAL_MAINTENANCE, "migrate", ""),
        (Vm.PAUSED, State.ENGINE_UP_BAD_HEALTH, "migrate", ""),
        (Vm.ABSENT, State.ENGINE_DOWN, "migrate", ""),
    ],
)
def test_people_are_told_of_a_shutdown_that_takes_a_while(
    vm: Vm, state: State, policy: str, words: str
) -> None:
    why = delay_why(vm, state, replace(MIGRATE, at_shutdown=policy))
    assert why == (f"the engine VM runs here and {words}" if words else "")


# --- the agent ------------------------------------------------------------------------


@pytest.fixture
def running() -> AgentHost:
    host = AgentHost()
    host.bring_engine_up()
    return host


def settings_of(host: AgentHost, **migration: object) -> None:
    settings = replace(SETTINGS, migration=replace(SETTINGS.migration, **migration))  # type: ignore[arg-type]
    config = host.broker.config
    host.broker.config = SharedConfig(config.sequence + 1, settings, config.domain_xml)
    host.run_for(2 * TICK_S)


def test_where_nobody_can_take_it_the_guest_is_shut_down_first(running: AgentHost) -> None:
    running.vm.guest_obeys_after_s = 10.0
    running.agent.request_stop(with_host=True)
    running.settle()
    assert running.state is State.ENGINE_STOP
    assert running.vm.calls == ["shutdown"]
    assert running.agent.holds_up_shutdown
    running.run_until(lambda: running.agent.finished)
    assert running.vm.domain().state is DomainState.ABSENT
    assert "start" not in running.vm.calls
    assert running.last_published().stopped
    assert not running.agent.holds_up_shutdown


def test_the_guest_is_asked_a_tick_after_the_others_could_read_of_it(running: AgentHost) -> None:
    running.broker.peers = (host_view(2),)
    running.vm.guest_obeys_after_s = 10.0
    running.run_for(TICK_S + 1)
    running.agent.request_stop(with_host=True)
    running.settle()
    assert dict(running.last_published().notes)["cannot-start"] == WHY
    running.run_for(TICK_S - 0.1)
    assert running.state is State.ENGINE_UP
    assert running.vm.calls == []
    running.run_for(0.1)
    assert running.state is State.ENGINE_STOP
    assert running.vm.calls == ["shutdown"]


def test_a_guest_that_does_not_obey_holds_the_shutdown_up_for_a_while_only(
    running: AgentHost,
) -> None:
    settings_of(running, shutdown_s=60.0)
    running.vm.guest_obeys_after_s = None
    running.agent.request_stop(with_host=True)
    running.run_for(59)
    assert not running.agent.finished
    running.run_for(1 + TICK_S)
    assert running.agent.finished
    assert running.vm.domain().state is DomainState.RUNNING


@pytest.mark.parametrize("why", ["leave", "global", "paused"])
def test_what_stays_holds_nothing_up(running: AgentHost, why: str) -> None:
    if why == "leave":
        settings_of(running, at_shutdown="leave")
    elif why == "global":
        running.broker.override = {"global_maintenance": True}
    else:
        running.vm.pause(Pause.USER)
    running.run_for(2 * TICK_S)
    running.vm.calls.clear()
    running.agent.request_stop(with_host=True)
    running.settle()
    assert running.state is State.AGENT_STOPPED
    assert running.vm.calls == []


def test_a_host_without_the_engine_ends_at_once() -> None:
    host = AgentHost()
    host.another_host_takes_the_lease()
    host.settle()
    assert host.state is State.ENGINE_DOWN
    host.agent.request_stop(with_host=True)
    host.settle()
    assert host.state is State.AGENT_STOPPED
    assert host.agent.finished


def test_while_it_is_shut_down_it_neither_starts_nor_takes_the_engine(running: AgentHost) -> None:
    running.vm.guest_obeys_after_s = 10.0
    running.agent.request_stop(with_host=True)
    running.run_for(TICK_S)
    notes = dict(running.last_published().notes)
    assert notes["cannot-start"] == WHY
    assert notes["takes"].startswith("no, ")


def test_an_agent_that_is_stopped_alone_leaves_the_engine_as_it_is(running: AgentHost) -> None:
    running.agent.request_stop()
    running.settle()
    assert running.state is State.AGENT_STOPPED
    assert running.vm.calls == []


def test_while_the_engine_runs_here_people_see_that_a_shutdown_takes_a_while(
    running: AgentHost,
) -> None:
    assert "moves to another host first" in running.services.delay_why
    settings_of(running, at_shutdown="leave")
    assert running.services.delay_why == ""
    settings_of(running, at_shutdown="stop")
    assert "is shut down first" in running.services.delay_why
    running.agent.request_stop(with_host=True)
    running.run_until(lambda: running.agent.finished)
    assert running.services.delay_why == ""
