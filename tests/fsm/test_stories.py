# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Single hosts' stories, step by step in virtual time; each is an incident of the field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fsm import Action, Memory, State, step
from fsm.decision import Decision
from fsm.guards import GO_ON_TICKS
from fsm.observation import HostCondition, Lease, Observation, Peer, StartOutcome, Vm, VmEnding
from metadata.liveness import Liveness
from metadata.records import Health
from metadata.settings.parse import ClusterSettings, EngineSettings

CONFIG = ClusterSettings(engine=EngineSettings(fqdn="engine.example.org"))
TIMING = CONFIG.timing


def peer(host_id: int, score: int = 3400, **fields: Any) -> Peer:
    given = {"name": f"h{host_id}", "liveness": Liveness.LIVE, "fresh": True, **fields}
    return Peer(host_id=host_id, score=score, **given)


# More than any way through the states takes; a wrong table may go in a circle.
MOST_STEPS = 25


class Host:
    """One host's memory and its latest observation."""

    def __init__(self, host_id: int = 1, **fields: Any) -> None:
        self.memory = Memory()
        self.seen = Observation(
            now_s=1000.0,
            host_id=host_id,
            complete=True,
            vm=Vm.ABSENT,
            lease=Lease.FREE,
            global_maintenance=False,
        )
        self.seen = replace(self.seen, **fields)
        self.last: Decision

    def see(self, after_s: float = 0.0, **fields: Any) -> Decision:
        """Let time pass, change what is seen, take one decision."""
        self.seen = replace(self.seen, now_s=self.seen.now_s + after_s, **fields)
        self.last = step(self.memory, self.seen, CONFIG)
        self.memory = self.last.memory
        return self.last

    def settle(self, after_s: float = 0.0, **fields: Any) -> State:
        """The same, and go on until the state stays."""
        self.see(after_s, **fields)
        for _ in range(MOST_STEPS):
            if not self.last.changed or self.last.actions:
                return self.memory.state
            self.see()
        raise AssertionError(f"it never comes to rest: {self.last.why}")

    def running(self) -> Host:
        """A host whose engine is up."""
        self.settle(
            vm=Vm.RUNNING,
            health=Health.GOOD,
            lease=Lease.OURS,
            lease_owner_id=self.seen.host_id,
            vm_holds_lease=True,
        )
        assert self.memory.state is State.ENGINE_UP
        return self


GONE = {"vm": Vm.ABSENT, "health": Health.UNKNOWN, "vm_holds_lease": None}


def test_a_lonely_host_starts_the_engine_and_sees_it_become_healthy() -> None:
    host = Host()
    assert host.settle() is State.ENGINE_START
    assert host.last.actions == (Action.START_VM,)
    host.see(1, start=StartOutcome.RUNNING)
    assert host.memory.state is State.ENGINE_START
    assert host.last.actions == ()
    up = {"vm": Vm.RUNNING, "lease": Lease.OURS, "health": Health.BAD, "vm_holds_lease": True}
    assert host.settle(1, start=StartOutcome.OK, **up) is State.ENGINE_STARTING
    assert host.settle(5, health=Health.GOOD) is State.ENGINE_UP


def test_equal_hosts_take_turns_by_host_id() -> None:
    peers = (peer(1), peer(3))
    host = Host(host_id=2, peers=peers)
    assert host.settle() is State.ENGINE_DOWN
    assert "h1 (score 3400) goes first" in host.last.why
    assert host.settle(TIMING.turn_s - 1) is State.ENGINE_DOWN
    assert host.settle(1) is State.ENGINE_START


def test_the_third_in_rank_waits_two_turns() -> None:
    host = Host(host_id=3, peers=(peer(1), peer(2)))
    assert host.settle() is State.ENGINE_DOWN
    assert host.settle(2 * TIMING.turn_s - 1) is State.ENGINE_DOWN
    assert host.settle(1) is State.ENGINE_START


def test_a_better_score_goes_before_a_lower_host_id() -> None:
    assert Host(host_id=3, peers=(peer(1, 3000), peer(2, 3350))).settle() is State.ENGINE_START


def test_among_equals_the_host_that_ran_it_restarts_it_in_place() -> None:
    host = Host(host_id=3, peers=(peer(1), peer(2))).running()
    crash = {"vm_ending": VmEnding.CRASHED, "vm_detail": "qemu was killed", **GONE}
    assert host.settle(100, **crash) is State.ENGINE_DOWN
    assert host.settle(1, lease=Lease.FREE, lease_owner_id=None) is State.ENGINE_START
    assert host.last.score.points == 3400


def test_others_leave_the_first_turn_to_the_host_that_ran_it() -> None:
    host = Host(host_id=1, peers=(peer(2), peer(3)), lease=Lease.THEIRS, lease_owner_id=2)
    assert host.settle() is State.ENGINE_DOWN
    host.settle(10, lease=Lease.FREE, lease_owner_id=None)
    assert host.memory.state is State.ENGINE_DOWN
    assert "h2" in host.last.why


def test_a_second_crash_within_the_window_lets_others_go_first() -> None:
    host = Host(peers=(peer(2),)).running()
    crash = {"vm_ending": VmEnding.CRASHED, "vm_detail": "the guest's kernel panicked", **GONE}
    assert host.settle(100, **crash) is State.ENGINE_DOWN
    host.running()
    assert host.settle(100, **crash) is State.ENGINE_UNEXPECTEDLY_DOWN
    assert host.last.score.points == 0
    free = {"lease": Lease.FREE, "lease_owner_id": None}
    assert host.settle(TIMING.unexpected_down_s - 1, **free) is State.ENGINE_UNEXPECTEDLY_DOWN
    host.settle(1)
    assert host.memory.state is not State.ENGINE_UNEXPECTEDLY_DOWN


def test_crashes_far_apart_are_each_the_first() -> None:
    host = Host(peers=(peer(2),)).running()
    crash = {"vm_ending": VmEnding.CRASHED, **GONE}
    assert host.settle(100, **crash) is State.ENGINE_DOWN
    host.running()
    assert host.settle(TIMING.retry_window_s, **crash) is State.ENGINE_DOWN


def test_a_host_alone_does_not_wait_for_others_after_an_unexpected_end() -> None:
    host = Host().running()
    off = {"vm_ending": VmEnding.GUEST_SHUTDOWN, "lease": Lease.FREE, **GONE}
    assert host.settle(100, **off) is State.ENGINE_UNEXPECTEDLY_DOWN
    assert host.settle(2 * TIMING.turn_s) is State.ENGINE_START


def test_losing_the_race_is_no_error_and_looks_again_soon() -> None:
    host = Host()
    host.settle()
    host.see(1, start=StartOutcome.LEASE_HELD, start_why="h2")
    assert host.memory.state is State.ENGINE_DOWN
    assert host.last.score.points == 3400
    assert host.last.actions == ()
    host.see()
    assert host.memory.state is State.ENGINE_DOWN, "our view of the lease may be older"
    host.see(1, lease=Lease.THEIRS, lease_owner="h2", lease_owner_id=2)
    assert host.last.why == "the engine's lease is held by h2"


def test_a_failed_start_costs_points_and_gives_the_next_its_turn() -> None:
    host = Host(peers=(peer(2),))
    host.settle()
    host.see(1, start=StartOutcome.FAILED, start_why="no such disk")
    assert host.memory.state is State.ENGINE_DOWN
    assert "no such disk" in host.last.why
    assert host.last.score.points == 3350
    host.see(60)
    assert host.memory.state is State.ENGINE_START, "the other had its turn and did not use it"


def thrice_failed(**fields: Any) -> Host:
    """A host whose starts have failed three times, a while ago."""
    host = Host(**fields)
    host.settle()
    for _ in range(3):
        assert host.memory.state is State.ENGINE_START
        host.see(1, start=StartOutcome.FAILED, start_why="no such disk")
        host.see(3 * TIMING.turn_s)
    return host


def test_three_failed_starts_take_the_host_out_for_the_window() -> None:
    host = thrice_failed(peers=(peer(2),))
    assert host.memory.state is State.ENGINE_DOWN
    assert host.last.why == (
        "the score is 0: 3 starts failed within the last 600 s, so other hosts go first"
    )
    assert host.settle(TIMING.retry_window_s) is State.ENGINE_START


def test_with_no_other_host_left_failed_starts_are_tried_again_after_a_pause() -> None:
    for peers in ((), (peer(2, 0),), (peer(2, cannot_start="the domain XML is refused"),)):
        assert thrice_failed(peers=peers).memory.state is State.ENGINE_START


def test_failed_starts_are_not_all_that_stands_against_a_host() -> None:
    host = Host()
    host.memory = replace(
        host.memory,
        state=State.ENGINE_UNEXPECTEDLY_DOWN,
        since_s=900.0,
        failed_starts_s=(990.0, 991.0, 992.0),
    )
    host.seen = replace(host.seen, peers=(peer(2),))
    assert host.settle(1) is State.ENGINE_UNEXPECTEDLY_DOWN


BOOTING = {"vm": Vm.RUNNING, "lease": Lease.OURS, "health": Health.BAD, "vm_holds_lease": True}


def boots_in_vain(host: Host, lasts_s: float) -> None:
    """Its VM starts, and is stopped after `lasts_s` for it does not get well."""
    assert host.memory.state is State.ENGINE_START
    host.settle(1, start=StartOutcome.OK, **BOOTING)
    assert host.settle(lasts_s - 1) is State.ENGINE_STARTING
    assert host.settle(1) is State.ENGINE_STOP
    host.settle(1, vm_ending=VmEnding.STOPPED, **{**GONE, "lease": Lease.FREE})


def test_a_boot_in_vain_is_remembered_until_every_other_host_has_had_its_turn() -> None:
    host = Host(peers=(peer(2, 1000), peer(3)))
    host.settle()
    boots_in_vain(host, TIMING.starting_s)
    host.see(TIMING.turn_s, lease=Lease.THEIRS, lease_owner_id=2)
    host.see(3 * TIMING.retry_window_s)
    host.see(1, peers=(peer(2, 1000), peer(3)), lease=Lease.FREE, lease_owner_id=None)
    assert "goes first; this host's turn is in 50 s" in host.last.why
    host.see(1, peers=(peer(2, 1000, tries=3), peer(3)))
    assert "h3 (score 3400) goes first; this host's turn is in 24 s" in host.last.why
    assert host.settle(1, peers=(peer(2, 1000, tries=3), peer(3, tries=3))) is State.ENGINE_START


def test_each_further_round_waits_longer_for_a_slow_boot_up_to_a_limit() -> None:
    host = Host()
    host.settle()
    for factor in (1, 2, 3, 4, 4):
        boots_in_vain(host, factor * TIMING.starting_s)
        host.settle(3 * TIMING.turn_s)


def test_a_host_that_joins_late_does_not_make_up_for_all_rounds() -> None:
    host = Host(peers=(peer(2, tries=9), peer(3, tries=12)))
    host.settle()
    boots_in_vain(host, TIMING.starting_s)
    assert host.memory.tries == 9


def test_an_engine_that_has_been_well_for_the_window_ends_the_memory_of_tries() -> None:
    host = Host(peers=(peer(2),))
    host.settle()
    boots_in_vain(host, TIMING.starting_s)
    well = (peer(2, state="EngineUp"),)
    host.see(1, lease=Lease.THEIRS, lease_owner_id=2, peers=well)
    host.see(TIMING.retry_window_s - 1)
    assert host.memory.tries == 3
    assert host.last.wake_at_s == host.seen.now_s + 1
    host.see(1)
    assert host.memory.tries == 0


def test_while_nobody_knows_the_health_of_an_ill_engine_its_time_out_stands_still() -> None:
    host = Host(peers=(peer(2),)).running()
    host.settle(1, health=Health.BAD)
    host.see(100, health=Health.UNKNOWN)
    host.see(1000)
    host.see(TIMING.tick_s, health=Health.BAD)
    assert host.settle(TIMING.bad_health_s - 101) is State.ENGINE_UP_BAD_HEALTH
    assert host.settle(1) is State.ENGINE_STOP


def test_a_lease_held_for_seconds_does_not_begin_the_turns_anew() -> None:
    host = Host(peers=(peer(2, 3401),))
    host.see()
    for _ in range(4):
        host.see(TIMING.turn_s / 5, lease=Lease.THEIRS, lease_owner_id=2)
        host.see(TIMING.turn_s / 10, lease=Lease.FREE, lease_owner_id=None)
    assert host.settle() is State.ENGINE_START


def test_a_lease_held_for_a_turn_by_an_engine_that_is_up_or_over_a_maintenance_does() -> None:
    up = (peer(2, 3401, engine_healthy=True),)
    cases: tuple[tuple[float, dict[str, Any]], ...] = (
        (TIMING.turn_s, {"lease": Lease.THEIRS}),
        (1, {"lease": Lease.THEIRS, "peers": up}),
        (1, {"global_maintenance": True}),
    )
    for lasts_s, seen in cases:
        host = Host(peers=(peer(2, 3401),))
        for _ in range(5):
            host.see(1, **seen)
            host.see(lasts_s)
            host.settle(1, lease=Lease.FREE, global_maintenance=False, peers=(peer(2, 3401),))
        assert host.memory.state is State.ENGINE_DOWN, seen


def test_a_vm_that_is_found_boots_since_its_process_began() -> None:
    found = {**BOOTING, "vm_id": "7/1", "vm_began_s": 500.0}
    host = Host(**found)
    assert host.settle() is State.ENGINE_STARTING
    assert host.settle(99) is State.ENGINE_STARTING
    assert host.settle(1) is State.ENGINE_STOP


def test_a_vm_that_is_found_after_its_boot_is_ill_and_not_booting() -> None:
    host = Host(**{**BOOTING, "vm_id": "7/1", "vm_began_s": 399.0})
    assert host.settle() is State.ENGINE_UP_BAD_HEALTH
    assert host.settle(TIMING.bad_health_s - 1) is State.ENGINE_UP_BAD_HEALTH
    assert host.settle(1) is State.ENGINE_STOP


def test_one_bad_answer_ends_no_vm_that_has_run_for_long_and_of_which_nothing_is_known() -> None:
    """A new agent beside a new broker: how the engine is shows only a moment later."""
    found = {**BOOTING, "vm_id": "7/1", "vm_began_s": 1.0, "health": Health.UNKNOWN}
    host = Host(**found)
    assert host.settle() is State.ENGINE_STARTING
    assert host.settle(1, health=Health.BAD) is State.ENGINE_STARTING
    assert host.settle(TIMING.bad_health_s - 2) is State.ENGINE_STARTING
    assert host.settle(1) is State.ENGINE_STOP


def test_a_boot_that_is_nearly_over_when_it_is_found_leaves_time_for_a_few_looks() -> None:
    host = Host(**{**BOOTING, "vm_id": "7/1", "vm_began_s": 1001.0 - TIMING.starting_s})
    assert host.settle() is State.ENGINE_STARTING
    assert host.settle(GO_ON_TICKS * TIMING.tick_s - 1) is State.ENGINE_STARTING
    assert host.settle(1) is State.ENGINE_STOP


def test_another_process_has_its_own_time() -> None:
    host = Host(peers=(peer(2),), vm_id="7/1", vm_began_s=900.0).running()
    host.settle(1, health=Health.BAD)
    host.settle(200, vm=Vm.UNKNOWN)
    assert host.settle(1, vm=Vm.RUNNING, vm_id="8/2", vm_began_s=1200.0) is State.ENGINE_STARTING
    assert host.memory.since_s == 1200.0


def test_a_maintenance_takes_no_time_from_an_ill_engine() -> None:
    host = Host(peers=(peer(2),)).running()
    host.settle(1, health=Health.BAD)
    host.settle(100, global_maintenance=True)
    host.settle(5000)
    assert host.settle(1, global_maintenance=False) is State.ENGINE_UP_BAD_HEALTH
    assert host.settle(TIMING.bad_health_s - 101) is State.ENGINE_UP_BAD_HEALTH
    assert host.settle(1) is State.ENGINE_STOP


STOPS = Memory(State.ENGINE_STOP, 900.0, vm_id="7/1")


def stop_broken_off(**found: Any) -> Host:
    """libvirt was silent while the VM was being stopped."""
    host = Host(vm_id="7/1", vm=Vm.UNKNOWN, lease=Lease.OURS, vm_holds_lease=True)
    host.memory = STOPS
    host.settle()
    host.settle(1, **{"vm": Vm.RUNNING, "health": Health.UNKNOWN, **found})
    return host


def test_a_stop_goes_on_only_where_the_engine_is_known_to_be_ill() -> None:
    host = stop_broken_off()
    host.see(10 * TIMING.stop_s)
    assert host.memory.state is State.ENGINE_UP_BAD_HEALTH
    assert host.last.actions == ()
    assert host.settle(1, health=Health.BAD) is State.ENGINE_STOP
    assert host.last.actions == (Action.SHUTDOWN_VM,)
    assert stop_broken_off(health=Health.GOOD).memory.state is State.ENGINE_UP
    assert stop_broken_off(vm=Vm.PAUSED).memory.state is State.ENGINE_FORCE_STOP


def test_the_time_of_a_stop_runs_on_but_for_when_nobody_knew_the_health() -> None:
    host = stop_broken_off()
    host.settle(5000, health=Health.BAD)
    # 100 s were behind when libvirt fell silent, and 1 s of its silence.
    assert host.settle(TIMING.stop_s - 102) is State.ENGINE_STOP
    assert host.settle(1) is State.ENGINE_FORCE_STOP


def test_a_time_out_that_goes_on_leaves_time_for_a_few_looks() -> None:
    host = Host(peers=(peer(2),)).running()
    host.settle(1, health=Health.BAD)
    host.settle(1, vm=Vm.UNKNOWN)
    assert host.settle(9000, vm=Vm.RUNNING) is State.ENGINE_UP_BAD_HEALTH
    assert host.settle(GO_ON_TICKS * TIMING.tick_s - 1) is State.ENGINE_UP_BAD_HEALTH
    assert host.settle(1) is State.ENGINE_STOP


def test_a_stop_is_not_for_a_process_that_is_not_known_to_be_the_same() -> None:
    for vm_id in ("8/1", ""):
        host = stop_broken_off(vm_id=vm_id, health=Health.BAD)
        assert host.memory.state is State.ENGINE_STARTING
        assert host.last.actions == ()


def test_without_a_health_page_a_vm_with_its_lease_is_up() -> None:
    memory = Memory(State.ENGINE_STARTING, 990.0)
    seen = Observation(
        1000.0, 1, complete=True, vm=Vm.RUNNING, lease=Lease.OURS, global_maintenance=False
    )
    for holds, state in ((True, State.ENGINE_UP), (None, State.ENGINE_STARTING)):
        found = step(memory, replace(seen, vm_holds_lease=holds), ClusterSettings())
        assert found.memory.state is state
        assert step(memory, replace(seen, vm_holds_lease=holds), CONFIG).memory.state is (
            State.ENGINE_STARTING
        )


def test_an_engine_that_was_well_for_a_moment_ends_no_memory() -> None:
    host = Host(peers=(peer(2),))
    host.settle()
    boots_in_vain(host, TIMING.starting_s)
    for _ in range(5):
        host.see(TIMING.retry_window_s - 1, peers=(peer(2, engine_healthy=True),))
        host.see(1, peers=(peer(2),))
    assert host.memory.tries == 3


def test_a_vm_that_dies_while_booting_counts_as_a_failed_start() -> None:
    host = Host()
    host.settle()
    up = {"vm": Vm.RUNNING, "lease": Lease.OURS}
    host.settle(1, start=StartOutcome.OK, **up)
    host.see(1, vm_ending=VmEnding.CRASHED, **GONE)
    assert host.memory.state is State.ENGINE_DOWN
    assert host.last.score.points == 3350


def test_a_slow_boot_is_waited_for() -> None:
    host = Host()
    host.settle()
    up = {"vm": Vm.RUNNING, "lease": Lease.OURS, "health": Health.BAD}
    host.settle(1, start=StartOutcome.OK, **up)
    assert host.settle(TIMING.starting_s - 1) is State.ENGINE_STARTING
    host.see(1)
    assert host.memory.state is State.ENGINE_STOP
    assert host.last.actions == (Action.SHUTDOWN_VM,)


def test_bad_health_is_answered_after_its_time_out_and_then_with_force() -> None:
    host = Host(peers=(peer(2),)).running()
    assert host.settle(10, health=Health.BAD) is State.ENGINE_UP_BAD_HEALTH
    host.see(TIMING.bad_health_s - 1)
    assert host.memory.state is State.ENGINE_UP_BAD_HEALTH
    host.see(1)
    assert (host.memory.state, host.last.actions) == (State.ENGINE_STOP, (Action.SHUTDOWN_VM,))
    host.see(TIMING.stop_s)
    assert host.memory.state is State.ENGINE_FORCE_STOP
    assert host.last.actions == (Action.DESTROY_VM,)
    host.settle(1, vm_ending=VmEnding.STOPPED, lease=Lease.FREE, **GONE)
    assert host.memory.state is State.ENGINE_DOWN
    assert "h2 (score 3400) goes first" in host.last.why


def test_an_engine_that_recovers_before_it_shuts_down_is_left_running() -> None:
    host = Host().running()
    host.settle(10, health=Health.BAD)
    assert host.settle(TIMING.bad_health_s) is State.ENGINE_STOP
    assert host.settle(5, health=Health.GOOD) is State.ENGINE_UP
    host.see(2 * TIMING.stop_s)
    assert (host.memory.state, host.last.actions) == (State.ENGINE_UP, ())


def test_health_does_not_save_a_vm_whose_lease_is_in_doubt() -> None:
    host = Host().running()
    host.see(10, vm_holds_lease=False)
    assert host.memory.state is State.ENGINE_STOP
    host.see(1, vm_holds_lease=None)
    assert host.memory.state is State.ENGINE_STOP


def test_every_change_of_state_clears_the_bad_health_time_out() -> None:
    host = Host().running()
    host.settle(10, health=Health.BAD)
    host.see(TIMING.bad_health_s - 1, health=Health.GOOD)
    assert host.memory.state is State.ENGINE_UP
    host.settle(1, health=Health.BAD)
    host.see(TIMING.bad_health_s - 1)
    assert host.memory.state is State.ENGINE_UP_BAD_HEALTH


def test_a_silent_broker_never_stops_the_engine() -> None:
    host = Host().running()
    host.settle(10, health=Health.BAD)
    host.see(100, health=Health.UNKNOWN, blocked_why="the broker has not answered for 100 s")
    host.see(10 * TIMING.bad_health_s)
    assert host.memory.state is State.ENGINE_UP_BAD_HEALTH
    host.see(1, health=Health.BAD)
    assert host.memory.state is State.ENGINE_UP_BAD_HEALTH, "the time-out began anew"


def test_a_silent_libvirt_stops_and_starts_nothing() -> None:
    host = Host().running()
    host.see(5, vm=Vm.UNKNOWN, vm_detail="libvirtd is restarting")
    assert host.memory.state is State.UNKNOWN_LOCAL_VM_STATE
    host.see(5000)
    assert host.memory.state is State.UNKNOWN_LOCAL_VM_STATE
    assert host.settle(1, vm=Vm.RUNNING) is State.ENGINE_UP


def test_a_migration_by_a_person_is_no_unexpected_end() -> None:
    host = Host().running()
    host.see(5, vm_ending=VmEnding.MIGRATED, lease=Lease.FREE, lease_owner_id=None, **GONE)
    assert host.memory.state is State.ENGINE_MAYBE_AWAY
    host.see(5)
    assert host.memory.state is State.ENGINE_MAYBE_AWAY
    host.see(5, lease=Lease.THEIRS, lease_owner="h2", lease_owner_id=2)
    assert host.memory.state is State.ENGINE_DOWN
    assert host.last.why == "the engine has moved to h2"
    assert host.last.score.points == 3400


def test_the_receiving_host_waits_for_an_arriving_vm() -> None:
    host = Host(lease=Lease.THEIRS, lease_owner="h2", lease_owner_id=2)
    host.settle()
    host.see(1, vm=Vm.IN_TRANSIT, vm_detail="migration")
    assert host.memory.state is State.ENGINE_DOWN
    assert host.last.actions == ()
    host.running()


def test_a_migrated_vm_that_nobody_shows_is_started_again() -> None:
    host = Host().running()
    host.see(5, vm_ending=VmEnding.MIGRATED, lease=Lease.FREE, lease_owner_id=None, **GONE)
    assert host.settle(TIMING.away_s) is State.ENGINE_START


def test_a_vm_that_vanishes_without_a_word_is_looked_for_by_its_lease() -> None:
    host = Host().running()
    host.see(5, vm_ending=VmEnding.MISSING, **GONE)
    assert host.memory.state is State.ENGINE_MAYBE_AWAY
    host.see(1, lease=Lease.FREE, lease_owner_id=None)
    assert host.memory.state is State.ENGINE_DOWN
    assert host.memory.crashed_at_s == host.seen.now_s


def test_a_paused_vm_is_switched_off_when_the_engine_runs_elsewhere() -> None:
    host = Host().running()
    host.settle(5, vm=Vm.PAUSED, vm_detail="I/O error", lease=Lease.FREE, vm_holds_lease=None)
    assert host.memory.state is State.ENGINE_UP_BAD_HEALTH
    host.settle(20, lease=Lease.THEIRS, lease_owner="h2", lease_owner_id=2)
    assert host.memory.state is State.ENGINE_FORCE_STOP
    assert host.last.actions == (Action.DESTROY_VM,)


def test_a_vm_without_its_lease_is_switched_off_even_in_maintenance() -> None:
    host = Host().running()
    host.see(5, global_maintenance=True)
    assert host.memory.state is State.GLOBAL_MAINTENANCE
    host.settle(5, vm_holds_lease=False)
    assert host.memory.state is State.ENGINE_FORCE_STOP
    assert host.last.actions == (Action.DESTROY_VM,)


def test_switching_off_is_repeated_until_it_is_off() -> None:
    host = Host().running()
    host.settle(5, vm_holds_lease=False)
    host.see(1)
    assert host.last.actions == ()
    host.see(60)
    assert host.last.actions == (Action.DESTROY_VM,)
    assert host.memory.state is State.ENGINE_FORCE_STOP


def test_nothing_starts_while_maintenance_is_on_or_unknown() -> None:
    host = Host(global_maintenance=None)
    assert host.settle() is State.ENGINE_DOWN
    assert "not known whether the cluster is in global maintenance" in host.last.why
    assert host.settle(1, global_maintenance=True) is State.GLOBAL_MAINTENANCE
    assert host.settle(1000) is State.GLOBAL_MAINTENANCE
    assert host.settle(1, global_maintenance=None) is State.GLOBAL_MAINTENANCE
    assert host.settle(1, global_maintenance=False) is State.ENGINE_START


def test_turns_begin_when_global_maintenance_ends() -> None:
    host = Host(host_id=2, peers=(peer(1), peer(3)), global_maintenance=True)
    assert host.settle() is State.GLOBAL_MAINTENANCE
    assert host.settle(3600, global_maintenance=False) is State.ENGINE_DOWN
    assert "h1 (score 3400) goes first" in host.last.why
    assert host.settle(TIMING.turn_s - 1) is State.ENGINE_DOWN
    assert host.settle(1) is State.ENGINE_START


def test_turns_begin_anew_when_maintenance_was_not_known_meanwhile() -> None:
    host = Host(host_id=2, peers=(peer(1),), global_maintenance=None)
    assert host.settle() is State.ENGINE_DOWN
    assert host.settle(3600, global_maintenance=False) is State.ENGINE_DOWN
    assert host.settle(TIMING.turn_s) is State.ENGINE_START


def test_a_host_in_local_maintenance_scores_zero_and_stays_idle() -> None:
    host = Host(local_maintenance=True)
    assert host.settle() is State.LOCAL_MAINTENANCE
    assert host.last.score.points == 0
    assert host.settle(1000) is State.LOCAL_MAINTENANCE
    assert host.settle(1, local_maintenance=False) is State.ENGINE_START


def test_blocked_hosts_say_why_and_do_not_start() -> None:
    host = Host(blocked_why="the storage has not answered for 12 s")
    assert host.settle() is State.ENGINE_DOWN
    assert host.last.why == "can't start the engine: the storage has not answered for 12 s"


def test_a_fresh_agent_gives_its_peers_time_to_show_that_they_live() -> None:
    host = Host(host_id=2, peers=(peer(1, fresh=False, liveness=Liveness.UNKNOWN),))
    assert host.settle() is State.ENGINE_DOWN
    assert host.last.why == "finding out whether h1 live"
    assert host.last.wake_at_s == 1000.0 + 3 * TIMING.tick_s
    assert host.settle(3 * TIMING.tick_s) is State.ENGINE_START


def test_a_running_engine_is_adopted_by_a_new_agent_before_the_broker_answers() -> None:
    host = Host(complete=False, vm=Vm.RUNNING, health=Health.UNKNOWN, global_maintenance=None,
                lease=Lease.UNKNOWN)  # fmt: skip
    assert host.settle() is State.ENGINE_STARTING
    host.see(10 * TIMING.starting_s)
    assert host.memory.state is State.ENGINE_STARTING, "unknown health stops nothing"


def test_stopping_the_agent_leaves_the_engine_alone() -> None:
    host = Host().running()
    host.see(1, stop_requested=True)
    assert host.memory.state is State.AGENT_STOPPED
    assert host.last.actions == ()
    assert host.last.score.points == 0


def test_an_agent_started_beside_a_healthy_engine_never_starts_a_second() -> None:
    host = Host(host_id=2, lease=Lease.THEIRS, lease_owner="h1", lease_owner_id=1)
    for _ in range(200):
        host.settle(5)
        assert host.memory.state is State.ENGINE_DOWN


def test_a_lease_left_over_here_is_taken_again_after_a_turn_whoever_is_better() -> None:
    """Others can't take it: it is the lease of a living host."""
    host = Host(peers=(peer(2),), condition=HostCondition(bridge_up=False)).running()
    host.settle(100, vm_ending=VmEnding.CRASHED, **GONE)
    assert host.memory.state is State.ENGINE_DOWN
    assert "still holds the lease" in host.last.why
    assert host.settle(TIMING.turn_s - 1) is State.ENGINE_DOWN
    assert host.last.wake_at_s == host.seen.now_s + 1
    assert host.settle(1) is State.ENGINE_START


def test_a_host_whose_libvirt_is_silent_is_not_waited_for() -> None:
    silent = peer(1, state=State.UNKNOWN_LOCAL_VM_STATE.value)
    assert Host(host_id=2, peers=(silent,)).settle() is State.ENGINE_START


def test_nobody_is_waited_for_who_can_not_take_the_lease() -> None:
    host = Host(peers=(peer(2),)).running()
    host.settle(100, vm_ending=VmEnding.GUEST_SHUTDOWN, **GONE)
    assert host.memory.state is State.ENGINE_UNEXPECTEDLY_DOWN
    assert host.settle(2 * TIMING.turn_s) is State.ENGINE_START


def test_the_time_of_a_left_over_lease_begins_with_the_vms_end() -> None:
    host = Host().running()
    host.settle(10 * TIMING.turn_s, vm=Vm.UNKNOWN)
    host.settle(1, vm_ending=VmEnding.CRASHED, **GONE)
    assert host.memory.state is State.ENGINE_DOWN
    assert host.settle(TIMING.turn_s - 1) is State.ENGINE_DOWN


def test_an_engine_that_got_well_is_not_switched_off_again_before_its_lease_is_known() -> None:
    host = Host(vm=Vm.RUNNING, health=Health.GOOD, lease=Lease.OURS, vm_holds_lease=None)
    host.memory = Memory(State.ENGINE_FORCE_STOP, 900.0, attempt_s=900.0)
    host.see()
    assert (host.memory.state, host.last.actions) == (State.ENGINE_FORCE_STOP, ())
    assert host.settle(1, vm_holds_lease=True) is State.ENGINE_UP
