"""A host with a broker, services, sanlock and libvirt as the storage's commands meet them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Optional

from ha_broker.api.snapshot import HostView, LockspaceView, Snapshot
from hosted_engine.errors import CommandError
from hosted_engine.host.environment import DeployedHost, deployed_as
from hosted_engine.host.units import AGENT, BROKER, STORAGE, write_drop_in
from metadata.layout import (
    MAX_HOSTS,
    MIB,
    config_lease_address,
    extents,
    slot_address,
    storage_parts,
)
from metadata.liveness import Liveness
from metadata.records import EngineStatus, EngineVm, GlobalRecord, Health, HostRecord
from metadata.sanlock_disk import HOST_ID_MAGIC, LEASE_MAGIC
from metadata.settings.parse import ClusterSettings, HostSettings, Timing
from metadata.wire import decode_slot, encode_global, encode_host
from simulation.world import SimStore, VirtualClock
from tests.unit.command_environment import environment
from world.ports.libvirt import Domain, DomainState
from world.ports.sanlock import LeaseOnStorage, LockspaceOnStorage, Membership

PATH = "/shared/leases"
PARTS = storage_parts(PATH)
IO_S = 2
TICK_S = 5.0
BOTH = (BROKER, AGENT)
UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
FLOOR_S = 8 * IO_S + 60


def leader(
    magic: int,
    owner: int = 0,
    generation: int = 0,
    timestamp: int = 0,
    resource: str = "",
    io_timeout_s: int = IO_S,
) -> bytes:
    """One of sanlock's sectors; timestamp 0 is free."""
    head = struct.pack("<IIII16xQQ8x", magic, 0x30004, 0, 512, owner, generation)
    names = b"hosted-engine".ljust(48, b"\0") + resource.encode().ljust(48, b"\0")
    return (head + names + struct.pack("<Q14xH", timestamp, io_timeout_s)).ljust(512, b"\0")


class Volume(SimStore):
    """The shared storage, with a formatted lockspace and a free lease."""

    def __init__(self) -> None:
        super().__init__()
        self.add(PATH, max(extent.end for extent in extents(PARTS)))
        self.format_lockspace()
        self.format_lease()
        self.maintenance(True)

    def put(self, offset: int, data: bytes) -> None:
        self.volumes[PATH][offset : offset + len(data)] = data

    def format_lockspace(self) -> None:
        self.put(PARTS.lockspace.offset, (leader(HOST_ID_MAGIC) * MAX_HOSTS).ljust(MIB, b"\0"))

    def format_lease(self) -> None:
        self.put(PARTS.lease.offset, bytes(MIB))
        self.lease()

    def sector(self, host_id: int, data: bytes) -> None:
        self.put(PARTS.lockspace.offset + (host_id - 1) * 512, data)

    def joined(self, host_id: int, timestamp: int = 100, generation: int = 1) -> None:
        name = f"h{host_id}"
        self.sector(host_id, leader(HOST_ID_MAGIC, host_id, generation, timestamp, name))

    def lease(self, owner: int = 0, generation: int = 1, timestamp: int = 0) -> None:
        data = leader(LEASE_MAGIC, owner, generation, timestamp, "engine")
        self.put(PARTS.lease.offset, data)

    def held_by(self, host_id: int, generation: int = 1) -> None:
        self.lease(host_id, generation, timestamp=100)

    def maintenance(self, on: bool) -> None:
        self.put(slot_address(PARTS, 0).offset, encode_global(GlobalRecord(on)))

    def record(self, host_id: int, timestamp_s: int = 10, **more: Any) -> None:
        status = more.pop("engine_status", EngineStatus())
        name = more.pop("hostname", f"h{host_id}")
        record = HostRecord(host_id, timestamp_s, 3400, status, name, **more)
        self.put(slot_address(PARTS, host_id).offset, encode_host(record))

    def slot(self, host_id: int) -> Any:
        start = slot_address(PARTS, host_id).offset
        return decode_slot(host_id, bytes(self.volumes[PATH][start : start + 4096]))

    def area(self, offset: int, size: int = 4096) -> bytes:
        return bytes(self.volumes[PATH][offset : offset + size])


class Sanlock:
    """A `LockspaceAdmin` over the volume's bytes; what is done is written down in `log`."""

    def __init__(self, volume: Volume, log: list[str]) -> None:
        self.member: Optional[int] = None
        self.joining_for = 0
        self.pids: list[int] = []
        self.error: Optional[Exception] = None
        self.before_format: Callable[[], None] = lambda: None
        self._volume = volume
        self._log = log

    def holders(self) -> list[int]:
        self._fail()
        return self.pids

    def membership(self, host_id: int) -> Membership:
        self._fail()
        if self.joining_for:
            self.joining_for -= 1
            return Membership.JOINING
        return Membership.JOINED if self.member == host_id else Membership.OUT

    def leave_if_unused(self, host_id: int) -> bool:
        self._fail()
        if self.pids:
            return False
        self._log.append("leave")
        self.member = None
        self._volume.sector(host_id, leader(HOST_ID_MAGIC, host_id, 1, 0, f"h{host_id}"))
        return True

    def fire_timeout_s(self) -> int:
        return 60

    def format_lockspace(self, io_timeout_s: int) -> None:
        self.before_format()
        self._log.append(f"format lockspace {io_timeout_s}")
        self._volume.format_lockspace()

    def format_lease(self) -> None:
        self._log.append("format lease")
        self._volume.format_lease()

    def has_config_lease(self) -> bool:
        return bool(self._volume.area(config_lease_address(PARTS).offset).strip(b"\0"))

    def format_config_lease(self) -> None:
        assert not self.has_config_lease()
        self._log.append("format config lease")
        self._volume.put(config_lease_address(PARTS).offset, leader(LEASE_MAGIC))

    def read_lockspace(self) -> LockspaceOnStorage:
        return LockspaceOnStorage("hosted-engine", IO_S)

    def read_lease(self) -> LeaseOnStorage:
        return LeaseOnStorage("hosted-engine", "engine")

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


class Services:
    """systemd; `on_stop` is what else happens when services are stopped."""

    def __init__(self, log: list[str]) -> None:
        self.running: tuple[str, ...] = ()
        self.is_there = True
        self.connects_at_boot = False
        self.drop_in = ""
        self.on_stop: Callable[[], None] = lambda: None
        self._log = log

    def available(self) -> bool:
        return self.is_there

    def active(self) -> tuple[str, ...]:
        return self.running

    def start(self, units: tuple[str, ...]) -> None:
        self._log.append(f"start {' '.join(units)}")
        self.running = units

    def stop(self, units: tuple[str, ...]) -> None:
        if units:
            self._log.append(f"stop {' '.join(units)}")
            self.running = ()
            self.on_stop()

    def disable(self) -> None:
        self._log.append("disable")

    def enable(self) -> None:
        self._log.append("enable")

    def connect_at_boot(self, wanted: bool) -> None:
        if wanted != self.connects_at_boot:
            self._log.append(f"{'enable' if wanted else 'disable'} {STORAGE}")
        self.connects_at_boot = wanted

    def let_write(self, volumes: Iterable[str]) -> bool:
        wanted = write_drop_in(volumes)
        changed, self.drop_in = wanted != self.drop_in, wanted
        return changed


class Scene:
    """Host h1 (id 1), its cluster's volume, and a world that a test can change."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.said: list[str] = []
        self.volume = Volume()
        self.clock = VirtualClock()
        self.begun_s = self.clock.monotonic_s()
        self.sanlock = Sanlock(self.volume, self.log)
        self.services = Services(self.log)
        self.domain = DomainState.ABSENT
        self.libvirt_error = ""
        self.snapshot: Optional[Snapshot] = None
        self.on_reread: Callable[[], None] = lambda: None
        self.while_asleep: Callable[[], None] = lambda: None
        self.cluster: Optional[ClusterSettings] = ClusterSettings(
            timing=Timing(tick_s=TICK_S, io_timeout_s=IO_S)
        )
        self.settings = HostSettings(1, "h1", PARTS)
        self.asked_for: list[str] = []

    def world(self) -> DeployedHost:
        machine = environment(
            storage=self.volume,
            lockspaces=lambda _parts: self.sanlock,
            hypervisor=lambda _uri, name: _Libvirt(self, name),
            broker=lambda: self.snapshot,
            reread=self._reread,
            cluster_settings=lambda _parts: self.cluster,
            units=self.services,
            clock=self.clock,
            sleep=self._sleep,
            say=self.said.append,
        )
        return deployed_as(machine, self.settings)

    def with_broker(self, *hosts: HostView, **more: Any) -> None:
        """A broker that has joined; of this host sanlock says that it lives."""
        own = HostView(1, Liveness.LIVE, 1)
        snapshot = Snapshot(
            sequence=1,
            taken_at_s=self.clock.monotonic_s(),
            host_id=1,
            host_name="h1",
            started_at_s=0.0,
            lockspace=LockspaceView(Membership.JOINED, fire_timeout_s=60),
            hosts=(own, *hosts),
        )
        self.snapshot = replace(snapshot, **more)

    def slept_s(self) -> float:
        return self.clock.monotonic_s() - self.begun_s

    def _reread(self) -> None:
        self.log.append("reread")
        self.on_reread()

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.while_asleep()


class _Libvirt:
    """It knows one domain, by whatever name it is asked."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._scene = scene
        self._name = name

    def domain(self) -> Domain:
        self._scene.asked_for.append(self._name)
        if self._scene.libvirt_error:
            raise CommandError(self._scene.libvirt_error)
        return Domain(self._scene.domain)
