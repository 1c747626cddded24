# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Events in words. Pure."""

from __future__ import annotations

from typing import Optional

from ha_broker.api.event import Event, EventKind
from metadata.moved_note import MovedNote

MIB = 1024 * 1024

_SENTENCES = {
    EventKind.STARTED: "the engine has been started on {host}",
    EventKind.STOPPED: "the engine runs nowhere",
    EventKind.TAKEN_OVER: "the engine has been taken over by {host}",
    EventKind.MOVED: "the engine has moved alive to {host}",
    EventKind.UNHEALTHY: "the engine on {host} is not healthy",
    EventKind.HEALTHY: "the engine on {host} is healthy again",
    EventKind.HOST_LOST: "{host} is lost",
    EventKind.HOST_BACK: "{host} is back",
    EventKind.STORAGE_LOST: "{host} can't use the shared storage",
    EventKind.STORAGE_BACK: "{host} can use the shared storage again",
    EventKind.TWO_ENGINES: "the engine runs on more than one host",
    EventKind.UNATTENDED: "nobody looks after the engine on {host}: ha-agent does not work there",
    EventKind.ATTENDED: "the engine on {host} is looked after again",
}
_CLUSTER_MAINTENANCE = {
    EventKind.MAINTENANCE_ON: "the cluster is in maintenance: the engine is left alone",
    EventKind.MAINTENANCE_OFF: "the cluster's maintenance is over",
}
_HOST_MAINTENANCE = {
    EventKind.MAINTENANCE_ON: "{host} is in maintenance",
    EventKind.MAINTENANCE_OFF: "the maintenance of {host} is over",
}


def sentence(event: Event) -> str:
    """What happened, in a few words without an end."""
    maintenance = _CLUSTER_MAINTENANCE if event.host_id is None else _HOST_MAINTENANCE
    pattern = _SENTENCES.get(event.kind) or maintenance[event.kind]
    return pattern.format(host=event.host_name or f"host {event.host_id}")


def outage_text(outage_s: Optional[float]) -> str:
    """How long the engine was not healthy; empty: not known."""
    if outage_s is None:
        return ""
    minutes, seconds = divmod(round(outage_s), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def figures(moved: MovedNote) -> list[str]:
    """What libvirt has told of a move."""
    told = []
    if moved.took_s is not None:
        told.append(f"the move took {moved.took_s:.1f} s")
    if moved.downtime_s is not None:
        told.append(f"it stood still for {moved.downtime_s:.2f} s")
    if moved.copied_bytes is not None:
        told.append(f"{moved.copied_bytes / MIB:.0f} MiB were sent")
    return told


def detail(event: Event) -> str:
    """All that is known beside the sentence."""
    outage = outage_text(event.outage_s)
    parts = [event.detail, f"it was not healthy for {outage}" if outage else ""]
    return "; ".join(part for part in parts if part)
