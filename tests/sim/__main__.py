# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``python -m tests.sim``: search at random for a history that breaks a rule.

Exit codes: 0 nothing found, 2 wrong usage, 3 a safety rule was broken, 4 the engine did not
come up (or not stay) after all was healed, 5 the code under test raised.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Optional

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.sim.draw import draw_plan
from tests.sim.plan import Plan
from tests.sim.report import Summary, page
from tests.sim.run import FINE, Result, run_plan
from tests.sim.save import NAME, SCENARIOS, save
from tests.sim.shrink import shrink

MOST_HOSTS = 9
MOST_HOURS = 1000.0
MOST_TOLD = 10  # failures in full
PLANS_PER_PROCESS = 100


def main(argv: Optional[Sequence[str]] = None) -> int:
    asked = _arguments(argv)
    console = Console(highlight=False, soft_wrap=True)
    seeds = range(asked.first, asked.last + 1)
    summary = Summary()
    first_bad: Optional[Result] = None
    if asked.seeds is None:
        results = _told(asked, console)
    else:
        results = _shown(_results(asked, seeds), len(seeds), console, summary)
    for result in results:
        summary.add(result)
        if result.verdict != FINE:
            _tell_failure(result, asked, console, told=len(summary.failed) - 1)
            first_bad = first_bad or result
    if first_bad is not None and asked.shrink:
        _tell_smallest(first_bad, asked, console)
    for line in summary.lines():
        console.print(line, markup=False)
    if asked.report:
        command = "python -m tests.sim " + " ".join(argv if argv is not None else sys.argv[1:])
        Path(asked.report).write_text(page(summary, command, seeds), encoding="utf-8")
    return summary.exit_code


# --- arguments --------------------------------------------------------------------------


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=_seed, help="one seed: what it draws, then its whole log")
    which.add_argument("--seeds", type=_seeds, metavar="A..B", help="all seeds from A to B")
    parser.add_argument("--hosts", type=_hosts, help="so many hosts (else the seed draws it)")
    parser.add_argument("--hours", type=_hours, help="so many hours of faults (likewise)")
    parser.add_argument("--jobs", type=_jobs, default=1, help="so many processes")
    parser.add_argument("--no-shrink", dest="shrink", action="store_false",
                        help="leave the first failing seed as large as it is")  # fmt: skip
    parser.add_argument(
        "--save", type=_name, metavar="NAME", help="keep the small plan as this scenario"
    )
    parser.add_argument("--report", metavar="FILE", help="write the figures to this file")
    asked = parser.parse_args(argv)
    asked.first, asked.last = asked.seeds or (asked.seed, asked.seed)
    return asked


def _seed(text: str) -> int:
    return _whole(text, 0, 2**63 - 1, "a seed")


def _seeds(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    if not dots:
        raise argparse.ArgumentTypeError(f"{text!r} is refused; allowed: A..B, such as 1..1000")
    pair = _seed(first), _seed(last)
    if pair[0] > pair[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is refused: {last} is below {first}")
    return pair


def _hosts(text: str) -> int:
    return _whole(text, 1, MOST_HOSTS, "hosts")


def _jobs(text: str) -> int:
    return _whole(text, 1, 256, "processes")


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text, re.ASCII):
        why = f"{text!r} is refused; allowed: words of a-z and 0-9, joined by '-'"
        raise argparse.ArgumentTypeError(why)
    if (SCENARIOS / text).exists():
        raise argparse.ArgumentTypeError(f"{text!r} is refused: there is such a scenario")
    return text


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0.01 <= hours <= MOST_HOURS:
        why = f"{text!r} is refused; allowed: hours from 0.01 to {MOST_HOURS:g}"
        raise argparse.ArgumentTypeError(why)
    return hours


def _whole(text: str, low: int, high: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        why = f"{text!r} is refused; allowed for {what}: a whole number from {low} to {high}"
        raise argparse.ArgumentTypeError(why)
    return int(text)


# --- running ----------------------------------------------------------------------------


def _told(asked: argparse.Namespace, console: Console) -> Iterator[Result]:
    """One seed: what it draws comes first, so that it is there whatever becomes of the run."""
    plan = draw_plan(asked.seed, asked.hosts, asked.hours)
    console.print(f"seed {plan.seed} draws {', '.join(plan.families) or 'no faults'}:")
    console.print(plan.text(), markup=False)
    console.print("\nand so it goes:")
    yield run_plan(plan, tell=partial(console.print, markup=False))
    console.print()


def _results(asked: argparse.Namespace, seeds: Sequence[int]) -> Iterator[Result]:
    one = partial(_one, hosts=asked.hosts, hours=asked.hours)
    if asked.jobs == 1:
        yield from map(one, seeds)
        return
    with multiprocessing.Pool(asked.jobs, maxtasksperchild=PLANS_PER_PROCESS) as pool:
        yield from pool.imap_unordered(one, seeds)


def _one(seed: int, hosts: Optional[int], hours: Optional[float]) -> Result:
    return run_plan(draw_plan(seed, hosts, hours))


def _shown(
    results: Iterator[Result], count: int, console: Console, summary: Summary
) -> Iterator[Result]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("seeds", total=count)
        for result in results:
            yield result
            told = f"{summary.host_hours:.0f} host-hours, {len(summary.failed)} failed"
            progress.update(task, advance=1, description=told)


# --- telling ----------------------------------------------------------------------------


def _tell_failure(result: Result, asked: argparse.Namespace, console: Console, told: int) -> None:
    console.print(f"\nseed {result.plan.seed} failed: {result.failure}", markup=False)
    if told < MOST_TOLD:
        console.print(result.report, markup=False)
    console.print(f"again: {_command(result.plan, asked)}", markup=False)


def _command(plan: Plan, asked: argparse.Namespace) -> str:
    words = ["python -m tests.sim", f"--seed {plan.seed}"]
    if asked.hosts is not None:
        words.append(f"--hosts {asked.hosts}")
    if asked.hours is not None:
        words.append(f"--hours {asked.hours:g}")
    return " ".join(words)


def _tell_smallest(result: Result, asked: argparse.Namespace, console: Console) -> None:
    console.print(f"\nmaking seed {result.plan.seed} small ...", markup=False)
    smallest, last = smallest_failing(result)
    console.print(f"{result.plan.size} faults became {smallest.size}:", markup=False)
    console.print(smallest.text(), markup=False)
    console.print(last.report, markup=False)
    if asked.save:
        folder = save(smallest, last, asked.save)
        console.print(f"kept in {os.path.relpath(folder)}", markup=False)


def smallest_failing(result: Result, tries: int = 400) -> tuple[Plan, Result]:
    """The smallest plan found that fails by the same rule, and its result."""
    latest = result

    def fails(plan: Plan) -> bool:
        nonlocal latest
        found = run_plan(plan)
        same = found.failure == result.failure
        latest = found if same else latest
        return same

    ends_s = result.failed_at_s if result.verdict == "safety" else 0.0
    return shrink(result.plan, fails, tries, ends_s), latest


if __name__ == "__main__":
    sys.exit(main())
