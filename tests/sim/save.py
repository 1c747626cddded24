"""Keeps a failing plan as a scenario, for people and for ever."""

from __future__ import annotations

from pathlib import Path

from ha_agent.simulation.grammar import parse_command
from ha_agent.simulation.script import Event, dump_script
from ha_agent.simulation.settings import dump_world
from tests.sim.plan import Plan
from tests.sim.run import Result

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"


def save(plan: Plan, result: Result, name: str, directory: Path = SCENARIOS) -> Path:
    """Writes world, script and a README; returns the folder. FileExistsError: it is there."""
    folder = directory / name
    folder.mkdir(parents=True)
    events = [
        Event(happening.at_s, parse_command(happening.words, plan.host_names))
        for happening in result.done
    ]
    until_s = float(int(max([result.failed_at_s, *(event.at_s for event in events)])) + 60)
    (folder / "world.yaml").write_text(dump_world(plan.world), encoding="utf-8")
    (folder / "script.yaml").write_text(dump_script(events, until_s), encoding="utf-8")
    (folder / "README.md").write_text(_readme(plan, result, name), encoding="utf-8")
    return folder


def _readme(plan: Plan, result: Result, name: str) -> str:
    return (
        f"# {name}\n\nFound by the random search with seed {plan.seed} and made small.\n"
        f"It failed by `{result.failure}`:\n\n```\n{result.report}\n```\n\n"
        "Say here what must happen instead, and write `expect.log` anew once it does.\n"
    )
