# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The lock of those who write the shared configuration: held for the moment of one write."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ha_broker.api import paths
from hosted_engine.errors import NOTHING_WRITTEN, CommandError
from hosted_engine.host.environment import DeployedHost
from hosted_engine.host.volume_advice import enlarge_text
from metadata.layout import config_lease_extent
from metadata.liveness import Liveness
from world.durable import PRIVATE_FILE_MODE
from world.ports.errors import LEADER_MAGIC, LeaseHeldError, LockspaceError

LOCK_FILE = "shared-config.lock"
_MADE_BEFORE = "this cluster was made before there was a lock of writers"


@contextmanager
def locked(world: DeployedHost) -> Iterator[None]:
    """Raises CommandError saying who has it, or why it can't be had."""
    try:
        _take(world)
    except LockspaceError as error:
        raise CommandError(f"{_refused_text(world, error)}; {NOTHING_WRITTEN}") from error
    try:
        yield
    finally:
        with suppress(LockspaceError):  # sanlock lets it go with this process at the latest
            world.lockspace.drop_config_lease()


def _take(world: DeployedHost) -> None:
    try:
        world.lockspace.take_config_lease()
    except LockspaceError as error:
        if error.errno != LEADER_MAGIC and _has_room(world):
            raise
        with _alone_on_this_host():
            _make(world)
        world.lockspace.take_config_lease()


def _refused_text(world: DeployedHost, error: LockspaceError) -> str:
    if isinstance(error, LeaseHeldError):
        return f"{_holder_text(world)} is writing the shared configuration just now; try again"
    if error.errno == errno.EEXIST:
        return "somebody on this host is writing the shared configuration just now; try again"
    if error.errno == errno.ENOSPC:
        return (
            "this host has not joined the lockspace, so it can't lock the shared configuration; "
            "see 'systemctl status ha-broker', or do it on another host"
        )
    return str(error)


def _holder_text(world: DeployedHost) -> str:
    with suppress(LockspaceError):
        owner = world.lockspace.config_lease_owner()
        if owner:
            return world.host_text(owner.host_id)
    return "another host"


# --- making what a cluster was made without -------------------------------------------------


@contextmanager
def _alone_on_this_host() -> Iterator[None]:
    """The lock ends with the process, whatever happens.

    Nobody else may open its file: whoever can read a file can lock it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(f"{paths.state_dir()}/{LOCK_FILE}", flags, PRIVATE_FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make(world: DeployedHost) -> None:
    """Two who make it at once could both take it afterwards: only one host ever does."""
    lock = config_lease_extent(world.parts)
    path, offset = lock.address.path, lock.address.offset
    elsewhere = (
        "or give the lock another place, in host.yaml of all hosts: storage: {config_lease: "
        f"{{path: ..., offset: ...}}}}; {NOTHING_WRITTEN}"
    )
    if not _has_room(world):
        raise CommandError(
            f"{_MADE_BEFORE}, and {path} has no room for it: it has {world.store.size(path)} "
            f"bytes, {lock.end} are needed; {enlarge_text(path, lock.end)}, {elsewhere}"
        )
    if world.lockspace.has_config_lease():
        return
    if any(world.store.read(lock.address, lock.size)):
        raise CommandError(
            f"{_MADE_BEFORE}, and something else lies at {path}:{offset} where it should be; if "
            f"that is of no use, overwrite its {lock.size} bytes with zeros, {elsewhere}"
        )
    first_id = _first_host_id(world)
    if first_id != world.settings.host_id:
        raise CommandError(
            f"{_MADE_BEFORE}, and the first change makes it: do this one on "
            f"{world.host_text(first_id)}, the living host with the lowest id; {NOTHING_WRITTEN}"
        )
    world.lockspace.format_config_lease()


def _has_room(world: DeployedHost) -> bool:
    lock = config_lease_extent(world.parts)
    return world.store.size(lock.address.path) >= lock.end


def _first_host_id(world: DeployedHost) -> int:
    hosts = world.lockspace.hosts()
    unsure = [host for host in hosts if host.liveness in (Liveness.UNKNOWN, Liveness.FAIL)]
    living = [host.host_id for host in hosts if host.liveness is Liveness.LIVE]
    if unsure or not living:
        raise CommandError(
            f"{_MADE_BEFORE}, and before it can be made sanlock must know which hosts live; "
            f"{NOTHING_WRITTEN}; try again in a minute"
        )
    return min(living)
