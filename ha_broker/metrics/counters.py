# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Counted when it happens: times of jobs, cycles and calls, events, changes of state."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Optional

from ha_broker.api.event import EventKind
from ha_broker.api.snapshot import Publication, Snapshot
from ha_broker.metrics.move_counts import MoveCounts
from ha_broker.metrics.plain_numbers import Count, Distribution, Tally, Times
from ha_broker.metrics.prefix import PREFIX
from ha_broker.storage.global_maintenance import WRITE_GLOBAL
from ha_broker.storage.own_slot_writer import WRITE_OWN
from ha_broker.storage.slot_io import SlotBytes
from ha_broker.storage.slot_reader import READ, SCAN
from world.ports.jobs import Outcome

if TYPE_CHECKING:
    from prometheus_client.core import Metric

# The broker's own I/O, by the key of its job.
OPERATIONS = {READ: "read", SCAN: "scan", WRITE_OWN: "write", WRITE_GLOBAL: "write-global"}
FAILOVERS = (EventKind.STARTED, EventKind.TAKEN_OVER)
MOST_TRANSITIONS = 200  # pairs of states; the agent's table has fewer
OTHER = "other"

_IO_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_CALL_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
_CYCLE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
_OUTAGE_S = (5, 10, 20, 30, 60, 90, 120, 150, 180, 240, 300, 600, 1200, 3600)


class Counters:
    """The `Observer` that counts."""

    def __init__(self) -> None:
        self.counters: list[Tally] = []
        self._make_times()
        self._make_counts()
        self._begin_at_zero()
        self._pairs: set[tuple[str, str]] = set()
        self._life_at_s: Optional[float] = None
        self._last_transition = -math.inf
        self._last_event: Optional[float] = None
        self._moves = MoveCounts()
        self.counters += (self._moves.moves, self._moves.refusals)

    def _make_times(self) -> None:
        self._io = self._histogram(
            "storage_io_duration_seconds",
            "How long the broker's reads and writes of the shared storage took.",
            ["operation"],
            _IO_S,
        )
        self._cycles = self._histogram(
            "cycle_duration_seconds", "How long the broker's cycles took.", [], _CYCLE_S
        )
        self._calls = self._histogram(
            "api_request_duration_seconds",
            "How long answering a call took; a long poll's waiting counts.",
            ["resource"],
            _CALL_S,
        )
        self._outages = self._histogram(
            "failover_duration_seconds",
            "How long the engine had not been healthy before it was started or taken over.",
            ["kind"],
            _OUTAGE_S,
        )
        self._jobs = Times(
            f"{PREFIX}job_duration_seconds",
            "How long the broker's jobs took, each of which has a thread of its own.",
            ["job"],
        )
        self.counters.append(self._jobs)

    def _make_counts(self) -> None:
        self._io_failures = self._counter(
            "storage_io_failures", "Reads and writes that failed.", ["operation"]
        )
        self._job_failures = self._counter("job_failures", "Jobs that failed.", ["job"])
        self._answers = self._counter(
            "api_requests", "Calls by what was asked for and the answer's status.",
            ["resource", "status"],
        )  # fmt: skip
        self._events = self._counter(
            "events", "What happened in the cluster, as this host saw it.", ["kind"]
        )
        self._transitions = self._counter(
            "transitions", "Changes of the agent's state on this host.", ["before", "after"]
        )

    def _begin_at_zero(self) -> None:
        """A series that begins with its first event shows no rise, so no alert sees it."""
        for operation in OPERATIONS.values():
            self._io_failures.inc(operation, by=0)
        for kind in EventKind:
            self._events.inc(kind.value, by=0)
        for kind in FAILOVERS:
            self._outages.begin(kind.value)

    def _histogram(
        self, name: str, text: str, labels: list[str], bounds_s: tuple[float, ...]
    ) -> Distribution:
        made = Distribution(PREFIX + name, text, labels, bounds_s)
        self.counters.append(made)
        return made

    def _counter(self, name: str, text: str, labels: list[str]) -> Count:
        made = Count(PREFIX + name, text, labels)
        self.counters.append(made)
        return made

    def collect(self) -> list[Metric]:
        """All that was counted, as the library's metrics."""
        return [tally.metric() for tally in self.counters]

    # --- Observer -------------------------------------------------------------------------

    def job_ended(self, outcome: Outcome[object]) -> None:
        """A job was harvested."""
        took_s = outcome.finished_at_s - outcome.started_at_s
        self._jobs.observe(took_s, outcome.key)
        failed = outcome.error is not None
        if failed:
            self._job_failures.inc(outcome.key)
        operation = OPERATIONS.get(outcome.key)
        if operation is not None:
            self._io.observe(took_s, operation)
            self._io_failures.inc(operation, by=failed or _is_partial(outcome.value))

    def shown(self, snapshot: Snapshot) -> None:
        """A cycle ended with this snapshot."""
        self._count_events(snapshot)
        if snapshot.agent is not None:
            if snapshot.agent.transitions:
                self._count_transitions(snapshot.agent, snapshot.started_at_s)
            self._moves.shown(snapshot.agent.move)

    # --- what else happens ----------------------------------------------------------------

    def cycle_ended(self, took_s: float) -> None:
        """The daemon's loop has made one cycle."""
        self._cycles.observe(took_s)

    def call_answered(self, resource: str, status: int, took_s: float) -> None:
        """Somebody asked for something. `resource` is one of a few."""
        self._calls.observe(took_s, resource)
        self._answers.inc(resource, str(status))

    def _count_events(self, snapshot: Snapshot) -> None:
        """What an earlier life of the broker has seen is no news."""
        latest = snapshot.events[-1].number if snapshot.events else -math.inf
        if self._last_event is None or latest == self._last_event:
            self._last_event = latest
            return
        for event in snapshot.events:
            if event.number > self._last_event:
                self._events.inc(event.kind.value)
                if event.kind in FAILOVERS and event.outage_s is not None:
                    self._outages.observe(event.outage_s, event.kind.value)
        self._last_event = latest

    def _count_transitions(self, agent: Publication, started_at_s: float) -> None:
        """What happened before the broker's start an earlier life of it has counted."""
        if agent.life_at_s != self._life_at_s:
            self._life_at_s, self._last_transition = agent.life_at_s, 0
        for change in agent.transitions:
            if change.number > self._last_transition and change.at_s >= started_at_s:
                self._transitions.inc(*self._pair(change.before, change.after))
        self._last_transition = max(self._last_transition, agent.transitions[-1].number)

    def _pair(self, before: str, after: str) -> tuple[str, str]:
        """A client of the socket may write any state: not each may become a series."""
        if (before, after) not in self._pairs and len(self._pairs) >= MOST_TRANSITIONS:
            return OTHER, OTHER
        self._pairs.add((before, after))
        return before, after


def _is_partial(value: object) -> bool:
    return isinstance(value, SlotBytes) and bool(value.failed or value.errors)
