# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Brokers in virtual time: real cores over the fakes, and records of hosts that are not run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from ha_broker.api.monitors import MonitorView
from ha_broker.api.snapshot import HostView, Publication, Snapshot
from ha_broker.broker import Broker
from ha_broker.cycle.observer import Observer
from ha_broker.cycle.part import BrokerPorts, NoPlugin
from ha_broker.server.mailbox import Ticket
from metadata.layout import SLOT_SIZE, required_size, slot_address, storage_parts
from metadata.records import EngineStatus, EngineVm, Health, HostRecord, VolumeAddress
from metadata.settings.parse import ClusterSettings, EngineSettings, HostSettings
from metadata.shared_config import SharedConfig, copy_offset, encode_copy
from metadata.wire import decode_slot, encode_host
from simulation.world import (
    InlineRunner,
    SimHealthPage,
    SimHypervisor,
    SimLockspace,
    SimNetworkProbe,
    SimNotificationSender,
    SimPostOffice,
    SimSan,
    SimServiceManager,
    SimStore,
    SimVitals,
    VirtualClock,
)
from simulation.world.volume import SparseVolume
from world.ports.plugins import PluginMaker
from world.storage.config_restore import restore_config

VOLUME = "/shared/leases"
PARTS = storage_parts(VOLUME)
SETTINGS = ClusterSettings(engine=EngineSettings(health_url="http://engine/health"))
IO_TIMEOUT_S = SETTINGS.timing.io_timeout_s
TICK_S = SETTINGS.timing.tick_s
ALIVE_S = SETTINGS.timing.alive_s
JOIN_S = 2.5 * IO_TIMEOUT_S
CONFIG = SharedConfig(sequence=4, settings=SETTINGS, domain_xml="<domain/>")

UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
DOWN = EngineStatus(EngineVm.DOWN, Health.BAD, "Down", "not here")
PUBLICATION = Publication(score=3400, engine_status=DOWN, state="EngineDown")

MOST_TICKS_IN_A_ROW = 20


def record(host_id: int, timestamp_s: int = 7, **fields: Any) -> HostRecord:
    """A good record of the host `h<id>`."""
    base = HostRecord(host_id, timestamp_s, 3400, DOWN, f"h{host_id}", state="EngineDown")
    return replace(base, **fields)


class Cluster:
    """The storage, the lockspace, the clock, and any number of hosts with a broker."""

    def __init__(self, config: Optional[SharedConfig] = CONFIG) -> None:
        self.clock = VirtualClock()
        self.san = SimSan(self.clock)
        self.volumes: dict[str, SparseVolume] = {VOLUME: SparseVolume(required_size(PARTS))}
        self.hosts: list[Host] = []
        self.post_office = SimPostOffice()
        if config is not None:
            self.put_config(config)

    def host(self, host_id: int, state_dir: Path, **fields: Any) -> Host:
        """A host whose broker has not ticked yet."""
        host = Host(self, host_id, state_dir, **fields)
        self.hosts.append(host)
        return host

    def peer(self, host_id: int) -> SimLockspace:
        """A host that only holds its place in the lockspace."""
        lockspace = SimLockspace(self.san, f"h{host_id}")
        lockspace.join(host_id, int(IO_TIMEOUT_S))
        return lockspace

    def run(self, seconds: float) -> None:
        """Let the hosts' brokers do what they do in that time."""
        end_s = self.clock.monotonic_s() + seconds
        self._settle()
        while self.clock.monotonic_s() < end_s:
            self.clock.advance(self._next_step_s(end_s) - self.clock.monotonic_s())
            self._settle()

    def _next_step_s(self, end_s: float) -> float:
        ends = [host.runner.next_end_s() for host in self.hosts]
        dues = [max(host.due_s, self.clock.monotonic_s() + 0.01) for host in self.hosts]
        return min(end_s, *dues, *(at_s for at_s in ends if at_s is not None))

    def _settle(self) -> None:
        for host in self.hosts:
            host.settle()

    # --- the bytes ----------------------------------------------------------------------

    def put(self, slot: int, data: bytes) -> None:
        """Somebody else writes these bytes into a slot."""
        address = slot_address(PARTS, slot)
        self.put_at(address, data.ljust(SLOT_SIZE, b"\0"))

    def put_record(self, host_id: int, timestamp_s: int = 7, **fields: Any) -> None:
        self.put(host_id, encode_host(record(host_id, timestamp_s, **fields)))

    def put_config(self, config: SharedConfig) -> None:
        place = PARTS.shared_config
        address = VolumeAddress(place.path, place.offset + copy_offset(config.sequence))
        self.put_at(address, encode_copy(config))

    def put_at(self, address: VolumeAddress, data: bytes) -> None:
        self.volumes[address.path][address.offset : address.offset + len(data)] = data

    def slot(self, slot: int) -> bytes:
        address = slot_address(PARTS, slot)
        return bytes(self.volumes[VOLUME][address.offset : address.offset + SLOT_SIZE])

    def stored(self, host_id: int) -> HostRecord:
        """The record in a slot."""
        seen = decode_slot(host_id, self.slot(host_id))
        assert isinstance(seen, HostRecord), seen
        return seen


class Host:
    """One broker and its fakes."""

    def __init__(
        self,
        cluster: Cluster,
        host_id: int,
        state_dir: Path,
        name: str = "",
        gateway: str = "gw",
        bridge: str = "",
        observer: Optional[Observer] = None,
    ) -> None:
        self.cluster = cluster
        self.host_id = host_id
        self.name = name or f"h{host_id}"
        self.store = SimStore(cluster.volumes, cluster.clock)
        self.lockspace = SimLockspace(cluster.san, self.name)
        self.hypervisor = SimHypervisor(self.lockspace)
        self.page = SimHealthPage()
        self.network = SimNetworkProbe()
        self.vitals = SimVitals(cluster.clock, engine_busy_s=lambda: self.hypervisor.cpu_busy_s)
        self.services = SimServiceManager()
        self.notification_sender = SimNotificationSender(cluster.clock, cluster.post_office)
        self.settings = HostSettings(host_id, self.name, PARTS, bridge=bridge, gateway=gateway)
        self.state_dir = state_dir
        self.observer = observer
        self.plugins: PluginMaker = NoPlugin
        self.start()

    def start(self) -> None:
        """A new broker process; what it does is not run yet."""
        self.runner = InlineRunner(self.cluster.clock, self._wake)
        world = BrokerPorts(
            clock=self.cluster.clock,
            runner=self.runner,
            store=self.store,
            lockspace=self.lockspace,
            hypervisor=lambda _name: self.hypervisor,
            health_page=self.page,
            network=self.network,
            vitals=self.vitals,
            notification_sender=self.notification_sender,
            services=self.services,
            plugins=self.plugins,
            restore=lambda held: restore_config(
                self.store, self.lockspace, PARTS.shared_config, held
            ),
        )
        self.due_s = 0.0
        self._woken = True
        self.broker = Broker(world, self.settings, str(self.state_dir), self._wake, self.observer)

    def settle(self) -> None:
        """Tick until there is nothing to do now."""
        if self.due_s <= self.cluster.clock.monotonic_s():
            self._woken = True
        if self.runner.next_end_s() is not None:
            self._woken = True
        for _ in range(MOST_TICKS_IN_A_ROW):
            if not self._woken:
                return
            self._woken = False
            self.due_s = self.broker.tick()
        raise AssertionError(f"the broker spins: {self.runner.submitted[-20:]}")

    def _wake(self) -> None:
        self._woken = True

    @property
    def snapshot(self) -> Snapshot:
        return self.broker.mailbox.snapshot()

    def monitor(self, name: str) -> MonitorView:
        """The latest word of a monitor."""
        (found,) = [view for view in self.snapshot.monitors if view.name == name]
        return found

    def view(self, host_id: int) -> HostView:
        """How this broker sees a host."""
        (found,) = [view for view in self.snapshot.hosts if view.host_id == host_id]
        return found

    def publish(self, publication: Publication = PUBLICATION) -> None:
        self.broker.mailbox.publish(publication)
        self.settle()

    def ask(self, scope: str, on: bool) -> Ticket:
        ticket = self.broker.mailbox.ask_maintenance(scope, on)
        self.settle()
        return ticket

    def read_bytes(self) -> int:
        """How much this broker has read from the storage until now."""
        return sum(size for _address, size in self.store.reads)
