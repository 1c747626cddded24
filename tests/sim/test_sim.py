# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The random search: it runs clean, repeats exactly, and finds what it must find."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Callable

import pytest

import fsm.score
from fsm import guards as g
from fsm.machine import walk
from fsm.memory import Action
from fsm.observation import Vm
from fsm.step import step
from fsm.table import TABLE
from ha_broker.broker import Broker
from hosted_engine.simulate.grammar import parse_command
from hosted_engine.simulate.script import load_script
from hosted_engine.simulate.verbs import carry_out
from metadata.records import Health
from metadata.settings.parse import ClusterSettings, Timing, check_timing
from metadata.settings.timing import KILL_S, migration_limit_problem
from metadata.states import State
from simulation.cluster import SimCluster
from simulation.oracle import (
    AT_REST,
    FORCED_STOP,
    GLOBAL_START,
    HEALTHY_STOPPED,
    LEASE,
    LOCAL_START,
    LOST_LOCKSPACE,
    ONE_ENGINE,
    SENTENCES,
)
from simulation.settings import EngineTraits, HostTraits, WorldSettings, load_world, parse_world
from simulation.world import SimLockspace
from tests.optimum import MOST, TURN, Stopwatch
from tests.sim.__main__ import main, smallest_failing
from tests.sim.bound import recovery_bound, unable
from tests.sim.draw import draw_plan
from tests.sim.families import FAMILIES
from tests.sim.plan import Happening, Plan
from tests.sim.recorder import all_rows, row_label
from tests.sim.run import CRASH, FINE, LIVENESS, NOT_UP, SAFETY, run_plan
from tests.sim.save import save
from tests.sim.shrink import minimise

SEEDS = (2, 9, 14, 15, 20, 30, 32, 37)
QUICK = Timing(
    tick_s=5,
    alive_s=20,
    start_s=20,
    starting_s=60,
    bad_health_s=30,
    stop_s=30,
    away_s=20,
    unexpected_down_s=60,
    retry_window_s=130,
    turn_s=15,
    io_timeout_s=2,
)
LONG_UP_S = 1200.0  # the clock of a world begins at 1000
NOISE = (
    (20, "network h1 cut"),
    (40, "gateway down"),
    (60, "network h1 heal"),
    (90, "gateway up"),
    (110, "clock h2 +500"),
)


def world(hosts: int = 2, watchdog: bool = True) -> WorldSettings:
    traits = [HostTraits(f"h{n}", n, watchdog=watchdog) for n in range(1, hosts + 1)]
    return WorldSettings(tuple(traits), ClusterSettings(timing=QUICK), EngineTraits(10, 3))


def plan(*happenings: tuple[float, str], hosts: int = 2, watchdog: bool = True) -> Plan:
    events = sorted([*NOISE, *happenings])
    return Plan(0, world(hosts, watchdog), tuple(
        Happening(at_s, words, group) for group, (at_s, words) in enumerate(events)
    ), safety_s=200)  # fmt: skip


def use_table(monkeypatch: pytest.MonkeyPatch, table) -> None:
    def with_table(memory, observation, config, _find_row):
        return step(memory, observation, config, partial(walk, table=table))

    monkeypatch.setattr("ha_agent.agent.step", with_table)


def give_the_lease_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the engine is up; two hosts that begin together both ask for the lease."""
    asked = SimLockspace._held_by_other

    def held(lockspace: SimLockspace, space, owner):
        late = lockspace.san.clock.monotonic_s() > LONG_UP_S
        return False if late else asked(lockspace, space, owner)

    monkeypatch.setattr(SimLockspace, "_held_by_other", held)
    # The command looks first, and would refuse before it asks for the lease.
    monkeypatch.setattr("hosted_engine.simulate.operator.other_owner", lambda *_asked: None)


# --- the search finds nothing, and the same each time -----------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_breaks_no_rule(seed: int) -> None:
    result = run_plan(draw_plan(seed, hosts=3, hours=0.4))
    assert result.verdict == FINE, result.report
    assert result.done or result.refused


def test_the_same_seed_goes_the_same_way() -> None:
    first, second = (run_plan(draw_plan(14, hosts=3, hours=0.3)) for _ in range(2))
    assert first.digest == second.digest
    assert first.digest != run_plan(draw_plan(15, hosts=3, hours=0.3)).digest


def test_what_is_drawn_is_accepted() -> None:
    families: set[str] = set()
    for seed in range(100):
        drawn = draw_plan(seed)
        cluster = drawn.world.cluster
        assert check_timing(cluster.timing, cluster.score.failed_starts_to_zero) == []
        assert migration_limit_problem(cluster.timing, cluster.migration.limit_s) == ""
        for happening in drawn.happenings:
            parse_command(happening.words, drawn.host_names)
            assert 0 <= happening.at_s <= drawn.safety_s
        families.update(drawn.families)
    assert families == set(FAMILIES)


def test_hosts_and_hours_can_be_fixed() -> None:
    drawn = draw_plan(5, hosts=7, hours=0.25)
    assert (len(drawn.world.hosts), drawn.safety_s) == (7, 900)


def test_twins_are_not_expected_to_run_the_engine() -> None:
    twins = (HostTraits("h1", 1), HostTraits("h2", 2), HostTraits("h3", 2))
    assert unable(WorldSettings(hosts=twins)) == {
        "h2": "shares its host id with h3",
        "h3": "shares its host id with h2",
    }


def test_an_older_program_counts_as_having_the_usual_watchdog_time() -> None:
    """It tells none, so that hosts with another one rightly do not join beside it."""
    hosts = (HostTraits("h1", 1, watchdog_fire_timeout_s=15, version="older"),
             HostTraits("h2", 2, watchdog_fire_timeout_s=15))  # fmt: skip
    why = "sanlock's watchdog time is not the same everywhere"
    assert unable(WorldSettings(hosts=hosts)) == {"h1": why, "h2": why}
    all_older = tuple(replace(host, version="older") for host in hosts)
    assert unable(WorldSettings(hosts=all_older)) == {"h1": why, "h2": why}
    assert unable(WorldSettings(hosts=all_older[:1])) == {}
    usual = tuple(replace(host, watchdog_fire_timeout_s=60) for host in hosts)
    assert unable(WorldSettings(hosts=usual)) == {}


def test_each_reason_is_found_in_the_table() -> None:
    why = "the engine now runs on h2"
    label = row_label(State.ENGINE_UP, State.ENGINE_DOWN, why)
    assert label == "the engine now runs on {owner}"
    assert (State.ENGINE_UP.value, State.ENGINE_DOWN.value, label) in all_rows()
    assert row_label(State.ENGINE_UP, State.ENGINE_DOWN, "of no row") == ""


# --- what the search has found ------------------------------------------------------------------


def unguarded(timing: Timing, *happenings: tuple[float, str]) -> Plan:
    """Two hosts without a watchdog, where switching qemu off takes as long as libvirt waits."""
    settings = ClusterSettings(timing=timing)
    engine = EngineTraits(kill_s=KILL_S)
    bare = replace(world(watchdog=False), cluster=settings, engine=engine)
    return Plan(0, bare, tuple(Happening(at_s, words) for at_s, words in happenings), 400)


@pytest.mark.parametrize("killed_at_s", range(100, 145, 5))
def test_a_dead_sanlock_leaves_time_to_switch_off_with_long_ticks(killed_at_s: int) -> None:
    timing = Timing(
        tick_s=25,
        alive_s=76,
        start_s=65,
        bad_health_s=130,
        away_s=95,
        turn_s=75,
        retry_window_s=500,
        io_timeout_s=10,
        isolated_s=95,
    )
    assert check_timing(timing) == []
    dies = "on h1 systemctl kill --signal=SIGKILL sanlock"
    result = run_plan(unguarded(timing, (killed_at_s, dies)))
    assert result.verdict == FINE, result.report


def test_a_sanlock_that_dies_after_the_storage_leaves_time_to_switch_off() -> None:
    dies = "on h1 systemctl kill --signal=SIGKILL sanlock"
    result = run_plan(unguarded(Timing(), (100, "storage h1 hang"), (165, dies)))
    assert result.verdict == FINE, result.report
    assert result.orders["destroy"] == 1


def test_an_engine_that_has_lost_its_lease_is_not_taken_for_one_at_rest() -> None:
    """All is healed in the second before its agent looks, and switches it off."""
    timing = Timing(
        tick_s=15.3,
        alive_s=219.5,
        start_s=364.2,
        bad_health_s=605,
        turn_s=95.6,
        io_timeout_s=35,
        away_s=150,
        retry_window_s=3302.6,
        isolated_s=116,
    )
    assert check_timing(timing) == []
    bare = replace(world(hosts=1, watchdog=False), cluster=ClusterSettings(timing=timing))
    dies = (297, "on h1 systemctl kill --signal=SIGKILL sanlock")
    returns = (312, "on h1 systemctl start sanlock")
    happenings = tuple(Happening(at_s, words) for at_s, words in (dies, returns))
    result = run_plan(Plan(0, bare, happenings, 313))
    assert result.verdict == FINE, result.report
    assert result.orders["destroy"] == 1


SLEEPS = ((20, "suspend h1"), (150, "resume h1"))


@pytest.mark.parametrize("verb", ["suspend", "pause"])
def test_a_host_that_slept_gives_way_within_two_looks(verb: str) -> None:
    result = run_plan(plan((20, f"{verb} h1"), (150, "resume h1")))
    assert result.verdict == FINE, result.report
    assert result.orders["destroy"] == 1
    assert not result.beyond


@pytest.mark.parametrize("verb", ["suspend", "pause"])
def test_a_host_that_slept_gives_way_where_the_watchdog_times_differ(verb: str) -> None:
    """An older host does not tell its time, and counts as having sanlock's usual one.

    No lease can be taken by what this host knows then, but it must see that its own is lost.
    """
    mixed = parse_world(
        "hosts:\n"
        "  h1: {watchdog_fire_timeout_s: 45}\n"
        "  h2: {watchdog_fire_timeout_s: 45, version: older, boot_s: 60}\n"
    )
    happenings = (Happening(20, f"{verb} h1"), Happening(400, "resume h1"))
    result = run_plan(Plan(0, mixed, happenings, 700))
    assert result.verdict == FINE, result.report
    assert result.orders == {"start": 2, "destroy": 1}, "h2's start, and the end of h1's VM"


@pytest.mark.parametrize("verb", ["suspend", "pause"])
def test_a_sleeper_whose_id_another_machine_has_gives_way_within_two_looks(verb: str) -> None:
    """The lease on the storage has the sleeper's host id, and is not the sleeper's."""
    same_id = parse_world("hosts:\n  h1: {}\n  h2: {host_id: 1, boot_s: 60}\n")
    happenings = (Happening(20, f"{verb} h1"), Happening(900, "resume h1"))
    result = run_plan(Plan(0, same_id, happenings, 1200))
    assert result.verdict == FINE, result.report
    assert result.double_life_s > 0


@pytest.mark.parametrize("version", ["older", "too-new"])
def test_hosts_that_say_nothing_leave_it_to_the_score(version: str) -> None:
    """They don't tell whether they reach the engine: its host's own network has to do (ADR 28)."""
    mixed = parse_world(
        f"hosts:\n  h1: {{}}\n  h2: {{version: older, boot_s: 60}}\n  h3: {{version: {version}}}\n"
    )
    result = run_plan(Plan(0, mixed, (Happening(100, "gateway h1 down"),), 600))
    assert result.verdict == FINE, result.report
    assert result.orders["shutdown"] == 1


def test_beside_older_hosts_a_much_better_host_is_enough_for_an_ordered_stop() -> None:
    """They don't tell whether they reach the engine: its host's own network has to do (ADR 28)."""
    mixed = parse_world("hosts:\n  h1: {}\n  h2: {version: older, boot_s: 60}\n")
    result = run_plan(Plan(0, mixed, (Happening(100, "gateway h1 down"),), 600))
    assert result.verdict == FINE, result.report
    assert result.orders == {"start": 2, "shutdown": 1}


def slept_without_storage(verb: str, hosts: int = 2) -> Plan:
    """The engine's host sleeps past its lease, and finds no storage as it wakes; usual times."""
    waking = 250
    happenings = (
        Happening(20, f"{verb} h1"),
        Happening(waking, "resume h1"),
        Happening(waking + 0.5, "storage h1 fail"),
    )
    usual = replace(world(hosts), cluster=ClusterSettings(timing=Timing()))
    return Plan(0, usual, happenings, safety_s=500)


def test_a_host_that_knows_that_it_slept_does_not_wait_for_its_sanlock() -> None:
    """The storage does not answer after the waking, and sanlock's clock stood still."""
    double_life_s = {}
    for verb in ("suspend", "pause"):
        result = run_plan(slept_without_storage(verb))
        assert result.verdict == FINE, result.report
        double_life_s[verb] = result.double_life_s
    timing = Timing()
    # Two ticks, the one in which that is seen, and libvirt's kill.
    assert double_life_s["suspend"] <= 3 * timing.tick_s + KILL_S
    # Nothing tells of a pause from below: there it is sanlock that ends the VM.
    assert double_life_s["pause"] > 3 * timing.tick_s + KILL_S


@pytest.mark.parametrize("verb", ["suspend", "pause"])
def test_a_lease_that_nobody_took_is_its_sleeping_owners_for_as_long_as_sanlock_allows(
    verb: str,
) -> None:
    """Nobody else is there. Until the next renewal others could have taken it; that is counted."""
    result = run_plan(slept_without_storage(verb, hosts=1))
    assert result.verdict == FINE, result.report
    slept = "no lease: its host slept, and its sanlock can't renew it"
    assert list(result.beyond) == ([slept] if verb == "pause" else [])


# --- it finds what is broken --------------------------------------------------------------------


def test_finds_two_engines_where_the_lease_is_given_twice(monkeypatch, tmp_path) -> None:
    give_the_lease_twice(monkeypatch)
    result = run_plan(plan((100, "on h2 hosted-engine --vm-start")))
    assert (result.verdict, result.rule) == (SAFETY, ONE_ENGINE)
    assert "h1" in result.report and "h2" in result.report
    smallest, last = smallest_failing(result)
    assert [each.words for each in smallest.happenings] == ["on h2 hosted-engine --vm-start"]
    assert last.rule == ONE_ENGINE

    folder = save(smallest, last, "two-engines", tmp_path)
    kept = load_world(str(folder / "world.yaml"))
    assert kept == smallest.world
    script = load_script(str(folder / "script.yaml"), smallest.host_names)
    assert [event.command.text for event in script.events] == ["on h2 hosted-engine --vm-start"]
    assert ONE_ENGINE in (folder / "README.md").read_text()
    assert SENTENCES[ONE_ENGINE] in (folder / "expect.log").read_text()
    with pytest.raises(FileExistsError):
        save(smallest, last, "two-engines", tmp_path)


def test_an_ill_engine_that_is_left_alone_has_no_excuse(monkeypatch) -> None:
    """Its host lives, so the lease that it holds is no dead host's."""

    def blind(memory, observation, *rest):
        return step(memory, replace(observation, health=Health.UNKNOWN), *rest)

    cluster = SimCluster(world())
    try:
        cluster.bring_up()
        monkeypatch.setattr("ha_agent.agent.step", blind)
        watch = Stopwatch(cluster)
        carry_out(parse_command("engine hang", list(cluster.hosts)), cluster)
        cluster.run_for(4 * (QUICK.bad_health_s + QUICK.stop_s))
        found = watch.recovery()
    finally:
        cluster.close()
    assert found.ratio > MOST, found.text()


def with_stopwatch(
    hosts: int, words: list[str], for_s: float, dawdle: Callable[[], None] = lambda: None
) -> Stopwatch:
    """What is seen from the first of the words on, for so long after the last one."""
    cluster = SimCluster(world(hosts))
    try:
        cluster.bring_up()
        dawdle()
        watch = Stopwatch(cluster)
        for one in words:
            carry_out(parse_command(one, list(cluster.hosts)), cluster)
            cluster.run_for(QUICK.tick_s)
        cluster.run_for(for_s)
        watch.look()
    finally:
        cluster.close()
    return watch


GIVES_ITS_TURN = ["power-off h2", "on h1 hosted-engine --vm-shutdown"]


def test_the_turn_of_a_host_that_was_alive_a_moment_ago_is_excused() -> None:
    watch = with_stopwatch(3, GIVES_ITS_TURN, 4 * QUICK.turn_s)
    (absence,) = watch.absences
    assert absence.ended_at_s is not None
    assert QUICK.turn_s - QUICK.tick_s <= absence.excused_s[TURN] <= QUICK.turn_s
    assert watch.recovery().ratio <= MOST


def test_who_waits_longer_than_that_turn_has_no_excuse(monkeypatch) -> None:
    dawdle = partial(monkeypatch.setattr, g, "turn_in_s", lambda *_: 1.0)
    watch = with_stopwatch(3, GIVES_ITS_TURN, 8 * QUICK.turn_s, dawdle)
    (absence,) = watch.absences
    assert absence.ended_at_s is None
    assert 0 < absence.excused_s[TURN] <= QUICK.turn_s
    assert watch.recovery().ratio > MOST


@pytest.mark.parametrize(
    "says_so",
    ["on h2 hosted-engine --set-maintenance --mode=local", "on h2 systemctl stop ha-agent"],
)
def test_nobody_gives_a_turn_to_a_host_that_says_that_it_is_out(monkeypatch, says_so) -> None:
    dawdle = partial(monkeypatch.setattr, g, "turn_in_s", lambda *_: 1.0)
    watch = with_stopwatch(3, [says_so, *GIVES_ITS_TURN], 2 * QUICK.turn_s, dawdle)
    assert TURN not in watch.absences[-1].excused_s


@pytest.mark.parametrize("what", ["dump", "save"])
def test_what_libvirt_holds_beside_the_engine_is_waited_for(what: str) -> None:
    watch = with_stopwatch(2, [f"libvirt h1 holds {what}"], QUICK.save_s + 60)
    away_s = watch.recovery().lasted_s
    assert QUICK.save_s - away_s - QUICK.tick_s <= watch.held_s <= QUICK.save_s


def test_what_is_held_for_longer_than_allowed_has_no_excuse(monkeypatch) -> None:
    def lenient(memory, observation, *rest):
        held = observation.vm is Vm.PAUSED
        vm = Vm.IN_TRANSIT if held else observation.vm
        return step(memory, replace(observation, vm=vm), *rest)

    monkeypatch.setattr("ha_agent.agent.step", lenient)
    watch = with_stopwatch(2, ["libvirt h1 holds dump"], 2 * QUICK.save_s)
    assert 0 < watch.held_s <= QUICK.save_s


def test_finds_a_start_in_global_maintenance(monkeypatch) -> None:
    rows = [row for row in TABLE if g.in_global_maintenance not in row.guards]
    heedless = [
        row if Action.START_VM not in row.actions else _without(row, g.out_of_global_maintenance)
        for row in rows
    ]
    use_table(monkeypatch, heedless)
    mode = "on h2 hosted-engine --set-maintenance --mode=global"
    result = run_plan(plan((15, mode), (160, "engine kill")))
    assert (result.verdict, result.rule) == (SAFETY, GLOBAL_START)
    assert [each.words for each in smallest_failing(result)[0].happenings] == [mode, "engine kill"]


def test_finds_an_agent_that_leaves_an_engine_without_its_lease(monkeypatch) -> None:
    use_table(monkeypatch, [row for row in TABLE if g.vm_without_lease not in row.guards])
    killed = "on h1 systemctl kill --signal=SIGKILL sanlock"
    result = run_plan(plan((15, killed), watchdog=False))
    assert (result.verdict, result.rule) in ((SAFETY, ONE_ENGINE), (SAFETY, LEASE))


def test_finds_an_agent_that_believes_its_sanlock_after_a_sleep(monkeypatch) -> None:
    monkeypatch.setattr(g, "is_denied", lambda _memory, _observation: False)
    result = run_plan(plan(*SLEEPS))
    assert (result.verdict, result.rule) == (SAFETY, ONE_ENGINE)
    # Two looks after the waking and not before.
    assert 150 + 2 * QUICK.tick_s < result.failed_at_s < 150 + 3 * QUICK.tick_s


def test_a_host_that_wakes_at_the_floor_may_still_be_taken_over() -> None:
    """The other one has begun to take the lease: until it has, no look can show that it is lost."""
    late = parse_world(
        "hosts:\n"
        "  h1: {watchdog_fire_timeout_s: 120}\n"
        "  h2: {watchdog_fire_timeout_s: 120, latency_s: 0.231, boot_s: 126}\n"
        "cluster:\n"
        "  timing: {tick_s: 2.9, alive_s: 86.3, start_s: 26.0, turn_s: 27.7, io_timeout_s: 5}\n"
        "engine: {boot_s: 108.7, kill_s: 7.1}\n"
    )
    result = run_plan(Plan(0, late, (Happening(515.11, "suspend h1"),), 676))
    assert result.verdict == FINE, result.report
    assert result.orders == {"start": 2, "destroy": 1}, "h2's, and the end of what had slept"


def test_what_a_person_ordered_while_libvirt_hung_is_done_before_all_is_at_rest() -> None:
    order = "on h1 hosted-engine --vm-poweroff"
    hung = (Happening(99, "libvirt h1 hang"), Happening(99.5, order))
    result = run_plan(Plan(0, world(hosts=1), hung, 100))
    assert result.verdict == FINE, result.report
    assert result.engines == 2, "switched off, and started again"


def test_an_engine_that_was_well_has_its_patience_though_nobody_timed_it_then() -> None:
    patient = parse_world("hosts: 2\ncluster: {timing: {starting_s: 60, bad_health_s: 600}}\n")
    result = run_plan(Plan(0, patient, (Happening(99, "engine stop-service"),), 100))
    assert result.verdict == FINE, result.report
    assert result.used_s is not None
    assert result.used_s > 600
    assert result.ratio < MOST


def test_what_nobody_can_look_at_after_a_sleep_is_counted_and_not_judged() -> None:
    frozen = "on h1 systemctl kill --signal=SIGSTOP libvirtd"
    thawed = "on h1 systemctl kill --signal=SIGCONT libvirtd"
    result = run_plan(plan((19, frozen), *SLEEPS, (190, thawed)))
    assert result.verdict == FINE, result.report
    assert list(result.beyond) == ["two engines: its host slept, and nobody there can look"]


def test_finds_an_agent_that_stops_a_healthy_engine(monkeypatch) -> None:
    index = next(n for n, row in enumerate(TABLE) if row.source is State.ENGINE_UP)
    stop = next(row for row in TABLE if Action.SHUTDOWN_VM in row.actions)
    hasty = type(stop)(State.ENGINE_UP, (g.in_global_maintenance,), State.ENGINE_STOP, "no reason",
                       (Action.SHUTDOWN_VM,))  # fmt: skip
    use_table(monkeypatch, [*TABLE[:index], hasty, *TABLE[index:]])
    # Long after the noise, in which no host reached the engine for a while.
    result = run_plan(plan((150, "on h2 hosted-engine --set-maintenance --mode=global")))
    assert (result.verdict, result.rule) == (SAFETY, HEALTHY_STOPPED)


def test_finds_a_start_in_local_maintenance(monkeypatch) -> None:
    # Two things keep such a host from starting: its score, and the rows themselves.
    state_penalty = fsm.score._state_penalty
    others = tuple(one for one in fsm.score._PENALTIES if one is not state_penalty)
    assert len(others) == len(fsm.score._PENALTIES) - 1
    monkeypatch.setattr(fsm.score, "_PENALTIES", others)
    use_table(monkeypatch, [row for row in TABLE if g.in_local_maintenance not in row.guards])
    mode = "on h2 hosted-engine --set-maintenance --mode=local"
    result = run_plan(plan((15, mode), (70, "power-off h1")))
    assert (result.verdict, result.rule) == (SAFETY, LOCAL_START)


def test_finds_an_agent_that_switches_off_what_was_only_asked_to_stop(monkeypatch) -> None:
    stops = (State.ENGINE_STOP, State.ENGINE_FORCE_STOP)
    rows = [
        _without(row, g.overdue)
        if (row.source, row.target) == stops and g.overdue in row.guards
        else row
        for row in TABLE
    ]
    use_table(monkeypatch, rows)
    result = run_plan(plan((15, "engine never-shuts-down on"), (16, "engine stop-service")))
    assert (result.verdict, result.rule) == (SAFETY, FORCED_STOP)


def test_finds_a_broker_that_takes_the_lockspace_away(monkeypatch) -> None:
    def leave_anyway(lockspace: SimLockspace, _host_id: int) -> bool:
        lockspace._lose(lockspace.san.clock.monotonic_s())
        return True

    stop = Broker.begin_stop

    def leave_and_stop(broker: Broker) -> None:
        leave_anyway(broker._world.lockspace, 1)
        stop(broker)

    monkeypatch.setattr(Broker, "begin_stop", leave_and_stop)
    result = run_plan(plan((100, "on h1 systemctl stop ha-broker")))
    assert (result.verdict, result.rule) == (SAFETY, LOST_LOCKSPACE)


def test_finds_an_engine_that_is_not_left_at_rest(monkeypatch) -> None:
    restless = g.Guard("restless", lambda m, o, _c: g.elapsed_s(m, o) >= 300)
    stop = next(row for row in TABLE if Action.SHUTDOWN_VM in row.actions)
    leave = type(stop)(State.ENGINE_UP, (restless,), State.ENGINE_STOP, "no reason", stop.actions)
    index = next(n for n, row in enumerate(TABLE) if row.source is State.ENGINE_UP)
    use_table(monkeypatch, [*TABLE[:index], leave, *TABLE[index:]])
    result = run_plan(plan())
    assert (result.verdict, result.rule) == (SAFETY, AT_REST)


def test_finds_an_engine_that_nobody_starts_again(monkeypatch) -> None:
    def tires(memory, observation, config):
        return memory.last_owner_id is None and g.our_turn(memory, observation, config)

    tired = g.Guard("tired", tires)
    rows = [
        row if Action.START_VM not in row.actions else _without(row, g.our_turn, tired)
        for row in TABLE
    ]
    use_table(monkeypatch, rows)
    result = run_plan(plan((150, "engine kill")))
    assert (result.verdict, result.rule) == (LIVENESS, NOT_UP)
    assert [each.words for each in smallest_failing(result)[0].happenings] == ["engine kill"]


def test_tells_a_crash_of_the_code_from_the_rest(monkeypatch) -> None:
    def breaks(_self, _publication):
        raise ZeroDivisionError("in the code under test")

    monkeypatch.setattr("ha_agent.agent.Agent._publish", breaks)
    result = run_plan(plan())
    assert (result.verdict, result.rule) == (CRASH, "TypeError")
    assert "Traceback" in result.report


def _without(row, guard, instead=None):
    kept = tuple(each for each in row.guards if each is not guard)
    assert len(kept) < len(row.guards)
    guards = kept if instead is None else (*kept, instead)
    return type(row)(row.source, guards, row.target, row.why, row.actions, row.notes)


# --- the parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("culprits", [{3}, {0, 99}, {17, 18, 64}, set()])
def test_shrinking_leaves_what_is_needed(culprits: set[int]) -> None:
    asked = 0

    def fails(items: list[int]) -> bool:
        nonlocal asked
        asked += 1
        return culprits <= set(items)

    assert minimise(range(100), fails) == sorted(culprits)
    assert asked < 120


def test_the_bound_is_the_sum_of_what_may_have_to_pass() -> None:
    bound = recovery_bound(world(3))
    assert bound.parts["floor"] == 8 * 2 + 60
    assert bound.total_s == sum(bound.parts.values())
    slower = parse_world("hosts: 3\ncluster: {timing: {unexpected_down_s: 2000}}\n")
    quicker = parse_world("hosts: 3\n")
    rest = recovery_bound(slower).total_s - recovery_bound(quicker).total_s
    assert rest == 2000 - 600


# --- the command --------------------------------------------------------------------------------


def test_the_command_ends_well_and_writes_its_page(tmp_path, capsys) -> None:
    page = tmp_path / "page.md"
    code = main(["--seeds", "3..4", "--hosts", "2", "--hours", "0.05", "--report", str(page)])
    shown = capsys.readouterr().out
    assert code == 0, shown
    assert "2 seeds" in shown and "host-hours in a minute of one core" in shown
    assert "Seeds 3 to 4." in page.read_text()


def test_one_seed_tells_what_it_draws_before_it_runs(monkeypatch, capsys) -> None:
    def never(*_arguments):
        raise ZeroDivisionError("in the code under test")

    monkeypatch.setattr("tests.sim.run._Run._begin", never)
    assert main(["--seed", "3", "--hosts", "2", "--hours", "0.05", "--no-shrink"]) == 5
    told, _, after = capsys.readouterr().out.partition("and so it goes:")
    assert told.startswith("seed 3 draws ")
    assert draw_plan(3, 2, 0.05).text() in told
    assert "ZeroDivisionError" in after


def test_one_seed_tells_its_whole_log(capsys) -> None:
    lines: list[str] = []
    run_plan(draw_plan(3, 2, 0.05), tell=lines.append)
    assert any("EngineStarting => EngineUp" in line for line in lines)
    main(["--seed", "3", "--hosts", "2", "--hours", "0.05"])
    shown = capsys.readouterr().out
    assert "\n".join(lines) in shown


def test_many_seeds_tell_their_figures_only(capsys) -> None:
    main(["--seeds", "3..4", "--hosts", "2", "--hours", "0.05"])
    shown = capsys.readouterr().out
    assert "=>" not in shown and "draws" not in shown


@pytest.mark.parametrize(
    ("broken", "code"),
    [("simulation.oracle.Oracle._is_loose", 5), ("tests.sim.run._Run._is_up", 4)],
)
def test_the_command_ends_with_what_it_found(monkeypatch, capsys, broken, code) -> None:
    def never(*_arguments):
        if code == 5:
            raise ZeroDivisionError("in the code under test")
        return False

    monkeypatch.setattr(broken, never)
    assert main(["--seed", "3", "--hosts", "1", "--hours", "0.02", "--no-shrink"]) == code
    assert "again: python -m tests.sim --seed 3 --hosts 1 --hours 0.02" in capsys.readouterr().out


def test_the_command_ends_with_3_for_safety(monkeypatch, capsys) -> None:
    give_the_lease_twice(monkeypatch)
    monkeypatch.setattr(
        "tests.sim.__main__.draw_plan",
        lambda *_asked: plan((100, "on h2 hosted-engine --vm-start")),
    )
    assert main(["--seed", "1"]) == 3
    assert "6 faults became 1:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--seeds", "9..3"], "3 is below 9"),
        (["--seeds", "7"], "A..B"),
        (["--seed", "x"], "a whole number from 0"),
        (["--seed", "1", "--hosts", "10"], "a whole number from 1 to 9"),
        (["--seed", "1", "--hours", "0"], "hours from 0.01"),
        (["--seed", "1", "--jobs", "0"], "a whole number from 1"),
        (["--seed", "1", "--save", "Bad Name"], "a-z and 0-9"),
        (["--seed", "1", "--save", "all-hosts-lose-power"], "there is such a scenario"),
        ([], "one of the arguments"),
    ],
)
def test_wrong_usage_is_refused(words, allowed, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert allowed in capsys.readouterr().err
