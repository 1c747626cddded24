# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Mutants of what agent and broker decide outside the table, and who objects to them.

``python -m tests.unit.mutants``: each place of `MODULES` is changed (`tests.unit.mutation`), and
the unit tests are asked that execute the changed statement, the quickest first, then whole hosts
in virtual time. A survivor needs an entry in `HARMLESS` with its reason, or the program ends
with 1.

Tests and stories are gone through once beforehand, to see which lines each of them executes. Each
mutant lives in a child of the process that has collected the tests.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Callable, Optional, Protocol

import pytest
from hypothesis import Phase, settings

from tests import scenarios
from tests.unit.executed_lines import Line, executed_lines
from tests.unit.mutation import Mutant, make, mutants_of

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "tests" / "unit"

# What is changed.
MODULES = (
    "ha_agent.observation.collect",
    "ha_agent.observation.vm_lease",
    "ha_broker.lockspace.lease_state",
    "ha_broker.lockspace.membership",
    "ha_broker.storage.liveness",
    "ha_agent.actions.execute",
    "ha_agent.actions.start_engine",
    "ha_agent.observation.domain_poller",
    "ha_broker.lockspace.lease_reader",
    "ha_broker.storage.slot_table",
)
# Who is asked, but for tests that wait for real time: on a busy machine those object to nothing.
TESTS = ("agent_*", "broker_*", "slot_notes", "two_engines")
REAL_TIME = ("agent_small_parts", "broker_api")
# Whole hosts: the shortest stories that meet most of the decisions.
STORIES = (
    "killed-qemu-restarts-in-place",
    "power-cut-is-taken-over",
    "nobody-takes-the-lease-in-a-migrations-gap",
    "libvirtd-may-stop-in-any-state",
    "storage-hang-on-the-engines-host",
    "two-hosts-with-one-id",
    "sanlock-dies-without-watchdog",
    "garbage-in-a-dead-hosts-slot-hides-nobody",
)
# A mutant that does not end has been noticed: it works for far longer than the unchanged code, or
# does nothing at all for so long.
MOST_WORK = 5
LEAST_WORK_S = 20.0
IDLE_S = 30.0 * float(os.environ.get("HE_TIME_FACTOR", "1"))
ENDLESS = "does not end"
STRIDE = 16

COLLECT = "ha_agent.observation.collect"
MEMBERS = "ha_broker.lockspace.membership.MembershipWatch"
READER = "ha_broker.lockspace.lease_reader.LeaseReader"
TABLE = "ha_broker.storage.slot_table.SlotTable"
# Who survives, and why that is no gap: agreed upon one by one.
HARMLESS: dict[str, str] = {
    f"{COLLECT}.collect: snapshot and contradicted -> contradicted": (
        "a lease that is free or another's comes from a snapshot"
    ),
    f"{COLLECT}._sleep_why: read_at_s is not None and read_at_s >= woke_at_s"
    " -> read_at_s >= woke_at_s": "a storage that was never read is told before the sleep is",
    f"{COLLECT}._seen_before_vm: inputs.domain.pid is None or since_s is None or "
    "lease.seen_at_s is None -> inputs.domain.pid is None or since_s is None": (
        "a lease that was not seen at any moment is too old, and not asked about"
    ),
    f"{MEMBERS}.__init__: self._hosts_at_s = 0.0 -> pass": (
        "read only for hosts that an earlier look has shown, which has set it"
    ),
    f"{MEMBERS}.__init__: 0.0 -> 1.0": ("the moment before the first look is read for no host"),
    f"{MEMBERS}._seen: self.looked_at_s is not None -> self.looked_at_s is None": (
        "compared with itself alone, and it changes at the same look"
    ),
    f"{MEMBERS}._wants_to_join: self.looked_at_s is not None and (not self._look_error)"
    " -> not self._look_error": (
        "before the first look the watchdog time is not known, without which nobody joins"
    ),
    f"{MEMBERS}._start_join: self.fire_timeout_s or 0 -> self.fire_timeout_s": (
        "nobody joins before it is known; the 0 is for the type checker"
    ),
    f"{MEMBERS}._start_join: 0 -> 1": "nobody joins before the watchdog time is known",
    f"{READER}._has_rebooted: 1 -> 2 (3)": (
        "if all are one machine, each of them may be compared with the last or the one before"
    ),
    f"{READER}._note_new_life: owner is None or host is None or host.generation <= "
    "owner.generation -> owner is None or host is None": (
        "it is asked for in a later life only, and a later life begins anew"
    ),
    f"{READER}._note_new_life: owner is None or host is None or host.generation <= "
    "owner.generation -> host is None or host.generation <= owner.generation": (
        "without an owner there is no host of it either"
    ),
    f"{TABLE}.__init__: self._alive_s = 0.0 -> pass": (
        "asked only with hosts that were asked about before, and then it is set"
    ),
    f"{TABLE}.__init__: 0.0 -> 1.0": (
        "compared only with hosts that were asked about before, and then it is set"
    ),
}


@dataclass(frozen=True)
class Fate:
    """What became of a mutant; `seconds` of work."""

    mutant: str
    killer: str = ""  # empty: it survived
    seconds: float = 0.0


def spread(chosen: Sequence[Mutant]) -> list[Mutant]:
    """In an order whose beginning is a sample of all, should the time not suffice."""
    return [one for start in range(STRIDE) for one in chosen[start::STRIDE]]


def mutants() -> list[Mutant]:
    """Every mutant, module by module."""
    return [mutant for module in MODULES for mutant in mutants_of(module)]


# --- who may object -------------------------------------------------------------------


class Witness(Protocol):
    """A test or a story."""

    @property
    def name(self) -> str:
        """Told in the report."""

    def objects(self) -> bool:
        """Ask it, in this process."""


class _Failures:
    """A plugin of pytest that counts failed tests."""

    def __init__(self) -> None:
        self.count = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Optional[pytest.TestReport]:
        """That it failed is enough: to say how takes longer than most tests."""
        if call.excinfo is None or call.excinfo.errisinstance(pytest.skip.Exception):
            return None
        assert call.when != "collect"
        return pytest.TestReport(item.nodeid, item.location, {}, "failed", None, call.when)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.count += report.failed


@dataclass(frozen=True)
class _Test:
    item: pytest.Item
    failures: _Failures

    @property
    def name(self) -> str:
        return self.item.nodeid

    def objects(self) -> bool:
        before = self.failures.count
        # None: what it has set up is taken down at once, so each can be asked alone.
        self.item.config.hook.pytest_runtest_protocol(item=self.item, nextitem=None)
        return self.failures.count > before


@dataclass(frozen=True)
class _Story:
    name: str

    def objects(self) -> bool:
        return scenarios.differs(self.name)


class _Lender(_Failures):
    """Hands the collected tests to `use` instead of running them."""

    def __init__(self, use: Callable[[Sequence[Witness]], None]) -> None:
        super().__init__()
        self._use = use

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not session.testsfailed:
            self._use([_Test(item, self) for item in session.items])
        return True


def with_tests(names: Sequence[str], use: Callable[[Sequence[Witness]], None]) -> None:
    """Calls `use` with the tests of the files `names`."""
    paths = {path for name in names for path in UNIT.glob(f"test_{name}.py")}
    files = sorted(path for path in paths if path.stem[len("test_") :] not in REAL_TIME)
    options = [*map(str, files), "-q", "-s", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    output = io.StringIO()
    called: list[bool] = []

    def lend(tests: Sequence[Witness]) -> None:
        called.append(True)
        _use_plain_examples()
        use(tests)

    with contextlib.redirect_stdout(output):
        pytest.main(options, plugins=[_Lender(lend)])
    if not called:
        raise RuntimeError(f"the tests can't be collected:\n{output.getvalue()}")


def _use_plain_examples() -> None:
    """The same for each mutant; one that fails is neither kept for the next nor made small."""
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", settings.default, derandomize=True, phases=phases)
    settings.load_profile("mutants")


# --- what each of them executes -------------------------------------------------------


@dataclass(frozen=True)
class Knowledge:
    """What a witness executes in `MODULES`, with its seconds of work (of a slowed-down run)."""

    witness: Witness
    lines: frozenset[Line]
    seconds: float


def explore(witnesses: Sequence[Witness]) -> list[Knowledge]:
    """Asks all, without a mutant; those who object all the same are no witnesses."""
    found = _in_child(partial(_walks, witnesses))
    if not isinstance(found, list):
        raise RuntimeError(f"the tests can't be explored: {found}")
    known = zip(witnesses, found)
    return [Knowledge(one, lines, seconds) for one, (lines, seconds, failed) in known if not failed]


def _walks(witnesses: Sequence[Witness]) -> list[tuple[frozenset[Line], float, bool]]:
    return [_walk(one) for one in witnesses]


def _walk(witness: Witness) -> tuple[frozenset[Line], float, bool]:
    began_s = time.process_time()
    failed: list[bool] = []
    lines = executed_lines(lambda: failed.append(witness.objects()), MODULES)
    return frozenset(lines), time.process_time() - began_s, failed[0]


class Court:
    """Knows whom to ask about a mutant, and in which order."""

    def __init__(self, known: Iterable[Knowledge]) -> None:
        self._by_line: dict[Line, list[Knowledge]] = defaultdict(list)
        self._killers: dict[str, set[str]] = defaultdict(set)
        for one in known:
            for line in one.lines:
                self._by_line[line].append(one)

    def asked_about(self, mutant: Mutant) -> list[Knowledge]:
        """Those who execute it: first who has noticed a change of that function, then the quick."""
        lines = [(mutant.module, number) for number in mutant.lines]
        chosen = {one.witness.name: one for line in lines for one in self._by_line.get(line, ())}
        killers = self._killers[f"{mutant.module}.{mutant.function}"]

        def turn(one: Knowledge) -> tuple[bool, bool, float]:
            witness = one.witness
            return isinstance(witness, _Story), witness.name not in killers, one.seconds

        return sorted(chosen.values(), key=turn)

    def fate_of(self, mutant: Mutant) -> Fate:
        """Try it in a process of its own."""
        asked = self.asked_about(mutant)
        work_s = max(LEAST_WORK_S, MOST_WORK * sum(one.seconds for one in asked))
        before_s = _children_s()
        killer = _in_child(partial(objection, mutant, [one.witness for one in asked]), work_s)
        self._killers[f"{mutant.module}.{mutant.function}"].add(str(killer))
        return Fate(mutant.name, str(killer), round(_children_s() - before_s, 3))


def objection(mutant: Mutant, witnesses: Sequence[Witness]) -> str:
    """Become the mutant, and hear who objects; empty: nobody. Only in a process of its own."""
    make(mutant)
    for witness in witnesses:
        try:
            if witness.objects():
                return witness.name
        except Exception as error:
            return f"{witness.name}: {type(error).__name__}: {error}"[:200]
    return ""


# --- children -------------------------------------------------------------------------


def _in_child(call: Callable[[], object], work_s: float = 3600.0) -> object:
    """What `call` returns in a child of this process; `ENDLESS`, or that the child ended."""
    gc.freeze()  # what is here already shall stay shared between parent and child
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(call, work_s, theirs))
    child.start()
    theirs.close()
    answer: object = ENDLESS
    if _has_answer(child, ours, IDLE_S):
        try:
            answer = ours.recv()
        except EOFError:
            child.join()
            worked_on = child.exitcode in (-signal.SIGXCPU, -signal.SIGKILL)
            answer = ENDLESS if worked_on else "the process ended"
    child.kill()
    child.join()
    ours.close()
    return answer


def _answer(call: Callable[[], object], work_s: float, line: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(work_s) + 1, int(work_s) + 2))
    line.send(call())


def _has_answer(child: BaseProcess, line: Connection, idle_s: float) -> bool:
    """False: it has slept for `idle_s`. One that waits for a busy machine's CPU does not sleep."""
    worked = ""
    while not line.poll(idle_s):
        state = Path(f"/proc/{child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
        fields = state.split()
        now = f"{fields[11]} {fields[12]}"
        if fields[0] == "S" and now == worked:
            return False
        worked = now if fields[0] == "S" else ""
    return True


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def try_all(
    chosen: Sequence[Mutant],
    keep: Callable[[Fate], None],
    tests: Sequence[str] = TESTS,
    stories: Sequence[str] = STORIES,
) -> None:
    """Tells `keep` the fate of each, in order."""

    def judge(witnesses: Sequence[Witness]) -> None:
        court = Court(explore([*witnesses, *(_Story(name) for name in stories)]))
        for mutant in chosen:
            keep(court.fate_of(mutant))

    if chosen:
        with_tests(tests, judge)


# --- the report -----------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    fates: list[Fate]

    @property
    def survivors(self) -> list[str]:
        return [fate.mutant for fate in self.fates if not fate.killer]

    @property
    def unexplained(self) -> list[str]:
        return [name for name in self.survivors if name not in HARMLESS]

    @property
    def killed_share(self) -> float:
        return 1 - len(self.survivors) / len(self.fates) if self.fates else 0.0

    @property
    def summary(self) -> str:
        killed = len(self.fates) - len(self.survivors)
        return (
            f"{killed} of {len(self.fates)} mutants killed ({self.killed_share:.1%}), "
            f"{len(self.survivors)} survived, {len(self.unexplained)} of them unexplained"
        )


def page(result: Result, tests: Sequence[str] = TESTS, stories: Sequence[str] = STORIES) -> str:
    """The report in Markdown, on what those `tests` and `stories` have noticed."""
    modules: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for fate in result.fates:
        module = next(name for name in MODULES if fate.mutant.startswith(f"{name}."))
        modules[module] += 1
        left[module] += not fate.killer
    there = Counter(mutant.module for mutant in mutants())
    by_story = sum(fate.killer.startswith(STORIES) for fate in result.fates)
    endless = sum(fate.killer == ENDLESS for fate in result.fates)
    seconds = sum(fate.seconds for fate in result.fates)
    sample = "" if len(result.fates) == sum(there.values()) else ", a sample of each module"
    lines = [
        "# Mutants of agent and broker",
        "",
        "Written by `python -m tests.unit.mutants --write docs/results/code-mutants.md`: in each",
        "function of these modules a comparison turned round, `and` for `or`, a condition negated",
        "or left out, a constant changed, an assignment or a call left out, or something else",
        "returned. Texts for people are left alone. Asked are those tests that execute the changed",
        "statement, the quickest first; the first one that objects kills.",
        "",
        f"Unit tests asked: {', '.join(tests)}.",
        f"Stories of whole hosts asked after them: {', '.join(stories) or 'none'}.",
        "",
        f"Tried: {len(result.fates)} of {sum(there.values())} mutants{sample}.",
        f"{result.summary}; {by_story} were noticed by a story only, {endless} did not end.",
        f"{seconds / 60:.1f} min of work, without that of collecting and exploring the tests.",
        "",
        "| module | mutants | tried | survived |",
        "|---|---|---|---|",
        *(f"| {name} | {there[name]} | {modules[name]} | {left[name]} |" for name in MODULES),
        "",
        "## Survivors",
        "",
        *(f"- `{name}`: {HARMLESS.get(name, 'UNEXPLAINED')}" for name in result.survivors),
    ]
    return "\n".join(lines) + "\n"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """0 when every survivor is explained."""
    options = _arguments(argv)
    chosen = [mutant for mutant in mutants() if options.only in mutant.name][options.skip :]
    chosen = chosen[:: options.every]
    known = {fate.mutant: fate for fate in _logged(options.log)}
    again = {name for name, fate in known.items() if options.again and not fate.killer}
    new = spread([one for one in chosen if one.name not in known or one.name in again])
    output, numbers = sys.stdout, count(1)

    def keep(fate: Fate) -> None:
        known[fate.mutant] = fate
        _log(options.log, fate)
        told = f"{fate.seconds:.1f} s  {fate.mutant}  {fate.killer or 'SURVIVED'}"
        print(f"{next(numbers)}/{len(new)} {told}", file=output, flush=True)

    stories = () if options.quick else STORIES
    try_all(new, keep, options.tests, stories)
    result = Result([known[mutant.name] for mutant in chosen if mutant.name in known])
    print(result.summary)
    print("".join(f"unexplained: {name}\n" for name in result.unexplained), end="")
    if options.write:
        text = page(result, options.tests, stories)
        options.write.write_text(text, encoding="utf-8")
    return 1 if result.unexplained else 0


def _logged(path: Optional[Path]) -> list[Fate]:
    """The fates that an earlier run has found (of the same code)."""
    if path is None or not path.exists():
        return []
    return [Fate(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _log(path: Optional[Path], fate: Fate) -> None:
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(fate)) + "\n")


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.unit.mutants", description="Change the code, and see who objects."
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="mutants with TEXT in the name")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth of them")
    parser.add_argument("--skip", type=int, default=0, metavar="N", help="not the first N")
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="keep what is found in FILE, and go on from it"
    )
    parser.add_argument("--again", action="store_true", help="try the survivors in FILE again")
    parser.add_argument(
        "--tests", nargs="+", default=TESTS, metavar="NAME", help="ask these files test_NAME.py"
    )
    parser.add_argument("--quick", action="store_true", help="ask no stories")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the report to FILE")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
