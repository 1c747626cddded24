# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""This machine as the commands reach it, in one place; tests put another one there.

`real_environment` builds it, `deployed_host` with what ``host.yaml`` says. Nothing in it waits for
ever; which way a question is kept in its time depends on what is asked, and who has threads:

============ =======================================================================================
`storage`    each read and write by itself, in a new interpreter each: the storage's own commands
`sanlock`    each question by itself, on a thread: they, and `--deploy`
`in_new`     a whole job on `store` in a new interpreter: what `--deploy` looks at and measures
`in_copy`    a whole job on `store` and `lockspace` in a copy of this process, which has no threads:
             the shared configuration's commands. The copy holds the lock of writers for as long as
             its write may still arrive
============ =======================================================================================
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol, TypeVar

from ha_broker.api import paths
from ha_broker.api.client import BrokerClient, BrokerError
from ha_broker.api.snapshot import Snapshot
from hosted_engine.errors import CommandError
from hosted_engine.host import storage_deadline
from hosted_engine.host.apart import within_deadline_apart
from hosted_engine.host.deadline import look_at_domain
from hosted_engine.host.error_lines import told
from hosted_engine.host.shared_config import shared_config
from hosted_engine.host.storage_deadline import SANLOCK_DEADLINE_S
from hosted_engine.host.units import SystemdUnits, Units
from metadata.error_words import reason_with_file
from metadata.layout import SLOT_SIZE, required_sizes, slot_address
from metadata.records import DecodedSlot, GlobalRecord, HostRecord, VolumeAddress
from metadata.settings.parse import ClusterSettings, EngineSettings, HostSettings, StorageParts
from metadata.wire import decode_global
from world.ports.errors import StorageError
from world.ports.jobs import Clock
from world.ports.libvirt import AdministeredHypervisor, Domain
from world.ports.sanlock import LockspaceAdmin
from world.ports.storage import BlockStore
from world.storage.direct_store import DirectStore
from world.storage.slot_area import read_slot

if TYPE_CHECKING:
    from hosted_engine.host.probes import Probes

T = TypeVar("T")


class FormatStore(BlockStore, Protocol):
    """Storage that can be prepared."""

    def zero(self, address: VolumeAddress, size: int) -> None:
        """Write zeros durably; raises StorageError."""

    def probe_direct_io(self, path: str) -> None:
        """Raise StorageError unless `path` takes direct I/O."""


@dataclass(frozen=True)
class Environment:
    """One machine.

    store            blocks, for whole jobs alone (`in_new`, `in_copy`)
    storage          the same, each operation in its time
    lockspaces       sanlock with the lockspace of these parts; its answers may be long in coming
    hypervisor       libvirt by its URI and a domain's name; it may never answer
    uses_sanlock     is that libvirt's lock manager?
    broker           what this host's broker knows; None when it can't be asked
    reread           has the broker look at the storage again, when it is there
    cluster_settings what the broker or the storage say; None when neither can be read
    probes           all else that `--deploy` looks at
    anew, apart, bounded
                     how a job is done in a new interpreter or in a copy, and how each method of
                     sanlock is kept in its time
    """

    store: FormatStore
    storage: BlockStore
    lockspaces: Callable[[StorageParts], LockspaceAdmin]
    hypervisor: Callable[[str, str], AdministeredHypervisor]
    uses_sanlock: Callable[[], bool]
    broker: Callable[[], Optional[Snapshot]]
    reread: Callable[[], None]
    cluster_settings: Callable[[StorageParts], Optional[ClusterSettings]]
    units: Units
    probes: Probes
    clock: Clock
    sleep: Callable[[float], None]
    say: Callable[[str], None]
    host_name: str
    gateway: str
    settings_file: str
    anew: Callable[[Callable[[], Any]], Any]
    apart: Callable[[Callable[[], Any], str, float], Any]
    bounded: Callable[[LockspaceAdmin, str, float, tuple[str, ...]], LockspaceAdmin]

    def in_new(self, job: Callable[[], T]) -> T:
        """The result of a job that touches `store`, a value that pickle takes.

        Raises what the job raises of WorldError, and CommandError when it does not end in time.
        """
        result: T = self.anew(job)
        return result

    def in_copy(self, job: Callable[[], T], whom: str, deadline_s: float) -> T:
        """The result of any job; raises CommandError for what the world raises, too.

        Nothing may begin a thread before, outside of such a job.
        """
        result: T = self.apart(partial(_told, job), whom, deadline_s)
        return result

    def sanlock_at(
        self, parts: StorageParts, whom: str, but: tuple[str, ...] = ()
    ) -> LockspaceAdmin:
        """sanlock, whose answers are not waited for long, except those of the methods `but`."""
        return self.bounded(self.lockspaces(parts), whom, SANLOCK_DEADLINE_S, but)


@dataclass(frozen=True)
class DeployedHost(Environment):
    """A machine with ``host.yaml``, which says where its cluster's storage is.

    `lockspace` is for whole jobs (`in_copy`); `sanlock` answers in time.
    """

    settings: HostSettings

    @property
    def parts(self) -> StorageParts:
        """Where everything lies."""
        return self.settings.storage

    @cached_property
    def lockspace(self) -> LockspaceAdmin:
        """sanlock, whatever its answers take: for jobs that have a time as a whole."""
        return self.lockspaces(self.parts)

    @cached_property
    def sanlock(self) -> LockspaceAdmin:
        """sanlock, each question by itself in its time."""
        return self.sanlock_at(self.parts, "sanlock (see 'systemctl status sanlock')")

    def cluster(self) -> Optional[ClusterSettings]:
        """The cluster's settings; None when they can't be read."""
        return self.cluster_settings(self.parts)

    def slot(self, host_id: int) -> DecodedSlot:
        """What stands in a host's slot; raises CommandError when the storage does not answer."""
        with told():
            return read_slot(self.storage, self.parts, host_id)

    def global_maintenance(self, store: BlockStore) -> Optional[bool]:
        """What slot 0 says, read by `store`; None: nothing that can be read. StorageError."""
        slot = decode_global(store.read(slot_address(self.parts, 0), SLOT_SIZE))
        return slot.maintenance if isinstance(slot, GlobalRecord) else None

    def domain(self) -> Domain:
        """libvirt's word on the engine; by its usual name where the settings can't be read.

        Raises CommandError when libvirt does not answer.
        """
        cluster = self.cluster()
        engine = cluster.engine if cluster is not None else EngineSettings()
        with told():
            return look_at_domain(self.hypervisor(self.settings.libvirt_uri, engine.domain_name))

    def host_text(self, host_id: int) -> str:
        """``host h2 (id 2)``, as its record on `store` says; for whole jobs."""
        with suppress(StorageError):
            record = read_slot(self.store, self.parts, host_id)
            if isinstance(record, HostRecord):
                return f"host {record.hostname} (id {host_id})"
        return f"host id {host_id}"


def deployed_as(machine: Environment, settings: HostSettings) -> DeployedHost:
    """The machine with its settings."""
    return DeployedHost(**vars(machine), settings=settings)


def _told(job: Callable[[], T]) -> T:
    try:
        with told():
            return job()
    except OSError as error:
        raise CommandError(reason_with_file(error)) from error


# --- this machine -----------------------------------------------------------------------------


class StoreApart:
    """A `BlockStore` each of whose operations is done by a process of its own.

    `needed` as for `DirectStore`.
    """

    def __init__(self, needed: Mapping[str, int]) -> None:
        self._read = DirectStore(read_only=True, needed=needed)
        self._write = DirectStore(needed=needed)

    def read(self, address: VolumeAddress, size: int) -> bytes:
        """As `BlockStore.read`; CommandError when the storage does not answer."""
        return storage_deadline.with_storage(partial(self._read.read, address, size))

    def write(self, address: VolumeAddress, data: bytes) -> None:
        """As `BlockStore.write`; CommandError when the storage does not answer."""
        storage_deadline.with_storage(partial(self._write.write, address, data))

    def size(self, path: str) -> int:
        """As `BlockStore.size`; CommandError when the storage does not answer."""
        return storage_deadline.with_storage(partial(self._read.size, path))


def deployed_host(settings: HostSettings) -> DeployedHost:
    """This machine with these settings."""
    return deployed_as(real_environment(required_sizes(settings.storage)), settings)


def real_environment(needed: Optional[Mapping[str, int]] = None) -> Environment:
    """This machine; `needed` are the bytes that its volumes must have, by path, where known."""
    from hosted_engine.host.probes import HostProbes, gateway_of_this_host
    from world.host.clock import SystemClock
    from world.storage.sanlock_lockspace import SanlockLockspace

    client = BrokerClient()
    return Environment(
        store=DirectStore(needed=needed),
        storage=StoreApart(needed or {}),
        lockspaces=SanlockLockspace,
        hypervisor=_libvirt,
        uses_sanlock=_uses_sanlock,
        broker=partial(_snapshot, client),
        reread=partial(_reread, client),
        cluster_settings=partial(_cluster_settings, client),
        units=SystemdUnits(),
        probes=HostProbes(),
        clock=SystemClock(),
        sleep=time.sleep,
        say=partial(print, flush=True),
        host_name=socket.gethostname(),
        gateway=gateway_of_this_host(),
        settings_file=paths.host_settings_file(),
        anew=storage_deadline.with_storage,
        apart=within_deadline_apart,
        bounded=storage_deadline.bounded,
    )


def _libvirt(uri: str, name: str) -> AdministeredHypervisor:
    from world.vm.libvirt_hypervisor import LibvirtHypervisor

    return LibvirtHypervisor(uri, name)


def _uses_sanlock() -> bool:
    from world.vm.libvirt_hypervisor import uses_sanlock

    return uses_sanlock()


def _snapshot(client: BrokerClient) -> Optional[Snapshot]:
    try:
        return client.status()
    except BrokerError:
        return None


def _reread(client: BrokerClient) -> None:
    try:
        client.reread()
    except BrokerError:
        return  # it reads everything when it starts


def _cluster_settings(client: BrokerClient, parts: StorageParts) -> Optional[ClusterSettings]:
    try:
        return shared_config(client, parts).settings
    except CommandError:
        return None
