# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Who holds the engine's lease, told to people; and whether trying to take it is hopeless.

sanlock alone decides about a start. What is found here only spares a try that must fail, and
with it a VM that would be created and removed again before the eyes of this host's agent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ha_broker.api.snapshot import Snapshot
from metadata.liveness import Liveness
from world.ports.errors import WorldError
from world.ports.sanlock import LeaseOwner, Lockspace

NOTHING_DONE = "nothing was done"
_MAY_LIVE = (Liveness.FAIL, Liveness.UNKNOWN)


@dataclass(frozen=True)
class OtherOwner:
    """The lease stands on another host: `lives` is sanlock's word on that host's present life.

    None: sanlock is not sure, and a start waits until it is.
    """

    host_id: int
    lives: Optional[bool]


def other_owner(lockspace: Lockspace, own_id: int) -> Optional[OtherOwner]:
    """The other host on which the lease stands; None also when that can't be read."""
    try:
        owner = lockspace.lease_owner()
        if owner is None or owner.host_id == own_id:
            return None
        return OtherOwner(owner.host_id, _lives(lockspace, owner))
    except WorldError:  # the start itself will tell
        return None


def _lives(lockspace: Lockspace, owner: LeaseOwner) -> Optional[bool]:
    seen = next((host for host in lockspace.hosts() if host.host_id == owner.host_id), None)
    if seen is None:
        return None
    if seen.generation > owner.generation:
        return False
    if seen.generation < owner.generation or seen.liveness in _MAY_LIVE:
        return None
    return seen.liveness is Liveness.LIVE


def held_text(lockspace: Lockspace, snapshot: Optional[Snapshot]) -> str:
    """Why the VM can't be started: who holds its lease, as far as that is known."""
    return held_by_text(owner_text(lockspace, snapshot) or "another host")


def held_by_text(owner: str) -> str:
    """The same, once that is known."""
    return f"the engine's lease is held by {owner}; {NOTHING_DONE}"


def owner_text(lockspace: Lockspace, snapshot: Optional[Snapshot]) -> str:
    """The owner of the lease for people; empty when it can't be told."""
    try:
        owner = lockspace.lease_owner()
    except WorldError:
        return ""
    return host_text(snapshot, owner.host_id) if owner else ""


def host_text(snapshot: Optional[Snapshot], host_id: int) -> str:
    """``host h2 (id 2)``."""
    hosts = snapshot.hosts if snapshot else ()
    names = [host.record.hostname for host in hosts if host.host_id == host_id and host.record]
    return f"host {names[0]} (id {host_id})" if names else f"host id {host_id}"
