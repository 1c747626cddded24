# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Gets what waits in the queue to its targets, each apart from the others and from the cycle."""

from __future__ import annotations

import logging
from functools import partial
from typing import Optional, cast

from ha_broker.api.snapshot import NotificationCounts
from ha_broker.cycle.part import NEVER_S, BrokerPorts, ChangeLog, Settings
from ha_broker.notifications.message import Notice
from ha_broker.notifications.queue import Queue, QueuedMessage
from ha_broker.notifications.targets import SLOTS, Target, targets_of
from metadata.error_words import bare_reason
from metadata.secret_names import without_paths
from metadata.settings.notifications import NotificationSettings
from world.ports.jobs import Outcome
from world.ports.notifications import Receipt, RefusedRecipient

GIVE_UP_AFTER_S = 86400.0

log = logging.getLogger(__name__)


class Delivery:
    """The queue, and one delivery at a time for each target."""

    keys = SLOTS

    def __init__(
        self, world: BrokerPorts, settings: Settings, change_log: ChangeLog, queue: Queue
    ) -> None:
        self.queue = queue
        self._world = world
        self._settings = settings
        self._change_log = change_log
        self._on_the_way: dict[str, tuple[Target, QueuedMessage]] = {}
        self._targets: dict[str, Target] = {}
        self._targets_of: Optional[NotificationSettings] = None
        self._sent = self._failed = self._dropped = 0

    @property
    def targets(self) -> dict[str, Target]:
        """Those of the settings, by their slots."""
        settings = self._settings.cluster.notifications
        if settings is not self._targets_of:
            self._targets, self._targets_of = targets_of(settings), settings
        return self._targets

    @property
    def counts(self) -> NotificationCounts:
        """What became of them until now."""
        queued = len(self.queue.entries)
        return NotificationCounts(queued, self._sent, self._failed, self._dropped)

    def note_dropped(self) -> None:
        """A notice was not even queued."""
        self._dropped += 1

    def add(self, notice: Notice, now_s: float) -> None:
        """Have it delivered to every target."""
        most = self._settings.cluster.notifications.queue_size
        keep = {entry.key for _, entry in self._on_the_way.values()}
        for target in self.targets.values():
            gone = self.queue.add(QueuedMessage(notice, target.name, now_s), most, keep)
            if gone is not None:
                self._drop(gone, f"more than {most} wait")

    def harvest(self, outcome: Outcome[object]) -> None:
        """A delivery ended."""
        target, entry = self._on_the_way.pop(outcome.key)
        if outcome.error is None:
            self._note_receipt(target, entry, cast(Receipt, outcome.value), outcome.finished_at_s)
            return
        self._failed += 1
        self._change_log.tell(target.label, bare_reason(outcome.error), logging.WARNING)
        final = bool(getattr(outcome.error, "final", False))
        self.queue.retry_later(entry, outcome.finished_at_s, last=final)

    def _note_receipt(
        self, target: Target, entry: QueuedMessage, receipt: Receipt, at_s: float
    ) -> None:
        self._sent += 1
        self._change_log.tell(target.label, "")
        self.queue.remove(entry)
        self.queue.note_success(entry.target)
        for refused in receipt.refused:
            log.warning("%s: %s is refused: %s", target.label, refused.address, refused.why)
        self._try_refused_again(entry, receipt.refused, at_s)

    def _try_refused_again(
        self, entry: QueuedMessage, refused: tuple[RefusedRecipient, ...], at_s: float
    ) -> None:
        to = tuple(item.address for item in refused if not item.final)
        if to:
            again = QueuedMessage(entry.notice, entry.target, entry.queued_at_s, to)
            most = self._settings.cluster.notifications.queue_size
            self.queue.add(again, most + 1, ())
            self.queue.retry_later(again, at_s, last=True)

    def work(self, now_s: float) -> None:
        """Submit what is due, and give up what is not wanted any more."""
        if self._settings.config is None:
            return  # where they go is not known yet
        self._give_up(now_s)
        for slot, target in self.targets.items():
            entry = self._next(slot, target)
            if entry is not None and self.queue.due_s(target.name) <= now_s:
                self._send(slot, target, entry)

    def _send(self, slot: str, target: Target, entry: QueuedMessage) -> None:
        wall_s = self._world.clock.wall_s()
        job = partial(
            target.deliver, self._world.notification_sender, entry.notice, entry.to, wall_s
        )
        if self._world.runner.submit(slot, job):
            self._on_the_way[slot] = target, entry

    def _next(self, slot: str, target: Target) -> Optional[QueuedMessage]:
        """What may be sent to it next; None: nothing, or something is on its way."""
        entry = None if slot in self._on_the_way else self.queue.head(target.name)
        # The webhooks may have changed their slots in the settings meanwhile.
        under_way = entry is not None and any(
            entry.key == other.key for _, other in self._on_the_way.values()
        )
        return None if under_way else entry

    def _give_up(self, now_s: float) -> None:
        names = {target.name for target in self.targets.values()}
        under_way = {entry.key for _, entry in self._on_the_way.values()}
        for entry in self.queue.entries:
            if entry.key in under_way:
                continue
            if entry.target not in names:
                self._drop(entry, "its target is not configured any more")
            elif now_s - entry.queued_at_s >= GIVE_UP_AFTER_S:
                self._drop(entry, f"not delivered within {GIVE_UP_AFTER_S:g} s")

    def _drop(self, entry: QueuedMessage, why: str) -> None:
        self._dropped += 1
        self.queue.remove(entry)
        log.error(
            "a notification for %s is given up (%s): %s",
            without_paths(entry.target),
            why,
            entry.notice.text,
        )

    def next_due_s(self) -> float:
        """When there is something to send; the end of a delivery wakes by itself."""
        if not self.queue.entries or self._settings.config is None:
            return NEVER_S
        dues_s = [
            self.queue.due_s(target.name)
            for slot, target in self.targets.items()
            if self._next(slot, target) is not None
        ]
        return min(dues_s, default=NEVER_S)
