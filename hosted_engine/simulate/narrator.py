# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What happens in a simulated cluster, told line by line with the world's seconds::

       10.0 --  engine kill
       10.0 h1  engine: VM ended (qemu died)
       10.0 h1  EngineUp => EngineDown: the VM crashed: qemu died; to be restarted at once

``--`` stands before what the script does. What a command prints stands indented below it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable, Optional

from ha_broker.api.snapshot import Snapshot
from metadata.records import HostRecord
from metadata.states import State
from simulation.cluster import EngineProcess, SimCluster
from simulation.host import SimHost
from world.ports.libvirt import DomainState
from world.vm.domain_endings import ENDING_WORDS

Say = Callable[[str], None]

NOBODY = "--"
_INDENT = " " * 12


@dataclass(frozen=True)
class _Life:
    """A daemon's process."""

    exists: bool
    frozen: bool
    started_at_s: float

    def news(self, before: Optional[_Life]) -> str:
        if not self.exists:
            return "has ended"
        if self.frozen:
            return "stands still"
        same = before is not None and before.exists and before.started_at_s == self.started_at_s
        return "goes on" if same else "has started"


class Narrator:
    """Listens to a cluster from now on, which is second 0, and hands each line to `say`."""

    def __init__(self, cluster: SimCluster, say: Say) -> None:
        self._cluster = cluster
        self._say = say
        self._zero_s = cluster.now_s
        self._engines = {engine.pid: engine for engine in cluster.running_engines()}
        self._seen: dict[str, Optional[Snapshot]] = {}
        self._scores: dict[str, int] = {}
        self.starts = dict.fromkeys(cluster.hosts, 0)
        self.healthy_s = 0.0
        self._looked_at_s = cluster.now_s
        self._daemons: dict[tuple[str, str], _Life] = {}
        self._note_scores(tell=False)
        self._note_daemons(tell=False)
        cluster.listeners.append(self)
        cluster.on_event.append(self.look)

    @property
    def now_s(self) -> float:
        """Seconds since the beginning."""
        return self._cluster.now_s - self._zero_s

    def tell(self, who: str, text: str) -> None:
        """One line about `who` (a host, or `NOBODY`)."""
        self._say(f"{self.now_s:7.1f} {who:<3} {text}")

    def quote(self, printed: Iterable[str]) -> None:
        """What a command printed."""
        for line in printed:
            self._say(f"{_INDENT}{line}".rstrip())

    # --- a listener of the cluster ----------------------------------------------------------

    def transition(self, at_s: float, host: str, before: State, after: State, why: str) -> None:
        """An agent changed its state."""
        # What it acted on, or did, comes first.
        self._note_daemons(tell=True)
        self._note_engines()
        self.tell(host, f"{before.value} => {after.value}: {why}")

    def fact(self, at_s: float, host: str, text: str) -> None:
        """Something else happened."""
        self.tell(host or NOBODY, text)

    # --- the facts --------------------------------------------------------------------------

    def look(self) -> None:
        """See what has changed; called after every event."""
        passed_s = self._cluster.now_s - self._looked_at_s
        self._looked_at_s = self._cluster.now_s
        # What was seen the last time has lasted until now.
        if any(engine.healthy and engine.reached for engine in self._engines.values()):
            self.healthy_s += passed_s
        self._note_engines()
        self._note_daemons(tell=True)
        self._note_scores(tell=True)

    def _note_engines(self) -> None:
        found = {engine.pid: engine for engine in self._cluster.running_engines()}
        if found == self._engines:
            return
        before, self._engines = self._engines, found
        for pid in [pid for pid in before if pid not in found]:
            host = self._cluster.hosts[before[pid].host]
            self.tell(host.name, f"engine: VM ended ({_ending(host)})")
        for pid, engine in found.items():
            self._note_engine(before.get(pid), engine)

    def _note_engine(self, before: Optional[EngineProcess], now: EngineProcess) -> None:
        executed = before is not None and before.executing
        was_healthy = before is not None and before.healthy
        if now.executing and not executed:
            self.starts[now.host] += before is None
            self.tell(now.host, f"engine: VM {'started' if before is None else 'runs on'}")
        if not now.executing and (executed or before is None):
            self.tell(now.host, f"engine: VM {_standing(self._cluster.hosts[now.host])}")
        was_reached = before is None or before.reached
        if now.executing and now.reached is not was_reached:
            self.tell(now.host, f"engine: {'in reach again' if now.reached else 'out of reach'}")
        if now.healthy is not was_healthy:
            self.tell(now.host, f"engine: {'healthy' if now.healthy else 'not healthy'}")

    def _note_daemons(self, tell: bool) -> None:
        for name, host in self._cluster.hosts.items():
            for process in (host.broker_process, host.agent_process):
                before = self._daemons.get((name, process.unit))
                now = _Life(process.core is not None, process.frozen, process.started_at_s)
                if now == before:
                    continue
                self._daemons[name, process.unit] = now
                if tell and host.power:  # without power none of them runs
                    self.tell(name, f"{process.unit} {now.news(before)}")

    def _note_scores(self, tell: bool) -> None:
        for name, host in self._cluster.hosts.items():
            snapshot = host.snapshot
            if snapshot is self._seen.get(name):
                continue
            self._seen[name] = snapshot
            own = snapshot.own if snapshot is not None else None
            record = own.record if own is not None else None
            if record is None or record.score == self._scores.get(name):
                continue
            before, self._scores[name] = self._scores.get(name), record.score
            if tell and before is not None:
                self.tell(name, f"score {before} => {record.score}{_penalties(record)}")


def _standing(host: SimHost) -> str:
    if host.suspended_at_s is not None:
        return "stands still with its host"
    return f"paused ({host.vm.now.detail})"


def _ending(host: SimHost) -> str:
    if not host.power:
        return "no power"
    found = host.vm.now
    if found.state != DomainState.ABSENT:
        return "replaced"
    return found.detail or ENDING_WORDS[found.ending]


def _penalties(record: HostRecord) -> str:
    lines = [line.partition("=") for line in record.text.splitlines()]
    return "".join(f": {text}" for key, _, text in lines if key == "penalties")
