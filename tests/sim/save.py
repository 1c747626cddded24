# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Keeps a failing plan as a scenario: its folder is what `tests/scenarios` expects."""

from __future__ import annotations

from pathlib import Path

from hosted_engine.simulate.grammar import parse_command
from hosted_engine.simulate.run import tell
from hosted_engine.simulate.script import Script, ScriptLine, dump_script
from simulation.oracle import SENTENCES
from simulation.settings import dump_world
from tests.scenarios import text_of
from tests.sim.plan import Plan
from tests.sim.run import Result

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"
NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
AFTERWARDS_S = 60


def save(plan: Plan, result: Result, name: str, directory: Path = SCENARIOS) -> Path:
    """Returns the folder. The log is that of now, broken rule and all: to be refreshed once it
    is mended. FileExistsError: the folder is there."""
    folder = directory / name
    folder.mkdir(parents=True)
    script = _script(plan, result)
    for file_name, text in (
        ("world.yaml", dump_world(plan.world)),
        ("script.yaml", dump_script(script.events, script.until_s)),
        ("README.md", _readme(plan, result, name)),
        ("expect.log", text_of(tell(plan.world, script))),
    ):
        (folder / file_name).write_text(text, encoding="utf-8")
    return folder


def _script(plan: Plan, result: Result) -> Script:
    """What was carried out, the healing included."""
    names = plan.host_names
    events = [ScriptLine(each.at_s, parse_command(each.words, names)) for each in result.done]
    last_s = max([result.failed_at_s, *(event.at_s for event in events)])
    return Script(tuple(events), float(int(last_s) + AFTERWARDS_S))


def _readme(plan: Plan, result: Result, name: str) -> str:
    title = name.replace("-", " ").capitalize()
    found = f"Found by the random search as seed {plan.seed}, broken by {result.failure}."
    wanted = SENTENCES.get(result.rule, "All healed, the engine must be up and stay where it is.")
    return f"# {title}\n\n{found}\n{wanted}\n"
