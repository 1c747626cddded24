# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host with a broker, services, sanlock and libvirt as the storage's commands meet them."""

from __future__ import annotations

import math
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
    extents,
    slot_address,
    storage_parts,
)
from metadata.liveness import Liveness
from metadata.records import EngineStatus, EngineVm, GlobalRecord, Health, HostRecord
from metadata.sanlock_disk import HOST_ID_MAGIC, LEASE_MAGIC
from metadata.settings.parse import ClusterSettings, HostSettings, Timing
from metadata.storage_parts import StorageParts
from metadata.wire import decode_slot, encode_global, encode_host
from simulation.world import (
    SanlockSectors,
    SimHypervisor,
    SimLockspace,
    SimSan,
    SimStore,
    VirtualClock,
    leader_record,
)
from tests.unit.command_environment import environment
from world.ports.errors import LockspaceError
from world.ports.libvirt import Domain, DomainState
from world.ports.sanlock import Membership

PATH = "/shared/leases"
PARTS = storage_parts(PATH)
IO_S = 2
TICK_S = 5.0
BOTH = (BROKER, AGENT)
UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
FLOOR_S = 8 * IO_S + 60


def leader(magic: int, *owner: int, resource: str = "", io_timeout_s: int = IO_S) -> bytes:
    """One of sanlock's sectors: the owner's id, generation and timestamp (0 is free)."""
    return leader_record(magic, *owner, resource=resource, io_timeout_s=io_timeout_s)


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
        owner = host_id, generation, timestamp
        self.sector(host_id, leader(HOST_ID_MAGIC, *owner, resource=name))

    def lease(self, owner: int = 0, generation: int = 1, timestamp: int = 0) -> None:
        data = leader(LEASE_MAGIC, owner, generation, timestamp, resource="engine")
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
        self.before_call("look at an area")
        return bytes(self.volumes[PATH][offset : offset + size])


class Sanlock(SimLockspace):
    """This host's daemon, on the bytes of a volume; what it changes there is written down in `log`.

    `refuses` maps host ids to the errno of their join. `before_format` is called before the
    lockspace is formatted, `on_join` before a join; `error` is raised by every call.
    """

    def __init__(
        self, volume: SimStore, parts: StorageParts, clock: VirtualClock, name: str, log: list[str]
    ) -> None:
        super().__init__(SimSan(clock), name)
        self.error: Optional[Exception] = None
        self.refuses: dict[int, int] = {}
        self.on_join: Callable[[int], None] = lambda _host_id: None
        self.before_format: Callable[[], None] = lambda: None
        self.sectors = SanlockSectors(self.san, volume, parts)
        self.before_call = self._called
        volume.before_call = lambda _what: self.sectors.sync()
        self._log = log

    @property
    def member(self) -> Optional[int]:
        """The host id with which it has joined or is joining."""
        return self._space.host_id if self._space else None

    def begin_join(self, host_id: int, takes_s: float) -> None:
        """Somebody else has it join, for so long."""
        self._clock.begin_job()
        super().join(host_id, math.ceil(takes_s / 2.5))
        self._clock.end_job()

    def join(self, host_id: int, io_timeout_s: int) -> None:
        self.on_join(host_id)
        if host_id in self.refuses:
            raise LockspaceError("join", "refused", self.refuses[host_id])
        super().join(host_id, io_timeout_s)

    def _called(self, what: str) -> None:
        if self.error is not None:
            raise self.error
        self.sectors.sync()
        if what == "format the lockspace":
            self.before_format()
            self.sectors.sync()
        if what.startswith(("format", "leave")):
            self._log.append(what)


class Services:
    """systemd; `on_stop` is what else happens when services are stopped."""

    def __init__(self, log: list[str]) -> None:
        self.running: tuple[str, ...] = ()
        self.ovirts: tuple[str, ...] = ()
        self.is_there = True
        self.connects_at_boot = False
        self.drop_in = ""
        self.on_stop: Callable[[], None] = lambda: None
        self._log = log

    def available(self) -> bool:
        return self.is_there

    def active(self) -> tuple[str, ...]:
        return self.running

    def of_ovirt(self) -> tuple[str, ...]:
        return self.ovirts

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
        self.sanlock = Sanlock(self.volume, PARTS, self.clock, "h1", self.log)
        self.services = Services(self.log)
        self.vm = SimHypervisor(self.sanlock)
        self.vm.before_call = self._ask_libvirt
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
            hypervisor=self._libvirt_of,
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

    def join(self) -> None:
        """This host is a member of the lockspace, and has been for a while."""
        self.sanlock.join(1, IO_S)
        self.begun_s = self.clock.monotonic_s()

    def slept_s(self) -> float:
        return self.clock.monotonic_s() - self.begun_s

    @property
    def domain(self) -> DomainState:
        """The engine's VM here."""
        return self.vm.domain().state

    @domain.setter
    def domain(self, state: DomainState) -> None:
        self.vm.set_domain(Domain(state))

    def _libvirt_of(self, _uri: str, name: str) -> SimHypervisor:
        self.asked_for.append(name)
        return self.vm

    def _ask_libvirt(self, _what: str) -> None:
        if self.libvirt_error:
            raise CommandError(self.libvirt_error)

    def _reread(self) -> None:
        self.log.append("reread")
        self.on_reread()

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.while_asleep()
