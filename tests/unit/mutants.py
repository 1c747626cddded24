"""Mutants of what agent and broker decide outside the table, and who objects to them.

``python -m tests.unit.mutants``: each place of `MODULES` is changed (`tests.unit.mutation`), and
the quick tests that cover the module are asked, then whole hosts in virtual time. A survivor needs
an entry in `HARMLESS` with its reason, or the program ends with 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Optional

import pytest

from tests import scenarios
from tests.unit.mutation import Mutant, make, mutants_of

ROOT = Path(__file__).parents[2]
UNIT = "tests/unit/test_"
AGENT = ("agent_stories",)
BROKER = ("broker_storage", "broker_lease_view", "broker_lockspace")

# What is changed, and the quick tests that are asked, in their order.
MODULES: dict[str, tuple[str, ...]] = {
    "ha_agent.observation.collect": ("agent_collect", *AGENT),
    "ha_agent.actions.execute": ("agent_execute", "agent_engine_vm", *AGENT),
    "ha_agent.actions.start_engine": ("agent_engine_vm", *AGENT),
    "ha_agent.observation.vm_lease": ("agent_lease_watch", *AGENT),
    "ha_agent.observation.domain_poller": ("agent_domain_watch", *AGENT),
    "ha_broker.lockspace.lease_state": ("broker_lease_view", *BROKER),
    "ha_broker.lockspace.lease_reader": ("broker_lease_view", *BROKER),
    "ha_broker.lockspace.membership": ("broker_lockspace", *BROKER),
    "ha_broker.storage.liveness": ("broker_lease_view", *BROKER),
    "ha_broker.storage.slot_table": ("broker_storage", *BROKER),
}
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
# The agents of several hosts together; asked last.
SLOW = ("agent_cluster",)
# A mutant that does not end has been noticed.
DEADLINE_S = 180.0 * float(os.environ.get("HE_TIME_FACTOR", "1"))
ENDLESS = "does not end"

# Who survives, and why that is no gap: agreed upon one by one.
HARMLESS: dict[str, str] = {}


@dataclass(frozen=True)
class Fate:
    mutant: str
    killer: str = ""  # empty: it survived
    seconds: float = 0.0


def mutants() -> list[Mutant]:
    """Every mutant, module by module."""
    return [mutant for module in MODULES for mutant in mutants_of(module)]


# --- who may object -------------------------------------------------------------------


class _Failures:
    """A plugin of pytest that remembers the first failed test."""

    def __init__(self) -> None:
        self.first = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.first:
            self.first = report.nodeid


def _by_tests(names: Sequence[str], *more: str) -> str:
    failed = _Failures()
    options = [str(ROOT / f"{UNIT}{name}.py") for name in dict.fromkeys(names)]
    options += ["-x", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", *more]
    with contextlib.redirect_stdout(io.StringIO()):
        code = pytest.main(options, plugins=[failed])
    return failed.first or ("" if code == pytest.ExitCode.OK else f"pytest: {code}")


def _by_stories(names: Sequence[str]) -> str:
    return next((name for name in names if scenarios.differs(name)), "")


def objection(mutant: Mutant) -> str:
    """Become the mutant, and hear who objects; empty: nobody. Only in a process of its own."""
    make(mutant)
    try:
        quick = _by_tests(MODULES[mutant.module]) or _by_stories(STORIES)
        return quick or _by_tests(SLOW)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]


def _answer(mutant: Mutant, line: Connection) -> None:
    line.send(objection(mutant))


def fate_of(mutant: Mutant, deadline_s: float = DEADLINE_S) -> Fate:
    """In a process of its own, which is ended when it takes too long."""
    began_s = time.monotonic()
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(mutant, theirs))
    child.start()
    theirs.close()
    killer = ENDLESS
    if ours.poll(deadline_s):
        try:
            killer = ours.recv()
        except EOFError:
            killer = "the process ended"
    child.kill()
    child.join()
    ours.close()
    return Fate(mutant.name, killer, time.monotonic() - began_s)


def fates(chosen: Sequence[Mutant]) -> Iterator[Fate]:
    """The fate of each, in order."""
    for name in {mutant.module for mutant in chosen}:
        _by_tests(MODULES[name], "--collect-only")  # imports what the children then need not
    for mutant in chosen:
        yield fate_of(mutant)


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


def page(result: Result) -> str:
    """The report in Markdown."""
    modules: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for fate in result.fates:
        module = next(name for name in MODULES if fate.mutant.startswith(f"{name}."))
        modules[module] += 1
        left[module] += not fate.killer
    seconds = sum(fate.seconds for fate in result.fates)
    lines = [
        "# Mutants of agent and broker",
        "",
        "Written by `python -m tests.unit.mutants --write docs/results/code-mutants.md`: in each",
        "function of these modules a comparison turned round, `and` for `or`, a condition negated",
        "or left out, a constant changed, an assignment or a call left out, or nothing returned.",
        "Texts for people are left alone. The first test or story that objects kills.",
        "",
        f"{result.summary}; {seconds / 60:.0f} min of work.",
        "",
        "| module | mutants | survived |",
        "|---|---|---|",
        *(f"| {name} | {count} | {left[name]} |" for name, count in modules.items()),
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
    new = [mutant for mutant in chosen if mutant.name not in known]
    for number, fate in enumerate(fates(new), start=1):
        known[fate.mutant] = fate
        _log(options.log, fate)
        told = fate.killer or "SURVIVED"
        print(f"{number}/{len(new)} {fate.seconds:.1f} s  {fate.mutant}  {told}", flush=True)
    result = Result([known[mutant.name] for mutant in chosen if mutant.name in known])
    print(result.summary)
    print("".join(f"unexplained: {name}\n" for name in result.unexplained), end="")
    if options.write:
        options.write.write_text(page(result), encoding="utf-8")
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
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the report to FILE")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
