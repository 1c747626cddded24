# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A whole simulation: a world, what happens to it, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from hosted_engine.simulate.narrator import NOBODY, Narrator, Say
from hosted_engine.simulate.script import Script, ScriptLine
from hosted_engine.simulate.verbs import carry_out
from simulation.cluster import SimCluster
from simulation.errors import SimulationError
from simulation.oracle import Oracle
from simulation.settings import WorldSettings


@dataclass(frozen=True)
class Story:
    """How it went: every line that was told, and what broke a rule (nothing should)."""

    lines: tuple[str, ...]
    violations: tuple[str, ...]


def tell(
    world: WorldSettings,
    script: Script,
    say: Say = lambda _line: None,
    watch: Callable[[SimCluster], None] = lambda _cluster: None,
    at_end: Callable[[], None] = lambda: None,
) -> Story:
    """Let `script` happen to `world`; each line is handed to `say` as soon as it is known.

    `watch` gets the cluster before the script begins, `at_end` is called when it is over. Raises
    SimulationError when the world does not come up.
    """
    lines: list[str] = []

    def keep(line: str) -> None:
        lines.append(line)
        say(line)

    cluster = SimCluster(world)
    try:
        if world.start == "running":
            cluster.bring_up()
        watch(cluster)
        violations = _tell(cluster, script, keep)
        at_end()
    finally:
        cluster.close()
    return Story(tuple(lines), violations)


def _tell(cluster: SimCluster, script: Script, say: Say) -> tuple[str, ...]:
    zero_s = cluster.now_s
    oracle = Oracle(cluster)
    narrator = Narrator(cluster, say)
    _tell_hosts(cluster, narrator)
    for event in script.events:
        # A command that took its time may have ended behind the next one's moment.
        cluster.run_until(max(zero_s + event.at_s, cluster.now_s))
        _happen(cluster, narrator, event)
    cluster.run_until(max(zero_s + script.until_s, cluster.now_s))
    narrator.look()
    violations = tuple(violation.report() for violation in oracle.violations)
    _tell_end(cluster, narrator, say, violations, oracle.double_life_s)
    return violations


def _happen(cluster: SimCluster, narrator: Narrator, event: ScriptLine) -> None:
    text = event.command.text
    narrator.tell(NOBODY, text)
    try:
        narrator.quote(carry_out(event.command, cluster))
    except SimulationError as error:
        narrator.tell(NOBODY, f"{text}: refused: {error}")
    for check in cluster.on_event:
        check()


def _tell_hosts(cluster: SimCluster, narrator: Narrator) -> None:
    for host in cluster.hosts.values():
        state = host.state.value if host.state else ("booting" if host.power else "off")
        score = "" if host.score is None else f", score {host.score}"
        narrator.tell(host.name, f"{state}{score}")


def _tell_end(
    cluster: SimCluster,
    narrator: Narrator,
    say: Callable[[str], None],
    violations: tuple[str, ...],
    double_life_s: float,
) -> None:
    narrator.tell(NOBODY, "the end")
    _tell_hosts(cluster, narrator)
    starts = ", ".join(f"{name} {count}" for name, count in narrator.starts.items())
    ill_s = narrator.now_s - narrator.healthy_s
    say(f"engine healthy {narrator.healthy_s:.1f} s, not healthy {ill_s:.1f} s")
    say(f"starts: {starts}")
    if double_life_s:
        say(f"the engine ran twice for {double_life_s:.1f} s, after its host had slept")
    if not violations:
        nowhere = "" if double_life_s else "the engine ran nowhere twice; "
        say(f"{nowhere}no rule was broken")
    for violation in violations:
        say(f"RULE BROKEN: {violation}")
