# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Events and notifications as a part of the broker's cycle.

From each picture that the broker makes: what happened (`ha_broker.events`), what of it this host
tells, and to whom. Nothing here blocks: files and messages are jobs under keys of their own.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial
from typing import Optional

from ha_broker.api.event import Event
from ha_broker.api.snapshot import NotificationCounts, Publication, Snapshot
from ha_broker.cycle.part import NEVER_S, BrokerPorts, ChangeLog, Settings, error_text
from ha_broker.cycle.task import Task
from ha_broker.events.cluster_state import ClusterPicture, picture_of
from ha_broker.events.detector import Happening, Hold, watch
from ha_broker.events.persistence import EventMemory, essence
from ha_broker.events.reporter_election import ReporterElection, due_duties, duty_of
from ha_broker.events.text import sentence
from ha_broker.events.transitions import changes
from ha_broker.notifications.daily_limit import DailyCount
from ha_broker.notifications.delivery import Delivery
from ha_broker.notifications.manual_test import Trials
from ha_broker.notifications.message import (
    LIMIT,
    TEST,
    Notice,
    Origin,
    change_notice,
    event_notice,
    plain_notice,
)
from ha_broker.notifications.rules import wants_change, wants_event
from ha_broker.notifications.state_files import (
    MEMORY_FILE,
    QUEUE_FILE,
    memory_text,
    read_files,
    write_files,
)
from ha_broker.server.mailbox import TrialTicket
from metadata.settings.timing import renewal_s
from world.ports.jobs import Outcome
from world.ports.log_fields import fields

STORE = "notify:store"
MOST_EVENTS = 20
RETRY_STORE_S = 10.0

log = logging.getLogger(__name__)


class Notifications:
    """Sees events from the first picture on; tells them where the settings name a target."""

    keys = (STORE, *Delivery.keys, *Trials.keys)

    def __init__(
        self, world: BrokerPorts, settings: Settings, state_dir: str, change_log: ChangeLog
    ) -> None:
        self._world = world
        self._settings = settings
        self._change_log = change_log
        self._directory = state_dir
        self._store = Task(world.runner, STORE)
        now_s = world.clock.monotonic_s()
        kept = read_files(state_dir, now_s)
        self._memory = kept.memory
        self._day = kept.day
        self._delivery = Delivery(world, settings, change_log, kept.queue)
        self._trials = Trials(world)
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._picture: Optional[ClusterPicture] = None
        self._unpictured: set[int] = set()
        self._sequence: Optional[int] = None
        self._agent: Optional[Publication] = None
        self._quiet_until_s = -NEVER_S
        self._notices = 0
        self._saved = self._to_save()

    # --- what others see ------------------------------------------------------------------

    @property
    def events(self) -> tuple[Event, ...]:
        """The latest that this broker has seen, told by it or not."""
        return tuple(self._events)

    @property
    def counts(self) -> NotificationCounts:
        """What became of the notifications."""
        return self._delivery.counts

    def ask_trial(self, ticket: TrialTicket) -> None:
        """Send a test notification to every target at once."""
        origin = self._origin()
        text = f"{origin.sender} sends a test of its notifications"
        notice = plain_notice(TEST, text, "Nothing has happened.", origin)
        now_s = self._world.clock.monotonic_s()
        self._trials.ask(ticket, self._delivery.targets, notice, now_s)

    # --- a new picture --------------------------------------------------------------------

    def look(self, snapshot: Snapshot, changed: AbstractSet[int]) -> None:
        """Take in what the broker knows now: while its sequence stays, a picture once a tick.

        `changed`: the hosts found changed since the snapshot before.
        """
        self._unpictured |= changed
        if self._settings.config is None:
            return  # what counts, and who wants to know it, is not known yet
        now_s = snapshot.taken_at_s
        if now_s >= self._quiet_until_s or snapshot.sequence != self._sequence:
            self._sequence = snapshot.sequence
            self._look(snapshot, now_s)
        if snapshot.agent is not self._agent:
            self._agent = snapshot.agent
            self._note_changes(snapshot.agent, now_s)

    def _look(self, snapshot: Snapshot, now_s: float) -> None:
        before = self._picture
        self._picture = picture_of(snapshot, before, self._unpictured)
        self._unpictured.clear()
        if now_s >= self._quiet_until_s or self._picture != before:
            self._watch(self._picture, now_s)

    def _watch(self, picture: ClusterPicture, now_s: float) -> None:
        memory = self._memory
        watched, happenings = watch(memory.watch, picture, now_s, self._hold())
        self._note(happenings)
        duties = self._new_duties(happenings, picture, now_s)
        self._memory = EventMemory(watched, (*memory.duties, *duties), memory.transitions)
        self._tell_due(picture, now_s)
        rests = watched.rests and not self._memory.duties
        # Once a tick in any case: when the engine was last seen healthy is to be known so well.
        self._quiet_until_s = now_s + self._settings.timing.tick_s if rests else -NEVER_S

    def _note_changes(self, agent: Optional[Publication], now_s: float) -> None:
        transitions, found = changes(self._memory.transitions, agent)
        if transitions is not self._memory.transitions:
            self._memory = replace(self._memory, transitions=transitions)
        if self._delivery.targets:
            rules = self._settings.cluster.notifications.rules
            for change in found:
                if wants_change(rules, change):
                    self._tell(change_notice(change, self._origin()), now_s)

    def _hold(self) -> Hold:
        timing = self._settings.timing
        hold_s = self._settings.cluster.notifications.hold_s
        return Hold(hold_s, timing.starting_s, timing.alive_s)

    def _note(self, happenings: tuple[Happening, ...]) -> None:
        for happening in happenings:
            self._events.append(happening.event)
            kind = happening.event.kind
            log.info("event: %s", sentence(happening.event), extra=fields(event=kind))

    def _new_duties(
        self, happenings: tuple[Happening, ...], picture: ClusterPicture, now_s: float
    ) -> list[ReporterElection]:
        rules = self._settings.cluster.notifications.rules
        timing = self._settings.timing
        if not self._delivery.targets:
            return []
        # sanlock's word on a host comes up to a renewal apart, a record within two ticks.
        apart_s = renewal_s(timing.io_timeout_s) + 2 * timing.tick_s
        lives = picture.generations
        return [
            duty_of(happening, picture.own_id, now_s, apart_s, lives)
            for happening in happenings
            if wants_event(rules, happening.event.kind)
        ]

    def _tell_due(self, picture: ClusterPicture, now_s: float) -> None:
        if not self._memory.duties:
            return
        duties, told = due_duties(self._memory.duties, picture)
        self._memory = replace(self._memory, duties=duties)
        for event in told:
            origin = self._origin()
            wall_s = origin.wall_s - max(0.0, now_s - event.at_s)
            self._tell(event_notice(event, origin, wall_s), now_s)

    # --- telling ----------------------------------------------------------------------------

    def _origin(self) -> Origin:
        engine = self._settings.cluster.engine
        self._notices += 1
        return Origin(
            sender=self._settings.host.host_name,
            engine=engine.fqdn or engine.domain_name,
            wall_s=self._world.clock.wall_s(),
            number=self._notices,
        )

    def _tell(self, notice: Notice, now_s: float) -> None:
        limit = self._settings.cluster.notifications.daily_limit
        if self._day.told >= limit:
            self._day = self._day.drop()
            self._delivery.note_dropped()
            log.warning("over the daily limit of %d, not told: %s", limit, notice.text)
            return
        self._day = self._day.tell(now_s)
        if self._day.told >= limit:
            notice = _last_of_the_day(notice, limit, self._day.left_s(now_s))
        self._delivery.add(notice, now_s)

    def _turn_day(self, now_s: float) -> None:
        if not self._day.is_over(now_s):
            return
        dropped, self._day = self._day.dropped, DailyCount()
        if dropped:
            limit = self._settings.cluster.notifications.daily_limit
            text = f"{dropped} notifications of this host were not sent in the last 24 hours"
            why = f"The daily limit is {limit}."
            self._tell(plain_notice(LIMIT, text, why, self._origin()), now_s)

    # --- a part of the cycle ------------------------------------------------------------------

    def harvest(self, outcome: Outcome[object]) -> None:
        """A job of this part ended."""
        if outcome.key in Delivery.keys:
            self._delivery.harvest(outcome)
        elif outcome.key in Trials.keys:
            self._trials.harvest(outcome)
        else:
            self._note_stored(outcome)

    def _note_stored(self, outcome: Outcome[object]) -> None:
        error = outcome.error
        self._change_log.tell(
            "notifications' files", f"can't be written: {error_text(error)}" if error else ""
        )
        if error is not None:
            self._saved = ()
            self._store.postpone(outcome.finished_at_s + RETRY_STORE_S)

    def work(self, now_s: float) -> None:
        """Submit what is due."""
        self._turn_day(now_s)
        self._save(now_s)
        self._delivery.work(now_s)
        self._trials.work(now_s)

    def _save(self, now_s: float) -> None:
        if not self._has_to_save() or not self._store.is_due(now_s):
            return
        contents = {
            QUEUE_FILE: self._delivery.queue.to_lines(now_s),
            MEMORY_FILE: memory_text(self._memory, self._day, now_s),
        }
        if self._store.start(now_s, partial(write_files, self._directory, contents), 0.0):
            self._saved = self._to_save()

    def _has_to_save(self) -> bool:
        """Where nobody is told anything there is nothing to remember."""
        return bool(self._delivery.targets) and self._saved != self._to_save()

    def _to_save(self) -> tuple[object, ...]:
        return (essence(self._memory), self._day, self._delivery.queue.entries)

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens."""
        store_s = self._store.next_due_s(now_s) if self._has_to_save() else NEVER_S
        return min(store_s, self._delivery.next_due_s(), self._trials.next_due_s())


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.0f} hours" if seconds >= 7200 else f"{seconds / 60:.0f} minutes"


def _last_of_the_day(notice: Notice, limit: int, left_s: float) -> Notice:
    more = (
        f"This is the last notification of {notice.sender} for now: the daily limit of {limit} "
        f"is reached. It tells more in {_span(left_s)}."
    )
    text = f"{notice.text} (the last one for now: daily limit of {limit})"
    return replace(notice, text=text, detail=f"{notice.detail}\n{more}" if notice.detail else more)
