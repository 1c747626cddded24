# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Two kinds of cluster with one set of verbs: in virtual time, and with real daemons.

Both have three hosts h1, h2 and h3, and `twin`: another daemon with the name of h1.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, Callable, Optional, Protocol

import pytest

from metadata.layout import (
    MAX_HOSTS,
    config_lease_address,
    required_size,
    sanlock_align,
    storage_parts,
)
from metadata.liveness import Liveness
from metadata.records import VolumeAddress
from metadata.sanlock_disk import LeaderRecord, parse_record
from metadata.storage_parts import StorageParts
from simulation.world import (
    InlineRunner,
    SanlockSectors,
    SimLockspace,
    SimSan,
    SimStore,
    VirtualClock,
)
from tests.contract.places import TIME_FACTOR, direct_io_directory
from tests.contract.sanlock_hosts import (
    Binding,
    GuardedVolume,
    SanlockHost,
    Talker,
    need_sanlock,
)
from tests.contract.standing_clock import StandingClock, need_compiler
from world.ports.errors import LockspaceError

IO_TIMEOUT_S = 1


class Elsewhere(Enum):
    """Where another lease lies that has the names of the engine's."""

    OTHER_OFFSET = "the same volume, another offset"
    OTHER_PATH = "another volume, the same offset"


class Join(Protocol):
    """A join under way."""

    def finish(self) -> None:
        """Wait for its end; raises what it raised."""


class Host(Protocol):
    """One host of a cluster."""

    def call(self, method: str, *arguments: object) -> Any:
        """A method of `LockspaceAdmin`."""

    def begin_join(self, host_id: int) -> Join: ...

    def acquire(self) -> int: ...

    def format_elsewhere(self, where: Elsewhere) -> None:
        """Another lease, with the names of the engine's."""

    def acquire_elsewhere(self, where: Elsewhere) -> int:
        """As `acquire`, but that other lease."""

    def acquire_by_link(self) -> int:
        """As `acquire`, by another path to the same place."""

    def release(self, pid: int) -> None: ...

    def is_killed(self, pid: int) -> bool: ...

    def kill_daemon(self) -> None: ...

    def start_daemon(self) -> None: ...

    def end_callers(self) -> None:
        """The processes die that called this host's methods."""

    def fall_asleep(self) -> None:
        """Everything of this host stops, its monotonic clock too."""

    def wake(self) -> None:
        """All of it goes on, as if no time had passed."""


class Cluster(Protocol):
    """The hosts and their time."""

    def host(self, name: str) -> Host: ...

    def now_s(self) -> float: ...

    def pause(self, seconds: float) -> None: ...

    def stored(self) -> Stored:
        """What stands on the storage now."""


@dataclass(frozen=True)
class Stored:
    """sanlock's records on the storage: of the host ids that were ever used, and of the leases."""

    hosts: dict[int, LeaderRecord]
    lease: Optional[LeaderRecord]
    config_lease: Optional[LeaderRecord]

    @classmethod
    def of(cls, parts: StorageParts, read: Callable[[VolumeAddress, int], bytes]) -> Stored:
        """From the bytes that `read` gives."""
        size = parts.sector_size
        area = read(parts.lockspace, MAX_HOSTS * size)
        sectors = [area[start : start + size] for start in range(0, len(area), size)]
        hosts = {number: parse_record(data) for number, data in enumerate(sectors, start=1)}
        return cls(
            {number: record for number, record in hosts.items() if record and record.generation},
            parse_record(read(parts.lease, size)),
            parse_record(read(config_lease_address(parts), size)),
        )


def wait_for(cluster: Cluster, condition: Callable[[], bool], timeout_s: float) -> float:
    """Wait until `condition` holds; returns the seconds it took (unscaled by the factor)."""
    begun_s = cluster.now_s()
    while not condition():
        assert cluster.now_s() - begun_s < timeout_s * TIME_FACTOR, f"not within {timeout_s} s"
        cluster.pause(0.1)
    return cluster.now_s() - begun_s


def joined(cluster: Cluster, *names: str) -> list[Host]:
    """These hosts, joined with the ids 1, 2, ... at the same time."""
    hosts = [cluster.host(name) for name in names]
    joins = [host.begin_join(number) for number, host in enumerate(hosts, start=1)]
    for join in joins:
        join.finish()
    return hosts


def failure(call: Callable[[], object]) -> LockspaceError:
    with pytest.raises(LockspaceError) as caught:
        call()
    return caught.value


def liveness(host: Host, host_id: int) -> Optional[Liveness]:
    seen = {other.host_id: other.liveness for other in host.call("hosts")}
    return seen.get(host_id)


# --- in virtual time ----------------------------------------------------------------------


class FakeCluster:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.san = SimSan(self.clock, formatted=False)
        self.parts = storage_parts("/volume")
        self.store = SimStore()
        self.store.add("/volume", required_size(self.parts))
        self.sectors = SanlockSectors(self.san, self.store, self.parts)
        self._hosts: dict[str, FakeHost] = {}

    def host(self, name: str) -> FakeHost:
        if name not in self._hosts:
            self._hosts[name] = FakeHost(self.san, "h1" if name == "twin" else name)
        return self._hosts[name]

    def now_s(self) -> float:
        return self.clock.monotonic_s()

    def pause(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def stored(self) -> Stored:
        self.sectors.sync()
        volume = self.store.volumes["/volume"]
        return Stored.of(self.parts, lambda place, size: volume[place.offset : place.offset + size])


class FakeHost:
    def __init__(self, san: SimSan, name: str) -> None:
        self._lockspace = SimLockspace(san, name)
        self._clock = san.clock
        self._pids = iter(range(5000, 6000))
        self._killed: set[int] = set()
        self._lockspace.on_kill(self._killed.add)
        self.kill_daemon = self._lockspace.kill_daemon
        self.start_daemon = self._lockspace.start_daemon
        self.release = self._lockspace.release
        self.end_callers = self._lockspace.drop_config_lease
        self.fall_asleep = self._lockspace.suspend
        self.wake = self._lockspace.resume

    def call(self, method: str, *arguments: object) -> Any:
        return getattr(self._lockspace, method)(*arguments)

    def begin_join(self, host_id: int) -> FakeJoin:
        return FakeJoin(self._clock, lambda: self._lockspace.join(host_id, IO_TIMEOUT_S))

    def acquire(self) -> int:
        pid = next(self._pids)
        self._lockspace.registered.add(pid)
        self._lockspace.acquire(pid)
        return pid

    def format_elsewhere(self, where: Elsewhere) -> None:
        """Nothing is needed for it."""

    def acquire_by_link(self) -> int:
        return self.acquire()

    def acquire_elsewhere(self, where: Elsewhere) -> int:
        pid = next(self._pids)
        self._lockspace.elsewhere.add(pid)
        self._lockspace.acquire(pid)
        return pid

    def is_killed(self, pid: int) -> bool:
        return pid in self._killed


class FakeJoin:
    def __init__(self, clock: VirtualClock, join: Callable[[], None]) -> None:
        self._clock = clock
        self._runner = InlineRunner(clock)
        self._runner.submit("join", join)

    def finish(self) -> None:
        while not (outcomes := self._runner.poll()):
            self._clock.advance(0.1)
        if outcomes[0].error is not None:
            raise outcomes[0].error


# --- with real daemons --------------------------------------------------------------------


class CancelledError(Exception):
    """Nobody waits for this cluster any more."""


class RealCluster:
    """`sleeping`: its hosts have clocks that can stand still, and can fall asleep."""

    def __init__(
        self,
        directory: Path,
        volume: GuardedVolume,
        cancelled: threading.Event,
        sleeping: bool,
        binding: Binding,
    ) -> None:
        self._binding = binding
        self._cancelled = cancelled
        self._directory = directory
        self._volume = volume
        self._sleeping = sleeping
        self._hosts: dict[str, RealHost] = {}

    def host(self, name: str) -> RealHost:
        if name not in self._hosts:
            real_name = "h1" if name == "twin" else name
            clock = StandingClock(self._directory / f"{name}-clock") if self._sleeping else None
            self._hosts[name] = RealHost(
                self._directory / name, real_name, self._volume.parts, clock, self._binding
            )
        return self._hosts[name]

    def now_s(self) -> float:
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        if self._cancelled.wait(seconds):
            raise CancelledError

    def stored(self) -> Stored:
        return Stored.of(self._volume.parts, self._volume.read)

    def close(self) -> None:
        for host in self._hosts.values():
            host.close()


class RealHost(SanlockHost):
    def begin_join(self, host_id: int) -> RealJoin:
        """In a second process, so that the host can be asked meanwhile."""
        return RealJoin(self.new_talker(), host_id)

    def format_elsewhere(self, where: Elsewhere) -> None:
        place = self._elsewhere(where)
        if where is Elsewhere.OTHER_PATH:
            with Path(place.path).open("wb") as file:
                file.truncate(place.offset + sanlock_align(self._parts.sector_size))
        talker = Talker(self._directory, replace(self._parts, lease=place), self.binding)
        try:
            talker.call("format_lease")
        finally:
            talker.close()

    def acquire_elsewhere(self, where: Elsewhere) -> int:
        return self._acquire_at(self._elsewhere(where))

    def acquire_by_link(self) -> int:
        link = self._directory / "link"
        link.symlink_to(self._parts.lease.path)
        return self._acquire_at(replace(self._parts.lease, path=str(link)))

    def _acquire_at(self, place: VolumeAddress) -> int:
        parts, self._parts = self._parts, replace(self._parts, lease=place)
        try:
            return self.acquire()
        finally:
            self._parts = parts

    def _elsewhere(self, where: Elsewhere) -> VolumeAddress:
        if where is Elsewhere.OTHER_OFFSET:
            return config_lease_address(self._parts)
        return replace(self._parts.lease, path=str(self._directory / "other-volume"))


class RealJoin:
    def __init__(self, talker: Talker, host_id: int) -> None:
        self._error: Optional[Exception] = None
        self._talker = talker
        self._thread = threading.Thread(target=self._join, args=(host_id,))
        self._thread.start()

    def finish(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _join(self, host_id: int) -> None:
        try:
            self._talker.call("join", host_id, IO_TIMEOUT_S)
        except Exception as error:  # handed on by finish
            self._error = error
        finally:
            self._talker.close()


@contextmanager
def fake_cluster() -> Iterator[Cluster]:
    yield FakeCluster()


@contextmanager
def real_cluster(
    cancelled: Optional[threading.Event] = None,
    sector_size: int = 512,
    sleeping: bool = False,
    binding: Binding = Binding.PYTHON,
) -> Iterator[Cluster]:
    need_sanlock(binding)
    if sleeping:
        need_compiler()
    with direct_io_directory() as directory:
        volume = GuardedVolume(directory / "volume", sector_size)
        cluster = RealCluster(directory, volume, cancelled or threading.Event(), sleeping, binding)
        try:
            yield cluster
        finally:
            cluster.close()
        volume.check_guards()
