# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What holds for the table as a whole, whatever is observed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from fsm import TABLE, Action, State, step
from fsm.diagram import main, page
from fsm.machine import fire, walk
from fsm.observation import Lease, Observation, Vm
from fsm.table import rows_of
from metadata.reach import Sight
from metadata.records import Health
from metadata.settings.parse import ClusterSettings, EngineSettings
from metadata.states import SENTENCE
from tests.fsm.strategies import MEMORIES, OBSERVATIONS

CONFIG = ClusterSettings(engine=EngineSettings(fqdn="engine.example.org"))
PAGE = Path(__file__).parents[2] / "docs" / "states.md"
many = settings(max_examples=1500, deadline=None)


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_last_row_without_guards(state: State) -> None:
    rows = rows_of(state)
    assert rows, f"{state.value} has no row"
    assert rows[-1].guards == ()
    assert all(row.guards for row in rows[:-1]), "a row behind one without guards never fires"


def test_every_state_is_reachable_from_the_first() -> None:
    reached = {State.START_STATE}
    while True:
        further = {row.target for row in TABLE if row.source in reached} - reached
        if not further:
            break
        reached |= further
    assert reached == set(State)


def test_every_state_but_the_last_can_be_left() -> None:
    left = {row.source for row in TABLE if not row.keeps_state}
    assert set(State) - left == {State.AGENT_STOPPED}


def test_every_state_has_a_sentence() -> None:
    assert set(SENTENCE) == set(State)


def test_no_two_rows_of_a_state_ask_the_same() -> None:
    for state in State:
        asked = [frozenset(guard.name for guard in row.guards) for row in rows_of(state)]
        assert len(asked) == len(set(asked)), state.value


def test_every_guard_says_what_it_means() -> None:
    for row in TABLE:
        for guard in row.guards:
            assert guard.meaning or guard.name.startswith("not "), guard.name


def test_only_one_row_starts_the_vm_and_it_carries_its_conditions() -> None:
    starting = [row for row in TABLE if Action.START_VM in row.actions]
    assert [row.source for row in starting] == [State.ENGINE_DOWN]
    names = {guard.name for guard in starting[0].guards}
    assert {
        "vm_absent",
        "lease_free_or_left",
        "not start_blocked",
        "out_of_global_maintenance",
        "not sits_out",
        "our_turn",
    } <= names


def test_a_forced_stop_comes_only_after_a_stop() -> None:
    entering = {row.source for row in TABLE if row.target is State.ENGINE_FORCE_STOP}
    assert entering == {State.ENGINE_STOP, State.ENGINE_FORCE_STOP}
    destroying = {row.target for row in TABLE if Action.DESTROY_VM in row.actions}
    assert destroying == {State.ENGINE_FORCE_STOP}


@many
@given(memory=MEMORIES, observation=OBSERVATIONS)
def test_the_library_and_the_direct_walk_take_the_same_row(memory, observation) -> None:
    assert fire(memory, observation, CONFIG) is walk(memory, observation, CONFIG)


@many
@given(memory=MEMORIES, observation=OBSERVATIONS)
def test_a_step_never_fails_and_its_reason_is_one_full_line(memory, observation) -> None:
    decision = step(memory, observation, CONFIG)
    assert decision.why
    assert "\n" not in decision.why
    assert "{" not in decision.why
    assert 0 <= decision.score.points <= CONFIG.score.base


@many
@given(memory=MEMORIES, observation=OBSERVATIONS)
def test_the_vm_is_started_only_where_it_is_safe(memory, observation) -> None:
    decision = step(memory, observation, CONFIG)
    if Action.START_VM not in decision.actions:
        return
    left_s = memory.lease_left_since_s
    long_left = left_s is not None and observation.now_s - left_s >= CONFIG.timing.turn_s
    assert observation.lease is Lease.FREE or (observation.lease is Lease.OURS and long_left)
    assert observation.vm is Vm.ABSENT
    assert observation.global_maintenance is False
    assert not observation.local_maintenance
    assert not observation.stop_requested
    assert not observation.blocked_why


def is_unreached(observation: Observation) -> bool:
    """May anybody think that nobody reaches the engine here? Said again, without the guards."""
    fresh = [peer for peer in observation.peers if peer.fresh]
    words = [peer.testimony for peer in fresh if peer.testimony is not None]
    about = [word for word in words if word.engine_host_id == observation.host_id]
    if any(word.sight is Sight.REACHED for word in about):
        return False
    failed = observation.condition.network_failed_fraction
    if failed == 1.0 and not words:
        return any(peer.score >= 2600 for peer in fresh)
    dark = sum(word.sight is Sight.DARK and word.network_good is True for word in about)
    return dark > (0 if failed == 1.0 else 1) if failed is not None else False


@many
@given(memory=MEMORIES, observation=OBSERVATIONS)
def test_a_healthy_engine_in_reach_with_its_lease_is_never_stopped(memory, observation) -> None:
    if is_unreached(observation):
        return
    healthy = observation.vm is Vm.RUNNING and observation.health is Health.GOOD
    if not healthy or observation.vm_holds_lease is False:
        return
    if observation.host_stops is not None:
        return  # it goes with its host
    if memory.state is State.ENGINE_FORCE_STOP:
        return  # it did not shut down, or has lost its lease: that goes on to its end
    if memory.state is State.ENGINE_STOP and observation.vm_holds_lease is None:
        return  # it may be stopped for a lease that nobody can confirm now
    if memory.state is State.ENGINE_STOP and memory.giving_away:
        return  # that goes on until it is known to be in reach again
    decision = step(memory, observation, CONFIG)
    assert not {Action.SHUTDOWN_VM, Action.DESTROY_VM} & set(decision.actions)
    assert decision.memory.state is not State.ENGINE_STOP


@many
@given(memory=MEMORIES, observation=OBSERVATIONS)
def test_in_maintenance_a_stranded_vm_is_left_alone(memory, observation) -> None:
    seen = replace(observation, vm=Vm.PAUSED, vm_stranded=True)
    left = seen.global_maintenance is True or seen.local_maintenance
    if left and memory.state not in (State.ENGINE_FORCE_STOP, State.START_STATE):
        decision = step(memory, seen, CONFIG)
        assert decision.actions == ()
        assert decision.memory.state is not State.ENGINE_FORCE_STOP


@many
@given(memory=MEMORIES, observation=OBSERVATIONS)
def test_nothing_is_done_while_libvirt_is_silent_or_the_agent_stops(memory, observation) -> None:
    decision = step(memory, observation, CONFIG)
    if observation.vm is Vm.UNKNOWN or observation.stop_requested:
        assert decision.actions == ()


@many
@given(memory=MEMORIES, observation=OBSERVATIONS)
def test_the_next_wake_lies_ahead(memory, observation) -> None:
    decision = step(memory, observation, CONFIG)
    assert decision.wake_at_s is None or decision.wake_at_s > observation.now_s


@many
@given(memory=MEMORIES, observation=OBSERVATIONS)
def test_the_memory_stays_bounded(memory, observation) -> None:
    after = step(memory, observation, CONFIG).memory
    assert len(after.failed_starts_s) <= CONFIG.score.failed_starts_to_zero


def test_the_committed_page_is_the_tables() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run hosted-engine-fsm --write"


def test_a_stale_page_is_told(tmp_path, capsys) -> None:
    stale = tmp_path / "states.md"
    stale.write_text(page() + "old", encoding="utf-8")
    assert main(["--check", str(stale)]) == 1
    assert "stale" in capsys.readouterr().err
    assert main(["--write", str(stale)]) == 0
    assert main(["--check", str(stale)]) == 0


def test_a_missing_page_is_told_without_a_traceback(tmp_path, capsys) -> None:
    assert main(["--check", str(tmp_path / "none.md")]) == 1
    assert "none.md" in capsys.readouterr().err
