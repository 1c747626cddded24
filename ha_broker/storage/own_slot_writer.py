# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes this host's own slot: what the agent published, and what only the broker knows."""

from __future__ import annotations

import time
from functools import partial
from typing import Optional

from ha_broker.api.snapshot import Publication
from ha_broker.api.times import local_time
from ha_broker.cycle.part import BrokerPorts, ChangeLog, Settings, clock_time, error_text
from ha_broker.cycle.task import Task
from ha_broker.storage.local_maintenance import LocalMaintenance
from ha_broker.storage.slot_io import ForeignRecordError, OwnWrite, write_own_slot
from ha_broker.storage.slot_notes import with_cluster_notes
from ha_broker.storage.slot_reader import SlotReader
from ha_broker.storage.slot_table import SlotState
from metadata.error_words import shown
from metadata.layout import slot_address
from metadata.notes import Notes
from metadata.own_notes import OWN_KEYS
from metadata.own_slot import rival
from metadata.records import HostRecord
from metadata.slot_decoder import SlotDecoder
from metadata.wire import encode_host
from world.ports.jobs import Clock, Outcome

WRITE_OWN = "write-own"
FEATURE_VERSION = 1
LOST_WRITE = "writing this host's slot: the record written last was not there any more"


class OwnSlot:
    """The only writer of this host's slot.

    It writes when the agent publishes, and at no other time: a dead agent's record gets
    stale, which is meant. It does not write before it has seen the slot, nor while another
    host name stands there with a changing timestamp (two hosts with one id; `metadata.own_slot`):
    each write looks at the slot first. What says something new is read back at once; a record
    that only says "alive" is confirmed by the look before the next one.
    """

    keys = (WRITE_OWN,)

    def __init__(
        self,
        world: BrokerPorts,
        settings: Settings,
        storage: SlotReader,
        local: LocalMaintenance,
        change_log: ChangeLog,
    ) -> None:
        self.written_at_s: Optional[float] = None
        self.published_at_s: Optional[float] = None
        self.published: Optional[Publication] = None
        self.marks: Notes = ()
        self.held_why = ""
        self.owns_id = False  # by sanlock's word, set in each cycle
        self.said_the_same = False
        """Did the write that ended last say nothing new, in its content and in how it went?"""
        self._world = world
        self._settings = settings
        self._storage = storage
        self._local = local
        self._change_log = change_log
        self._task = Task(world.runner, WRITE_OWN)
        self._waiting: Optional[Publication] = None
        self._writing: Optional[tuple[Publication, OwnWrite]] = None
        self._written: Optional[tuple[Publication, OwnWrite]] = None
        self._write_error = ""
        self._kept: Optional[HostRecord] = None
        self._decoder = SlotDecoder()

    def publish(self, publication: Publication, now_s: float) -> None:
        """Have it written; it replaces an older one that was not begun."""
        self._waiting = publication
        self.published_at_s = now_s
        self.published = publication
        self._task.hurry(now_s)

    def error(self, now_s: float) -> str:
        """What is wrong with writing, in one line."""
        since_s = self._task.stuck_since_s(now_s, self._settings.timing.io_timeout_s)
        if since_s is not None:
            return f"writing has not ended since {clock_time(self._world.clock, since_s)}"
        return self._write_error

    @property
    def busy_since_s(self) -> Optional[float]:
        """Since when a write is under way."""
        return self._task.busy_since_s

    def conflict(self, now_s: float) -> str:
        """Why the slot can't be written now because of what stands in it; empty: it can."""
        if not self._storage.own_slot_seen:
            return "this host's slot has not been read yet"
        state = self._storage.book.state(self._settings.host.host_id)
        record = state.record if state else None
        other = rival(record, self._settings.host.host_name, self.owns_id)
        if state is None or other is None or not self._may_live(state, now_s):
            return f"this host's slot is not written: {self.held_why}" if self.held_why else ""
        if other.stopped:
            return (
                f"this host's slot is not written: it holds the record of {shown(other.hostname)}, "
                "which has stopped; it is replaced once this host has joined the lockspace"
            )
        return (
            f"host id {other.host_id} is also used by {shown(other.hostname)}; this host "
            f"({shown(self._settings.host.host_name)}) does not write its slot"
        )

    def harvest(self, outcome: Outcome[object]) -> None:
        """A job of this part ended."""
        written, self._writing = self._writing, None
        self.said_the_same = False
        if written is None:
            return
        if outcome.error is None:
            # What says more is read back, and so is the first one after an error.
            self.said_the_same = not written[1].read_back and not outcome.value
            self.written_at_s = outcome.finished_at_s
            self._written = written
            self._write_error = LOST_WRITE if outcome.value else ""
            seen = self._decoder.decode(self._settings.host.host_id, written[1].data)
            self._storage.note_own_slot(seen, outcome.finished_at_s)
            return
        self._written = None
        self._waiting = self._waiting or written[0]
        self._task.postpone(outcome.finished_at_s + self._settings.timing.tick_s)
        if isinstance(outcome.error, ForeignRecordError):
            self._write_error = ""  # `conflict` says it
            self._storage.note_own_slot(outcome.error.found, outcome.finished_at_s)
        else:
            self._write_error = f"writing this host's slot: {error_text(outcome.error)}"

    def work(self, now_s: float) -> None:
        """Submit what is due."""
        conflict = self.conflict(now_s)
        if conflict and self._write_error == LOST_WRITE:
            self._write_error = ""  # it says by whom
        self._change_log.tell("own slot", conflict if self._storage.own_slot_seen else "")
        self._change_log.tell("own slot's writing", self.error(now_s))
        self._remember_newer_fields()
        if self._waiting is not None and not conflict:
            self._write(self._waiting, now_s)

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens."""
        if self._waiting is None and self.busy_since_s is None:
            return float("inf")
        due_s = self._task.next_due_s(now_s, self._settings.timing.io_timeout_s)
        # A conflict ends with a reading, whose harvest wakes the cycle by itself.
        return due_s if due_s > now_s else float("inf")

    def _write(self, publication: Publication, now_s: float) -> None:
        address = slot_address(self._settings.host.storage, self._settings.host.host_id)
        write = self._prepared(publication)
        if self._task.start(now_s, partial(write_own_slot, self._world.store, address, write), 0.0):
            self._waiting, self._writing = None, (publication, write)

    def _prepared(self, publication: Publication) -> OwnWrite:
        record = self.record(publication)
        last = self._written
        return OwnWrite(
            record=record,
            data=encode_host(record),
            leftover=self._seen_record(),
            expected=last[1].data if last else None,
            read_back=(
                last is None or bool(self._write_error) or _says_more(publication, record, last)
            ),
        )

    def _seen_record(self) -> Optional[HostRecord]:
        """What `conflict` has judged."""
        state = self._storage.book.state(self._settings.host.host_id)
        return state.record if state else None

    def record(self, publication: Publication) -> HostRecord:
        """The record that says it, as of the moment of the publication."""
        host, clock, kept = self._settings.host, self._world.clock, self._kept
        published_at_s = self.published_at_s or clock.monotonic_s()
        return HostRecord(
            host_id=host.host_id,
            timestamp_s=int(published_at_s),
            score=publication.score,
            engine_status=publication.engine_status,
            hostname=host.host_name,
            maintenance=self._local.maintenance,
            stopped=publication.stopped,
            conf_on_shared_storage=publication.conf_on_shared_storage,
            vm_conf_refresh_s=publication.vm_conf_refresh_s,
            state=publication.state,
            timeout_wall_time=publication.timeout_wall_time,
            wall_time=_ctime(clock, published_at_s),
            vm_conf_refresh_wall_time=_ctime(clock, publication.vm_conf_refresh_s),
            notes=self._notes(publication),
            trailing_fields=kept.trailing_fields if kept else (),
            feature_version=max(FEATURE_VERSION, kept.feature_version if kept else 0),
        )

    def _notes(self, publication: Publication) -> Notes:
        config = self._settings.config
        return with_cluster_notes(
            _merged_notes((*self.marks, *publication.notes), self._kept),
            self._storage.maintenance,
            config.sequence if config else None,
            self._seen_record(),
        )

    def _remember_newer_fields(self) -> None:
        """What a newer version of this program wrote for this host survives a downgrade."""
        if self._kept is not None:
            return
        record = self._seen_record()
        if record is not None and record.hostname == self._settings.host.host_name:
            self._kept = record

    def _may_live(self, state: SlotState, now_s: float) -> bool:
        """Another name stands in our slot: does its host write there, or is it a leftover?

        It lives when its timestamp changed within the alive window; before we could see that
        much, it may.
        """
        latest_s = state.first_seen_at_s if state.changed_at_s is None else state.changed_at_s
        return latest_s is not None and now_s - latest_s <= self._settings.timing.alive_s


def _says_more(
    publication: Publication, record: HostRecord, last: tuple[Publication, OwnWrite]
) -> bool:
    return last[0] != publication or last[1].record.maintenance != record.maintenance


def _merged_notes(notes: Notes, kept: Optional[HostRecord]) -> Notes:
    if kept is None or kept.feature_version <= FEATURE_VERSION:
        return notes
    # What this program writes itself and leaves out now is over.
    return notes + tuple(note for note in kept.notes if note[0] not in OWN_KEYS)


def _ctime(clock: Clock, at_s: float) -> str:
    return time.asctime(local_time(clock.wall_s() - (clock.monotonic_s() - at_s)))
