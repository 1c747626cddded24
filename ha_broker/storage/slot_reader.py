# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Reads the slots in use in each cycle, and the whole area at the start and now and then."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Optional, cast

from ha_broker.cycle.part import BrokerPorts, ChangeLog, Settings, clock_time, error_text
from ha_broker.cycle.task import Task
from ha_broker.storage.slot_io import SlotBytes, read_slots, scan_slots
from ha_broker.storage.slot_notes import global_maintenance_said
from ha_broker.storage.slot_table import SlotTable
from metadata.records import DecodedGlobal, DecodedSlot, GlobalRecord, describe_slot_error
from metadata.slot_decoder import SlotDecoder
from metadata.wire import decode_global
from world.ports.jobs import Outcome
from world.ports.sanlock import LockspaceHost

log = logging.getLogger(__name__)

READ = "read"
SCAN = "scan"
SCAN_INTERVAL_S = 900.0
REREAD_AFTER_S = 0.5
MAX_REREADS_AT_ONCE = 16


class SlotReader:
    """The metadata area as last read: `book` for the hosts, `maintenance` for slot 0.

    A read that does not end occupies its key alone; after io_timeout (sanlock's own patience
    with one I/O) `error` says since when, and everything else goes on.
    """

    keys = (READ, SCAN)

    def __init__(self, world: BrokerPorts, settings: Settings, change_log: ChangeLog) -> None:
        self.book = SlotTable(settings.host.host_id)
        self.maintenance: Optional[bool] = None
        self.global_error = ""
        self.last_read_at_s: Optional[float] = None
        self.rounds_begun = 0  # readings of all slots in use; the clock need not tell two apart
        self.rounds_ended = 0  # the latest of them that read anything
        self.last_round_at_s: Optional[float] = None  # when that one began
        self.latency_s: Optional[float] = None
        self.own_slot_seen = False
        self.all_slots_seen = False  # or tried to: once
        self._world = world
        self._settings = settings
        self._change_log = change_log
        self._read = Task(world.runner, READ)
        self._reread = Task(world.runner, READ)
        self._watch = Task(world.runner, READ)
        self._reads_all = False
        self._watched: AbstractSet[int] = frozenset()
        self._watch_interval_s = float("inf")
        self._scan = Task(world.runner, SCAN)
        self._decoder = SlotDecoder()
        self._hosts: Mapping[int, LockspaceHost] = {}
        self._read_error = ""
        self._has_scanned = False
        self._own_looked_at_s = float("-inf")
        self._global_written_at_s = float("-inf")
        self._reread.postpone(float("inf"))
        self._watch.postpone(float("inf"))

    # --- what others tell -----------------------------------------------------------------

    def note_hosts(self, hosts: Mapping[int, LockspaceHost]) -> None:
        """sanlock's hosts; one whose slot is not being read yet is looked at once."""
        if hosts is self._hosts:
            return
        news = set(self.book.ids_to_read(hosts)) - set(self.book.ids_to_read(self._hosts))
        self._hosts = hosts
        if news:
            self._read.hurry(self._world.clock.monotonic_s())

    def note_own_slot(self, seen: DecodedSlot, at_s: float) -> None:
        """Its writer saw or left this in our slot; readings begun before are of the past."""
        self._own_looked_at_s = at_s
        self.own_slot_seen = True
        self.book.note(self._settings.host.host_id, seen, at_s)

    def note_global_written(self, on: bool, at_s: float) -> None:
        """Slot 0 was written and confirmed."""
        self._global_written_at_s = at_s
        self.maintenance, self.global_error = on, ""

    def watch(self, slots: AbstractSet[int], interval_s: float) -> None:
        """Somebody waits for what is written next in these: they alone are read so often.

        A read that is late, or fails, costs time and nothing else; all slots are read each tick,
        whatever is watched.
        """
        self._watched, self._watch_interval_s = slots, interval_s
        if slots:
            self._watch.quicken(interval_s)
        else:
            self._watch.postpone(float("inf"))

    def hurry(self, now_s: float) -> None:
        """Read the slots in use at once."""
        self._read.hurry(now_s)

    def hurry_scan(self, now_s: float) -> None:
        """Read the whole area soon."""
        self._scan.hurry(now_s)

    # --- the cycle --------------------------------------------------------------------------

    def harvest(self, outcome: Outcome[object]) -> None:
        """A job of this part ended."""
        if outcome.key == SCAN:
            self._harvest_scan(outcome)
        else:
            self._harvest_read(outcome)

    def work(self, now_s: float) -> None:
        """Submit what is due."""
        if self._read.is_due(now_s):
            ids = (0, *self._ids_to_read(now_s))
            self._start(self._read, now_s, ids, self._settings.timing.tick_s)
        elif self._watch.is_due(now_s):
            self._start(self._watch, now_s, tuple(self._watched), self._watch_interval_s)
        else:
            self._look_again(now_s)
        if self._scan.is_due(now_s):
            parts = self._settings.host.storage
            self._scan.start(now_s, partial(scan_slots, self._world.store, parts), SCAN_INTERVAL_S)
        self._change_log.tell("storage", self.error(now_s))

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens."""
        deadline_s = self._deadline_s()
        return min(
            self._read.next_due_s(now_s, deadline_s),
            self._reread.next_due_s(now_s, deadline_s),
            self._watch.next_due_s(now_s, deadline_s),
            self._scan.next_due_s(now_s, deadline_s),
        )

    def error(self, now_s: float) -> str:
        """What is wrong with reading, in one line; empty: nothing."""
        since_s = self._read.stuck_since_s(now_s, self._deadline_s())
        if since_s is not None:
            return f"reading has not ended since {clock_time(self._world.clock, since_s)}"
        return self._read_error

    @property
    def busy_since_s(self) -> Optional[float]:
        """Since when a read is under way."""
        return self._read.busy_since_s

    def _ids_to_read(self, now_s: float) -> list[int]:
        """Our own slot only when its writer, which looks first, has not done so just now."""
        ids = list(self.book.ids_to_read(self._hosts))
        if now_s - self._own_looked_at_s < 1.5 * self._settings.timing.tick_s:
            ids.remove(self._settings.host.host_id)
        return ids

    def _look_again(self, now_s: float) -> None:
        torn = self.book.torn_ids(self._hosts)
        if torn:
            self._start(self._reread, now_s, torn[:MAX_REREADS_AT_ONCE], float("inf"))
        else:  # whole by now, or nobody's: a look that stayed due would never let us sleep
            self._reread.postpone(float("inf"))

    def _deadline_s(self) -> float:
        return float(self._settings.timing.io_timeout_s)

    def _start(self, task: Task, now_s: float, ids: tuple[int, ...], interval_s: float) -> None:
        parts = self._settings.host.storage
        if task.start(now_s, partial(read_slots, self._world.store, parts, ids), interval_s):
            self._reads_all = task is self._read
            self.rounds_begun += self._reads_all

    def _harvest_read(self, outcome: Outcome[object]) -> None:
        if outcome.error is not None:
            self._read_error = error_text(outcome.error)
            return
        result = cast(SlotBytes, outcome.value)
        self._note_failed(result)
        if result.slots:
            if self._reads_all:
                self.rounds_ended = self.rounds_begun
                self.last_round_at_s = outcome.started_at_s
            self.last_read_at_s = outcome.started_at_s
            self.latency_s = outcome.finished_at_s - outcome.started_at_s
        for slot in self.book.readable_among(result.slots):
            self._note_readable(slot)
        for slot, data in self._news(result.slots).items():
            self._note(slot, data, outcome.started_at_s)
        if self.book.torn_ids(self._hosts):
            self._reread.hurry(outcome.finished_at_s + REREAD_AFTER_S)

    def _news(self, slots: Mapping[int, bytes]) -> dict[int, bytes]:
        """Without the records that nobody has written since the look before: of a full lockspace,
        most. Our own slot is looked at by its writer too, so it is not left out."""
        own_id = self._settings.host.host_id
        news = self._decoder.news(slots)
        if own_id in slots:
            news[own_id] = slots[own_id]
        return news

    def _note_failed(self, result: SlotBytes) -> None:
        """Where slot 0 can be read, any other slot that can't is its host's own trouble."""
        own_id = self._settings.host.host_id
        if 0 in result.failed:
            self._read_error = "; ".join(list(result.failed.values())[:3])
            return
        if 0 in result.slots:
            self._read_error = result.failed.get(own_id, "")
        for slot in result.failed.keys() - {own_id}:
            self.book.note_unreadable(slot, result.failed[slot])
            self._change_log.tell(f"slot {slot}", result.failed[slot])

    def _harvest_scan(self, outcome: Outcome[object]) -> None:
        """A scan only discovers: the slots in use are read by the cycle, which is newer."""
        self.all_slots_seen = True
        if outcome.error is not None:
            self._change_log.tell("scan of all slots", error_text(outcome.error))
            return
        result = cast(SlotBytes, outcome.value)
        self._change_log.tell("scan of all slots", "; ".join(result.errors[:3]), logging.WARNING)
        in_use = set(self.book.ids_to_read(self._hosts))
        for slot in set(result.slots) - in_use:
            self._note(slot, result.slots[slot], outcome.started_at_s)
        if not result.errors:
            self.book.forget_all_but(in_use | set(result.slots))
            self._decoder.forget_all_but(in_use | set(result.slots))
            self._has_scanned = True
            self._go_by_the_records()

    def _note(self, slot: int, data: bytes, read_at_s: float) -> None:
        if slot == 0:
            if read_at_s >= self._global_written_at_s:
                self._note_global(decode_global(data))
            return
        own = slot == self._settings.host.host_id
        self.own_slot_seen |= own
        if not own or read_at_s >= self._own_looked_at_s:
            self.book.note(slot, self._decoder.decode(slot, data), read_at_s)
        self._note_readable(slot)

    def _note_readable(self, slot: int) -> None:
        if self.book.note_readable(slot):
            self._change_log.tell(f"slot {slot}", "")

    def _note_global(self, seen: DecodedGlobal) -> None:
        if isinstance(seen, GlobalRecord):
            self.maintenance, self.global_error = seen.maintenance, ""
        else:
            self.global_error = describe_slot_error(seen)
            self._go_by_the_records()
        self._change_log.tell("slot 0", self.global_error)

    def _go_by_the_records(self) -> None:
        """Slot 0 was never readable in this broker's life: what did the hosts last say of it?

        It counts when every slot in use tells; one that says "on" is enough.
        """
        if self.maintenance is not None or not self.global_error or not self._has_scanned:
            return
        said = [global_maintenance_said(seen) for seen in self.book.seen()]
        if said and None not in said:
            self.maintenance = any(said)
            log.warning(
                "%s; by the hosts' own records global maintenance was %s",
                self.global_error,
                "on" if self.maintenance else "off",
            )
