# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Every scenario gives its log, breaks no rule and is complete; every verb is in one of them."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from functools import cache

import pytest

from fsm.observation import Vm
from ha_agent import agent
from hosted_engine.simulate.grammar import VERBS, Verb
from hosted_engine.simulate.run import Story, tell
from hosted_engine.simulate.script import Script
from metadata.settings.parse import ClusterSettings
from metadata.states import State
from tests.lab.real_story import differing_orders, transitions
from tests.optimum import MOST, Recovery
from tests.scenarios import FOLDER, differs, load, load_all, names, text_of

FILES = {"README.md", "world.yaml", "script.yaml", "expect.log"}
MARKERS = {"lab", "lab_long"}
SENTENCE_END = re.compile(r"[.!?](?=\s|$)")

LAB_HOSTS = 3
LAB_LIMIT_S = 150


IN_LAB = [name for name in names() if any((FOLDER / name / one).exists() for one in MARKERS)]


@cache
def told(name: str) -> tuple[Story, Recovery]:
    return load(name).timed()


@pytest.mark.parametrize("name", names())
def test_scenario_gives_its_log(name: str, request: pytest.FixtureRequest) -> None:
    scenario = load(name)
    story = told(name)[0]
    if request.config.getoption("--refresh-scenarios", default=False):
        scenario.log.write_text(text_of(story), encoding="utf-8")
    assert story.violations == ()
    changed = difflib.unified_diff(
        scenario.expected.splitlines(), list(story.lines), "expect.log", "now", lineterm=""
    )
    difference = "\n".join(changed)
    if difference:
        pytest.fail(f"{name} went another way:\n{difference}", pytrace=False)


# What takes more than twice what its story allows, and why that is right.
SLOW: dict[str, str] = {}


@pytest.mark.parametrize("name", names())
def test_scenario_recovers_in_time(name: str) -> None:
    recovery = told(name)[1]
    if name in SLOW:
        assert recovery.ratio > MOST, "it is slow no more: take it out of SLOW"
    else:
        assert recovery.ratio <= MOST, recovery.text()


def test_a_program_that_dawdles_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that could start the engine, and does not."""
    scenario = load("killed-qemu-restarts-in-place")
    assert scenario.timed()[1].ratio <= MOST
    step = agent.step

    def dawdle(memory, observation, *rest):
        ran = memory.last_owner_id is not None
        late = ran and observation.vm is Vm.ABSENT and memory.state is State.ENGINE_DOWN
        seen = replace(observation, blocked_why="no mind to") if late else observation
        return step(memory, seen, *rest)

    monkeypatch.setattr("ha_agent.agent.step", dawdle)
    assert scenario.timed()[1].ratio > MOST


@pytest.mark.parametrize("name", names())
def test_scenario_is_complete(name: str) -> None:
    found = {path.name for path in (FOLDER / name).iterdir()}
    assert FILES <= found <= FILES | MARKERS
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)


@pytest.mark.parametrize("name", names())
def test_readme_tells_the_incident_in_two_sentences(name: str) -> None:
    text = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    title, _, incident = text.partition("\n\n")
    assert title.startswith("# ")
    assert "\n" not in title
    assert "\n\n" not in incident.strip()
    assert len(SENTENCE_END.findall(incident)) == 2


def test_no_folder_is_left_out() -> None:
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} == set(names())
    assert len(names()) >= 40


@pytest.fixture(scope="module")
def used_patterns() -> set[str]:
    scenarios = load_all()
    return {event.command.verb.pattern for one in scenarios for event in one.script.events}


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.pattern)
def test_verb_is_in_a_scenario(verb: Verb, used_patterns: set[str]) -> None:
    assert verb.pattern in used_patterns


def test_what_differs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "killed-qemu-restarts-in-place"
    assert not differs(name)
    monkeypatch.setattr("fsm.reasons.elapsed_s", lambda *_: 1e6)
    assert differs(name)


def stretched(script: Script, factor: float) -> Script:
    events = tuple(replace(event, at_s=event.at_s * factor) for event in script.events)
    return Script(events, script.until_s * factor)


@pytest.mark.parametrize("factor", [0.8, 1.2])
@pytest.mark.parametrize("name", IN_LAB)
def test_scenario_for_the_lab_goes_the_same_way_a_little_faster_or_slower(
    name: str, factor: float
) -> None:
    """Real hosts take their looks at other moments: near a time-out they would decide by chance."""
    scenario = load(name)
    other = tell(scenario.world, stretched(scenario.script, factor)).lines
    assert not differing_orders(transitions(told(name)[0].lines), transitions(other))


@pytest.mark.parametrize("name", IN_LAB)
def test_scenario_for_the_lab_asks_only_what_the_lab_can_do(name: str) -> None:
    scenario = load(name)
    assert all(event.command.verb.in_lab for event in scenario.script.events)
    assert scenario.script.until_s <= LAB_LIMIT_S
    assert scenario.world.start == "running"
    assert [host.name for host in scenario.world.hosts] == ["h1", "h2", "h3"]
    timing = scenario.world.cluster.timing
    assert (timing.tick_s, timing.io_timeout_s) == (ClusterSettings().timing.tick_s, 2)
