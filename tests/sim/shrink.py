# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Makes a failing plan small: fewer faults, fewer hosts, a plainer world.

Every step keeps what still fails by the same rule. `fails` runs a plan and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Callable, TypeVar

from metadata.settings.parse import ScoreWeights
from simulation.settings import EngineTraits, HostTraits, WorldSettings
from tests.sim.plan import Happening, Plan

T = TypeVar("T")
Fails = Callable[[Plan], bool]


class Budget:
    """Lets `fails` be asked so many times; afterwards nothing seems to fail any more."""

    def __init__(self, fails: Fails, tries: int) -> None:
        self._fails = fails
        self.left = tries

    def __call__(self, plan: Plan) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        return self._fails(plan)


def shrink(plan: Plan, fails: Fails, tries: int = 400, ends_s: float = 0.0) -> Plan:
    """The smallest plan that was found; `ends_s` is when `plan` failed (0: after all faults)."""
    asked = Budget(fails, tries)
    if ends_s:
        plan = _cut_end(plan, asked, ends_s)
    plan = _drop_groups(plan, asked)
    plan = _drop_singles(plan, asked)
    plan = _drop_hosts(plan, asked)
    plan = _take_all(plan, _plainer(plan), asked)
    plan = _drop_singles(plan, asked)
    return _take_all(plan, _rounder(plan), asked)


def minimise(items: Sequence[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """Drop halves, then quarters, ... then single items, as long as the rest still fails."""
    kept = list(items)
    size = max(1, len(kept) // 2)
    while kept:
        smaller = _without_chunks(kept, size, fails)
        if size == 1 and len(smaller) == len(kept):
            return kept
        kept = smaller
        size = max(1, size // 2)
    return kept


def _without_chunks(items: list[T], size: int, fails: Callable[[list[T]], bool]) -> list[T]:
    at = 0
    while at < len(items):
        rest = items[:at] + items[at + size :]
        if fails(rest):
            items = rest
        else:
            at += size
    return items


# --- the steps ----------------------------------------------------------------------------


def _cut_end(plan: Plan, fails: Fails, ends_s: float) -> Plan:
    """What comes after the failure has no part in it."""
    kept = [each for each in plan.happenings if each.at_s <= ends_s]
    cut = replace(plan.with_happenings(kept), safety_s=float(int(ends_s) + 1))
    return cut if cut.safety_s < plan.safety_s and fails(cut) else plan


def _drop_groups(plan: Plan, fails: Fails) -> Plan:
    groups = sorted({each.group for each in plan.happenings})

    def smaller(kept: list[int]) -> Plan:
        chosen = set(kept)
        return plan.with_happenings([each for each in plan.happenings if each.group in chosen])

    return smaller(minimise(groups, lambda kept: fails(smaller(kept))))


def _drop_singles(plan: Plan, fails: Fails) -> Plan:
    kept = minimise(plan.happenings, lambda kept: fails(plan.with_happenings(kept)))
    return plan.with_happenings(kept)


def _drop_hosts(plan: Plan, fails: Fails) -> Plan:
    """From the last one on; what happens to a host goes with it."""
    for host in reversed(plan.world.hosts):
        smaller = _without_host(plan, host)
        if smaller.world.hosts and fails(smaller):
            plan = smaller
    return plan


def _without_host(plan: Plan, host: HostTraits) -> Plan:
    hosts = tuple(each for each in plan.world.hosts if each.name != host.name)
    kept = [each for each in plan.happenings if host.name not in each.hosts]
    return replace(plan.with_happenings(kept), world=replace(plan.world, hosts=hosts))


def _take_all(plan: Plan, changes: Iterator[Callable[[Plan], Plan]], fails: Fails) -> Plan:
    for change in changes:
        changed = change(plan)
        if changed != plan and fails(changed):
            plan = changed
    return plan


def _plainer(plan: Plan) -> Iterator[Callable[[Plan], Plan]]:
    """One thing after the other as it is by default."""
    yield lambda plan: _in_world(plan, engine=EngineTraits())
    yield lambda plan: _with_score(plan, ScoreWeights())
    yield lambda plan: _in_world(plan, seed=1)
    yield lambda plan: _in_world(plan, start="running")
    for host in plan.world.hosts:
        usual = HostTraits(host.name, host.host_id)
        for name in (
            "watchdog",
            "latency_s",
            "version",
            "boot_s",
            "gateway",
            "clock_drift_ppm",
            "lease",
        ):
            yield _one_trait(host.name, name, getattr(usual, name))


def _in_world(plan: Plan, **changes: object) -> Plan:
    world: WorldSettings = replace(plan.world, **changes)  # type: ignore[arg-type]
    return replace(plan, world=world)


def _with_score(plan: Plan, score: ScoreWeights) -> Plan:
    return _in_world(plan, cluster=replace(plan.world.cluster, score=score))


def _one_trait(host: str, name: str, value: object) -> Callable[[Plan], Plan]:
    def change(plan: Plan) -> Plan:
        hosts = tuple(
            replace(each, **{name: value}) if each.name == host else each
            for each in plan.world.hosts
        )
        return _in_world(plan, hosts=hosts)

    return change


def _rounder(plan: Plan) -> Iterator[Callable[[Plan], Plan]]:
    """Whole seconds read better."""
    yield lambda plan: plan.with_happenings([_rounded(each) for each in plan.happenings])
    for number in range(plan.size):
        yield _round_one(number)


def _round_one(number: int) -> Callable[[Plan], Plan]:
    def change(plan: Plan) -> Plan:
        each = plan.happenings[number]
        others = [*plan.happenings[:number], *plan.happenings[number + 1 :]]
        return plan.with_happenings([*others, _rounded(each)])

    return change


def _rounded(happening: Happening) -> Happening:
    return replace(happening, at_s=float(round(happening.at_s)))
