# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Local maintenance round the hosts: each in turn, the engine moving away alive, and back to work.

A round is one maintenance of each host. A host comes back when the engine has left the next one, so
that it goes round and not to and fro.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from lab import engine, host, lockspace, page, status
from lab.errors import LabError
from lab.page import Question, Watcher
from lab.processes import machine_clock_s, wait_until
from lab.settings import Places
from lab.state import Lab
from lab.watchers import LeaseWatcher, ProcessWatcher

MAINTENANCE_S = 60
REST_TIMEOUT_S = 90.0
FULL_SCORE = 3400
HEARTBEAT_TIMEOUT_S = 10.0
# So long the page is asked before the order.
AROUND_S = 1.0
BROKER = ("curl", "-s", "--unix-socket", "/run/hosted-engine-ha/broker.sock", "http://x/v1/status")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Move:
    """One move of the engine for the local maintenance of its host; times in seconds.

    ordered_s        when the command was given, on the machine's clock
    reached_s        after it, until the command said that local maintenance has begun
    page_gap_s       the two answers of the page that were furthest apart
    took_s           the move itself, as libvirt reports it
    downtime_s       how long the VM did not run, as libvirt reports it
    copied_bytes     what went to the target
    """

    source: str
    target: str
    ordered_s: float
    reached_s: float
    page_gap_s: float
    took_s: float
    downtime_s: float
    copied_bytes: int
    boot: str


def go(places: Places, lab: Lab, rounds: int, say: Say) -> dict[str, Any]:
    """So many rounds. What is seen of the first one is kept in full, for a picture of it.

    Raises LabError as soon as the engine is started anew, or anything does not come in time.
    """
    if len(lab.hosts) < 2:
        raise LabError("maintenance-rounds: needs two hosts, the lab has one")
    load_before = os.getloadavg()
    turns = _Rounds(places, lab, say)
    recorded: dict[str, Any] = {}
    done: list[list[Move]] = []
    try:
        for number in range(1, rounds + 1):
            say(f"round {number}")
            if not recorded:
                recorded = turns.record()
            done.append(turns.finish(number))
    finally:
        turns.end()
    return {
        "hosts": list(lab.hosts),
        "memory_mib": lab.memory_mib,
        "accelerator": lab.accelerator,
        "load": [load_before[0], *os.getloadavg()],
        "rounds": [[asdict(move) for move in moves] for moves in done],
        "recorded": recorded,
    }


def as_text(found: dict[str, Any]) -> list[str]:
    """The figures of each round, and of all of them."""
    lines = [
        f"{'round':>5}  {'from':<4}  {'to':<4}{'order to maintenance':>22}{'longest gap':>13}"
        f"{'libvirt: move':>15}{'stood still':>13}{'copied':>9}"
    ]
    moves = [(number, move) for number, one in enumerate(found["rounds"], 1) for move in one]
    for number, move in moves:
        lines.append(
            f"{number:>5}  {move['source']:<4}  {move['target']:<4}"
            f"{move['reached_s']:>20.1f} s{move['page_gap_s']:>11.2f} s{move['took_s']:>13.2f} s"
            f"{move['downtime_s']:>11.2f} s{move['copied_bytes'] / 2**20:>5.0f} MiB"
        )
    for name, words in _FIGURES.items():
        seen = sorted(move[name] for _, move in moves)
        middle = seen[len(seen) // 2]
        lines.append(f"{words}: {seen[0]:.2f} to {seen[-1]:.2f} s, the middle one {middle:.2f} s")
    first, last = found["load"][:2]
    lines.append(f"load of the machine (1 min): {first:.1f} before, {last:.1f} after")
    return lines


_FIGURES = {
    "reached_s": "order to maintenance",
    "page_gap_s": "longest gap of the page",
    "took_s": "the move, says libvirt",
    "downtime_s": "the VM stood still, says libvirt",
}


class _Rounds:
    """The moves of one run, one after the other."""

    def __init__(self, places: Places, lab: Lab, say: Say) -> None:
        self._places = places
        self._lab = lab
        self._say = say
        self._boot = _boot(places)
        self._resting = ""  # the host that is in maintenance still
        self._moves: list[Move] = []
        self._questions: list[Question] = []

    def finish(self, number: int) -> list[Move]:
        """The rest of a round; returns all of it."""
        while len(self._moves) < len(self._lab.hosts):
            self._move()
        moves, self._moves = self._moves, []
        if any(move.boot != self._boot for move in moves):
            raise LabError(f"round {number}: the engine was started anew")
        return moves

    def record(self) -> dict[str, Any]:
        """A whole round with everything that was seen in it."""
        places, lab, begin_s = self._places, self._lab, machine_clock_s()
        self._questions = []
        with ProcessWatcher(places, lab) as processes, LeaseWatcher(places, lab.hosts[0]) as lease:
            for _ in lab.hosts:
                self._move()
            end_s = machine_clock_s()
        return {
            "begin_s": begin_s,
            "end_s": end_s,
            "page": [asdict(one) for one in self._questions],
            "processes": processes.changes,
            "lease": lease.changes,
            "states": {name: _states(places, name, begin_s, end_s) for name in lab.hosts},
        }

    def end(self) -> None:
        """Nobody stays in maintenance."""
        if self._resting:
            self._maintain(self._resting, "none")

    def _move(self) -> None:
        """One maintenance; the page is asked until all hosts are at rest again."""
        places = self._places
        source = engine.the_only_one(places, self._lab).host
        with Watcher() as watcher:
            time.sleep(AROUND_S)
            ordered_s = machine_clock_s()
            self._maintain(source, "local")
            reached_s = machine_clock_s() - ordered_s
            told = _snapshot(places, source)["agent"]["move"]
            self.end()
            self._resting = source
            self._wait_at_rest()
        self._questions += watcher.questions
        self._moves.append(
            Move(
                source,
                target=engine.the_only_one(places, self._lab).host,
                ordered_s=ordered_s,
                reached_s=reached_s,
                page_gap_s=page.judge(watcher.questions).longest_gap_s,
                took_s=told["took_s"],
                downtime_s=told["downtime_s"],
                copied_bytes=told["copied_bytes"],
                boot=_boot(places),
            )
        )
        self._say(_as_line(self._moves[-1]))

    def _maintain(self, name: str, mode: str) -> None:
        order = ("--set-maintenance", f"--mode={mode}", "--wait", f"--timeout={MAINTENANCE_S}")
        host.run_in(self._places, name, ("hosted-engine", *order), MAINTENANCE_S + 10)

    def _wait_at_rest(self) -> None:
        wait_until("all hosts at rest", self._is_at_rest, REST_TIMEOUT_S, 0.5)

    def _is_at_rest(self) -> bool:
        found = status.collect(self._places, self._lab)
        where = found["engine"]["host"]
        working = {name: one for name, one in found["hosts"].items() if name != self._resting}
        return (
            found["engine"]["healthy"]
            and {one["score"] for one in working.values()} == {FULL_SCORE}
            and all(
                one["state"] == ("EngineUp" if name == where else "EngineDown")
                for name, one in working.items()
            )
            and working.keys() - {where} <= self._able(where)
        )

    def _able(self, where: str) -> set[str]:
        """The hosts that can take the engine, as its host has read it."""
        records = [view["record"] for view in _snapshot(self._places, where)["hosts"]]
        return {
            one["hostname"]
            for one in records
            if one and dict(one["notes"]).get("takes", "").startswith("at ")
        }


def _as_line(move: Move) -> str:
    return (
        f"{move.source} => {move.target}: maintenance after {move.reached_s:.1f} s, page's longest "
        f"gap {move.page_gap_s:.2f} s, the VM stood still for {move.downtime_s:.2f} s"
    )


def _boot(places: Places) -> str:
    """The boot that lives now: a moved guest's heartbeat may take a moment."""
    found: list[str] = []

    def lives() -> bool:
        found[:] = [boot] if (boot := status.living_boot(places)) else []
        return bool(found)

    wait_until("a heartbeat of the engine", lives, HEARTBEAT_TIMEOUT_S)
    return found[0]


def _snapshot(places: Places, name: str) -> dict[str, Any]:
    """All that a host's broker knows."""
    found: dict[str, Any] = json.loads(host.run_in(places, name, BROKER))
    return found


def _states(places: Places, name: str, begin_s: float, end_s: float) -> list[tuple[float, str]]:
    """The state at the beginning, and each change until the end, on the machine's clock."""
    origin_s = lockspace.clock_origin_s(places, name)
    transitions = _snapshot(places, name)["agent"]["transitions"]
    all_of_them = [(origin_s + one["at_s"], str(one["after"])) for one in transitions]
    before = [one for one in all_of_them if one[0] <= begin_s]
    first = [(begin_s, before[-1][1])] if before else []
    return [*first, *(one for one in all_of_them if begin_s < one[0] <= end_s)]
