# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""This host's place in the lockspace, once no join of its own is under way."""

from __future__ import annotations

from typing import Optional

from hosted_engine.cluster.storage_survey import Survey
from hosted_engine.deploy.plan import FIRST_HOST_ID, ThisHost
from hosted_engine.deploy.steps import look_again
from hosted_engine.errors import CommandError
from hosted_engine.host.environment import Environment
from hosted_engine.host.storage_deadline import PROGRESS_EVERY_S
from metadata.settings.parse import HostSettings, StorageParts
from world.ports.sanlock import LockspaceAdmin, Membership

OWN_JOIN_S = 300.0
LOOK_EVERY_S = 0.5


def sanlock_of(world: Environment, parts: StorageParts) -> LockspaceAdmin:
    """None of its answers is waited for long, but a join's: its step says how long that takes."""
    return world.sanlock_at(parts, "sanlock (see 'sanlock client status')", but=("join",))


def look(
    world: Environment,
    lockspace: LockspaceAdmin,
    parts: StorageParts,
    deployed: Optional[HostSettings],
    patience_s: float = OWN_JOIN_S,
) -> tuple[Survey, ThisHost]:
    """The storage and this host; raises WorldError and CommandError.

    sanlock goes on with a join whose asker was killed, and then the storage still changes.
    """
    name = lockspace.daemon_host_name()
    began_s = told_s = world.clock.monotonic_s()
    while True:
        found = look_again(world, parts)
        joined_id, membership = _own_membership(lockspace, found, name, deployed)
        if membership is not Membership.JOINING:
            host = ThisHost(
                world.host_name,
                name,
                joined_id,
                world.gateway,
                deployed,
                lockspace.fire_timeout_s(),
            )
            return found, host
        what = f"joining the lockspace as host id {joined_id}"
        if world.clock.monotonic_s() - began_s >= patience_s:
            raise CommandError(
                f"this host has been {what} for more than {patience_s:.0f} s; see 'sanlock client "
                "status' and run the same --deploy again"
            )
        told_s = _tell(world, f"[ .. ] this host is still {what}", began_s, told_s)
        world.sleep(LOOK_EVERY_S)


def _tell(world: Environment, line: str, began_s: float, told_s: float) -> float:
    """Say it at the beginning and then every now and then; returns when it was said last."""
    now_s = world.clock.monotonic_s()
    if now_s != began_s and now_s - told_s < PROGRESS_EVERY_S:
        return told_s
    world.say(line)
    return now_s


def _own_membership(
    lockspace: LockspaceAdmin, found: Survey, name: str, deployed: Optional[HostSettings]
) -> tuple[Optional[int], Membership]:
    """The id with which this host's daemon is, or is about to be, in the lockspace.

    Asked for the ids under its own name, and, in case the storage was wiped under it, for the
    one that it most likely has.
    """
    likely = {host_id for host_id, owner in found.ids_in_use.items() if owner.resource == name}
    likely.add(deployed.host_id if deployed else FIRST_HOST_ID)
    for host_id in sorted(likely):
        membership = lockspace.membership(host_id)
        if membership is not Membership.OUT:
            return host_id, membership
    return None, Membership.OUT
