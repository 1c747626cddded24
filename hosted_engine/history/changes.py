# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The history as a list of what changed, one after the other. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

from ha_agent.history.entry import (
    AgentStarted,
    BrokerLost,
    ClusterSight,
    Cost,
    HostSight,
    Lost,
    Transition,
)
from ha_broker.api.snapshot import LeaseState
from hosted_engine.cli.wording import span
from hosted_engine.history.timeline import FREE, engine_word
from hosted_engine.history.wall_times import Timed
from metadata.liveness import Liveness

STATE, ENGINE, LIFE, MAINTENANCE = "state", "engine", "life", "maintenance"
LEASE, GLOBAL_MAINTENANCE = "lease", "global-maintenance"
AGENT, BROKER, CLOCK, LOST = "agent", "broker", "clock", "lost"
NOT_KNOWN = "not known"
_SWITCH = {True: "on", False: "off", None: NOT_KNOWN}


@dataclass(frozen=True)
class ToldChange:
    """Something became `after` at `at_s` (seconds since the epoch).

    kind        what: one of the constants above
    host_id     whose; None: it concerns all
    lasted_s    how long `before` had lasted; None: not known
    exact       told by that host's own agent; else it was seen from another host, a tick late
    """

    at_s: float
    kind: str
    host_id: Optional[int]
    host: str
    before: str
    after: str
    lasted_s: Optional[float] = None
    score: Optional[int] = None
    why: str = ""
    penalties: tuple[Cost, ...] = ()
    exact: bool = True


def changes_of(entries: Sequence[Timed]) -> list[ToldChange]:
    """What changed, the oldest first."""
    reader = _ChangeReader(_names(entries))
    return [change for timed in entries for change in reader.tell(timed)]


def _names(entries: Sequence[Timed]) -> dict[int, str]:
    """Each host's latest name, also for what was seen before it was told."""
    names = {}
    for _, entry, _ in entries:
        if isinstance(entry.fact, HostSight) and entry.fact.name:
            names[entry.fact.host_id] = entry.fact.name
        elif isinstance(entry.fact, AgentStarted):
            names[entry.fact.host_id] = entry.fact.host_name
    return names


class _ChangeReader:
    """Compares what was seen with what had been seen before."""

    def __init__(self, names: dict[int, str]) -> None:
        self._own_id: Optional[int] = None
        self._names = names
        self._before_s: Optional[float] = None
        self._seen: dict[int, HostSight] = {}
        self._cluster: Optional[ClusterSight] = None
        # Since when each (kind, host) has had its value, where its beginning was seen.
        self._since: dict[tuple[str, Optional[int]], float] = {}

    def tell(self, timed: Timed) -> Iterator[ToldChange]:
        at_s, fact = timed.at_s, timed.entry.fact
        if timed.set_by_s:
            way = "forwards" if timed.set_by_s > 0 else "back"
            yield self._own(at_s, CLOCK, f"set {way} by {abs(timed.set_by_s):.0f} s")
        if isinstance(fact, AgentStarted):
            yield self._began(at_s, fact)
        elif isinstance(fact, Transition):
            yield self._transition(at_s, fact)
        elif isinstance(fact, HostSight):
            yield from self._host(at_s, fact)
        elif isinstance(fact, ClusterSight):
            yield from self._all(at_s, fact)
        elif isinstance(fact, BrokerLost):
            self._forget_others()
            yield self._own(at_s, BROKER, "does not answer", fact.why)
        elif isinstance(fact, Lost):
            yield self._own(at_s, LOST, f"{fact.count} entries", "the disk did not take them")
        self._before_s = at_s

    # --- this host ------------------------------------------------------------------------

    def _began(self, at_s: float, fact: AgentStarted) -> ToldChange:
        self._own_id = fact.host_id
        self._seen.clear()
        self._forget_others()
        gap_s = None if self._before_s is None else at_s - self._before_s
        why = "" if gap_s is None else f"nothing is known of the {span(gap_s)} before"
        return self._own(at_s, AGENT, "started", why)

    def _own(self, at_s: float, kind: str, after: str, why: str = "") -> ToldChange:
        return ToldChange(at_s, kind, self._own_id, self._name(self._own_id), "", after, why=why)

    def _transition(self, at_s: float, fact: Transition) -> ToldChange:
        return ToldChange(
            at_s,
            STATE,
            self._own_id,
            self._name(self._own_id),
            fact.before,
            fact.after,
            fact.lasted_s,
            fact.score,
            fact.why,
            fact.penalties,
        )

    # --- what was seen --------------------------------------------------------------------

    def _host(self, at_s: float, seen: HostSight) -> Iterator[ToldChange]:
        before = self._seen.get(seen.host_id)
        self._seen[seen.host_id] = seen
        for kind, value in _VALUES.items():
            if kind == STATE and seen.host_id == self._own_id:
                continue  # its transitions say it better
            was, now = "" if before is None else value(before), value(seen)
            if was != now and before is not None:
                yield self._change(at_s, kind, seen, was, now)
                self._since[kind, seen.host_id] = at_s

    def _change(self, at_s: float, kind: str, seen: HostSight, was: str, now: str) -> ToldChange:
        return ToldChange(
            at_s,
            kind,
            seen.host_id,
            self._name(seen.host_id),
            was,
            now,
            self._lasted_s(kind, seen.host_id, at_s),
            seen.score if kind == STATE else None,
            seen.why if kind == STATE else "",
            exact=seen.host_id == self._own_id,
        )

    def _all(self, at_s: float, seen: ClusterSight) -> Iterator[ToldChange]:
        before, self._cluster = self._cluster, seen
        if before is None:
            return
        pairs = {
            LEASE: (self._owner(before), self._owner(seen)),
            GLOBAL_MAINTENANCE: (
                _SWITCH[before.global_maintenance],
                _SWITCH[seen.global_maintenance],
            ),
        }
        for kind, (was, now) in pairs.items():
            if was != now:
                lasted_s = self._lasted_s(kind, None, at_s)
                yield ToldChange(at_s, kind, None, "", was, now, lasted_s, exact=False)
                self._since[kind, None] = at_s

    def _owner(self, seen: ClusterSight) -> str:
        if seen.lease == LeaseState.HELD:
            return self._name(seen.owner_id)
        return FREE if seen.lease == LeaseState.FREE else NOT_KNOWN

    # --- details --------------------------------------------------------------------------

    def _name(self, host_id: Optional[int]) -> str:
        return "" if host_id is None else self._names.get(host_id, f"host {host_id}")

    def _lasted_s(self, kind: str, host_id: Optional[int], at_s: float) -> Optional[float]:
        since_s = self._since.get((kind, host_id))
        return None if since_s is None else at_s - since_s

    def _forget_others(self) -> None:
        self._seen = {key: one for key, one in self._seen.items() if key == self._own_id}
        self._cluster = None
        self._since = {key: at_s for key, at_s in self._since.items() if key[1] == self._own_id}


def _state(seen: HostSight) -> str:
    return seen.state or NOT_KNOWN


def _engine(seen: HostSight) -> str:
    return (engine_word(seen.vm, seen.health) or "none") if seen.live else NOT_KNOWN


_NOT_LIVE = {Liveness.DEAD.value: "dead", Liveness.FREE.value: "left"}


def _life(seen: HostSight) -> str:
    if seen.live:
        return "live"
    return _NOT_LIVE.get(seen.liveness, "silent")


def _maintenance(seen: HostSight) -> str:
    return _SWITCH[seen.maintenance]


_VALUES = {LIFE: _life, STATE: _state, ENGINE: _engine, MAINTENANCE: _maintenance}
