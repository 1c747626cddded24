# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Moves that a host itself wants: nobody reaches its engine, or another host is much better."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsm import Action, State
from fsm.guards import GO_ON_TICKS
from fsm.memory import BETTER, CUT_OFF, DARK
from fsm.observation import (
    HostCondition,
    HostStop,
    Lease,
    MoveOutcome,
    MoveRequest,
    Peer,
    Vm,
    VmEnding,
)
from fsm.own_moves import move_limit_s
from metadata import reach
from metadata.reach import Sight
from metadata.records import Health
from tests.fsm.test_stories import CONFIG, GONE, TIMING, Host, peer

MOVING, UP = State.ENGINE_MIGRATING_AWAY, State.ENGINE_UP
MIGRATION = CONFIG.migration
CUT = HostCondition(network_failed_fraction=1.0)
# 1600 points less.
POOR = HostCondition(network_failed_fraction=1.0)
FAILED = {"move_outcome": MoveOutcome.FAILED, "move_why": "no connection"}
LEFT = {"vm_ending": VmEnding.MIGRATED, **GONE, "lease": Lease.THEIRS, "lease_owner_id": 2}


def taker(host_id: int, score: int = 3400, **fields: Any) -> Peer:
    return peer(host_id, score, **{"takes_at": f"qemu://h{host_id}/system", **fields})


def witness(host_id: int, sight: Sight = Sight.DARK, good: bool = True, **fields: Any) -> Peer:
    return taker(host_id, testimony=reach.Testimony(sight, 1, good), **fields)


def cut_off(*peers: Peer) -> Host:
    host = Host(peers=peers).running()
    host.see(5, condition=CUT)
    return host


def ordered(host: Host) -> None:
    host.settle(1, move_announced=True)
    assert host.last.actions == (Action.MIGRATE_VM,)
    host.see(move_outcome=MoveOutcome.RUNNING)


# --- out of reach ---------------------------------------------------------------------


def test_an_engine_that_is_cut_off_moves_alive_first() -> None:
    host = cut_off(witness(2), witness(3))
    assert host.settle(TIMING.isolated_s) is MOVING
    assert (host.memory.move_for, host.memory.move_target_id) == (CUT_OFF, 2)
    assert "it is out of reach here" in host.memory.why
    ordered(host)
    assert host.settle(1, **LEFT) is State.ENGINE_DOWN
    assert host.memory.gave_away_at_s == host.seen.now_s
    assert not host.memory.gave_away_uplink
    assert host.last.score.points == 1


def test_after_each_host_that_can_has_failed_it_is_stopped_as_before() -> None:
    host = cut_off(witness(2), witness(3, good=False), taker(4), witness(5))
    host.settle(TIMING.isolated_s)
    for target_id in (2, 5):
        assert (host.memory.state, host.memory.move_target_id) == (MOVING, target_id)
        ordered(host)
        host.settle(1, move_announced=False, **FAILED)
    assert (host.memory.state, host.last.actions) == (State.ENGINE_STOP, (Action.SHUTDOWN_VM,))
    assert host.memory.giving_away


def test_no_more_is_tried_once_its_time_is_over() -> None:
    host = cut_off(witness(2))
    host.settle(TIMING.isolated_s)
    assert host.memory.state is MOVING
    host.see(MIGRATION.out_of_reach_s - 1)
    assert host.memory.state is MOVING
    assert host.settle(1) is State.ENGINE_STOP


def test_libvirt_gets_what_is_left_of_that_time() -> None:
    host = cut_off(witness(2))
    host.settle(TIMING.isolated_s)
    host.see(10)
    assert move_limit_s(host.memory, host.seen, CONFIG) == MIGRATION.out_of_reach_s - 10
    assert move_limit_s(Host().memory, host.seen, CONFIG) == MIGRATION.limit_s


def test_its_time_goes_on_while_the_vm_is_held_in_between() -> None:
    host = cut_off(witness(2))
    host.settle(TIMING.isolated_s)
    ordered(host)
    since_s = host.memory.cut_off_since_s
    host.see(3, vm=Vm.IN_TRANSIT, vm_leaving=True)
    back = {"vm": Vm.RUNNING, "vm_leaving": False, **FAILED}
    host.see(1, **back)
    assert host.memory.cut_off_since_s == since_s


def cut_off_on_its_way(**asked: Any) -> Host:
    """Its network fails while it moves for another reason."""
    host = Host(peers=(witness(2, Sight.REACHED), witness(3, Sight.REACHED))).running()
    assert host.settle(1, **asked) is MOVING
    ordered(host)
    host.see(1, vm_leaving=True, condition=CUT, peers=(witness(2), witness(3)))
    return host


ASKED = {"move_request": MoveRequest("one", 2)}
STAYS = {**FAILED, "move_announced": False, "vm_leaving": False}


@pytest.mark.parametrize("asked", [ASKED, {"local_maintenance": True}], ids=str)
def test_what_it_has_lasted_while_the_vm_moved_for_others_counts(asked: Any) -> None:
    host = cut_off_on_its_way(**asked)
    host.settle(30, **STAYS)
    host.settle(0, peers=(witness(2, takes_at=""), witness(3, takes_at="")))
    host.settle(0, local_maintenance=False)
    assert host.settle(TIMING.isolated_s - 31) is UP
    assert host.settle(1) is State.ENGINE_STOP
    assert "h2, h3 can't reach the engine here" in host.last.why


def test_after_such_a_move_a_few_looks_are_needed() -> None:
    """Its copying alone may have kept the engine from answering."""
    host = cut_off_on_its_way(**ASKED)
    host.see(2 * TIMING.isolated_s)
    looks_s = GO_ON_TICKS * TIMING.tick_s
    assert host.settle(0, **STAYS) is UP
    assert host.settle(looks_s - 1) is UP
    assert host.settle(1) is MOVING
    assert host.memory.move_for == CUT_OFF


def booting_cut_off(*peers: Peer) -> Host:
    """Its engine boots, and its network fails."""
    host = Host(peers=peers)
    runs = {"vm": Vm.RUNNING, "lease": Lease.OURS, "lease_owner_id": 1, "vm_holds_lease": True}
    assert host.settle(0, **runs, condition=CUT) is State.ENGINE_STARTING
    return host


def test_what_it_has_lasted_while_the_engine_booted_counts() -> None:
    host = booting_cut_off(witness(2, takes_at=""))
    assert host.settle(40) is State.ENGINE_STARTING
    assert host.settle(0, health=Health.GOOD) is UP
    assert host.settle(TIMING.isolated_s - 41) is UP
    assert host.settle(1) is State.ENGINE_STOP


def test_after_the_boot_a_few_looks_are_needed() -> None:
    """The others have not yet seen that its page is there."""
    host = booting_cut_off(witness(2, takes_at=""))
    assert host.settle(2 * TIMING.isolated_s) is State.ENGINE_STARTING
    host.settle(0, health=Health.GOOD)
    assert host.settle(GO_ON_TICKS * TIMING.tick_s - 1) is UP
    assert host.settle(1) is State.ENGINE_STOP


def test_one_that_boots_is_dark_for_all_and_no_less_well_for_that() -> None:
    good = HostCondition(network_failed_fraction=0.0)
    host = booting_cut_off(witness(2), witness(3))
    host.settle(2 * TIMING.isolated_s, condition=good)
    assert host.settle(1, health=Health.GOOD) is UP
    assert host.memory.dark_since_s == host.seen.now_s


def test_a_moment_in_libvirts_hands_begins_nothing_anew() -> None:
    """A snapshot, say."""
    host = cut_off(witness(2, takes_at=""))
    host.see(20, vm=Vm.IN_TRANSIT)
    host.see(1, vm=Vm.RUNNING)
    assert host.settle(TIMING.isolated_s - 22) is UP
    assert host.settle(1) is State.ENGINE_STOP


def test_where_a_network_is_back_it_stays() -> None:
    host = cut_off(witness(2))
    host.settle(TIMING.isolated_s)
    assert host.settle(1, peers=(witness(2, Sight.REACHED),)) is UP
    assert host.last.actions == ()


def test_behind_a_good_network_it_moves_too() -> None:
    host = Host(peers=(witness(2), witness(3))).running()
    host.see(condition=HostCondition(network_failed_fraction=0.0))
    assert host.settle(TIMING.bad_health_s) is MOVING
    assert host.memory.move_for == DARK
    ordered(host)
    host.settle(1, **LEFT)
    assert host.memory.gave_away_uplink


def test_in_global_maintenance_nothing_of_that_happens() -> None:
    host = cut_off(witness(2))
    host.see(global_maintenance=True)
    assert host.settle(2 * TIMING.isolated_s) is State.GLOBAL_MAINTENANCE
    assert host.last.actions == ()


# --- a much better host ---------------------------------------------------------------


def beside(*peers: Peer, **fields: Any) -> Host:
    """Its engine is well; h1 has 1800 points."""
    host = Host(peers=peers).running()
    host.see(1, condition=POOR, **fields)
    return host


def reached(host_id: int, score: int = 3400, **fields: Any) -> Peer:
    return witness(host_id, Sight.REACHED, **{"score": score, **fields})


def test_a_host_that_has_been_much_better_for_long_gets_it_alive() -> None:
    host = beside(reached(2, 2600), reached(3, 2599))
    assert (
        "h2 is 800 points better, and the engine moves there alive if that lasts" in host.last.why
    )
    assert host.settle(MIGRATION.better_s - 1) is UP
    assert host.settle(1) is MOVING
    assert (host.memory.move_for, host.memory.move_target_id) == (BETTER, 2)
    assert "that host has been better for long, by 800 points now" in host.memory.why
    ordered(host)
    assert host.settle(1, **LEFT) is State.ENGINE_DOWN
    assert host.memory.gave_away_at_s is None


def test_a_move_to_a_better_host_goes_on_where_nobody_reaches_the_engine() -> None:
    """It is no worse a place for that."""
    host = beside(reached(2), reached(3))
    assert host.settle(MIGRATION.better_s) is MOVING
    host.see(1, peers=(witness(2), witness(3)))
    assert host.memory.cut_off_since_s is not None
    assert (host.memory.state, host.memory.wants) == (MOVING, BETTER)


def test_what_is_not_so_for_a_moment_begins_anew() -> None:
    host = beside(reached(2))
    host.see(MIGRATION.better_s - 1)
    host.see(1, peers=(reached(2, 2599),))
    host.see(1, peers=(reached(2),))
    assert host.settle(MIGRATION.better_s - 1) is UP
    assert host.settle(1) is MOVING


def test_starts_that_failed_here_make_no_other_host_better() -> None:
    """They say where the engine is to be started next; here it is well by now."""
    host = Host(peers=(reached(2),)).running()
    lately = (host.seen.now_s,) * CONFIG.score.failed_starts_to_zero
    host.memory = replace(host.memory, failed_starts_s=lately)
    host.see(1)
    assert host.last.score.points == 0
    assert host.memory.better_since_s is None
    assert "better" not in host.last.why


def test_the_host_that_was_better_first_is_waited_for() -> None:
    host = beside(reached(2, 2700))
    host.see(MIGRATION.better_s - 1, peers=(reached(2, 2700), reached(3, 3400)))
    host.settle(1)
    assert host.memory.move_target_id == 2


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"takes_at": "", "takes_not": "too little free memory"}, "too little free memory"),
        ({"takes_at": ""}, "its program is older"),
    ],
)
def test_where_it_can_not_go_alive_it_stays_and_says_why(fields: Any, why: str) -> None:
    host = beside(reached(2, **fields))
    assert host.settle(2 * MIGRATION.better_s) is UP
    assert host.last.actions == ()
    assert f"can't take the engine alive: {why}" in host.last.why


def test_one_that_had_its_turn_in_vain_is_no_better_place() -> None:
    turn = CONFIG.score.failed_starts_to_zero
    assert beside(reached(2, tries=turn)).settle(2 * MIGRATION.better_s) is UP


def test_a_move_that_failed_is_tried_once_and_then_much_later() -> None:
    host = beside(reached(2), reached(3))
    host.settle(MIGRATION.better_s)
    ordered(host)
    assert host.settle(1, **FAILED) is UP
    assert host.settle(MIGRATION.better_s - 1, move_outcome=MoveOutcome.NONE) is UP
    assert host.settle(1) is MOVING


def test_all_hosts_together_have_a_limit_for_each_day() -> None:
    most = MIGRATION.better_per_day
    host = beside(reached(2), reached(3, better_moves=most - 1))
    host.settle(MIGRATION.better_s)
    ordered(host)
    host.settle(1, **FAILED)
    assert host.settle(2 * MIGRATION.better_s, move_outcome=MoveOutcome.NONE) is UP
    assert f"it has moved for that {most} times a day" in host.last.why
    assert host.settle(86400 - 2 * MIGRATION.better_s - 1) is MOVING


@pytest.mark.parametrize(
    "fields",
    [
        {"global_maintenance": None},
        {"global_maintenance": True},
        {"health": Health.UNKNOWN},
        {"health": Health.BAD},
        {"vm_holds_lease": None},
        {"lease": Lease.UNKNOWN},
        {"host_stops": HostStop.STOP},
    ],
    ids=str,
)
def test_it_moves_only_where_all_is_known_to_be_well(fields: Any) -> None:
    assert beside(reached(2), **fields).settle(MIGRATION.better_s) is not MOVING


def test_an_order_of_a_person_that_came_to_nothing_stands_in_no_ones_way() -> None:
    host = beside(reached(2), move_request=MoveRequest("one", 7))
    host.settle(15)
    assert host.memory.move_ended
    assert host.settle(MIGRATION.better_s) is MOVING
    assert host.memory.move_for == BETTER


# --- the target's word, once more ------------------------------------------------------


def test_a_target_that_goes_down_meanwhile_is_passed_over() -> None:
    host = Host(peers=(taker(2), taker(3))).running()
    assert host.settle(1, host_stops=HostStop.MIGRATE) is MOVING
    gone = taker(2, takes_at="", takes_not="this host is being shut down")
    host.settle(1, peers=(gone, taker(3)), move_announced=True)
    assert (host.memory.state, host.memory.move_target_id) == (MOVING, 3)
    assert host.memory.move_refusals == ((2, "this host is being shut down"),)


def test_a_last_step_that_hangs_is_broken_off_and_the_vm_goes_on() -> None:
    host = Host(peers=(taker(2),)).running()
    host.settle(1, local_maintenance=True)
    ordered(host)
    between = {"vm": Vm.IN_TRANSIT, "vm_leaving": True, "lease": Lease.FREE}
    host.see(1, **between)
    assert host.see(2 * TIMING.tick_s).actions == (Action.ABORT_MIGRATION, Action.RESUME_VM)


# --- an engine that has just arrived ---------------------------------------------------


def arrived(health: Health, *peers: Peer) -> Host:
    host = Host(peers=peers)
    here = {"vm": Vm.RUNNING, "lease": Lease.OURS, "lease_owner_id": 1, "vm_holds_lease": True}
    assert host.settle(**here, health=health) is State.ENGINE_STARTING
    return host


@pytest.mark.parametrize("health", [Health.UNKNOWN, Health.BAD])
def test_one_that_has_just_arrived_or_boots_leaves_a_host_that_goes_down(health: Health) -> None:
    host = arrived(health, taker(2))
    assert host.settle(1, host_stops=HostStop.MIGRATE) is MOVING
    assert host.memory.move_target_id == 2
    ordered(host)


@pytest.mark.parametrize("fields", [{"lease": Lease.UNKNOWN}, {"vm_holds_lease": None}], ids=str)
def test_until_its_lease_is_known_it_is_neither_moved_nor_stopped(fields: Any) -> None:
    host = arrived(Health.UNKNOWN, taker(2))
    assert host.settle(1, host_stops=HostStop.MIGRATE, **fields) is State.ENGINE_STARTING
    assert host.last.actions == ()
    assert host.settle(1, host_stops=HostStop.STOP) is State.ENGINE_STOP
    assert host.last.actions == (Action.SHUTDOWN_VM,)


def test_one_that_boots_is_not_moved_for_anything_else() -> None:
    host = arrived(Health.BAD, taker(2))
    assert host.settle(1, move_request=MoveRequest("one")) is State.ENGINE_STARTING


def test_where_nobody_takes_one_that_boots_it_ends_with_its_host() -> None:
    host = arrived(Health.BAD, peer(2, takes_not="too little free memory"))
    assert host.settle(1, host_stops=HostStop.MIGRATE) is State.ENGINE_STOP
    assert host.last.actions == (Action.SHUTDOWN_VM,)


def test_the_host_s_own_local_maintenance_goes_on_after_a_target_refused() -> None:
    host = Host(peers=(taker(2),)).running()
    assert host.settle(1, local_maintenance=True) is MOVING
    host.settle(1, peers=(taker(2, takes_at="", takes_not="its bridge is down"),))
    assert host.memory.state is State.LOCAL_MAINTENANCE_MIGRATE_VM
    assert host.memory.move_refusals == ((2, "its bridge is down"),)


def test_a_persons_order_ends_with_the_reason_of_the_target() -> None:
    host = Host(peers=(taker(2),)).running()
    assert host.settle(1, move_request=MoveRequest("one")) is MOVING
    host.settle(1, peers=(taker(2, takes_at="", takes_not="its bridge is down"),))
    assert host.memory.state is UP
    assert host.memory.move_ended
    assert "h2: its bridge is down" in host.last.why
