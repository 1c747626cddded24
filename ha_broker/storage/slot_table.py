# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is known of each host's slot: the last good record, its age, and what is wrong now."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Optional

from ha_broker.api.snapshot import HostView, made_view
from ha_broker.storage.liveness import is_fresh, is_past_window
from metadata.liveness import Liveness
from metadata.records import (
    DecodedSlot,
    HostRecord,
    SlotAbsent,
    SlotDamaged,
    SlotTooNew,
    describe_slot_error,
)
from metadata.value_class import value_class
from world.ports.sanlock import LockspaceHost

QUICK_REREADS = 3  # a torn record is whole a moment later; garbage stays garbage

_SHOWN = (Liveness.LIVE, Liveness.FAIL)
# Just after joining every host is UNKNOWN, those long gone too: worth a look, not yet a host.
_LOOKED_AT = (*_SHOWN, Liveness.UNKNOWN)


@dataclass
class SlotState:
    """One slot. `seen` is what it held at the last look."""

    seen: DecodedSlot
    record: Optional[HostRecord] = None
    error: str = ""
    first_seen_at_s: Optional[float] = None
    changed_at_s: Optional[float] = None
    bad_looks: int = 0

    def note(self, seen: DecodedSlot, at_s: float) -> None:
        """A new look at the slot, at monotonic second `at_s`."""
        self.seen = seen
        if isinstance(seen, HostRecord):
            self._note_record(seen, at_s)
        elif isinstance(seen, SlotDamaged):
            self.error = describe_slot_error(seen)
            self.bad_looks += 1
        else:
            self.record, self.first_seen_at_s, self.changed_at_s = None, None, None
            self.error = describe_slot_error(seen) if isinstance(seen, SlotTooNew) else ""
            self.bad_looks = 0

    def stale_at_s(self, alive_s: float) -> float:
        """When its record gets stale if it does not change (see `liveness.is_fresh`)."""
        latest_s = self.first_seen_at_s if self.changed_at_s is None else self.changed_at_s
        return inf if latest_s is None else latest_s + alive_s

    def _note_record(self, record: HostRecord, at_s: float) -> None:
        if self.record is None:
            self.first_seen_at_s = at_s
        elif record.timestamp_s != self.record.timestamp_s:
            self.changed_at_s = at_s
        self.record, self.error, self.bad_looks = record, "", 0


@value_class(frozen=True)
class _Reading:
    """What is to be read while sanlock knows these hosts."""

    hosts: Mapping[int, LockspaceHost]
    ids: tuple[int, ...]
    torn_ids: tuple[int, ...]


class _Shown(NamedTuple):
    """A host's view, until its record gets stale."""

    view: HostView
    until_s: float


@value_class(frozen=True)
class _AllShown:
    """The views of all, at `places` by their ids, until `until_s` when a record may get stale."""

    views: tuple[HostView, ...]
    places: Mapping[int, int]
    until_s: float


class SlotTable:
    """All slots in use, by host id.

    What follows from the slots and from sanlock's hosts is worked out once for each change
    of either, for the cycle asks for it many times; `hosts` is replaced, never changed.
    """

    def __init__(self, own_id: int) -> None:
        self._own_id = own_id
        self._slots: dict[int, SlotState] = {}
        self._unreadable: dict[int, str] = {}
        self._seen_absent: set[int] = set()
        self._hosts: Mapping[int, LockspaceHost] = {}
        self._alive_s = 0.0
        self._forget_conclusions()

    def _forget_conclusions(self) -> None:
        self._reading: Optional[_Reading] = None
        self._all_shown: Optional[_AllShown] = None
        self._shown: dict[int, _Shown] = {}
        self._outdated: set[int] = set()

    def _forget_view(self, host_id: int) -> None:
        self._outdated.add(host_id)
        self._shown.pop(host_id, None)

    def note(self, host_id: int, seen: DecodedSlot, at_s: float) -> None:
        """A look at one slot; an absent one is forgotten.

        A record where there was none a moment ago is a change that was seen.
        """
        state = self._slots.get(host_id)
        if state is not None and state.seen is seen and isinstance(seen, HostRecord):
            return  # the very bytes of the look before: nothing was written since
        self._forget_view(host_id)
        if (
            state is not None
            and isinstance(seen, HostRecord)
            and isinstance(state.seen, HostRecord)
        ):
            state.note(seen, at_s)  # how often it is read stays
            return
        before = self._kind(host_id)
        if isinstance(seen, SlotAbsent):
            self._slots.pop(host_id, None)
            self._seen_absent.add(host_id)
        else:
            self._note_present(host_id, seen, at_s)
        if self._kind(host_id) != before:
            self._reading = None

    def _note_present(self, host_id: int, seen: DecodedSlot, at_s: float) -> None:
        state = self._slots.get(host_id)
        if state is None:
            state = self._slots[host_id] = SlotState(seen)
            state.changed_at_s = at_s if host_id in self._seen_absent else None
        self._seen_absent.discard(host_id)
        state.note(seen, at_s)

    def _kind(self, host_id: int) -> Optional[tuple[bool, bool]]:
        """All of a slot that decides how often it is read."""
        state = self._slots.get(host_id)
        return None if state is None else (_is_hosts(state), _is_torn(state))

    def state(self, host_id: int) -> Optional[SlotState]:
        """What is known of a slot; None: absent, or never seen."""
        return self._slots.get(host_id)

    def seen(self) -> list[DecodedSlot]:
        """What stands in each slot in use, as last looked at."""
        return [state.seen for state in self._slots.values()]

    def forget_all_but(self, ids: set[int]) -> None:
        """All other slots are absent."""
        self._forget_conclusions()
        for host_id in set(self._slots) - ids:
            del self._slots[host_id]
        for host_id in set(self._unreadable) - ids:
            del self._unreadable[host_id]

    def note_unreadable(self, host_id: int, why: str) -> None:
        """The slot can't be read now."""
        self._forget_view(host_id)
        self._unreadable[host_id] = why

    def readable_among(self, slots: Container[int]) -> list[int]:
        """The slots that could not be read before, of these, which can be."""
        return [host_id for host_id in self._unreadable if host_id in slots]

    def note_readable(self, host_id: int) -> bool:
        """The slot can be read; True: it could not be before."""
        if host_id not in self._unreadable:
            return False
        self._forget_view(host_id)
        del self._unreadable[host_id]
        return True

    def ids_to_read(self, hosts: Mapping[int, LockspaceHost]) -> tuple[int, ...]:
        """Hosts whose slots are read in each cycle.

        Our own, those who may live by sanlock's word, and those who have ever had a good record
        here. A slot that never held one and belongs to nobody is left to the scan: a volume
        full of garbage must not make every cycle read all of it.
        """
        return self._worked_out(hosts).ids

    def torn_ids(self, hosts: Mapping[int, LockspaceHost]) -> tuple[int, ...]:
        """Damaged slots of hosts that may be writing: worth another look at once."""
        return self._worked_out(hosts).torn_ids

    def _worked_out(self, hosts: Mapping[int, LockspaceHost]) -> _Reading:
        reading = self._reading
        if reading is None or reading.hosts is not hosts:
            reading = self._reading = self._work_out(hosts)
        return reading

    def _work_out(self, hosts: Mapping[int, LockspaceHost]) -> _Reading:
        ids = {self._own_id} | _ids(hosts, _LOOKED_AT)
        ids |= {host_id for host_id, state in self._slots.items() if _is_hosts(state)}
        torn = {host_id for host_id, state in self._slots.items() if _is_torn(state)}
        return _Reading(hosts, tuple(sorted(ids)), tuple(sorted(ids & torn)))

    def views(
        self, hosts: Mapping[int, LockspaceHost], now_s: float, alive_s: float
    ) -> tuple[HostView, ...]:
        """Our own host, all with something in their slot, and all whom sanlock sees living.

        Until something changes, or a record gets stale, the same tuple is given again.
        """
        if hosts is not self._hosts or alive_s != self._alive_s:
            self._hosts, self._alive_s = hosts, alive_s
            self._shown, self._all_shown = {}, None
        shown = self._all_shown
        if shown is None or now_s >= shown.until_s:
            shown = self._show_all(hosts, now_s)
        elif self._outdated:
            shown = self._show_outdated(shown, now_s) or self._show_all(hosts, now_s)
        self._all_shown = shown
        self._outdated.clear()
        return shown.views

    def _show_all(self, hosts: Mapping[int, LockspaceHost], now_s: float) -> _AllShown:
        ids = sorted({self._own_id, *self._slots, *self._unreadable} | _ids(hosts, _SHOWN))
        views, until_s, known = [], inf, self._shown.get
        for host_id in ids:
            one = known(host_id)
            if one is None or now_s >= one.until_s:
                one = self._show(host_id, now_s)
            views.append(one.view)
            until_s = min(until_s, one.until_s)
        return _AllShown(tuple(views), dict(zip(ids, range(len(ids)))), until_s)

    def _show_outdated(self, shown: _AllShown, now_s: float) -> Optional[_AllShown]:
        """`shown` with new views of the hosts that need one; None: there are other hosts now."""
        views, until_s, places = list(shown.views), shown.until_s, shown.places
        for host_id in self._outdated:
            place = places.get(host_id)
            if (place is not None) is not self._is_listed(host_id):
                return None
            if place is not None:
                one = self._show(host_id, now_s)
                views[place] = one.view
                until_s = min(until_s, one.until_s)
        return _AllShown(tuple(views), places, until_s)

    def _is_listed(self, host_id: int) -> bool:
        if host_id in self._slots or host_id == self._own_id or host_id in self._unreadable:
            return True
        host = self._hosts.get(host_id)
        return host is not None and host.liveness in _SHOWN

    def _show(self, host_id: int, now_s: float) -> _Shown:
        view = self._view(host_id, self._hosts, now_s, self._alive_s)
        until_s = inf
        if view.fresh or view.undecided:
            until_s = self._slots[host_id].stale_at_s(self._alive_s)
        shown = self._shown[host_id] = _Shown(view, until_s)
        return shown

    def _view(
        self, host_id: int, hosts: Mapping[int, LockspaceHost], now_s: float, alive_s: float
    ) -> HostView:
        host = hosts.get(host_id)
        liveness = host.liveness if host else Liveness.UNKNOWN
        generation = host.generation if host else 0
        state = self._slots.get(host_id)
        unreadable = self._unreadable.get(host_id, "")
        if state is None:
            return HostView(host_id, liveness, generation, error=unreadable)
        changed_at_s = state.changed_at_s
        fresh = is_fresh(state.first_seen_at_s, changed_at_s, liveness, now_s, alive_s)
        # Once sanlock has looked, a host that it does not list has left, or never was.
        may_live = liveness is Liveness.UNKNOWN and (host is not None or not hosts)
        had_time = is_past_window(state.first_seen_at_s, changed_at_s, now_s, alive_s)
        undecided = may_live and not fresh and not had_time
        error = unreadable or state.error
        return made_view(
            {
                "host_id": host_id,
                "liveness": liveness,
                "generation": generation,
                "record": state.record,
                "error": error,
                "fresh": fresh,
                "changed_at_s": changed_at_s,
                "undecided": undecided,
            }
        )


def _ids(hosts: Mapping[int, LockspaceHost], lives: tuple[Liveness, ...]) -> set[int]:
    return {host_id for host_id, host in hosts.items() if host.liveness in lives}


def _is_hosts(state: SlotState) -> bool:
    return state.record is not None or isinstance(state.seen, SlotTooNew)


def _is_torn(state: SlotState) -> bool:
    return 0 < state.bad_looks <= QUICK_REREADS
