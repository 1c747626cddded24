# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Does the engine run on this host, does anything here use the shared storage?

Asked by the commands that would take something away from under it; none of them goes on while
the answer is not known.
"""

from __future__ import annotations

import errno

from hosted_engine.errors import CommandError
from hosted_engine.host.environment import DeployedHost
from hosted_engine.host.error_lines import told
from hosted_engine.host.units import AGENT, BROKER
from world.ports.errors import LockspaceGoneError, WorldError
from world.ports.libvirt import DomainState
from world.ports.sanlock import Membership

SHUT_DOWN = "hosted-engine --vm-shutdown"
LEAVE_WITHIN_S = 60.0
LOOK_EVERY_S = 0.5
STOP_SERVICES = "systemctl stop ha-agent ha-broker ha-lockspace"


def refuse_engine_here(world: DeployedHost) -> None:
    """Raise CommandError unless it is known that the engine does not run on this host."""
    pids = _holders(world)
    if pids:
        raise CommandError(
            f"a process of this host (pid {pids[0]}) holds the engine's lease, so the engine runs "
            f"here; nothing was done; {SHUT_DOWN} first"
        )
    domain = _domain(world)
    if domain in (DomainState.RUNNING, DomainState.PAUSED):
        raise CommandError(
            f"the engine's VM is {domain.value} on this host; nothing was done; {SHUT_DOWN} first"
        )
    if domain is DomainState.UNKNOWN:
        raise CommandError(_unknown("libvirt does not know its domains"))


def _holders(world: DeployedHost) -> list[int]:
    try:
        return world.sanlock.holders()
    except LockspaceGoneError as error:
        if error.errno != errno.ECONNREFUSED:  # frozen, it may know of one
            raise CommandError(_unknown(str(error))) from error
        return []  # no daemon, no lease; libvirt still tells of a VM
    except WorldError as error:
        raise CommandError(_unknown(str(error))) from error


def _domain(world: DeployedHost) -> DomainState:
    try:
        return world.domain().state
    except CommandError as error:
        raise CommandError(_unknown(error.message)) from error


def _unknown(why: str) -> str:
    return f"whether the engine's VM is on this host is not known ({why}); nothing was done"


def refuse_while_used(world: DeployedHost) -> None:
    """Raise CommandError while the engine, a service of ours or sanlock uses the storage here."""
    refuse_engine_here(world)
    active = world.units.active()
    if active:
        raise CommandError(
            f"{' and '.join(active)} runs on this host and uses the storage; nothing was done; "
            f"{STOP_SERVICES} first"
        )
    refuse_broker(world)
    if is_member(world):
        raise CommandError(
            "sanlock on this host is still in the lockspace on that storage; nothing was done; "
            f"{STOP_SERVICES} first"
        )


def refuse_broker(world: DeployedHost) -> None:
    """Raise CommandError while a broker answers; systemd may not be the one who started it."""
    if world.broker() is not None:
        raise CommandError(
            f"a broker runs on this host and uses the storage; nothing was done; stop {AGENT} "
            f"and {BROKER} first"
        )


def is_member(world: DeployedHost) -> bool:
    """Has this host's sanlock joined the lockspace, or is it about to?"""
    with told():
        try:
            return world.sanlock.membership(world.settings.host_id) is not Membership.OUT
        except LockspaceGoneError:
            return False


def leave_lockspace(world: DeployedHost) -> None:
    """Leave it in order; raises CommandError when a process of this host needs it."""
    host_id = world.settings.host_id
    end_s = world.clock.monotonic_s() + LEAVE_WITHIN_S
    while (membership := world.sanlock.membership(host_id)) is not Membership.OUT:
        if membership is Membership.JOINED:
            if not world.sanlock.leave_if_unused(host_id):
                raise CommandError(
                    "a process of this host holds a lease of the lockspace; see 'sanlock client "
                    "status'"
                )
            world.say(f"[ ok ] left the lockspace (host id {host_id})")
            return
        if world.clock.monotonic_s() > end_s:
            raise CommandError(
                f"this host has been joining the lockspace for more than {LEAVE_WITHIN_S:.0f} s; "
                "see 'sanlock client status'"
            )
        world.sleep(LOOK_EVERY_S)
