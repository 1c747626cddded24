"""All that the storage's own commands reach, in one place; `real_world` builds it.

Nothing in it waits for ever: storage is touched by processes of their own, sanlock and libvirt
are asked by threads, the broker and systemctl have deadlines of their own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Callable, Optional

from ha_broker.api.client import BrokerClient, BrokerError
from ha_broker.api.snapshot import Snapshot
from hosted_engine.errors import CommandError
from hosted_engine.host.shared_config import shared_config
from hosted_engine.host.storage_deadline import SANLOCK_DEADLINE_S, bounded, with_storage
from hosted_engine.host.units import SystemdUnits, Units
from metadata.records import DecodedSlot, VolumeAddress
from metadata.settings.parse import ClusterSettings, EngineSettings, HostSettings
from world.ports.errors import StorageError
from world.ports.jobs import Clock
from world.ports.libvirt import Domain
from world.ports.sanlock import LockspaceAdmin
from world.ports.storage import BlockStore
from world.storage.direct_store import DirectStore
from world.storage.slot_area import read_slot


@dataclass(frozen=True)
class StorageWorld:
    """The world of one command.

    `engine` is libvirt's word on a domain of that name and raises CommandError when libvirt does
    not answer; `broker` is None when this host's broker can't be asked; `reread` has it look at
    the storage again, when it is there.
    """

    settings: HostSettings
    store: BlockStore
    lockspace: LockspaceAdmin
    engine: Callable[[str], Domain]
    broker: Callable[[], Optional[Snapshot]]
    reread: Callable[[], None]
    cluster: Callable[[], Optional[ClusterSettings]]
    units: Units
    clock: Clock
    sleep: Callable[[float], None]
    say: Callable[[str], None]

    def slot(self, host_id: int) -> DecodedSlot:
        """What stands in a host's slot; raises CommandError when the storage does not answer."""
        try:
            return read_slot(self.store, self.settings.storage, host_id)
        except StorageError as error:
            raise CommandError(str(error)) from error

    def domain(self) -> Domain:
        """libvirt's word on the engine; by its usual name where the settings can't be read."""
        cluster = self.cluster()
        engine = cluster.engine if cluster is not None else EngineSettings()
        return self.engine(engine.domain_name)


class StoreApart:
    """A `BlockStore` each of whose operations is done by a process of its own."""

    def read(self, address: VolumeAddress, size: int) -> bytes:
        """As `BlockStore.read`; CommandError when the storage does not answer."""
        return with_storage(partial(DirectStore(read_only=True).read, address, size))

    def write(self, address: VolumeAddress, data: bytes) -> None:
        """As `BlockStore.write`; CommandError when the storage does not answer."""
        with_storage(partial(DirectStore().write, address, data))

    def size(self, path: str) -> int:
        """As `BlockStore.size`; CommandError when the storage does not answer."""
        return with_storage(partial(DirectStore(read_only=True).size, path))


def real_world(settings: HostSettings) -> StorageWorld:
    """This machine."""
    from world.host.clock import SystemClock
    from world.storage.sanlock_lockspace import SanlockLockspace

    client = BrokerClient()
    sanlock: LockspaceAdmin = SanlockLockspace(settings.storage)
    return StorageWorld(
        settings=settings,
        store=StoreApart(),
        lockspace=bounded(sanlock, "sanlock (see 'systemctl status sanlock')", SANLOCK_DEADLINE_S),
        engine=lambda name: _engine(settings.libvirt_uri, name),
        broker=lambda: _snapshot(client),
        reread=lambda: _reread(client),
        cluster=lambda: _cluster(client, settings),
        units=SystemdUnits(),
        clock=SystemClock(),
        sleep=time.sleep,
        say=lambda line: print(line, flush=True),
    )


def _engine(uri: str, name: str) -> Domain:
    from hosted_engine.host.deadline import look_at_domain
    from world.ports.errors import WorldError
    from world.vm.libvirt_hypervisor import LibvirtHypervisor

    try:
        return look_at_domain(LibvirtHypervisor(uri, name))
    except WorldError as error:
        raise CommandError(f"{error.what}: {error.why}") from error


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


def _cluster(client: BrokerClient, settings: HostSettings) -> Optional[ClusterSettings]:
    try:
        return shared_config(client, settings.storage).settings
    except CommandError:
        return None
