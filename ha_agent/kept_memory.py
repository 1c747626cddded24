# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the agent has learnt, kept over its own end: as JSON, for its successor on this boot.

The moments in it are seconds of CLOCK_MONOTONIC, which mean something during one boot of the
machine only. What can't be read, or comes from another boot or host, counts as nothing learnt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional, Protocol

from fsm.memory import BrokenOff, Memory
from fsm.step import GOES_ON, MOST_TRIES, broken_off_by
from ha_agent.started_from import StartedFrom
from metadata.error_words import bare_reason, reason, reason_with_file, shown
from metadata.notes import MOST_CONFIG_VERSION
from metadata.plain_json import is_number, parse_json
from metadata.states import State
from metadata.value_class import value_class
from world.ports.jobs import Outcome, Runner

KEY = "memory"
FORMAT = 1
_MOST_FAILED = 16
# As many as `migration.better_per_day` may be.
_MOST_BETTER_MOVES = 100
_MOST_TEXT = 64
_STARTED_PARTS = 3
# A host waits for some turns after a failed start; what says more is damaged.
_LONGEST_HOLD_S = 86400.0

# Each field of the memory is kept, or there is a reason why it is not.
KEPT = frozenset(
    {"vm_id", "broken_off", "failed_starts_s", "tries", "crashed_at_s", "held_off_until_s",
     "last_owner_id", "cut_off_since_s", "dark_since_s", "reached", "giving_away",
     "gave_away_at_s", "gave_away_uplink", "move_for", "move_target_id", "better_moves_s"}
)  # fmt: skip
_REACH_MOMENTS = ("cut_off_since_s", "dark_since_s", "gave_away_at_s")
_REACH_FACTS = ("reached", "giving_away", "gave_away_uplink")
_NOBODY_LOOKED = "nobody looked while there was no agent: it holds without a break or not at all"
NOT_KEPT = {
    "state": "kept as what was broken off, as far as it may go on",
    "since_s": "kept with what was broken off",
    "blind_since_s": "kept with what was broken off, as the time that stands still",
    "why": "a sentence for people; what goes on says its own",
    "started_at_s": "it is the new agent's: peers get to show it anew that they live",
    "attempt_s": "nobody knows whether the order was carried out: it is given anew",
    "well_since_s": _NOBODY_LOOKED,
    "lease_free_since_s": _NOBODY_LOOKED,
    "lease_taken_since_s": _NOBODY_LOOKED,
    "lease_left_since_s": _NOBODY_LOOKED,
    "handover_since_s": _NOBODY_LOOKED,
    "vm_held_since_s": "a VM is resumed only after the lease was seen free all the time",
    **dict.fromkeys(
        ("move_ordered", "move_refusals", "move_ended", "move_left"),
        "libvirt says whether it still moves the VM, the broker what is wanted; it is tried anew",
    ),
    "better_id": _NOBODY_LOOKED,
    "better_since_s": _NOBODY_LOOKED,
    "wants": "it follows from the rest at each look",
    "lease_denied_s": "only two looks of one agent, and libvirt asked after them, prove it",
}
_OF_NO_PROCESS = frozenset({State.ENGINE_UNEXPECTEDLY_DOWN})


class MemoryStore(Protocol):
    """Where it is kept. `write` blocks; all raise OSError."""

    def read(self) -> Optional[bytes]:
        """What was written last; None: nothing."""

    def write(self, data: bytes) -> None:
        """Replace it as a whole."""

    def boot_id(self) -> str:
        """Another one after each boot of the machine."""


@value_class(frozen=True)
class Recalled:
    """`why` says why nothing could be taken over, where something was there."""

    memory: Memory
    why: str = ""
    started_from: Optional[StartedFrom] = None


def recall(store: MemoryStore, host_id: int, now_s: float) -> Recalled:
    """What an earlier agent of this boot has left."""
    try:
        data, boot = store.read(), store.boot_id()
    except OSError as error:
        return Recalled(Memory(), reason_with_file(error))
    if data is None:
        return Recalled(Memory())
    try:
        found = _own(data, boot, host_id)
        return Recalled(_read(found, now_s), started_from=_started_from(found))
    except _ForeignError as error:
        return Recalled(Memory(), str(error))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return Recalled(Memory(), f"it is damaged: {reason(error)}")


def encode(
    memory: Memory, boot: str, host_id: int, started_from: Optional[StartedFrom] = None
) -> bytes:
    """What is worth keeping of `memory`, and what the VM here was started from."""
    data = {
        "format": FORMAT,
        "boot": boot,
        "host_id": host_id,
        "vm_id": memory.vm_id,
        "broken_off": _broken_off_data(broken_off_by(memory)),
        "failed_starts_s": list(memory.failed_starts_s),
        "tries": memory.tries,
        "crashed_at_s": memory.crashed_at_s,
        "held_off_until_s": memory.held_off_until_s,
        "last_owner_id": memory.last_owner_id,
        # Of programs from before there were moves these are not there.
        "move_for": memory.move_for,
        "move_target_id": memory.move_target_id,
        "better_moves_s": list(memory.better_moves_s),
        **{name: getattr(memory, name) for name in (*_REACH_MOMENTS, *_REACH_FACTS)},
        "started_from": started_from and list(vars(started_from).values()),
    }
    return (json.dumps(data, indent=1) + "\n").encode("ascii")


def _broken_off_data(found: Optional[BrokenOff]) -> Optional[list[Any]]:
    return None if found is None else [found.state.value, found.since_s, found.still_since_s]


class _ForeignError(Exception):
    pass


def _own(data: bytes, boot: str, host_id: int) -> Mapping[str, Any]:
    found = parse_json(data)
    if not isinstance(found, Mapping) or found.get("format") != FORMAT:
        raise _ForeignError("it is of another version of this program")
    if found["boot"] != boot:
        raise _ForeignError("it is of an earlier boot of this machine")
    if found["host_id"] != host_id:
        raise _ForeignError(f"it is of host id {found['host_id']}, and this is host id {host_id}")
    return found


def _started_from(found: Mapping[str, Any]) -> Optional[StartedFrom]:
    """For people alone: what is damaged here costs nothing else; an older agent kept none."""
    value = found.get("started_from")
    if not isinstance(value, list) or len(value) != _STARTED_PARTS:
        return None
    vm_id, version, crc = value
    if not isinstance(vm_id, str) or type(version) is not int or type(crc) is not int:
        return None
    return StartedFrom(vm_id, version, crc) if 0 <= version <= MOST_CONFIG_VERSION else None


def _read(found: Mapping[str, Any], now_s: float) -> Memory:
    failed = tuple(_moment(one, now_s) for one in found["failed_starts_s"])
    vm_id = _text(found["vm_id"])
    reach: dict[str, Any] = {name: _maybe(found[name], now_s) for name in _REACH_MOMENTS}
    reach.update({name: _fact(found[name]) for name in _REACH_FACTS})
    return Memory(
        vm_id=vm_id,
        broken_off=_broken_off(found["broken_off"], vm_id, now_s),
        failed_starts_s=tuple(sorted(failed))[-_MOST_FAILED:],
        tries=_whole(found["tries"], MOST_TRIES),
        crashed_at_s=_maybe(found["crashed_at_s"], now_s),
        held_off_until_s=_maybe(found["held_off_until_s"], now_s + _LONGEST_HOLD_S),
        last_owner_id=_owner(found["last_owner_id"]),
        move_for=_text(found.get("move_for", "")),
        move_target_id=_owner(found.get("move_target_id")),
        better_moves_s=tuple(sorted(_moment(one, now_s) for one in _better_moves(found))),
        **reach,
    )


def _better_moves(found: Mapping[str, Any]) -> list[Any]:
    """Of programs that made none it is not there."""
    value = found.get("better_moves_s", [])
    if not isinstance(value, list) or len(value) > _MOST_BETTER_MOVES:
        raise ValueError(f"{shown(value)} is no list of moves")
    return value


def _broken_off(value: Any, vm_id: str, now_s: float) -> Optional[BrokenOff]:
    """It goes on for the very same process only, so one must have been known."""
    if value is None:
        return None
    name, since_s, still_since_s = value
    state = State(name)
    if state not in GOES_ON:
        raise ValueError(f"{shown(name)} is no state that goes on")
    found = BrokenOff(state, _moment(since_s, now_s), _maybe(still_since_s, now_s)).at(now_s)
    return found if vm_id or state in _OF_NO_PROCESS else None


def _maybe(value: Any, latest_s: float) -> Optional[float]:
    return None if value is None else _moment(value, latest_s)


def _moment(value: Any, latest_s: float) -> float:
    if not is_number(value) or not 0 <= value <= latest_s:
        raise ValueError(f"{shown(value)} is no moment of this boot so far")
    return float(value)


def _whole(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{shown(value)} is no whole number from 0 to {most}")
    return value


def _fact(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{shown(value)} is neither true nor false")
    return value


def _owner(value: Any) -> Optional[int]:
    return None if value is None else _whole(value, 1 << 16)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MOST_TEXT:
        raise ValueError(f"{shown(value)} names no process")
    return value


class MemoryKeeper:
    """Writes what has changed, by a job; a write that fails is tried again with the next tick."""

    def __init__(self, runner: Runner, store: Optional[MemoryStore], host_id: int) -> None:
        self._runner = runner
        self._store = store
        self._host_id = host_id
        self._boot: Optional[str] = None
        self._kept: Optional[tuple[Memory, Optional[StartedFrom]]] = None
        self._written = b""
        self._in_flight = b""

    def recall(self, now_s: float) -> Recalled:
        """What an earlier agent left; asked once, before the first decision."""
        if self._store is None:
            return Recalled(Memory())
        return recall(self._store, self._host_id, now_s)

    def keep(self, memory: Memory, started_from: Optional[StartedFrom] = None) -> None:
        """See to it that the store has what is worth keeping of both."""
        store = self._store
        if store is None or self._is_kept(memory, started_from):
            return
        if self._runner.busy_since_s(KEY) is not None:
            return
        try:
            self._boot = self._boot or store.boot_id()
        except OSError:
            return
        data = encode(memory, self._boot, self._host_id, started_from)
        if data == self._written:
            self._kept = memory, started_from
        elif self._runner.submit(KEY, lambda: store.write(data)):
            self._in_flight = data

    def _is_kept(self, memory: Memory, started_from: Optional[StartedFrom]) -> bool:
        """Mostly nothing is new, and both are the same ones."""
        kept = self._kept
        return kept is not None and kept[0] is memory and kept[1] is started_from

    def take(self, outcome: Outcome[object]) -> str:
        """A write ended; returns its error."""
        if outcome.error is None:
            self._written = self._in_flight
        return "" if outcome.error is None else bare_reason(outcome.error)
