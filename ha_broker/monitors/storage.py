# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How the shared storage is doing for this host: the broker's own I/O, sanlock's, and room.

What the broker's own I/O took is known without measuring anything: `StorageTimes` only shows
it. sanlock's renewals and the room are monitors like others.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Callable, Optional, cast

from ha_broker.api.monitors import (
    STORAGE_LATENCY,
    STORAGE_RENEWAL,
    STORAGE_SPACE,
    STORAGE_WRITE_AGE,
    MonitorView,
)
from ha_broker.cycle.part import BrokerPorts, Settings
from ha_broker.monitors.base import Measurement
from ha_broker.monitors.host import HostMonitor
from ha_broker.storage.own_slot_writer import OwnSlot
from ha_broker.storage.slot_reader import SlotReader
from metadata.settings.timing import renewal_fail_s, renewal_s
from world.ports.host import SpaceLook
from world.ports.sanlock import Renewal

MIB = 1 << 20


class StorageTimes:
    """What the broker's own reading takes, and how old its last good write is."""

    def __init__(self, settings: Settings, storage: SlotReader, own: OwnSlot) -> None:
        self._settings = settings
        self._storage = storage
        self._own = own

    def views(self, now_s: float) -> tuple[MonitorView, MonitorView]:
        """As of now."""
        return self._latency(now_s), self._write_age(now_s)

    def _latency(self, now_s: float) -> MonitorView:
        """A read that has not ended has taken what it took until now."""
        latency_s, busy_since_s = self._storage.latency_s, self._storage.busy_since_s
        if busy_since_s is not None and now_s - busy_since_s > (latency_s or 0.0):
            latency_s = now_s - busy_since_s
        return MonitorView(
            name=STORAGE_LATENCY.name,
            unit=STORAGE_LATENCY.unit,
            value=latency_s,
            limit=float(self._settings.timing.io_timeout_s),
            detail="not read yet" if latency_s is None else "reading the slots",
            seen_at_s=self._storage.last_read_at_s,
            trouble=self._storage.error(now_s),
        )

    def _write_age(self, now_s: float) -> MonitorView:
        """Written each time the agent publishes; read back by the broker."""
        written_at_s = self._own.written_at_s
        age_s = None if written_at_s is None else now_s - written_at_s
        return MonitorView(
            name=STORAGE_WRITE_AGE.name,
            unit=STORAGE_WRITE_AGE.unit,
            value=age_s,
            limit=self._settings.timing.alive_s,
            detail="not written yet" if age_s is None else "since the last good write",
            seen_at_s=written_at_s,
            trouble=self._own.error(now_s),
        )


class RenewalMonitor(HostMonitor):
    """What sanlock's renewal of this host's id takes, in seconds.

    That is what the latest one took, or, once the next is overdue, for how long it has been.
    At the limit sanlock gives the lockspace up and ends the engine.
    """

    name, unit = STORAGE_RENEWAL.name, STORAGE_RENEWAL.unit

    def __init__(self, world: BrokerPorts, settings: Settings, joined: Callable[[], bool]) -> None:
        super().__init__(world, settings)
        self._joined = joined

    def interval_s(self) -> float:
        """Never more often than sanlock renews, for each look runs a program; with the others."""
        usual_s = super().interval_s()
        return usual_s * math.ceil(renewal_s(self._settings.timing.io_timeout_s) / usual_s)

    def job(self) -> Optional[Callable[[], object]]:
        """sanlock's history of renewals; there is none before this host has joined."""
        return self._world.lockspace.renewals if self._joined() else list

    def read(self, result: object, at_s: float) -> Measurement:
        """From the latest of them."""
        renewals = cast(list[Renewal], result)
        if not renewals:
            return Measurement(None, "sanlock has renewed nothing yet")
        latest = renewals[-1]
        io_s = self._settings.timing.io_timeout_s
        overdue_s = at_s - latest.timestamp - renewal_s(io_s)
        took_s = latest.read_s + latest.write_s
        limit_s = renewal_fail_s(io_s) - renewal_s(io_s)
        if overdue_s > max(took_s, 1.0):  # sanlock tells whole seconds
            attempts = f"{latest.timeouts} attempts timed out and {latest.errors} failed"
            return Measurement(overdue_s, f"overdue for {overdue_s:.0f} s, {attempts}", limit_s)
        timeouts = sum(renewal.timeouts for renewal in renewals)
        errors = sum(renewal.errors for renewal in renewals)
        detail = (
            f"read {latest.read_s:.3f} s, written {latest.write_s:.3f} s, in the last "
            f"{len(renewals)} renewals {timeouts} attempts timed out, {errors} failed"
        )
        return Measurement(took_s, detail, limit_s)


class SpaceMonitor(HostMonitor):
    """Free room, in bytes, on the file system that holds the shared storage."""

    name, unit = STORAGE_SPACE.name, STORAGE_SPACE.unit

    def job(self) -> Optional[Callable[[], object]]:
        """One look; it hangs when the storage does."""
        return partial(self._world.vitals.space, self._settings.host.storage.metadata.path)

    def read(self, result: object, at_s: float) -> Measurement:
        """Free room now."""
        if result is None:
            return Measurement(None, "a block device: it has no room of its own")
        look = cast(SpaceLook, result)
        if not look.total_bytes:  # seen of FUSE
            return Measurement(None, "the file system does not tell its room")
        detail = f"{look.free_bytes // MIB} of {look.total_bytes // MIB} MiB are free"
        return Measurement(float(look.free_bytes), detail)
