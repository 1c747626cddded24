# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Incidents from the field as stories: a world, a script, and the log that they must give.

A folder is a scenario: README.md (what happened to people, what must happen instead),
world.yaml, script.yaml and expect.log. A marker file `lab`, or `lab_long` for one that takes
minutes, says that the script runs on the lab's real hosts too, in the level of that name.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from hosted_engine.simulate.run import Story, tell
from hosted_engine.simulate.script import Script, load_script
from simulation.settings import WorldSettings, load_world
from tests.optimum import Recovery, Stopwatch

FOLDER = Path(__file__).resolve().parent

# Records carry the local time in words, and the logs must be the same everywhere.
os.environ["TZ"] = "UTC"
time.tzset()


@dataclass(frozen=True)
class Scenario:
    """One folder, read."""

    name: str
    world: WorldSettings
    script: Script

    @property
    def log(self) -> Path:
        return FOLDER / self.name / "expect.log"

    @property
    def expected(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def tell(self) -> Story:
        return tell(self.world, self.script)

    def timed(self) -> tuple[Story, Recovery]:
        """The story, and how long the engine was away in it."""
        watches: list[Stopwatch] = []
        found: list[Recovery] = []
        story = tell(
            self.world,
            self.script,
            watch=lambda cluster: watches.append(Stopwatch(cluster)),
            at_end=lambda: found.append(watches[0].recovery()),
        )
        return story, found[0]


def names() -> list[str]:
    """All scenarios, by their folders' names."""
    return sorted(path.parent.name for path in FOLDER.glob("*/README.md"))


def load(name: str) -> Scenario:
    world = load_world(str(FOLDER / name / "world.yaml"))
    script = load_script(str(FOLDER / name / "script.yaml"), [host.name for host in world.hosts])
    return Scenario(name, world, script)


def load_all() -> list[Scenario]:
    return [load(name) for name in names()]


def text_of(story: Story) -> str:
    return "".join(f"{line}\n" for line in story.lines)


def differs(name: str) -> bool:
    """Does the scenario, run in this process, give another log than the one on the disk?"""
    scenario = load(name)
    return text_of(scenario.tell()) != scenario.expected
