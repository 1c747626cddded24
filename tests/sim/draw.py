# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A plan from a seed: everything is drawn here, before anything runs.

Each seed enables a random subset of the fault families with weights of its own (swarm
testing): some faults hide others, so no single mixture finds everything.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any, Optional

from metadata.sanlock_usual import USUAL_FIRE_TIMEOUT_S
from metadata.settings.monitors import MonitorSettings
from metadata.settings.parse import ClusterSettings, ScoreWeights, Timing, check_timing
from metadata.settings.timing import (
    KILL_S,
    floor_problems,
    lease_floor_s,
    longest_migration_limit_s,
    renewal_fail_s,
)
from metadata.settings.values import MigrationSettings
from simulation.settings import VERSIONS, EngineTraits, HostTraits, WorldSettings
from tests.sim.dice import Dice, spread
from tests.sim.families import FAMILIES
from tests.sim.plan import Plan

HOST_COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 9)
HOST_WEIGHTS = (3, 8, 12, 6, 4, 2, 2, 1, 2)


def draw_plan(seed: int, hosts: Optional[int] = None, hours: Optional[float] = None) -> Plan:
    """The plan of `seed`; `hosts` and `hours` (of faults) fix what is drawn otherwise."""
    rng = random.Random(seed)
    count = _draw_count(rng) if hosts is None else hosts
    world = draw_world(rng, count)
    pause_s = spread(rng, 60, 20_000)
    drawn_hours = _draw_hours(rng, pause_s, world.cluster.timing.tick_s)
    safety_s = round(3600 * (drawn_hours if hours is None else hours))
    names = [host.name for host in world.hosts]
    dice = Dice(rng, names, world.cluster.timing, safety_s)
    families = _draw_families(rng)
    for name in _draw_faults(rng, families, safety_s / pause_s):
        dice.begin()
        FAMILIES[name][0](dice)
    plan = Plan(seed, world, (), safety_s, tuple(sorted(families)))
    return plan.with_happenings(dice.happenings)


def _draw_count(rng: random.Random) -> int:
    return rng.choices(HOST_COUNTS, HOST_WEIGHTS)[0]


def _draw_families(rng: random.Random) -> dict[str, float]:
    """Which families this seed has, and how often each is drawn."""
    names = list(FAMILIES)
    likely = [weight for _, weight in FAMILIES.values()]
    count = rng.choice((1, 2, 3, 4, 6, 8, len(names)))
    chosen = {rng.choices(names, likely)[0] for _ in range(count)}
    return {name: rng.uniform(0.2, 1) for name in names if name in chosen}


def _draw_hours(rng: random.Random, pause_s: float, tick_s: float) -> float:
    """Longer the calmer it is; an hour of many faults, or of short ticks, costs more.

    The seeds with the shortest ticks would cost the most of all, and half of all hours, if
    theirs were not cut twice.
    """
    calm = min(6.0, pause_s / 600)
    return spread(rng, 0.5, 8) * calm * min(1.0, tick_s / 50) * min(1.0, math.sqrt(tick_s / 10))


def _draw_faults(rng: random.Random, families: dict[str, float], about: float) -> list[str]:
    """So many faults that some seeds leave time to recover from each and others don't."""
    count = max(1, min(200, round(about)))
    return rng.choices(list(families), list(families.values()), k=count)


# --- the world --------------------------------------------------------------------------


def draw_world(rng: random.Random, count: int) -> WorldSettings:
    score = draw_score(rng) if rng.random() < 0.2 else ScoreWeights()
    timing = draw_timing(rng, score.failed_starts_to_zero)
    watchdogs = 1 - rng.choice((0.0, 0.3, 1.0))
    mixed = rng.random() < 0.15
    hosts = [_draw_host(rng, number, watchdogs, mixed) for number in range(1, count + 1)]
    start = "running" if rng.random() < 0.85 else "cold"
    if count > 1 and rng.random() < 0.08:
        start = "cold"
        hosts = _with_twins(rng, hosts)
    world = WorldSettings(
        hosts=tuple(hosts),
        cluster=ClusterSettings(timing=timing, score=score, monitors=draw_monitors(rng, timing)),
        engine=_draw_engine(rng, timing),
        start=start,
        seed=rng.randrange(1_000_000),
    )
    return _with_slow_start(_with_moves(_with_sanlocks_settings(_with_copy(world))))


def _with_copy(world: WorldSettings) -> WorldSettings:
    """Now and then a host is a copy of another one. Drawn apart: it changes no other draw."""
    rng = random.Random(f"copy {world.seed}")
    ids = {host.host_id for host in world.hosts}
    if len(ids) < max(3, len(world.hosts)) or rng.random() >= 0.15:
        return world
    hosts = list(world.hosts)
    first, second = rng.sample(range(len(hosts)), 2)
    original = hosts[first]
    hosts[second] = replace(hosts[second], host_id=original.host_id, copy_of=original.name)
    return replace(world, hosts=tuple(hosts))


def _with_slow_start(world: WorldSettings) -> WorldSettings:
    """libvirt takes its time to make a VM, and answers nothing then; drawn apart, too."""
    rng = random.Random(f"start {world.seed}")
    if rng.random() >= 0.3:
        return world
    start_s = min(spread(rng, 0.3, 60), 0.3 * world.cluster.timing.start_s)
    return replace(world, engine=replace(world.engine, start_s=round(start_s, 1)))


def _with_sanlocks_settings(world: WorldSettings) -> WorldSettings:
    """Another watchdog time for all hosts, or for one of them; drawn apart, too."""
    rng = random.Random(f"fire {world.seed}")
    chance = rng.random()
    if chance >= 0.25:
        return world
    timing = world.cluster.timing
    fitting = [s for s in (10, 15, 30, 45, 90, 120) if not floor_problems(timing, s)]
    if not fitting:
        return world
    fire_timeout_s = rng.choice(fitting)
    names = [host.name for host in world.hosts]
    chosen = {rng.choice(names)} if chance < 0.05 else set(names)
    hosts = [
        replace(host, watchdog_fire_timeout_s=fire_timeout_s) if host.name in chosen else host
        for host in world.hosts
    ]
    return replace(world, hosts=tuple(hosts))


def _with_moves(world: WorldSettings) -> WorldSettings:
    """How the engine is moved alive; drawn apart, too."""
    rng = random.Random(f"moves {world.seed}")
    longest_s = longest_migration_limit_s(world.cluster.timing)
    migration = MigrationSettings(
        limit_s=round(min(spread(rng, 1, 300), longest_s), 1),
        tries=rng.choice((1, 2, 3, 3, 9)),
        at_shutdown=rng.choice(("migrate", "migrate", "migrate", "stop", "leave")),
        shutdown_s=round(spread(rng, 10, 600)),
        better_points=rng.choice((800, 800, 400, 0)),
        better_s=round(spread(rng, 60, 3000)),
        better_per_day=rng.choice((1, 3, 10)),
        out_of_reach_s=rng.choice((0, 30, round(spread(rng, 2, 300)))),
    )
    return replace(world, cluster=replace(world.cluster, migration=migration))


def _draw_host(rng: random.Random, number: int, watchdogs: float, mixed: bool) -> HostTraits:
    traits: dict[str, Any] = {"watchdog": rng.random() < watchdogs, "latency_s": 0.0}
    if rng.random() < 0.15:
        traits["latency_s"] = round(spread(rng, 0.001, 0.5), 3)
    if rng.random() < 0.3:
        traits["boot_s"] = round(spread(rng, 5, 300))
    if rng.random() < 0.1:
        traits["gateway"] = False
    if rng.random() < 0.1:
        traits["clock_drift_ppm"] = rng.randint(-300, 300)
    if mixed:
        traits["version"] = rng.choice(VERSIONS)
    return HostTraits(f"h{number}", number, **traits)


def _with_twins(rng: random.Random, hosts: list[HostTraits]) -> list[HostTraits]:
    """Two hosts that were given the same id."""
    first, second = rng.sample(range(len(hosts)), 2)
    hosts[second] = replace(hosts[second], host_id=hosts[first].host_id)
    return hosts


def _draw_engine(rng: random.Random, timing: Timing) -> EngineTraits:
    boot_s = min(spread(rng, 3, 300), 0.7 * timing.starting_s)
    shutdown_s = min(spread(rng, 1, 120), 2 * timing.stop_s)
    kill_s = rng.uniform(0, KILL_S) if rng.random() < 0.4 else 0.0
    engine = EngineTraits(round(boot_s, 1), round(shutdown_s, 1), round(kill_s, 1))
    if rng.random() < 0.3:
        engine = replace(engine, cpus=round(rng.uniform(0, 4), 1), cpu_unknown_s=90.0)
    return engine


def draw_score(rng: random.Random) -> ScoreWeights:
    return ScoreWeights(
        base=rng.choice((1, 100, 3400, 3400, 10000)),
        network=rng.choice((0, 1600, 3400)),
        cpu_load=rng.choice((0, 1000, 3400)),
        bridge_down=rng.choice((0, 600, 3400)),
        memory_low=rng.choice((0, 400, 3400)),
        failed_start=rng.choice((0, 50, 1000)),
        failed_starts_to_zero=rng.randint(1, 5),
    )


def draw_monitors(rng: random.Random, timing: Timing) -> MonitorSettings:
    """In step with the tick, mostly: each wake-up of a simulated broker has its price."""
    interval_s = timing.tick_s * rng.choice((1, 4, 4, 8))
    if rng.random() < 0.05:
        interval_s = max(2.0, timing.tick_s * spread(rng, 0.2, 5))
    return MonitorSettings(interval_s=round(interval_s, 1))


# --- the cluster's times ------------------------------------------------------------------


def draw_timing(rng: random.Random, failed_starts: int) -> Timing:
    """Times that `check_timing` accepts: the least it allows, up to a few times as much."""
    tick_s = round(_draw_tick_s(rng), 1)
    io_s = rng.choice([io_s for io_s in range(1, 41) if _has_room(tick_s, io_s)])
    timing: dict[str, Any] = {"tick_s": tick_s, "io_timeout_s": io_s}
    least_s = max(3 * tick_s, 2 * tick_s + 2 * io_s, 1)
    timing["alive_s"] = round(rng.uniform(least_s + 0.1, _floor_s(io_s) - tick_s - 0.1), 1)
    timing["turn_s"] = _stretch(rng, max(3 * tick_s, 2 * io_s + tick_s))
    timing["start_s"] = _stretch(rng, tick_s + 4 * io_s)
    timing["starting_s"] = _stretch(rng, max(2 * tick_s, spread(rng, 20, 600)))
    timing["bad_health_s"] = _stretch(rng, renewal_fail_s(io_s) + 2 * tick_s)
    timing["stop_s"] = _stretch(rng, max(2 * tick_s, spread(rng, 20, 300)))
    timing["away_s"] = _stretch(rng, 3 * tick_s + 2 * io_s)
    timing["migration_s"] = _stretch(rng, max(2 * tick_s, spread(rng, 20, 600)))
    timing["save_s"] = _stretch(rng, max(2 * tick_s, spread(rng, 20, 600)))
    timing["isolated_s"] = _stretch(rng, 3 * tick_s + 2 * io_s)
    one_turn_s = timing["turn_s"] + timing["start_s"] + tick_s
    timing["unexpected_down_s"] = _stretch(rng, one_turn_s)
    pauses = failed_starts * (failed_starts - 1) // 2
    tries_s = failed_starts * (timing["start_s"] + tick_s) + pauses * timing["turn_s"]
    timing["retry_window_s"] = _stretch(rng, tries_s)
    drawn = Timing(**timing)
    problems = check_timing(drawn, failed_starts)
    assert not problems, problems
    return drawn


def _draw_tick_s(rng: random.Random) -> float:
    """What a simulated hour costs goes with 1 / tick_s, so most hosts tick slowly."""
    chance = rng.random()
    if chance < 0.6:
        return rng.uniform(40, 60)
    return rng.uniform(10, 40) if chance < 0.85 else spread(rng, 1, 10)


def _floor_s(io_s: int) -> float:
    return lease_floor_s(io_s, USUAL_FIRE_TIMEOUT_S)


def _has_room(tick_s: float, io_s: int) -> bool:
    """Can alive_s lie between what a slow I/O and what the lease's floor ask for?"""
    least_s = max(3 * tick_s, 2 * tick_s + 2 * io_s)
    return least_s + tick_s + 1 <= _floor_s(io_s) and 3 * tick_s + 15 <= 6 * io_s + 60


def _stretch(rng: random.Random, least_s: float) -> float:
    return math.ceil(10 * least_s * rng.uniform(1, 2.5)) / 10
