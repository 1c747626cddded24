# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Does a host live? By its broker's peers, else by watching what it would write.

Two things are written by a living host again and again: its place in sanlock's lockspace every
2 x io_timeout, and its record every tick. sanlock's word on it, through this host's broker, is
as good and there at once.
"""

from __future__ import annotations

from typing import Optional

from ha_broker.api.snapshot import Snapshot
from hosted_engine.cluster.life_watch import looks
from hosted_engine.cluster.storage_survey import read_place
from hosted_engine.host.environment import DeployedHost
from hosted_engine.host.error_lines import told
from metadata.liveness import Liveness
from metadata.records import DecodedSlot, HostRecord
from metadata.sanlock_disk import parse_record
from metadata.settings.parse import Timing
from metadata.settings.timing import record_shows_s, renewal_shows_s
from world.ports.sanlock import Membership

# Older than that, a broker's snapshot says nothing of now: its cycle hangs.
OLDEST_WORD_S = 15.0
LOOK_EVERY_S = 0.5


def signs_of_life(world: DeployedHost, host_id: int, slot: DecodedSlot) -> str:
    """What shows that the host lives, in words; empty: nothing does. Raises CommandError."""
    if host_id == world.settings.host_id:
        # Only the agent counts: the broker and sanlock write nothing into the slot by themselves.
        if world.units.available() or (isinstance(slot, HostRecord) and slot.stopped):
            return ""
        return _watched(world, world.settings.host_id, with_lockspace=False)
    word = _brokers_word(world, host_id)
    return _watched(world, host_id) if word is None else word


# --- by the broker --------------------------------------------------------------------------


def _brokers_word(world: DeployedHost, host_id: int) -> Optional[str]:
    """None: the broker can't tell."""
    snapshot = world.broker()
    if snapshot is None or not _can_tell(snapshot, world.clock.monotonic_s()):
        return None
    view = snapshot.host(host_id)
    if view is None:
        return ""
    if view.is_live:
        return "sanlock sees it alive"
    if view.liveness is Liveness.FAIL:
        return "sanlock has missed it for a while only, and does not call it dead yet"
    if view.agent_speaks:
        return "its agent has written its record just now"
    listed = view.generation > 0
    return None if listed and view.liveness is Liveness.UNKNOWN else ""


def _can_tell(snapshot: Snapshot, now_s: float) -> bool:
    """A member that reads the storage, and whose sanlock has looked around already."""
    return (
        now_s - snapshot.taken_at_s <= OLDEST_WORD_S
        and snapshot.lockspace.membership is Membership.JOINED
        and not snapshot.lockspace.error
        and not snapshot.storage.error
        and snapshot.own is not None
        and snapshot.own.is_live
    )


# --- by watching ----------------------------------------------------------------------------


def _watched(world: DeployedHost, host_id: int, with_lockspace: bool = True) -> str:
    cluster = world.cluster()
    timing = cluster.timing if cluster is not None else Timing()
    before = _sector(world, host_id) if with_lockspace else b""
    slot = world.slot(host_id)
    wait_s = record_shows_s(timing.tick_s)
    if with_lockspace:
        place = parse_record(before)
        io_timeout_s = place.io_timeout_s if place is not None else 0
        wait_s = max(wait_s, renewal_shows_s(max(timing.io_timeout_s, io_timeout_s)))
    world.say(f"[ .. ] looking for {wait_s:.0f} s whether host id {host_id} lives")
    for _ in looks(world.clock, world.sleep, wait_s, LOOK_EVERY_S):
        if with_lockspace and _sector(world, host_id) != before:
            return "its place in sanlock's lockspace was renewed just now"
        if world.slot(host_id) != slot:
            return "its record was written just now"
    return ""


def _sector(world: DeployedHost, host_id: int) -> bytes:
    """The place of a host id in the lockspace; raises CommandError."""
    with told():
        return read_place(world.storage, world.settings.storage, host_id)
