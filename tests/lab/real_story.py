# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A scenario of the simulator, played on real hosts at its real times."""

import json
import re
import shlex
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from hosted_engine.simulate.script import Script
from tests.lab.verbs import LabVerbs, scaled

DOMAIN = "HostedEngine"
FIRST = "h1"
# Agents that were just started give their peers three ticks to show that they live.
REST_S = 20.0
MORE_TIME_S = 30.0
TRANSITION = re.compile(r"(?P<before>\w+) => (?P<after>\w+):")
# What the daemons are in while they have no part in moving the engine.
ASIDE = {"StartState", "ReinitializeFSM", "EngineDown", "AgentStopped"}
ASIDE |= {"LocalMaintenance", "GlobalMaintenance", "UnknownLocalVmState"}


@dataclass(frozen=True)
class Transition:
    """An agent's change of state; `at_s` counts from second 0 of the scenario."""

    at_s: float
    host: str
    before: str
    after: str

    @property
    def moves_engine(self) -> bool:
        return not {self.before, self.after} <= ASIDE

    def __str__(self) -> str:
        return f"{self.at_s:7.1f} {self.host} {self.before} => {self.after}"


def in_log(line: str) -> Optional[Transition]:
    """The transition in a line of a log that begins with second and host."""
    words = line.split(maxsplit=2)
    if len(words) < 3:
        return None
    found = TRANSITION.match(words[2])
    return Transition(float(words[0]), words[1], *found.groups()) if found else None


def transitions(lines: Iterable[str]) -> list[Transition]:
    """Those of a log, in its order."""
    return [found for line in lines if (found := in_log(line)) is not None]


def expected(log: Path) -> list[Transition]:
    return transitions(log.read_text(encoding="utf-8").splitlines())


def begin_at_rest(lab: LabVerbs) -> None:
    """Second 0 of a scenario: the engine on the first host, agents that remember nothing."""
    where = lab.engine_host()
    if where != FIRST:
        lab.on(where, "virsh", "migrate", "--live", "--p2p", DOMAIN, f"qemu+tcp://{FIRST}/system")
        lab.wait_settled()
    forget_the_past(lab)
    lab.wait_settled()
    time.sleep(scaled(REST_S))


def forget_the_past(lab: LabVerbs) -> None:
    """What an agent holds against its host (crashes, failed starts) is not to count."""
    for host in lab.status()["hosts"]:
        lab.forget(host)


def play(lab: LabVerbs, script: Script, wanted: Sequence[Transition]) -> list[Transition]:
    """Carry a script out; returns what the agents did meanwhile, and heals all faults.

    A slow machine has some time more to do all that is `wanted`: it boots the guest for longer.
    """
    start_wall_s, start_s = time.time(), time.monotonic()
    try:
        for event in script.events:
            _wait_for(start_s + event.at_s)
            done = lab.attempt(*shlex.split(event.command.text))
            late_s = time.monotonic() - start_s - event.at_s
            print(f"{event.at_s:7.1f} {event.command.text}: {done.returncode}, {late_s:.1f} s",
                  done.stderr.strip())  # fmt: skip
        _wait_for(start_s + script.until_s)
        _wait_for_all(lab, start_wall_s, wanted)
        end_wall_s = time.time()
    finally:
        heal(lab)
    told = _told(lab, start_wall_s, end_wall_s)
    return sorted(told, key=lambda one: one.at_s)


def _wait_for_all(lab: LabVerbs, start_wall_s: float, wanted: Sequence[Transition]) -> None:
    """Whether they are the right ones in the right order is judged later."""
    deadline_s = time.monotonic() + scaled(MORE_TIME_S)
    while len(_told(lab, start_wall_s, time.time())) < len(wanted):
        if time.monotonic() > deadline_s:
            return
        time.sleep(1)


def _told(lab: LabVerbs, start_wall_s: float, end_wall_s: float) -> list[Transition]:
    hosts = [host for host, found in lab.status()["hosts"].items() if found["power"] == "on"]
    return [one for host in hosts for one in told_by(lab, host, start_wall_s, end_wall_s)]


def heal(lab: LabVerbs) -> None:
    """Undo every fault and every maintenance a script may have left behind."""
    lab.attempt("gateway", "up")
    for host, found in lab.status()["hosts"].items():
        lab("storage", host, "heal")
        lab("network", host, "heal")
        if found["power"] == "off":
            lab("power-on", host)
        lab("bridge", host, "up")
        lab.attempt("on", host, "systemctl", "kill", "--signal=SIGCONT", "ha-agent", "ha-broker")
        lab.on(host, "systemctl", "start", "sanlock", "libvirtd", "ha-broker", "ha-agent")
        lab.on(host, "hosted-engine", "--set-maintenance", "--mode=none")
    lab.on(FIRST, "hosted-engine", "--set-maintenance", "--mode=none")
    lab.wait_healthy(150)
    forget_the_past(lab)


def differing_orders(wanted: Sequence[Transition], seen: Sequence[Transition]) -> list[str]:
    """Where the order of transitions on a host differs."""
    problems = []
    for host in sorted({one.host for one in [*wanted, *seen]}):
        ours, theirs = _names(wanted, host), _names(seen, host)
        if ours != theirs:
            problems.append(f"{host}: simulator {', '.join(ours)}; lab {', '.join(theirs)}")
    return problems


def swapped(wanted: Sequence[Transition], seen: Sequence[Transition], tick_s: float) -> list[str]:
    """Pairs on two hosts that are more than a tick apart, the other way round in the lab.

    Only the engine's own moves have an order among the hosts: one host's waits for another's.
    The orders on each host must agree.
    """
    moves = list(zip(_by_host(wanted), _by_host(seen)))
    engine = [(ours, theirs) for ours, theirs in moves if ours.moves_engine]
    return [
        f"simulator {first[0]}, {later[0]}; lab {first[1]}, {later[1]}"
        for first in engine
        for later in engine
        if later[0].at_s - first[0].at_s > tick_s and later[1].at_s <= first[1].at_s
    ]


def _wait_for(at_s: float) -> None:
    time.sleep(max(0.0, at_s - time.monotonic()))


def told_by(lab: LabVerbs, host: str, start_wall_s: float, end_wall_s: float) -> list[Transition]:
    since = f"--since=@{int(start_wall_s)}"
    log = lab.on(host, "journalctl", "-u", "ha-agent", "-o", "json", "--no-pager", since)
    found = []
    for line in log.splitlines():
        entry = json.loads(line)
        match = TRANSITION.match(str(entry["MESSAGE"]))
        at_s = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
        if match and start_wall_s <= at_s <= end_wall_s:
            found.append(Transition(at_s - start_wall_s, host, *match.groups()))
    return found


def _names(story: Sequence[Transition], host: str) -> list[str]:
    return [f"{one.before} => {one.after}" for one in story if one.host == host]


def _by_host(story: Sequence[Transition]) -> list[Transition]:
    return sorted(story, key=lambda one: one.host)
