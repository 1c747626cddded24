# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One thing that happened to the engine, to a host, or to the cluster."""

from __future__ import annotations

from enum import Enum
from typing import Optional

from metadata.value_class import value_class


class EventKind(str, Enum):
    """What can happen; these names are the ones that rules use.

    Each is told once it has held for `notifications.hold_s` (usually 30 s); where it takes longer,
    that stands beside it. An engine whose VM was started anew is not called unhealthy before
    `timing.starting_s` (600 s) are over.
    """

    STARTED = "started"  # healthy again on the same host
    STOPPED = "stopped"
    TAKEN_OVER = "taken-over"
    MOVED = "moved"  # taken over by live migration
    UNHEALTHY = "unhealthy"
    HEALTHY = "healthy"
    MAINTENANCE_ON = "maintenance-on"
    MAINTENANCE_OFF = "maintenance-off"
    HOST_LOST = "host-lost"  # its record is stale, and sanlock calls it gone
    HOST_BACK = "host-back"
    STORAGE_LOST = "storage-lost"  # told by the host itself
    STORAGE_BACK = "storage-back"
    TWO_ENGINES = "two-engines"
    UNATTENDED = "unattended"  # no agent or broker at the engine's host, for 120 s
    ATTENDED = "attended"


@value_class(frozen=True)
class Event:
    """`number` rises by one with each event that this broker has seen.

    at_s                when it was first seen to be so; it has held since then
    host_id, host_name  whom it is about (the host that runs the engine; None: the cluster)
    detail              a sentence part for people
    outage_s            how long the engine had not been healthy before it started, was taken over
                        or had moved; None: not known
    """

    number: int
    kind: EventKind
    at_s: float
    host_id: Optional[int] = None
    host_name: str = ""
    detail: str = ""
    outage_s: Optional[float] = None
