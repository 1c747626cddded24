# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Keeps the history while the agent runs: what is new is handed to the store, by a job.

Nothing here decides anything, and nothing waits: a disk that hangs, is full or can't be written
costs the history, and one line in the log.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from functools import partial
from operator import attrgetter
from typing import Optional, Union, cast

from fsm.decision import Decision
from ha_agent.history import sightings
from ha_agent.history.entry import (
    AgentStarted,
    Alive,
    BrokerLost,
    Cost,
    Entry,
    Fact,
    HistoryStore,
    HostSight,
    Lost,
    Transition,
)
from ha_agent.ports import BrokerLook
from ha_broker.api.snapshot import HostView, Publication, Snapshot, alike_but_score
from metadata.error_words import bare_reason
from metadata.plain_text import ascii_text
from metadata.settings.parse import ClusterSettings, HostSettings
from metadata.states import State
from world.ports.jobs import Clock, Outcome, Runner

KEY = "history"

# So well is known until when an agent lived that was killed, or whose host lost its power.
ALIVE_S = 60.0
# A score alone may change with every tick.
SCORE_PAUSE_S = 60.0
RETRY_S = 60.0
MOST_WAITING = 500
# One look may have news of every host, the first one has: it waits as a whole, and so does the
# next one, where the disk refused the first. Besides there are this host's own entries.
LOOKS_WAITING = 2
OWN_WAITING = 100
WHY_LIMIT = 400


class Recorder:
    """Told of all that may be new; without a store it keeps nothing.

    `waiting` is not empty while there is something that `write` shall hand over.
    """

    def __init__(
        self, runner: Runner, store: Optional[HistoryStore], clock: Clock, host: HostSettings
    ) -> None:
        self.waiting: list[Entry] = []
        self._runner = runner
        self._store = store
        self._clock = clock
        self._own_id = host.host_id
        self._own_name = host.host_name
        self._writing: list[Entry] = []
        self._lost = 0
        self._not_before_s = -math.inf
        self._earlier_known = False
        self._sequence: Optional[tuple[int, float]] = None
        self._snapshot: Optional[Snapshot] = None
        self._error = ""
        self._cluster: Optional[Fact] = None
        self._sights: dict[int, tuple[HostSight, float]] = {}
        self._late: dict[int, Union[HostSight, HostView]] = {}
        # Of the snapshot before: a host whose view is the same has been seen. Forgotten with the
        # sights.
        self._views: Mapping[int, HostView] = {}
        self._alike: Mapping[int, HostView] = {}
        self._alive_due_s = self._score_due_s = self._due_s = math.inf
        self._own: Optional[tuple[object, ...]] = None
        self._add(AgentStarted(host.host_id, host.host_name), clock.monotonic_s())

    # --- what may be new ------------------------------------------------------------------

    def look(
        self,
        look: BrokerLook,
        settings: ClusterSettings,
        now_s: float,
        alike: Optional[Mapping[int, HostView]] = None,
    ) -> None:
        """The latest of the broker; nearly always it is known already. `alike`: see `PeerList`."""
        self._alike = {} if alike is None else alike
        if now_s >= self._due_s:
            self._on_time(now_s)
        if look.error != self._error:
            self._note_broker(look.error, now_s)
        snapshot = look.snapshot
        if snapshot is None or look.error:
            return
        if (snapshot.sequence, snapshot.started_at_s) != self._sequence:
            self._sequence = snapshot.sequence, snapshot.started_at_s
            self._see_all(snapshot, settings, now_s)

    def published(self, record: Publication, now_s: float) -> None:
        """This host's record after a decision."""
        status = record.engine_status
        own = (record.state, record.score, status.vm, status.health, record.stopped)
        if own == self._own or self._snapshot is None:
            return
        self._own = own
        self._see(sightings.this_host(self._snapshot, record, self._own_name), now_s)

    def changed(self, before: State, decision: Decision, lasted_s: float, now_s: float) -> None:
        """This host's state changed; the one before had lasted `lasted_s`."""
        score = decision.score
        costs = tuple(
            Cost(one.name, one.points, ascii_text(one.reason, WHY_LIMIT)) for one in score.penalties
        )
        why = ascii_text(decision.why, WHY_LIMIT)
        after = decision.memory.state.value
        lasted_s = round(lasted_s, 3)
        self._add(Transition(before.value, after, why, lasted_s, score.points, costs), now_s)

    # --- handing over ---------------------------------------------------------------------

    def write(self, now_s: float) -> None:
        """Hand over what waits, unless the disk still has to do or has just refused."""
        if self._writing or self._store is None or now_s < self._not_before_s:
            return
        entries = self._with_lost()
        job = partial(_write, self._store, entries, not self._earlier_known)
        if self._runner.submit(KEY, job):
            self._writing, self.waiting, self._lost = entries, [], 0

    def take(self, outcome: Outcome[object]) -> tuple[Sequence[Entry], str]:
        """The hand-over ended: entries of this boot from before this agent, the first time; and
        its error."""
        written, self._writing = self._writing, []
        if outcome.error is None and any(isinstance(one.fact, Lost) for one in written):
            self._forget_seen()
        if outcome.error is not None:
            self._not_before_s = outcome.finished_at_s + RETRY_S
            self.waiting = [*written, *self.waiting]
            self._bound()
            return (), bare_reason(outcome.error)
        first, self._earlier_known = not self._earlier_known, True
        return (cast(Sequence[Entry], outcome.value) if first else ()), ""

    # --- details --------------------------------------------------------------------------

    def _note_broker(self, error: str, now_s: float) -> None:
        if error and not self._error:
            self._add(BrokerLost(ascii_text(error, WHY_LIMIT)), now_s)
            self._sequence = self._cluster = None
            own = self._sights.get(self._own_id)
            self._sights = {} if own is None else {self._own_id: own}
            self._late.clear()
            self._views = {}
        self._error = error

    def _see_all(self, snapshot: Snapshot, settings: ClusterSettings, now_s: float) -> None:
        before, self._snapshot = self._snapshot, snapshot
        if before is None or before.local_maintenance != snapshot.local_maintenance:
            self._own = None  # to be seen again with this
        cluster = sightings.cluster(snapshot, settings.engine.fqdn or settings.engine.domain_name)
        if cluster != self._cluster:
            self._cluster = cluster
            self._add(cluster, now_s)
        known, self._views = self._views, {view.host_id: view for view in snapshot.hosts}
        own_id = snapshot.host_id
        for host_id, view in self._views.items():
            # Of a view that is what it was a sight is, too; one that waits for its time stays so.
            was = known.get(host_id)
            if view is was or host_id == own_id:
                continue
            if was is None or not self._holds_back(was, view, now_s):
                self._see(sightings.other_host(view), now_s)
        for seen in self._unlisted(self._views):
            self._see(seen, now_s)

    def _holds_back(self, was: HostView, view: HostView, now_s: float) -> bool:
        """Is it known already, without a sight made of it, that there is no entry for `view` now?

        So it is mostly: of the view before, which was seen, another score is all that differs.
        """
        host_id = view.host_id
        sight = self._sights.get(host_id)
        if sight is None:
            return False
        if self._alike.get(host_id) is not was and not alike_but_score(was, view):
            return False
        before, at_s = sight
        if view.record is not None and view.record.score == before.score:
            self._late.pop(host_id, None)
            return True
        return self._wait(view, at_s, now_s)

    def _wait(self, late: Union[HostSight, HostView], at_s: float, now_s: float) -> bool:
        """Only its score differs from what was seen `at_s`: does it wait for its time?"""
        due_s = at_s + SCORE_PAUSE_S
        if now_s >= due_s:
            return False
        self._late[late.host_id] = late
        if due_s < self._score_due_s:  # of 2000 hosts for a few
            self._score_due_s = due_s
            self._due_s = min(self._due_s, due_s)
        return True

    def _unlisted(self, listed: Collection[int]) -> list[HostSight]:
        """Hosts whose slots were emptied."""
        gone = [host_id for host_id in self._sights if host_id not in listed]
        names = {host_id: self._sights[host_id][0].name for host_id in gone}
        return [HostSight(host_id, names[host_id]) for host_id in gone if host_id != self._own_id]

    def _see(self, seen: HostSight, now_s: float) -> None:
        before, at_s = self._sights.get(seen.host_id, (None, 0.0))
        self._late.pop(seen.host_id, None)
        if seen == before:
            return
        if before is not None and _only_score(before, seen) and self._wait(seen, at_s, now_s):
            return
        self._sights[seen.host_id] = seen, now_s
        self._add(seen, now_s)

    def _on_time(self, now_s: float) -> None:
        """Scores that were held back, and a sign of life where there was nothing else."""
        late, self._late = self._late, {}
        self._score_due_s = math.inf
        for seen in late.values():
            sight = seen if isinstance(seen, HostSight) else sightings.other_host(seen)
            self._see(sight, now_s)
        if now_s >= self._alive_due_s:
            self._add(Alive(), now_s)
        self._due_s = min(self._alive_due_s, self._score_due_s)

    def _add(self, fact: Fact, now_s: float) -> None:
        if self._store is None:
            return
        self._alive_due_s = now_s + ALIVE_S
        self._due_s = min(self._alive_due_s, self._score_due_s)
        self.waiting.append(Entry(self._clock.wall_s(), now_s, fact))
        self._bound()

    def _bound(self) -> None:
        """A disk that hangs for ever must not fill the memory: the oldest go.

        That this agent has started stays, for without it nobody knows whose entries these are.
        """
        too_many = len(self.waiting) - self._most_waiting()
        if too_many > 0:
            first = self._first_to_go()
            gone = self.waiting[first : first + too_many]
            del self.waiting[first : first + too_many]
            # One that says how many were lost before it stands for as many.
            facts = [entry.fact for entry in gone]
            self._lost += sum(one.count if isinstance(one, Lost) else 1 for one in facts)

    def _most_waiting(self) -> int:
        hosts = len(self._snapshot.hosts) if self._snapshot is not None else 0
        return max(MOST_WAITING, LOOKS_WAITING * hosts + OWN_WAITING)

    def _first_to_go(self) -> int:
        return 1 if isinstance(self.waiting[0].fact, AgentStarted) else 0

    def _with_lost(self) -> list[Entry]:
        if not self._lost:
            return self.waiting
        first = self._first_to_go()
        lost = self.waiting[first]._replace(fact=Lost(self._lost))
        return [*self.waiting[:first], lost, *self.waiting[first:]]

    def _forget_seen(self) -> None:
        """Some of it was lost on the way to the disk: all of it is new again."""
        self._sights.clear()
        self._late.clear()
        self._views = {}
        self._sequence = self._cluster = self._own = None


def _write(store: HistoryStore, entries: Sequence[Entry], with_earlier: bool) -> Sequence[Entry]:
    """The job: entries from before, if they are wanted; they must be read first."""
    earlier = store.earlier() if with_earlier else ()
    store.append(entries)
    return earlier


# All that is compared of a sight, but for the score.
_but_score = attrgetter(
    *(one.name for one in fields(HostSight) if one.compare and one.name != "score")
)


def _only_score(before: HostSight, seen: HostSight) -> bool:
    return _but_score(seen) == _but_score(before)
