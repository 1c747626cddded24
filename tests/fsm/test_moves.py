# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine moves alive: on purpose, told before, to the best host, and else it stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsm import Action, State
from fsm.guards import REPEAT_TICKS
from fsm.memory import MAINTENANCE
from fsm.moves import NO_REASON, not_chosen
from fsm.observation import HostStop, Lease, MoveOutcome, MoveRequest, Peer, Vm, VmEnding
from fsm.own_moves import longest_move_s
from fsm.table import UNANNOUNCED
from metadata.liveness import Liveness
from metadata.records import Health
from tests.fsm.test_stories import CONFIG, GONE, TIMING, Host, peer

MOVING, WAITING = State.ENGINE_MIGRATING_AWAY, State.LOCAL_MAINTENANCE_MIGRATE_VM


def taker(host_id: int, score: int = 3400, **fields: Any) -> Peer:
    """A host that takes the engine."""
    return peer(host_id, score, **{"takes_at": f"qemu+tls://h{host_id}/system", **fields})


def engine_on(*peers: Peer) -> Host:
    return Host(peers=peers).running()


def moving(*peers: Peer, **wanted: Any) -> Host:
    """A host whose engine libvirt has just been told to move."""
    host = engine_on(*(peers or (taker(2), taker(3))))
    host.settle(1, move_announced=True, **(wanted or {"local_maintenance": True}))
    assert host.last.actions == (Action.MIGRATE_VM,)
    host.see(move_outcome=MoveOutcome.RUNNING)
    assert host.memory.state is MOVING
    return host


REQUEST = MoveRequest("one")
FAILED = {"move_outcome": MoveOutcome.FAILED, "move_why": "the network is gone"}
MOVED = {"vm_ending": VmEnding.MIGRATED, **GONE}


# --- local maintenance ----------------------------------------------------------------


def test_local_maintenance_moves_the_engine_first() -> None:
    host = engine_on(taker(2, 3000), taker(3))
    assert host.settle(1, local_maintenance=True) is MOVING
    assert host.memory.move_target_id == 3
    assert "then the engine moves to h3" in host.last.why
    assert host.see(1, move_announced=True).actions == (Action.MIGRATE_VM,)
    assert host.see(1, move_outcome=MoveOutcome.RUNNING, vm_leaving=True).actions == ()
    assert host.settle(1, move_outcome=MoveOutcome.DONE, **MOVED) is State.LOCAL_MAINTENANCE
    assert host.memory.crashed_at_s is None


def test_nothing_moves_before_the_others_can_know_it() -> None:
    host = engine_on(taker(2))
    host.settle(1, local_maintenance=True)
    host.see(TIMING.away_s - 1)
    assert host.last.actions == ()
    assert host.memory.state is MOVING
    host.settle(1)
    assert host.memory.move_refusals == ((2, UNANNOUNCED),)
    assert host.memory.state is WAITING


def test_a_host_that_refuses_is_followed_by_the_next() -> None:
    host = moving()
    assert host.memory.move_target_id == 2
    host.settle(1, **FAILED)
    assert host.memory.state is MOVING
    assert host.memory.move_target_id == 3
    assert host.memory.move_refusals == ((2, "the network is gone"),)
    assert host.memory.move_tries == 2
    host.see(1, move_outcome=MoveOutcome.RUNNING)
    host.settle(1, move_outcome=MoveOutcome.FAILED, move_why="")
    assert host.memory.move_refusals[1] == (3, NO_REASON)


def test_when_all_have_refused_local_maintenance_is_taken_back_with_each_reason() -> None:
    host = moving(taker(2), peer(3, takes_not="too little free memory"))
    host.settle(1, **FAILED)
    assert host.memory.state is WAITING
    assert host.last.actions == (Action.END_LOCAL_MAINTENANCE,)
    assert "h2: the network is gone; h3: too little free memory" in host.last.why
    host.see(REPEAT_TICKS * TIMING.tick_s - 1)
    assert host.last.actions == ()
    assert host.see(1).actions == (Action.END_LOCAL_MAINTENANCE,)
    assert host.settle(1, local_maintenance=False) is State.ENGINE_UP


def test_no_more_hosts_are_tried_than_the_settings_say() -> None:
    host = moving(*(taker(host_id) for host_id in range(2, 8)))
    for _ in range(CONFIG.migration.tries):
        assert host.memory.state is MOVING
        host.settle(1, **FAILED)
        if host.last.actions == (Action.MIGRATE_VM,):
            host.see(1, move_outcome=MoveOutcome.RUNNING)
    assert host.memory.state is WAITING
    assert host.last.actions == (Action.END_LOCAL_MAINTENANCE,)
    assert len(host.memory.move_refusals) == CONFIG.migration.tries


@pytest.mark.parametrize("health", [Health.GOOD, Health.BAD])
def test_the_next_local_maintenance_tries_all_hosts_again(health: Health) -> None:
    host = moving(taker(2))
    host.settle(1, **FAILED)
    host.settle(1, local_maintenance=False)
    before = host.settle(1, health=health)
    assert before is (State.ENGINE_UP if health is Health.GOOD else State.ENGINE_UP_BAD_HEALTH)
    assert host.settle(60, local_maintenance=True) is MOVING
    assert host.memory.move_refusals == ()


def test_a_moment_of_not_knowing_tries_all_hosts_again() -> None:
    host = moving(taker(2), taker(3))
    host.settle(1, **FAILED)
    assert host.memory.move_refusals == ((2, "the network is gone"),)
    host.settle(1, vm=Vm.UNKNOWN)
    host.settle(1, vm=Vm.RUNNING, move_outcome=MoveOutcome.NONE)
    assert host.memory.state is MOVING
    assert host.memory.move_refusals == ()


def test_hosts_that_may_still_show_themselves_are_waited_for() -> None:
    host = engine_on(peer(2, fresh=False, liveness=Liveness.UNKNOWN))
    assert host.settle(1, local_maintenance=True) is WAITING
    assert host.last.actions == ()
    assert host.settle(1, peers=(taker(2),)) is MOVING


def test_in_global_maintenance_nothing_moves_by_itself() -> None:
    host = engine_on(taker(2))
    assert host.settle(1, local_maintenance=True, global_maintenance=True) is (
        State.GLOBAL_MAINTENANCE
    )
    host = engine_on(taker(2))
    host.settle(1, local_maintenance=True)
    assert host.settle(1, global_maintenance=True, move_announced=True) is (
        State.GLOBAL_MAINTENANCE
    )


@pytest.mark.parametrize("wanted", [{"local_maintenance": True}, {"move_request": REQUEST}])
def test_what_is_not_wanted_any_more_does_not_begin(wanted: Any) -> None:
    host = engine_on(taker(2))
    assert host.settle(1, **wanted) is MOVING
    over = {"local_maintenance": False, "move_request": None}
    assert host.settle(1, move_announced=True, **over) is State.ENGINE_UP
    assert host.last.actions == ()


def test_a_move_under_way_ends_though_global_maintenance_begins() -> None:
    host = moving(taker(2))
    busy = {"move_outcome": MoveOutcome.RUNNING, "vm_leaving": True}
    assert host.settle(1, global_maintenance=True, **busy) is MOVING


@pytest.mark.parametrize("outcome", [MoveOutcome.NONE, MoveOutcome.RUNNING])
def test_an_agent_that_comes_back_goes_on_for_local_maintenance(outcome: MoveOutcome) -> None:
    host = moving()
    host.settle(1, vm=Vm.UNKNOWN)
    assert host.memory.state is State.UNKNOWN_LOCAL_VM_STATE
    expected = WAITING if outcome is MoveOutcome.RUNNING else MOVING
    assert host.settle(1, vm=Vm.RUNNING, move_outcome=outcome) is expected


def _broken_off_at_its_limit(host: Host) -> None:
    """Not before that, whoever gave libvirt the order."""
    since_s = host.memory.since_s
    assert since_s is not None
    left_s = longest_move_s(CONFIG) - (host.seen.now_s - since_s)
    assert host.see(left_s - 1).actions == ()
    assert host.see(1).actions == (Action.ABORT_MIGRATION,)


def test_post_copy_is_not_broken_off_at_the_limit_at_which_it_begins() -> None:
    post_copy = replace(CONFIG, migration=replace(CONFIG.migration, post_copy=True))
    assert longest_move_s(post_copy) == TIMING.migration_s
    assert CONFIG.migration.limit_s < longest_move_s(CONFIG) < TIMING.migration_s


@pytest.mark.parametrize("by_another_agent", [False, True])
def test_a_move_that_goes_on_meanwhile_is_still_this_one(by_another_agent: bool) -> None:
    host = moving(taker(2), **ASKED)
    busy = {"vm_leaving": True, "move_outcome": MoveOutcome.NONE}
    host.settle(1, vm=Vm.UNKNOWN)
    if by_another_agent:  # what it gave an order for is not kept
        host.memory = replace(host.memory, move_ordered=False)
    assert host.settle(1, vm=Vm.RUNNING, **busy) is MOVING
    _broken_off_at_its_limit(host)
    host.settle(1, vm_leaving=False)
    assert host.memory.state is State.ENGINE_UP
    assert host.memory.move_refusals == ((2, NO_REASON),)


def test_a_paused_vm_is_left_as_it_is() -> None:
    host = engine_on(peer(2))
    host.settle(1, local_maintenance=True)
    assert host.settle(1, vm=Vm.PAUSED, vm_holds_lease=None) is State.LOCAL_MAINTENANCE


STRANDED = {"vm": Vm.PAUSED, "vm_stranded": True, "vm_holds_lease": None, "vm_detail": "no way out"}
STATES_WITH_VM = {
    State.ENGINE_STARTING: {"vm": Vm.RUNNING, "health": Health.BAD, "vm_holds_lease": True},
    State.ENGINE_UP: {},
    State.ENGINE_UP_BAD_HEALTH: {"health": Health.BAD},
    State.ENGINE_STOP: {"host_stops": HostStop.STOP},
}


def host_in(state: State) -> Host:
    """A host whose engine was on its way through that state."""
    host = Host() if state is State.ENGINE_STARTING else engine_on()
    ours = {"lease": Lease.OURS, "lease_owner_id": 1}
    assert host.settle(1, **{**ours, **STATES_WITH_VM[state]}) is state
    return host


@pytest.mark.parametrize("state", STATES_WITH_VM)
def test_a_stranded_vm_is_switched_off_at_once_and_nobody_has_failed(state: State) -> None:
    host = host_in(state)
    assert host.settle(1, **STRANDED) is State.ENGINE_FORCE_STOP
    assert host.last.actions == (Action.DESTROY_VM,)
    assert host.last.why == (
        "the VM is paused for good: no way out; it is switched off, to be started anew"
    )
    host.settle(1, vm_ending=VmEnding.STOPPED, **GONE, vm_stranded=False)
    assert host.memory.state is State.ENGINE_DOWN
    assert (host.memory.failed_starts_s, host.memory.crashed_at_s) == ((), None)
    assert host.memory.tries == 0


@pytest.mark.parametrize("outcome", MoveOutcome)
def test_one_that_was_to_move_is_so_whatever_libvirt_says_of_the_move(outcome: MoveOutcome) -> None:
    host = moving(taker(2), **ASKED)
    between = {"vm": Vm.IN_TRANSIT, "vm_leaving": True}
    assert host.settle(1, move_outcome=outcome, **between) is MOVING
    assert host.settle(40, vm_leaving=False, **STRANDED) is State.ENGINE_FORCE_STOP
    assert host.last.actions == (Action.DESTROY_VM,)


@pytest.mark.parametrize("broken_off", [False, True])
def test_an_agent_that_begins_anew_beside_it_does_the_same(broken_off: bool) -> None:
    if broken_off:
        host = moving(taker(2), **ASKED)
        host.settle(1, vm=Vm.UNKNOWN)
    else:
        host = Host()
    ours = {"lease": Lease.OURS, "lease_owner_id": 1}
    assert host.settle(1, **{**ours, **STRANDED}) is State.ENGINE_FORCE_STOP


@pytest.mark.parametrize("scope", ["local_maintenance", "global_maintenance"])
def test_in_maintenance_a_stranded_vm_is_left_alone_with_a_word(scope: str) -> None:
    host = moving(taker(2), **ASKED)
    host.settle(1, vm=Vm.IN_TRANSIT, vm_leaving=True, move_outcome=MoveOutcome.NONE)
    rests = host.settle(40, **{scope: True, "vm_leaving": False, **STRANDED})
    assert rests is (
        State.LOCAL_MAINTENANCE if scope == "local_maintenance" else State.GLOBAL_MAINTENANCE
    )
    assert host.see(1000).actions == ()
    assert "paused for good: no way out" in host.last.why
    assert "until somebody switches it off" in host.last.why
    assert host.settle(1, **{scope: False}) is State.ENGINE_FORCE_STOP


def test_local_maintenance_that_began_the_move_says_so_too() -> None:
    host = moving(taker(2))
    host.settle(1, vm=Vm.IN_TRANSIT, vm_leaving=True, move_outcome=MoveOutcome.NONE)
    assert host.settle(40, vm_leaving=False, **STRANDED) is State.LOCAL_MAINTENANCE
    assert "paused for good: no way out" in host.last.why


def test_a_paused_vm_that_may_yet_go_on_is_not_switched_off() -> None:
    host = engine_on(peer(2))
    assert host.settle(1, vm=Vm.PAUSED, vm_holds_lease=None) is State.ENGINE_UP_BAD_HEALTH
    assert host.see(TIMING.bad_health_s - 1).actions == ()


def test_the_source_goes_on_first_in_local_maintenance_too() -> None:
    host = moving(taker(2))
    between = {"vm": Vm.IN_TRANSIT, "vm_leaving": True, "lease": Lease.FREE}
    host.see(1, move_outcome=MoveOutcome.RUNNING, **between)
    host.see(2 * TIMING.tick_s)
    assert host.last.actions == (Action.ABORT_MIGRATION, Action.RESUME_VM)


# --- a person's order -----------------------------------------------------------------

ASKED = {"move_request": REQUEST}


def test_a_persons_order_moves_the_engine_and_the_host_stays_in() -> None:
    host = moving(**ASKED)
    assert host.last.score.points == 3400
    theirs = {"lease": Lease.THEIRS, "lease_owner_id": 2, "lease_owner": "h2"}
    assert host.settle(1, **MOVED, **theirs) is State.ENGINE_DOWN
    assert "now runs on h2" in host.memory.why


def test_an_engine_that_comes_back_is_not_moved_again_for_the_same_order() -> None:
    host = moving(**ASKED)
    host.settle(1, **MOVED, lease=Lease.THEIRS, lease_owner_id=2)
    host.settle(1, move_outcome=MoveOutcome.NONE)
    back = {"vm": Vm.RUNNING, "health": Health.GOOD, "lease": Lease.OURS, "lease_owner_id": 1}
    assert host.settle(60, vm_holds_lease=True, **back) is State.ENGINE_UP


def test_the_host_that_a_person_names_is_the_only_one_tried() -> None:
    host = moving(taker(2), taker(3, 2000), move_request=MoveRequest("one", 3))
    assert host.memory.move_target_id == 3
    host.settle(1, **FAILED)
    assert host.memory.state is State.ENGINE_UP
    assert host.memory.move_ended
    assert "h3: the network is gone" in host.last.why
    assert "h2" not in host.last.why


def test_a_person_may_name_a_host_that_nobody_would_choose() -> None:
    host = moving(taker(2, 0), taker(3), move_request=MoveRequest("one", 2))
    assert host.memory.move_target_id == 2


def test_an_order_that_came_to_nothing_is_not_tried_again_but_the_next_is() -> None:
    host = moving(taker(2), **ASKED)
    host.settle(1, **FAILED)
    assert host.settle(60) is State.ENGINE_UP
    assert host.settle(1, move_request=MoveRequest("two")) is MOVING
    assert host.memory.move_refusals == ()


@pytest.mark.parametrize("state", ["ill", "global"])
def test_people_may_move_an_ill_engine_and_in_global_maintenance(state: str) -> None:
    host = engine_on(taker(2))
    if state == "ill":
        assert host.settle(1, health=Health.BAD) is State.ENGINE_UP_BAD_HEALTH
    else:
        assert host.settle(1, global_maintenance=True) is State.GLOBAL_MAINTENANCE
    assert host.settle(1, **ASKED) is MOVING


def test_local_maintenance_that_begins_meanwhile_has_tries_of_its_own() -> None:
    host = moving(taker(2), **ASKED)
    host.settle(1, local_maintenance=True, **FAILED)
    assert host.memory.state is MOVING
    assert host.memory.move_for == MAINTENANCE


@pytest.mark.parametrize(
    "fields",
    [
        {"vm_holds_lease": None},
        {"lease": Lease.THEIRS, "lease_owner_id": 2},
        {"lease": Lease.UNKNOWN},
        {"vm_leaving": True},
        {"move_outcome": MoveOutcome.RUNNING},
        {"vm": Vm.IN_TRANSIT},
    ],
    ids=str,
)
def test_only_an_engine_with_its_lease_that_nobody_moves_is_moved(fields: Any) -> None:
    assert engine_on(taker(2)).settle(1, **ASKED, **fields) is not MOVING


# --- what may become of it ------------------------------------------------------------


def test_a_crash_on_the_way_is_a_crash() -> None:
    host = moving(**ASKED)
    host.settle(1, vm_ending=VmEnding.CRASHED, **GONE)
    assert host.memory.state is State.ENGINE_DOWN
    assert host.memory.crashed_at_s is not None


def test_a_second_crash_on_the_way_lets_others_go_first() -> None:
    host = moving(**ASKED)
    host.memory = replace(host.memory, crashed_at_s=host.seen.now_s - 10)
    host.settle(1, vm_ending=VmEnding.CRASHED, **GONE)
    assert host.memory.state is State.ENGINE_UNEXPECTEDLY_DOWN


def test_a_migration_that_takes_too_long_is_broken_off_again_and_again() -> None:
    host = moving(taker(2), **ASKED)
    host.see(1, move_outcome=MoveOutcome.RUNNING, vm_leaving=True)
    _broken_off_at_its_limit(host)
    host.see(1)
    assert host.last.actions == ()
    assert host.see(REPEAT_TICKS * TIMING.tick_s).actions == (Action.ABORT_MIGRATION,)


def test_a_vm_that_libvirt_only_said_to_have_moved_stays_in_the_end() -> None:
    host = moving(taker(2), **ASKED)
    host.see(1, move_outcome=MoveOutcome.DONE)
    assert host.memory.state is MOVING
    assert host.settle(longest_move_s(CONFIG)) is State.ENGINE_UP


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"liveness": Liveness.UNKNOWN}, "sanlock does not call it alive"),
        ({"liveness": Liveness.FAIL}, "sanlock does not call it alive"),
        ({"fresh": False}, "its record is old"),
        ({"stopped": True}, "its agent is stopped"),
        ({"maintenance": True}, "it is in local maintenance"),
        ({"takes_at": "", "takes_not": "the bridge is down"}, "the bridge is down"),
        ({"takes_at": ""}, "older"),
        ({"score": 0}, "its score is 0"),
    ],
    ids=str,
)
def test_each_host_that_does_not_take_the_engine_says_why(fields: Any, why: str) -> None:
    one = taker(2, **fields)
    assert why in not_chosen(one)
    host = engine_on(one)
    host.settle(3 * TIMING.tick_s, local_maintenance=True)
    assert host.memory.state is WAITING
    assert why in host.last.why


def test_a_lonely_host_says_so() -> None:
    assert engine_on().settle(1, local_maintenance=True) is WAITING
    assert host_says("there is no other host")


def host_says(text: str) -> bool:
    host = engine_on()
    host.settle(1, local_maintenance=True)
    return text in host.last.why


# --- the host is shut down ------------------------------------------------------------

DOWN = {"host_stops": HostStop.MIGRATE, "blocked_why": "this host is being shut down"}


def test_the_engine_leaves_a_host_that_is_shut_down() -> None:
    host = moving(**DOWN)
    assert host.settle(1, **MOVED, lease=Lease.FREE, lease_owner_id=None) is State.ENGINE_MAYBE_AWAY
    assert host.settle(TIMING.away_s) is State.ENGINE_DOWN
    assert host.last.actions == ()


def test_where_no_host_takes_it_the_engine_is_shut_down_in_order() -> None:
    host = engine_on(peer(2, takes_not="too little free memory"))
    assert host.settle(1, **DOWN) is State.ENGINE_STOP
    assert host.last.actions == (Action.SHUTDOWN_VM,)
    assert "h2: too little free memory" in host.last.why
    host.settle(1)
    assert host.memory.state is State.ENGINE_STOP
    host.settle(1, vm_ending=VmEnding.STOPPED, **GONE, lease=Lease.FREE, lease_owner_id=None)
    assert host.memory.state is State.ENGINE_DOWN
    assert host.last.actions == ()
    assert host.memory.failed_starts_s == ()


def test_after_the_last_refusal_it_is_shut_down() -> None:
    host = moving(taker(2), **DOWN)
    host.settle(1, **FAILED)
    assert host.memory.state is State.ENGINE_STOP
    assert "h2: the network is gone" in host.last.why


def test_a_host_may_be_told_to_shut_the_engine_down_at_once() -> None:
    host = engine_on(taker(2))
    assert host.settle(1, **{**DOWN, "host_stops": HostStop.STOP}) is State.ENGINE_STOP
    assert "can't" not in host.last.why


@pytest.mark.parametrize("how", HostStop)
def test_before_it_is_shut_down_the_others_have_the_time_to_read_of_it(how: HostStop) -> None:
    host = engine_on(peer(2))
    untold = {**DOWN, "host_stops": how, "host_stop_told": False}
    assert host.settle(TIMING.tick_s - 1, **untold) is State.ENGINE_UP
    assert host.last.actions == ()
    assert host.settle(1, host_stop_told=True) is State.ENGINE_STOP
    assert host.last.actions == (Action.SHUTDOWN_VM,)


@pytest.mark.parametrize("others", [(), (peer(2, score=0),), (peer(2, stopped=True),)])
def test_where_nobody_else_could_start_it_nobody_needs_to_know(others: tuple[Peer, ...]) -> None:
    host = engine_on(*others)
    assert host.settle(1, **DOWN, host_stop_told=False) is State.ENGINE_STOP


@pytest.mark.parametrize("how", HostStop)
def test_a_booting_engine_is_shut_down_with_its_host(how: HostStop) -> None:
    host = Host()
    up = {"vm": Vm.RUNNING, "lease": Lease.OURS, "health": Health.BAD, "vm_holds_lease": True}
    assert host.settle(**up) is State.ENGINE_STARTING
    assert host.settle(1, **{**DOWN, "host_stops": how}) is State.ENGINE_STOP


def test_local_maintenance_does_not_keep_the_engine_on_a_host_that_is_shut_down() -> None:
    host = engine_on(peer(2))
    host.settle(1, local_maintenance=True)
    assert host.memory.state is WAITING
    assert host.settle(1, **DOWN) is State.ENGINE_STOP
    assert host.settle(1, health=Health.GOOD) is State.ENGINE_STOP


def test_in_global_maintenance_the_engine_is_left_alone() -> None:
    host = engine_on(taker(2))
    assert host.settle(1, global_maintenance=True, **DOWN) is State.GLOBAL_MAINTENANCE
    assert host.settle(30) is State.GLOBAL_MAINTENANCE
    assert host.last.actions == ()
