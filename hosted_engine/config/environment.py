"""What reading and writing the shared configuration needs of this host."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Callable, Protocol, TypeVar

from hosted_engine.errors import CommandError
from hosted_engine.host.apart import within_deadline_apart
from metadata.records import HostRecord
from metadata.settings.parse import HostSettings, StorageParts
from world.ports.errors import StorageError, WorldError
from world.ports.sanlock import Lockspace, WriterLock
from world.ports.storage import BlockStore
from world.storage.direct_store import DirectStore
from world.storage.sanlock_lockspace import SanlockLockspace
from world.storage.slot_area import read_slot

NOTHING_WRITTEN = "nothing was written"

T = TypeVar("T")


class LockedSpace(Lockspace, WriterLock, Protocol):
    """The lockspace with its lock of writers."""


@dataclass(frozen=True)
class ConfigWorld:
    """`apart` does work that may hang: in time, or not at all.

    It does so in a copy of this process. Nothing here begins a thread outside of such work.
    """

    store: BlockStore
    lockspace: LockedSpace
    parts: StorageParts
    host_id: int
    host_name: str
    wall_s: Callable[[], float] = time.time
    apart: Callable[[Callable[[], Any], str, float], Any] = within_deadline_apart


def real_world(settings: HostSettings) -> ConfigWorld:
    """This host's storage and sanlock."""
    return ConfigWorld(
        store=DirectStore(),
        lockspace=SanlockLockspace(settings.storage),
        parts=settings.storage,
        host_id=settings.host_id,
        host_name=settings.host_name,
    )


def in_time(world: ConfigWorld, job: Callable[[], T], whom: str, deadline_s: float) -> T:
    """The result of `job`, done apart; raises CommandError for what the world raises, too."""

    def told() -> T:
        try:
            return job()
        except WorldError as error:
            raise CommandError(f"{error.what}: {error.why}") from error
        except OSError as error:
            raise CommandError(str(error)) from error

    result: T = world.apart(told, whom, deadline_s)
    return result


def host_text(world: ConfigWorld, host_id: int) -> str:
    """``host h2 (id 2)``, as its record on the storage says."""
    with suppress(StorageError):
        record = read_slot(world.store, world.parts, host_id)
        if isinstance(record, HostRecord):
            return f"host {record.hostname} (id {host_id})"
    return f"host id {host_id}"
