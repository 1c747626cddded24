# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The simulator's word against real hosts: the same script, the same order of transitions."""

from pathlib import Path

import pytest

from hosted_engine.simulate.script import load_script
from simulation.settings import load_world
from tests.lab.real_story import (
    Transition,
    begin_at_rest,
    differing_orders,
    expected,
    play,
    swapped,
    transitions,
)
from tests.lab.verbs import LabVerbs

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"


def marked(level: str) -> list[Path]:
    """The scenarios that this level plays: a file of its name is in their folders."""
    return sorted(marker.parent for marker in SCENARIOS.glob(f"*/{level}"))


@pytest.mark.parametrize("folder", marked("lab"), ids=lambda folder: folder.name)
def test_real_hosts_go_the_simulators_way(lab: LabVerbs, folder: Path) -> None:
    check(lab, folder)


def check(lab: LabVerbs, folder: Path) -> None:
    world = load_world(str(folder / "world.yaml"))
    hosts = [host.name for host in world.hosts]
    status = lab.status()
    assert hosts == list(status["hosts"])
    assert world.cluster.timing.io_timeout_s == status["io_timeout_s"]
    assert world.start == "running"
    wanted = expected(folder / "expect.log")
    assert wanted
    begin_at_rest(lab)
    seen = play(lab, load_script(str(folder / "script.yaml"), hosts), wanted)
    print("\n".join(map(str, seen)))
    assert not differing_orders(wanted, seen)
    assert not swapped(wanted, seen, world.cluster.timing.tick_s)


def story(*lines: str) -> list[Transition]:
    return transitions(lines)


UP_HERE = "10.0 h1 EngineStarting => EngineUp: the engine became healthy"
DOWN_HERE = "20.0 h1 EngineUp => EngineDown: the VM crashed"
START_THERE = "30.0 h2 EngineDown => EngineStart: the lease can be taken"


def test_a_log_is_read_by_its_transitions_alone() -> None:
    read = story("10.0 h1 power-off", UP_HERE, "", "the end")
    assert read == [Transition(10.0, "h1", "EngineStarting", "EngineUp")]


def test_another_order_on_a_host_is_named() -> None:
    other = story(DOWN_HERE.replace("20.0", "5.0"), UP_HERE)
    assert differing_orders(story(UP_HERE, DOWN_HERE), story(UP_HERE, DOWN_HERE)) == []
    assert "h1: " in differing_orders(story(UP_HERE, DOWN_HERE), other)[0]
    assert "h2: " in differing_orders(story(UP_HERE), story(UP_HERE, START_THERE))[0]


def test_a_start_before_the_others_end_is_named_and_a_tie_is_not() -> None:
    wanted = story(DOWN_HERE, START_THERE)
    early = story(START_THERE.replace("30.0", "19.0"), DOWN_HERE)
    assert swapped(wanted, early, 5.0) != []
    assert swapped(wanted, early, 10.0) == []
