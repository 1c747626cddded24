# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine between two hosts: its lease is free, and yet it may go on where it was.

libvirt lets the lease go when it pauses the VM at a migration's source, and the target takes it
as it resumes. Whoever starts the engine in between destroys a healthy VM. So a free lease is
left alone for a while when a host that lives

- says that the engine is leaving it (`Peer.moving_limit_s`): for as long as it asks for, at most
  `away_s`, and only while that host speaks;
- owned the lease last, and its record still has the engine up: it had no time yet to tell what
  happened. One tick, one slow write there and one slow read here.

Both are counted on this host's own clock, from when the lease was seen free beside such a record.
"""

from __future__ import annotations

from typing import Optional

from fsm.memory import Memory
from fsm.observation import Lease, Observation, Peer
from metadata.settings.parse import ClusterSettings, Timing
from metadata.value_class import value_class

# A source that has not written for so many ticks (and two slow I/Os) says nothing any more.
SILENT_TICKS = 2
# Libvirt ends a migration's last step within a moment; the target has the lease by then.
RESUME_TICKS = 2


@value_class(frozen=True)
class Handover:
    """`peer` may still have the engine, until `ends_at_s` at the latest."""

    peer: Peer
    ends_at_s: float


def is_told(memory: Memory, observation: Observation, config: ClusterSettings) -> bool:
    """Is the lease free, and does some host's record speak for an engine that goes on?"""
    return bool(_told(memory, observation, config.timing))


def handover(
    memory: Memory, observation: Observation, config: ClusterSettings
) -> Optional[Handover]:
    """Whom a start has to wait for, though the lease is free; None: nobody."""
    now_s, since_s = observation.now_s, memory.handover_since_s
    since_s = now_s if since_s is None else since_s
    found = [
        Handover(peer, since_s + limit_s)
        for peer, limit_s in _told(memory, observation, config.timing)
    ]
    return max(
        (one for one in found if one.ends_at_s > now_s), default=None, key=lambda one: one.ends_at_s
    )


def _told(memory: Memory, observation: Observation, timing: Timing) -> list[tuple[Peer, float]]:
    """Each host that may still have the engine, and how long it is waited for."""
    if observation.lease is not Lease.FREE:
        return []
    limits = [
        (peer, _limit_s(peer, memory, observation.now_s, timing)) for peer in observation.peers
    ]
    return [(peer, limit_s) for peer, limit_s in limits if limit_s is not None]


def _limit_s(peer: Peer, memory: Memory, now_s: float, timing: Timing) -> Optional[float]:
    if not peer.fresh or peer.stopped or not peer.may_live:
        return None
    if _is_moving(peer, now_s, timing):
        return min(peer.moving_limit_s or 0.0, timing.away_s)
    if peer.engine_up and peer.host_id == memory.last_owner_id:
        return timing.tick_s + 2 * timing.io_timeout_s
    return None


def _is_moving(peer: Peer, now_s: float, timing: Timing) -> bool:
    if peer.moving_limit_s is None or peer.told_at_s is None:
        return False
    return now_s - peer.told_at_s <= SILENT_TICKS * timing.tick_s + 2 * timing.io_timeout_s


def resume_after_s(timing: Timing) -> float:
    """How long the lease of a VM that is leaving here stays free before this host resumes it."""
    return RESUME_TICKS * timing.tick_s
