# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The entries of the history, and each as one line of JSON. Pure.

Every line has ``kind``, ``at`` (wall clock, seconds since the epoch), ``mono`` (seconds of
CLOCK_MONOTONIC) and ``boot`` (the start of the machine's boot id: ``mono`` begins anew with each
boot); the rest is the fact's own. Keys that a newer program wrote are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import field
from typing import Any, NamedTuple, Optional, Protocol, Union

from ha_broker.api.json_codec import DataError, from_data, to_data
from ha_broker.api.times import is_wall_time
from metadata.plain_json import PlainJsonError, parse_json
from metadata.value_class import value_class

BOOT_LENGTH = 8

# No machine runs for three hundred years, and no clock that was ever set is in the year 5138: a
# line that says so is damaged, and must not be reckoned with.
_MOST_MONO_S = 1e10
_MOST_WALL_S = 1e11


@value_class(frozen=True)
class AgentStarted:
    """An agent has started on this host; what was before its first word is not known."""

    host_id: int
    host_name: str


@value_class(frozen=True)
class Cost:
    """Points off the score."""

    name: str
    points: int
    reason: str = ""


@value_class(frozen=True)
class Transition:
    """This host's own change of state, exactly.

    `lasted_s` is how long the state before had lasted (None: its beginning is not known);
    `score` and `penalties` are those of the decision that changed the state.
    """

    before: str
    after: str
    why: str
    lasted_s: Optional[float] = None
    score: int = 0
    penalties: tuple[Cost, ...] = ()


@value_class(frozen=True)
class HostSight:
    """How a host was seen, from now on until it is seen otherwise.

    live       its word counts; else the rest is what it said last
    liveness   sanlock's word on it
    why        its reason; a new one alone is no new sight
    """

    host_id: int
    name: str = ""
    state: str = ""
    score: Optional[int] = None
    vm: str = "unknown"
    health: str = "unknown"
    live: bool = False
    liveness: str = "unknown"
    maintenance: bool = False
    stopped: bool = False
    why: str = field(default="", compare=False)


@value_class(frozen=True)
class ClusterSight:
    """What concerns all hosts; `lease` is "held", "free" or "unknown"."""

    lease: str = "unknown"
    owner_id: Optional[int] = None
    global_maintenance: Optional[bool] = None
    engine: str = ""


@value_class(frozen=True)
class BrokerLost:
    """The broker does not answer: of others nothing is known until they are seen again."""

    why: str = ""


@value_class(frozen=True)
class Alive:
    """The agent lives and saw nothing new."""


@value_class(frozen=True)
class Lost:
    """So many entries could not be kept, for the disk did not take them."""

    count: int


Fact = Union[AgentStarted, Transition, HostSight, ClusterSight, BrokerLost, Alive, Lost]

_KINDS: dict[str, type] = {
    "began": AgentStarted,
    "transition": Transition,
    "host": HostSight,
    "cluster": ClusterSight,
    "blind": BrokerLost,
    "alive": Alive,
    "lost": Lost,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class Entry(NamedTuple):
    """A fact and its moment on both clocks; the store adds the boot to which `mono_s` belongs."""

    wall_s: float
    mono_s: float
    fact: Fact
    boot: str = ""


@value_class(frozen=True)
class _Stamp:
    kind: str
    at: float
    mono: float
    boot: str


def line_of(entry: Entry) -> str:
    """One line, without its end."""
    stamp = _Stamp(
        _NAMES[type(entry.fact)], round(entry.wall_s, 3), round(entry.mono_s, 3), entry.boot
    )
    data: dict[str, Any] = {**to_data(stamp), **to_data(entry.fact)}
    return json.dumps(data)


def entry_of(line: str) -> Optional[Entry]:
    """The entry of a line; None: there is none in it (torn, damaged, or of a newer program)."""
    try:
        data = parse_json(line)
        stamp = from_data(_Stamp, data)
        fact: Any = from_data(_KINDS[stamp.kind], data)
    except (DataError, PlainJsonError, KeyError):
        return None
    lasted_s = fact.lasted_s if isinstance(fact, Transition) else None
    lengths_s = (stamp.mono, lasted_s or 0.0)
    if not (0 <= stamp.at <= _MOST_WALL_S and all(0 <= one <= _MOST_MONO_S for one in lengths_s)):
        return None
    return Entry(stamp.at, stamp.mono, fact, stamp.boot) if is_wall_time(stamp.at) else None


class HistoryStore(Protocol):
    """Where the history is kept, for people. Both methods block and raise OSError."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Add all of them or none; from then on they survive a power cut."""

    def earlier(self) -> Sequence[Entry]:
        """The latest entries of this boot of the machine, the oldest first."""
