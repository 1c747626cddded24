# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is measured on a host: under which name, what the number means, and how it is read.

A monitor's word travels as a `MonitorView`: from its class in `ha_broker/monitors/` into the
snapshot, over the socket to the agent, whose `collect` makes the host's condition of it, and to
status and metrics. Names, units and numbers stand there exactly as here; whoever makes a word or
looks for one takes the monitor from the constants below, so that a name is spelled once.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Optional

from metadata.value_class import value_class


class Unit(str, Enum):
    """What a monitor's number means."""

    FRACTION = "fraction"  # 0 to 1
    BYTES = "bytes"
    SECONDS = "seconds"
    BOOLEAN = "boolean"  # 0: no, 1: yes; `MonitorView.flag` reads it


@value_class(frozen=True)
class MonitorKind:
    """A monitor that every host has; `for_people`: no agent goes by it."""

    name: str
    unit: Unit
    for_people: bool = False


# How much of the latest probes was answered; 1: all. `network_failed_fraction` turns it round.
NETWORK = MonitorKind("network", Unit.FRACTION)
# 1: the management bridge can carry traffic.
BRIDGE = MonitorKind("bridge", Unit.BOOLEAN)
# What the engine could get here; the limit is what it needs.
MEMORY_FREE = MonitorKind("mem-free", Unit.BYTES)
# How much of all CPU time of about a minute went to others than the engine.
CPU_LOAD = MonitorKind("cpu-load", Unit.FRACTION)
# What sanlock's latest renewal took, or for how long the next is overdue; at the limit
# (8 - 2) × io_timeout sanlock gives the lockspace up and ends the engine.
STORAGE_RENEWAL = MonitorKind("storage-renewal", Unit.SECONDS, for_people=True)
# What is free on the file system of the shared storage; no value on a block device.
STORAGE_SPACE = MonitorKind("storage-space", Unit.BYTES, for_people=True)
# 1: the engine's guest agent answers; no value while the engine does not run here.
GUEST_AGENT = MonitorKind("guest-agent", Unit.BOOLEAN, for_people=True)
# What the broker's latest read of the slots took, or has taken so far; the limit is io_timeout.
STORAGE_LATENCY = MonitorKind("storage-latency", Unit.SECONDS, for_people=True)
# How old this host's latest good record on the storage is; the limit is `alive_s`.
STORAGE_WRITE_AGE = MonitorKind("storage-write-age", Unit.SECONDS, for_people=True)

# In the order in which they are shown; the plug-ins follow them.
BUILT_IN = (
    NETWORK,
    BRIDGE,
    MEMORY_FREE,
    CPU_LOAD,
    STORAGE_RENEWAL,
    STORAGE_SPACE,
    GUEST_AGENT,
    STORAGE_LATENCY,
    STORAGE_WRITE_AGE,
)

FOR_PEOPLE = frozenset(kind.name for kind in BUILT_IN if kind.for_people)

_PLUGIN = "plugin:"


@value_class(frozen=True)
class MonitorView:
    """One monitor's latest word.

    value      None: not known (no first real value yet, or the last one is too old)
    limit      what the value is held against, in the same unit (memory: what the engine needs)
    detail     the value in words, or why there is none
    seen_at_s  when it was measured
    trouble    why measuring fails now, though an older value still counts
    points     what a plug-in's value may cost in the score
    """

    name: str
    unit: Unit = Unit.FRACTION
    value: Optional[float] = None
    limit: Optional[float] = None
    detail: str = ""
    seen_at_s: Optional[float] = None
    trouble: str = ""
    points: int = 0

    @property
    def flag(self) -> Optional[bool]:
        """A BOOLEAN's value as what it means; None: not known."""
        return None if self.value is None else self.value > 0


def plugin_kind(name: str) -> MonitorKind:
    """The plug-in `name` of the settings; its value is the share of its points that is lost."""
    return MonitorKind(f"{_PLUGIN}{name}", Unit.FRACTION)


def plugin_name(view: MonitorView) -> str:
    """What the plug-in with this word is called in the settings."""
    return view.name.removeprefix(_PLUGIN)


def view_of(kind: MonitorKind, views: Iterable[MonitorView]) -> MonitorView:
    """The word of one of them; of one that has none (yet), a word without a value."""
    for view in views:
        if view.name == kind.name:
            return view
    return MonitorView(kind.name, kind.unit)


def network_failed_fraction(views: Iterable[MonitorView]) -> Optional[float]:
    """How much of the latest probes failed; None: not known.

    The monitor tells what was answered, because its name, network, says what is well; all that
    decides goes by what failed. Only here one becomes the other.
    """
    answered = view_of(NETWORK, views).value
    return None if answered is None else 1.0 - answered
