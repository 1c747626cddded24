# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs a plan: faults, then everything is healed, then the engine must be up and stay."""

from __future__ import annotations

import gc
import logging
import platform
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Callable, Optional

from ha_broker.api.snapshot import LeaseState
from hosted_engine.simulate.grammar import parse_command
from hosted_engine.simulate.verbs import carry_out
from metadata.liveness import Liveness
from metadata.states import State
from simulation.cluster import SimCluster
from simulation.errors import SimulationError
from simulation.oracle import Oracle, Violation
from simulation.settings import WorldSettings
from simulation.world import CallHangs, ProcessEnded
from tests.optimum import HELD, LOOKS, Stopwatch
from tests.sim import heal
from tests.sim.bound import Bound, recovery_bound, unable
from tests.sim.plan import Happening, Plan
from tests.sim.recorder import Recorder, TellLine, tell_nobody

FINE, SAFETY, LIVENESS, CRASH = "fine", "safety", "liveness", "crash"
EXIT_CODES = {FINE: 0, SAFETY: 3, LIVENESS: 4, CRASH: 5}
NOT_UP, NOT_HEALED, NOT_BROUGHT_UP = "not-up", "not-healed", "not-brought-up"
QUIET_TICKS = 20
MEASURED_TICKS = 3  # a score is in its record, and read there, within so many
LOOK_S = 2.0
HEAL_STEP_S = 5.0
LOG_TAIL = 25

MakeCluster = Callable[[WorldSettings], SimCluster]


class HaltError(Exception):
    """A rule was broken: the run ends here."""


@dataclass
class Result:
    """`used_s` of `bound` is what the recovery took, `optimum_s` the least that it could have.

    `done` is the whole script that was run.
    """

    plan: Plan
    verdict: str = FINE
    rule: str = ""
    report: str = ""
    failed_at_s: float = 0.0
    host_hours: float = 0.0
    cpu_s: float = 0.0
    digest: str = ""
    used_s: Optional[float] = None
    optimum_s: float = 0.0
    excused: Counter[str] = field(default_factory=Counter)
    bound_s: float = 0.0
    bound_text: str = ""
    not_judged: str = ""
    orders: Counter[str] = field(default_factory=Counter)
    engines: int = 0
    moves: int = 0
    refused: int = 0
    beyond: Counter[str] = field(default_factory=Counter)
    double_life_s: float = 0.0
    transitions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    done: list[Happening] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """What the recovery took, by the least; 1 where it is not known."""
        return self.used_s / self.optimum_s if self.used_s and self.optimum_s else 1.0

    @property
    def failure(self) -> str:
        """What a smaller plan must fail with too."""
        return f"{self.verdict}/{self.rule}"


def run_plan(
    plan: Plan, make_cluster: MakeCluster = SimCluster, tell: TellLine = tell_nobody
) -> Result:
    """Never raises for what the code under test does: that is a verdict.

    `tell` gets the log line by line.
    """
    began_s = time.process_time()
    result = Result(plan)
    recorder = Recorder(tell)
    with _silence(), _few_collections():
        run: Optional[_Run] = None
        try:
            run = _Run(plan, result, recorder, make_cluster(plan.world))
            run.go()
        except (Exception, CallHangs, ProcessEnded) as error:
            _note_crash(result, recorder, error)
        finally:
            if run is not None:
                run.close()
    result.digest = recorder.digest
    result.transitions = recorder.transitions
    result.cpu_s = time.process_time() - began_s
    return result


def _note_crash(result: Result, recorder: Recorder, error: BaseException) -> None:
    result.verdict = CRASH
    result.rule = type(error).__name__
    tail = "\n".join(f"  | {line}" for line in list(recorder.lines)[-LOG_TAIL:])
    result.report = f"{traceback.format_exc()}\n{tail}"


@contextmanager
def _silence() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("ha_agent", "ha_broker")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    yield
    for logger, level in zip(loggers, before):
        logger.setLevel(level)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Hardly anything of a run is garbage in a ring; looking for it costs a tenth of the time.

    PyPy, whose collector has no thresholds, is left as it is.
    """
    if platform.python_implementation() != "CPython":
        yield
        return
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 20)
    yield
    gc.set_threshold(*before)


class _Run:
    """One plan on one cluster. Times in the plan count from when the engine was up."""

    def __init__(self, plan: Plan, result: Result, recorder: Recorder, cluster: SimCluster) -> None:
        self._plan = plan
        self._result = result
        self._recorder = recorder
        self._cluster = cluster
        self._zero_s = 0.0
        self._oracle = Oracle(cluster)
        cluster.listeners.append(recorder)
        cluster.on_event.append(self._halt_if_broken)

    def go(self) -> None:
        try:
            if self._begin():
                self._let_happen()
                self._heal_and_judge()
        except Exception:
            # What broke a rule may also have raised a moment later.
            if not self._oracle.violations:
                raise
            self._note_violation(self._oracle.violations[0])

    def close(self) -> None:
        result, oracle = self._result, self._oracle
        result.host_hours = self._cluster.now_s * len(self._cluster.hosts) / 3600
        result.orders, result.beyond = oracle.orders, oracle.beyond
        result.double_life_s = oracle.double_life_s
        result.engines, result.moves = oracle.engines, oracle.moves
        self._cluster.close()

    # --- the phases -------------------------------------------------------------------------

    def _begin(self) -> bool:
        if self._plan.world.start == "running":
            try:
                self._cluster.bring_up()
            except SimulationError as error:
                self._fail(NOT_BROUGHT_UP, str(error))
                return False
        self._zero_s = self._cluster.now_s
        self._recorder.line(self._zero_s, "the plan's times count from here")
        return True

    def _let_happen(self) -> None:
        for happening in self._plan.happenings:
            self._run_until(happening.at_s)
            self._do(happening.words)
        self._run_until(self._plan.safety_s)

    def _heal_and_judge(self) -> None:
        bound, began_s = recovery_bound(self._plan.world), self._now_s
        if not self._heal(bound):
            self._fail(NOT_HEALED, f"still to be done: {heal.missing_words(self._cluster)}")
            return
        problems = unable(self._plan.world)
        if len(problems) == len(self._plan.world.hosts):
            self._result.not_judged = "; ".join(f"{k} {why}" for k, why in problems.items())
            return
        if self._wait_until_up(bound, began_s):
            self._wait_until_measured(began_s)
            if self._wait_until_seen(bound):
                self._stay_quiet()

    def _heal(self, bound: Bound) -> bool:
        heal.forget_traps(self._cluster)
        for words in heal.first_words(self._cluster):
            self._do(words)
        give_up_s = self._now_s + sum(bound.parts[part] for part in ("boot", "floor", "wishes"))
        while heal.is_settling(self._cluster) or heal.missing_words(self._cluster):
            if self._now_s > give_up_s:
                return False
            for words in heal.missing_words(self._cluster):
                self._do(words)
            self._run_until(self._now_s + HEAL_STEP_S)
        heal.forget_traps(self._cluster)
        return True

    def _wait_until_up(self, bound: Bound, began_s: float) -> bool:
        self._result.bound_s, self._result.bound_text = bound.total_s, bound.text()
        watch = Stopwatch(self._cluster)
        while not self._is_up():
            if self._now_s - began_s > bound.total_s:
                self._fail(NOT_UP, f"the engine is not up {bound.total_s:.0f} s after all healed")
                return False
            self._run_until(self._now_s + LOOK_S)
        self._result.used_s = self._now_s - began_s
        self._note_optimum(watch, began_s)
        return True

    def _wait_until_measured(self, began_s: float) -> None:
        """Until no score is of a time before all healed, by which a better host gets the engine."""
        cluster = self._plan.world.cluster
        if cluster.migration.better_points:
            ticks_s = MEASURED_TICKS * cluster.timing.tick_s
            self._run_until(began_s + cluster.monitors.interval_s + ticks_s)

    def _wait_until_seen(self, bound: Bound) -> bool:
        """Until no other host may take the engine's lease for that of a dead host any more.

        The engine's host may have slept for longer than the floor: its engine is well as soon as it
        wakes, and until another host's sanlock has seen a renewal of it that one takes over with
        good right.
        """
        began_s = self._now_s
        while not (self._is_up() and self._is_seen()):
            waited_s = self._now_s - began_s
            if waited_s > bound.total_s:
                self._fail(NOT_UP, f"the engine did not stay up for {waited_s:.0f} s")
                return False
            if waited_s > bound.parts["floor"] and self._is_up():
                break  # whoever still doubts it by now must not act on that
            self._run_until(self._now_s + LOOK_S)
        return True

    def _is_seen(self) -> bool:
        """No host takes the lease for free, or its owner for one that may have ended."""
        (owner,) = [one for one in self._cluster.hosts.values() if one.vm.now.pid is not None]
        snapshots = [one.snapshot for one in self._cluster.hosts.values() if one is not owner]
        known = [one for one in snapshots if one is not None]
        owners = [view for one in known for view in one.hosts if view.host_id == owner.host_id]
        return not (
            any(one.lease.state is LeaseState.FREE for one in known)
            or any(view.liveness in (Liveness.FAIL, Liveness.DEAD) for view in owners)
        )

    def _note_optimum(self, watch: Stopwatch, began_s: float) -> None:
        """Healing itself took its time; the engine, once well, takes a few looks to be up."""
        watch.look()
        waited_s = watch.began_at_s - self._zero_s - began_s
        for absence in watch.absences:
            self._result.excused += absence.excused_s
        if watch.held_s:
            self._result.excused[HELD] += watch.held_s
        looks_s = LOOKS * self._plan.world.cluster.timing.tick_s * (1 + len(watch.absences))
        excused_s = sum(self._result.excused.values())
        self._result.optimum_s = waited_s + excused_s + looks_s + LOOK_S

    def _stay_quiet(self) -> None:
        self._recorder.line(self._now_s, "the engine is up; nothing happens from now on")
        self._oracle.rest(True)
        self._run_until(self._now_s + QUIET_TICKS * self._plan.world.cluster.timing.tick_s)
        self._oracle.rest(False)

    def _is_up(self) -> bool:
        """One healthy engine, its agent says so, and nobody has asked it to shut down.

        And it holds its lease: a VM that lost it while sanlock was restarted is about to be
        switched off, though its agent has not looked yet.
        """
        hosts = [host for host in self._cluster.hosts.values() if host.vm.now.pid is not None]
        if len(hosts) != 1:
            return False
        host = hosts[0]
        asked = host.vm.next_event_s() is not None
        calm = host.vm.now.pid in host.lockspace.holders and not asked
        return host.state is State.ENGINE_UP and host.engine_is_healthy and calm

    # --- details ----------------------------------------------------------------------------

    @property
    def _now_s(self) -> float:
        return self._cluster.now_s - self._zero_s

    def _run_until(self, at_s: float) -> None:
        if at_s > self._now_s:
            self._cluster.run_until(at_s + self._zero_s)
        self._halt_if_broken()

    def _do(self, words: str) -> None:
        command = parse_command(words, list(self._cluster.hosts))
        at_s = round(self._now_s, 2)
        self._recorder.line(self._cluster.now_s, f"$ {words}")
        try:
            carry_out(command, self._cluster)
        except SimulationError as error:
            self._recorder.line(self._cluster.now_s, f"  refused: {error}")
            self._result.refused += 1
        else:
            self._result.done.append(Happening(at_s, words))
        self._halt_if_broken()

    def _halt_if_broken(self) -> None:
        if self._oracle.violations:
            raise HaltError

    def _note_violation(self, violation: Violation) -> None:
        self._result.verdict = SAFETY
        self._result.rule = violation.rule
        self._result.report = violation.report()
        self._result.failed_at_s = self._now_s

    def _fail(self, rule: str, text: str) -> None:
        self._result.verdict, self._result.rule = LIVENESS, rule
        self._result.failed_at_s = self._now_s
        states = {name: host.state for name, host in self._cluster.hosts.items()}
        told = [f"{name} {state.value if state else 'off'}" for name, state in states.items()]
        lines = [f"{self._now_s:.2f} {rule}: {text}", f"  states: {', '.join(told)}"]
        lines += self._statuses()
        lines += [f"  | {line}" for line in list(self._recorder.lines)[-LOG_TAIL:]]
        self._result.report = "\n".join(lines)

    def _statuses(self) -> list[str]:
        """What each agent says that it waits for."""
        agents = {name: host.agent for name, host in self._cluster.hosts.items()}
        return [f"  {name}: {agent._status}" for name, agent in agents.items() if agent]
