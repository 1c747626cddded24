# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``ha-broker --leave-lockspace``: leave the lockspace in order, when this host shuts down.

The unit ha-lockspace.service calls it after the guests have ended and before sanlock is stopped,
which sanlock refuses while it is joined. It does not matter whether the broker ran: what has
joined is sanlock.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Callable

from ha_broker.api.client import BrokerClient, BrokerError, BrokerGoneError
from world.host.clock import SystemClock
from world.host.systemd import machine_stops
from world.host_file import read_host_settings
from world.ports.errors import LockspaceError, LockspaceGoneError
from world.ports.jobs import Clock
from world.ports.sanlock import Lockspace, Membership

LEAVE_WITHIN_S = 15.0  # below the unit's TimeoutStopSec
LOOK_EVERY_S = 0.5

NOT_LEFT = "the lockspace was not left: %s"
USED = "a process of this host holds a lease of it; see 'sanlock client status'"
BROKER_RUNS = "the broker runs, and would join it again; systemctl stop ha-agent ha-broker first"

if TYPE_CHECKING:
    import argparse

log = logging.getLogger(__name__)


def leave_host(arguments: argparse.Namespace) -> int:
    """Run the option; returns the exit code. Raises SettingsError."""
    from world.storage.sanlock_lockspace import SanlockLockspace  # noqa: PLC0415

    host = read_host_settings(arguments.settings)
    if host is None:
        return 0  # not deployed
    if _broker_runs(arguments.socket):
        log.error(NOT_LEFT, BROKER_RUNS)
        return 1
    try:
        lockspace = SanlockLockspace(host.storage, stopping=machine_stops())
        left = leave_lockspace(lockspace, host.host_id, SystemClock(), time.sleep)
    except LockspaceError as error:
        log.error(NOT_LEFT, error)
        return 1
    if not left:
        log.error(NOT_LEFT, USED)
        return 1
    log.info("host id %d is not in the lockspace any more", host.host_id)
    return 0


def _broker_runs(socket_path: str) -> bool:
    client = BrokerClient(socket_path)
    try:
        client.status()
    except BrokerGoneError:
        return False
    except BrokerError:
        return True  # it answers, if badly, or not in time
    finally:
        client.close()
    return True


def leave_lockspace(
    lockspace: Lockspace, host_id: int, clock: Clock, sleep: Callable[[float], None]
) -> bool:
    """Leave as soon as no process here holds a lease; False: one does for all that time.

    Leaving would end the holder: a guest that did not end with the host is left to the host's
    shutdown. Raises LockspaceError.
    """
    end_s = clock.monotonic_s() + LEAVE_WITHIN_S
    while not _has_left(lockspace, host_id):
        if clock.monotonic_s() > end_s:
            return False
        sleep(LOOK_EVERY_S)
    return True


def _has_left(lockspace: Lockspace, host_id: int) -> bool:
    """A join under way can't be taken back: it is left when it is done."""
    try:
        membership = lockspace.membership(host_id)
        if membership is Membership.JOINING:
            return False
        # Asked also of a host that is out with this id: it may have joined with another one.
        return lockspace.leave_if_unused(host_id)
    except LockspaceGoneError as error:
        log.info("there is nothing to leave: %s", error)
        return True
