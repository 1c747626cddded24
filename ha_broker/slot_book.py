"""What is known of each host's slot: the last good record, its age, and what is wrong now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from ha_broker.liveness import is_fresh
from ha_broker.snapshot import HostView
from ha_broker.world.ports import Liveness, LockspaceHost
from metadata.records import (
    DecodedSlot,
    HostRecord,
    SlotAbsent,
    SlotDamaged,
    SlotTooNew,
    describe_slot_error,
)

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

    def _note_record(self, record: HostRecord, at_s: float) -> None:
        if self.record is None:
            self.first_seen_at_s = at_s
        elif record.timestamp_s != self.record.timestamp_s:
            self.changed_at_s = at_s
        self.record, self.error, self.bad_looks = record, "", 0


class SlotBook:
    """All slots in use, by host id; `unreadable` says why a slot can't be read now."""

    def __init__(self, own_id: int) -> None:
        self.unreadable: dict[int, str] = {}
        self._own_id = own_id
        self._slots: dict[int, SlotState] = {}
        self._seen_absent: set[int] = set()

    def note(self, host_id: int, seen: DecodedSlot, at_s: float) -> None:
        """A look at one slot; an absent one is forgotten.

        A record where there was none a moment ago is a change that was seen.
        """
        if isinstance(seen, SlotAbsent):
            self._slots.pop(host_id, None)
            self._seen_absent.add(host_id)
            return
        state = self._slots.get(host_id)
        if state is None:
            state = self._slots[host_id] = SlotState(seen)
            state.changed_at_s = at_s if host_id in self._seen_absent else None
        self._seen_absent.discard(host_id)
        state.note(seen, at_s)

    def state(self, host_id: int) -> Optional[SlotState]:
        """What is known of a slot; None: absent, or never seen."""
        return self._slots.get(host_id)

    def forget_all_but(self, ids: set[int]) -> None:
        """All other slots are absent."""
        for host_id in set(self._slots) - ids:
            del self._slots[host_id]
        for host_id in set(self.unreadable) - ids:
            del self.unreadable[host_id]

    def ids_to_read(self, hosts: Mapping[int, LockspaceHost]) -> list[int]:
        """Hosts whose slots are read in each cycle.

        Our own, those who may live by sanlock's word, and those who have ever had a good record
        here. A slot that never held one and belongs to nobody is left to the scan: a volume
        full of garbage must not make every cycle read all of it.
        """
        ids = {self._own_id} | _ids(hosts, _LOOKED_AT)
        ids |= {host_id for host_id, state in self._slots.items() if _is_hosts(state)}
        return sorted(ids)

    def torn_ids(self, hosts: Mapping[int, LockspaceHost]) -> list[int]:
        """Damaged slots of hosts that may be writing: worth another look at once."""
        looks = ((host_id, self._slots.get(host_id)) for host_id in self.ids_to_read(hosts))
        return [
            host_id
            for host_id, state in looks
            if state is not None and 0 < state.bad_looks <= QUICK_REREADS
        ]

    def views(
        self, hosts: Mapping[int, LockspaceHost], now_s: float, alive_s: float
    ) -> tuple[HostView, ...]:
        """Our own host, all with something in their slot, and all whom sanlock sees living."""
        ids = {self._own_id} | set(self._slots) | set(self.unreadable) | _ids(hosts, _SHOWN)
        return tuple(self._view(host_id, hosts, now_s, alive_s) for host_id in sorted(ids))

    def _view(
        self, host_id: int, hosts: Mapping[int, LockspaceHost], now_s: float, alive_s: float
    ) -> HostView:
        host = hosts.get(host_id)
        liveness = host.liveness if host else Liveness.UNKNOWN
        generation = host.generation if host else 0
        state = self._slots.get(host_id)
        unreadable = self.unreadable.get(host_id, "")
        if state is None:
            return HostView(host_id, liveness, generation, error=unreadable)
        fresh = is_fresh(state.first_seen_at_s, state.changed_at_s, liveness, now_s, alive_s)
        error = unreadable or state.error
        return HostView(
            host_id, liveness, generation, state.record, error, fresh, state.changed_at_s
        )


def _ids(hosts: Mapping[int, LockspaceHost], lives: tuple[Liveness, ...]) -> set[int]:
    return {host_id for host_id, host in hosts.items() if host.liveness in lives}


def _is_hosts(state: SlotState) -> bool:
    return state.record is not None or isinstance(state.seen, SlotTooNew)
