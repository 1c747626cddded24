# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Does another machine use our host id? Looked at before this host joins the lockspace.

A copy of a host (its disk in another machine) has the host's id and the host's sanlock name, so
sanlock takes it for the host itself come back: it raises the id's generation at once, and with
that every lease of the original is void while its engine still runs. So whoever wants to join
first sees that the id's place in the lockspace and its slot do not change for longer than a
renewal.

These cases need no such look, for there the last one who had the id is surely this machine, and
no other life of it can go on:

free          the place is free: it was left in order
same daemon   its generation is the one that our own daemon had while this broker looked
same boot     the record in the slot was written in this boot of this machine
same machine  it was written by this mainboard with this installation, in whatever boot

The last three hold only while nobody was seen to use the place, and while its generation is not
above the last one that we had ourselves, or could have had by joining: original and copy that boot
in one moment see nothing of each other before both have begun to join, and one of them loses it.
Where there are signs of another machine (a record of another name is one), its whole floor must
pass without a change, as between hosts of different names.
"""

from __future__ import annotations

from math import inf
from typing import Optional, cast

from ha_broker.cycle.part import BrokerPorts, ChangeLog, Settings
from ha_broker.cycle.task import Task
from ha_broker.storage.slot_table import SlotState
from metadata.error_words import bare_reason
from metadata.host_notes import MachineIdentity, identity_in
from metadata.records import HostRecord
from metadata.sanlock_usual import USUAL_FIRE_TIMEOUT_S
from metadata.settings.parse import Timing
from metadata.settings.timing import lease_floor_s, renewal_s
from metadata.value_class import value_class
from world.ports.jobs import Outcome
from world.ports.sanlock import HostPlace

PLACE = "own-place"
LOOK_EVERY_S = 1.0
NOT_LOOKED = "it is not known yet whether another machine uses this host's id"


def watch_s(timing: Timing) -> float:
    """Longer than a renewal and one slow I/O of it take, and than a tick with a slow write."""
    io_s = timing.io_timeout_s
    return max(renewal_s(io_s) + io_s / 2, timing.tick_s + io_s)


@value_class(frozen=True)
class Signs:
    """What was seen until now.

    own_name       of this host
    place_still_s  since when, in seconds, the place has not changed
    place_moved    somebody else was seen to change it
    record         in our slot
    record_still_s, record_moved  as of the place
    known_generation  the highest that our own daemon had with this id; None: not known
    joined_from    the place's generation when we last began to join; None: we have not
    """

    own_name: str
    place: Optional[HostPlace]
    place_still_s: float
    place_moved: bool = False
    record: Optional[HostRecord] = None
    record_still_s: float = 0.0
    record_moved: bool = False
    known_generation: Optional[int] = None
    joined_from: Optional[int] = None

    @property
    def free(self) -> bool:
        """Does nobody use the id?"""
        return self.place is None or self.place.timestamp == 0

    @property
    def last_was_ours(self) -> bool:
        """Was it our own daemon that joined last? Each join raises the generation."""
        return self.place is not None and self.place.generation == self.known_generation

    @property
    def other_name(self) -> bool:
        """Is the record one of another name: another host's, or ours under a former one?"""
        return self.record is not None and self.record.hostname != self.own_name

    @property
    def overtaken(self) -> bool:
        """Has somebody else surely used it since we did, or while we looked?"""
        if self.place is None:
            return False
        # A join that is lost before sanlock lists this host tells no generation.
        joined = None if self.joined_from is None else self.joined_from + 1
        ours = [one for one in (self.known_generation, joined) if one is not None]
        return self.place_moved or self.place.generation > max(ours, default=inf)


def trouble(own: MachineIdentity, signs: Signs, renewal_s: float, floor_s: float) -> str:
    """Why this host may not use its id now; empty: it may. Pure.

    Unchanged for `renewal_s` is enough where nothing points at another machine. Where something
    does, that machine may only have lost its storage for a while, and its engine ends with
    `floor_s`, as sanlock has it between hosts of different names.
    """
    other = identity_in(signs.record) if signs.record is not None else MachineIdentity()
    same_boot = own.is_same_boot(other)
    # A machine that does not know itself can't tell its own writes from another one's.
    foreign_record = own.known and not same_boot
    record_moves = foreign_record and signs.record_moved and signs.record_still_s < renewal_s
    if record_moves or (signs.place_moved and signs.place_still_s < renewal_s and not signs.free):
        return _used_text(own, other, signs)
    if signs.free:
        return ""
    ours = same_boot or own.is_same_machine(other) or signs.last_was_ours
    if ours and not signs.overtaken:
        return ""
    foreign = signs.overtaken or own.is_another_machine(other) or signs.other_name
    needed_s = floor_s if foreign else renewal_s
    if signs.place_still_s >= needed_s:
        return ""
    return f"looks for {needed_s:.0f} s whether another machine uses this host's id"


def _used_text(own: MachineIdentity, other: MachineIdentity, signs: Signs) -> str:
    name = signs.record.hostname if signs.record is not None else ""
    if not name and signs.place is not None:
        name = signs.place.owner_name
    if name != signs.own_name:
        return (
            f"another machine uses the same host id, {name} ({other.text()}); this one is "
            f"{signs.own_name} ({own.text()}): give one of them another host id"
        )
    return (
        f"another machine uses the same host id and calls itself {name}, too ({other.text()}); it "
        f"is a copy of this one ({own.text()}), or this one of it: give one of them another host "
        "id, host name and sanlock name"
    )


class SameIdWatch:
    """Reads our id's place until it is decided that we may use the id.

    `why` says what stands against that; it is empty once we have joined or begun to, when our own
    sanlock writes there. `slot` is our own slot
    as the broker sees it; `known_generation` and `fire_timeout_s` are our daemon's own. They are
    set in each cycle.
    """

    keys = (PLACE,)

    def __init__(self, world: BrokerPorts, settings: Settings, change_log: ChangeLog) -> None:
        self.why = NOT_LOOKED
        self.joined = False
        self.slot: Optional[SlotState] = None
        self.known_generation: Optional[int] = None
        self.fire_timeout_s = USUAL_FIRE_TIMEOUT_S
        self._own = world.vitals.identity()
        self._world = world
        self._settings = settings
        self._change_log = change_log
        self._task = Task(world.runner, PLACE)
        self._place: Optional[HostPlace] = None
        self._place_since_s: Optional[float] = None
        self._looked_at_s: Optional[float] = None
        self._place_moved = False
        self._joined_from: Optional[int] = None
        self._error = ""

    @property
    def holds_slot(self) -> bool:
        """Must our slot be left alone, so that who else writes there can be seen?

        Whatever is in it, even nothing that can be read: a record of our own would tell the next
        look that the id's place is this boot's, which nobody knows yet.
        """
        return bool(self.why)

    def judge(self, now_s: float) -> None:
        """Take in what was harvested; `why` holds until the next cycle."""
        if self.joined:
            if self._place_since_s is not None:
                self._joined_from = self._place.generation if self._place is not None else 0
            self.why, self._place_since_s, self._place_moved = "", None, False
            return
        if self._place_since_s is None:
            self.why = NOT_LOOKED
        if self._error:
            self.why = f"can't see whether another machine uses this host's id: {self._error}"
        elif self._place_since_s is not None and self._looked_at_s is not None:
            signs = self._signs(self._place_since_s, self._looked_at_s, now_s)
            timing = self._settings.timing
            floor_s = lease_floor_s(timing.io_timeout_s, self.fire_timeout_s)
            self.why = trouble(self._own, signs, watch_s(timing), floor_s)

    def harvest(self, outcome: Outcome[object]) -> None:
        """A job of this part ended."""
        if outcome.error is not None:
            self._error = bare_reason(outcome.error)
            self._place_since_s = None
            return
        self._error = ""
        place = cast(Optional[HostPlace], outcome.value)
        if self._place_since_s is None:
            self._place_since_s = outcome.finished_at_s
        elif place != self._place:
            self._place_since_s, self._place_moved = outcome.finished_at_s, True
        self._place, self._looked_at_s = place, outcome.started_at_s

    def work(self, now_s: float) -> None:
        """Submit what is due."""
        if self.joined:
            self._task.hurry(now_s)
        elif self._task.is_due(now_s):
            host_id = self._settings.host.host_id
            self._task.start(now_s, lambda: self._world.lockspace.place(host_id), LOOK_EVERY_S)
        news = self.why if "another machine uses the same" in self.why or self._error else ""
        self._change_log.tell("host id", news)

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens."""
        return float("inf") if self.joined else self._task.next_due_s(now_s)

    def _signs(self, place_since_s: float, looked_at_s: float, now_s: float) -> Signs:
        state = self.slot
        record = state.record if state is not None else None
        changed_at_s = state.changed_at_s if state is not None else None
        return Signs(
            own_name=self._settings.host.host_name,
            place=self._place,
            place_still_s=looked_at_s - place_since_s,
            place_moved=self._place_moved,
            record=record,
            record_still_s=0.0 if changed_at_s is None else now_s - changed_at_s,
            record_moved=record is not None and changed_at_s is not None,
            known_generation=self.known_generation,
            joined_from=self._joined_from,
        )
