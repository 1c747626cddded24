# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A cluster's storage and sanlock in memory, and the commands of its hosts on them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Optional, cast

from ha_broker.api.client import BrokerClient, BrokerGoneError
from ha_broker.api.snapshot import EngineView, HostView, Snapshot
from hosted_engine.config.apply import ChangeContext
from hosted_engine.host.domain_look import DomainLook, look_at_xml
from hosted_engine.host.environment import DeployedHost, deployed_as
from metadata import wire
from metadata.domain_xml import lease_element
from metadata.layout import CONFIG_SIZE, required_size, slot_address, storage_parts
from metadata.notes import CONFIG_VERSION
from metadata.records import EngineStatus, EngineVm, GlobalRecord, HostRecord, VolumeAddress
from metadata.settings.parse import ClusterSettings, HostSettings, Timing, cluster_settings_to_data
from metadata.shared_config import (
    SharedConfig,
    StoredConfig,
    copy_offset,
    decode_stored,
    encode_stored,
)
from simulation.world import (
    SimHealthPage,
    SimHypervisor,
    SimLockspace,
    SimSan,
    SimStore,
    VirtualClock,
)
from simulation.world.volume import SparseVolume
from tests.unit.command_environment import environment
from tests.unit.deploy_scene import Probes
from world.ports.libvirt import DomainState

VOLUME = "/shared/leases"
PARTS = storage_parts(VOLUME)
SETTINGS = ClusterSettings(timing=Timing(io_timeout_s=2))
WALL_S = 1_700_000_000.0


def domain_xml(name: str = "HostedEngine", memory_mib: int = 4096) -> str:
    return (
        f"<domain type='kvm'>\n<name>{name}</name>\n<memory unit='MiB'>{memory_mib}</memory>\n"
        f"<os><type>hvm</type></os>\n<devices>{lease_element(PARTS)}</devices>\n</domain>\n"
    )


CONFIG = SharedConfig(1, SETTINGS, domain_xml())


@dataclass
class Broker:
    """A host's broker: whose record says which refresh and which version (those that say one),
    and whether it answers at all.

    `engine_on` is the id of the host whose record says that the engine is up there,
    `domain_here` libvirt's word on the first host. `on_reread` is what happens when it is asked
    to read the configuration again.
    """

    refreshed_s: dict[int, int] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    stopped: tuple[int, ...] = ()
    gone: bool = False
    engine_on: Optional[int] = None
    domain_here: DomainState = DomainState.ABSENT
    rereads: int = 0
    on_reread: Callable[[Broker], None] = lambda _broker: None

    def status(self) -> Snapshot:
        self._need()
        hosts = tuple(
            HostView(number, record=self._record(number, at_s), fresh=True)
            for number, at_s in self.refreshed_s.items()
        )
        return Snapshot(1, 0.0, 1, "h1", 0.0, hosts=hosts, engine=EngineView(self.domain_here))

    def reread(self) -> None:
        self._need()
        self.rereads += 1
        self.on_reread(self)

    def close(self) -> None:
        pass

    def _need(self) -> None:
        if self.gone:
            raise BrokerGoneError("ask for the status", "there is no broker", 2)

    def _record(self, number: int, at_s: int) -> HostRecord:
        stopped = number in self.stopped
        vm = EngineVm.UP if number == self.engine_on else EngineVm.DOWN
        record = HostRecord(number, 5, 3400, EngineStatus(vm), f"h{number}", stopped=stopped)
        known = self.versions.get(number)
        notes = () if known is None else ((CONFIG_VERSION, str(known)),)
        return replace(record, vm_conf_refresh_s=at_s, notes=notes)


class Cluster:
    """Hosts h1, h2, ... that have joined, on storage with version 1 of the configuration."""

    def __init__(self, hosts: int = 2, config: SharedConfig = CONFIG) -> None:
        self.clock = VirtualClock()
        self.san = SimSan(self.clock)
        self.volumes = {VOLUME: SparseVolume(required_size(PARTS))}
        self.lockspaces = [SimLockspace(self.san, f"h{number + 1}") for number in range(hosts)]
        self.broker = Broker(dict.fromkeys(range(1, hosts + 1), 100))
        self.page = SimHealthPage(good=True)
        self.probes = Probes()
        self.libvirt = SimHypervisor(self.lockspaces[0])
        self.put_config(StoredConfig(config, cluster_settings_to_data(config.settings)))
        self.set_maintenance(False)
        for number, lockspace in enumerate(self.lockspaces, start=1):
            lockspace.join(number, 2)
            record = HostRecord(number, 5, 3400, EngineStatus(), f"h{number}")
            self.put(slot_address(PARTS, number), wire.encode_host(record))
        self.clock.advance(20)
        self.clock.shift_wall(WALL_S - self.clock.wall_s())

    def world(self, host_id: int = 1) -> DeployedHost:
        machine = environment(
            store=SimStore(self.volumes),
            lockspaces=lambda _parts: self.lockspaces[host_id - 1],
            clock=self.clock,
        )
        return deployed_as(machine, HostSettings(host_id, f"h{host_id}", PARTS))

    def context(self, host_id: int = 1) -> ChangeContext:
        client = cast(BrokerClient, self.broker)
        return ChangeContext(self.world(host_id), client, self._look, self.page)

    def stored(self) -> StoredConfig:
        place = PARTS.shared_config
        found = decode_stored(
            bytes(self.volumes[VOLUME][place.offset : place.offset + CONFIG_SIZE])
        )
        assert isinstance(found, StoredConfig)
        return found

    def put_config(self, stored: StoredConfig) -> None:
        place = PARTS.shared_config
        offset = place.offset + copy_offset(stored.config.sequence)
        self.put(VolumeAddress(place.path, offset), encode_stored(stored))

    def set_maintenance(self, on: bool) -> None:
        self.put(slot_address(PARTS, 0), wire.encode_global(GlobalRecord(on)))

    def put(self, address: VolumeAddress, data: bytes) -> None:
        self.volumes[address.path][address.offset : address.offset + len(data)] = data

    def has_taken_up(self, *host_ids: int) -> None:
        for host_id in host_ids:
            self.broker.refreshed_s[host_id] += 1

    def _look(self, domain_xml: str) -> DomainLook:
        return look_at_xml(domain_xml, self.probes, self.libvirt, lambda question: question())


def old_data(config: Optional[SharedConfig] = None) -> dict[str, Any]:
    return cluster_settings_to_data((config or CONFIG).settings)
