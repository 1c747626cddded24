# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One host of a cluster of up to 2000, in virtual time: its two daemons, and what joins them.

Real are: the slots (a file, read and written with direct I/O), the adapter of sanlock (over a
stand-in for its module), the cores of both daemons, and the way between them: the broker's API
on a unix socket, the agent's client and its watch. Everything that a daemon does is metered, its
jobs too.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from ha_agent.agent import Agent
from ha_agent.history.store import FileHistory
from ha_agent.observation.broker_poller import BrokerWatch
from ha_agent.ports import AgentPorts, BrokerLook
from ha_broker.api.lean_client import LeanClient
from ha_broker.api.snapshot import Publication
from ha_broker.broker import Broker
from ha_broker.cycle.part import BrokerPorts
from ha_broker.server.http_server import ApiServer
from ha_broker.server.routes import Api
from metadata.domain_xml import lease_element
from metadata.host_notes import BOOT, FIRE_TIMEOUT, HARDWARE, MACHINE
from metadata.layout import SLOT_SIZE, required_size, slot_address, storage_parts
from metadata.records import (
    EngineStatus,
    EngineVm,
    Health,
    HostRecord,
    VolumeAddress,
)
from metadata.settings.parse import ClusterSettings, EngineSettings, HostSettings, Timing
from metadata.shared_config import SharedConfig, copy_offset, encode_copy
from metadata.wire import encode_host
from simulation.world import (
    SimHealthPage,
    SimHypervisor,
    SimLockspace,
    SimNetworkProbe,
    SimNotificationSender,
    SimPostOffice,
    SimSan,
    SimServiceManager,
    SimVitals,
    VirtualClock,
)
from tests.bench.cluster import JobRunner, Meter
from tests.bench.stub_sanlock import FIRE_TIMEOUT_S, LEASE_OWNER_ID, StubLockspace, StubSanlock
from world.storage.direct_store import DirectStore

TICK_S = 5.0
UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
DOWN = EngineStatus(EngineVm.DOWN, Health.BAD, "Down", "vm not running on this host")
SETTLE_TICKS = 8
MOST_TURNS = 100
SHARE_CHANGED = 0.05
# A record that changes each 20th tick is fresh all the time.
ALIVE_S = 120.0


def wall_time(at_s: float) -> str:
    """As the agents write it into their slots."""
    return time.asctime(time.gmtime(1_700_000_000 + at_s))


def peer_record(host_id: int, timestamp_s: int, score: int = 3400) -> HostRecord:
    """What the agent of another host has written, with all the notes that are usual."""
    runs = host_id == LEASE_OWNER_ID
    return HostRecord(
        host_id,
        timestamp_s,
        score,
        UP if runs else DOWN,
        f"host-{host_id:04}.example.org",
        state="EngineUp" if runs else "EngineDown",
        wall_time=wall_time(timestamp_s),
        vm_conf_refresh_s=1000,
        vm_conf_refresh_wall_time=wall_time(1000),
        notes=(
            ("global-maintenance", "False"),
            ("config-version", "1"),
            (MACHINE, f"{host_id:012x}"),
            (HARDWARE, f"{host_id:012x}"),
            (BOOT, f"{host_id:012x}"),
            (FIRE_TIMEOUT, str(FIRE_TIMEOUT_S)),
            ("why", "the engine is healthy" if runs else "the engine runs on another host"),
        ),
    )


def slot_bytes(host_id: int, timestamp_s: int, score: int = 3400) -> bytes:
    """The same as it stands on the storage."""
    return encode_host(peer_record(host_id, timestamp_s, score))


class Volume:
    """The shared storage, and all hosts but host 1 that write there."""

    def __init__(self, directory: Path, hosts: int, url: str = "http://engine/health") -> None:
        self.parts = storage_parts(str(directory / "leases"))
        self.hosts = hosts
        self.settings = ClusterSettings(
            engine=EngineSettings(health_url=url),
            timing=Timing(tick_s=TICK_S, alive_s=ALIVE_S),
        )
        lease = lease_element(self.parts)
        xml = f"<domain><name>HostedEngine</name><devices>{lease}</devices></domain>"
        self.config = SharedConfig(1, self.settings, xml)
        self._store = DirectStore()
        with Path(self.parts.metadata.path).open("wb") as file:
            file.truncate(required_size(self.parts))
        place = self.parts.shared_config
        copy = encode_copy(self.config)
        padded = copy.ljust(-(-len(copy) // 4096) * 4096, b"\0")
        self._store.write(VolumeAddress(place.path, place.offset + copy_offset(1)), padded)
        self._store.write(slot_address(self.parts, 0), b"maintenance=0".ljust(SLOT_SIZE, b"\0"))

    def write_all(self, timestamp_s: int, score: int = 3400) -> None:
        """Every other host writes its record."""
        if self.hosts > 1:
            ids = range(2, self.hosts + 1)
            data = b"".join(slot_bytes(one, timestamp_s, score) for one in ids)
            self._store.write(slot_address(self.parts, 2), data)

    def write_share(self, tick: int, timestamp_s: int, share: float) -> None:
        """So many of the others, each tick the next ones."""
        turns = round(1 / share)
        self.write_some(range(2 + tick % turns, self.hosts + 1, turns), timestamp_s)

    def write_some(self, ids: Iterable[int], timestamp_s: int) -> None:
        """These of the others."""
        for host_id in ids:
            data = slot_bytes(host_id, timestamp_s)
            self._store.write(slot_address(self.parts, host_id), data)

    def close(self) -> None:
        self._store.close()


class CountingStore(DirectStore):
    """Counts the bytes that are read."""

    bytes_read = 0

    def read(self, address: VolumeAddress, size: int) -> bytes:
        self.bytes_read += size
        return super().read(address, size)


@dataclass(frozen=True)
class Cost:
    """CPU milliseconds of one tick's time of 5 s."""

    broker_ms: float
    exchange_ms: float
    agent_ms: float

    @property
    def all_ms(self) -> float:
        return self.broker_ms + self.exchange_ms + self.agent_ms


class ScaleHost:
    """Host 1 of `hosts`: its daemons' cores, metered."""

    def __init__(self, directory: Path, hosts: int) -> None:
        self.volume = Volume(directory, hosts)
        self.clock = VirtualClock()
        self.sanlock = StubSanlock(hosts, self.clock.monotonic_s)
        self.broker_meter, self.agent_meter, self.exchange_meter = Meter(), Meter(), Meter()
        self.store = CountingStore()
        self._broker_runner = JobRunner(self.clock, self.broker_meter, self._wake_broker)
        self._agent_runner = JobRunner(self.clock, self.agent_meter, self._wake_agent)
        self._broker_due_s = self._agent_due_s = self._poll_due_s = 0.0
        self._published_ns = 0
        self._settings = HostSettings(1, "host-0001.example.org", self.volume.parts, gateway="gw")
        self._vm = SimHypervisor(SimLockspace(SimSan(self.clock), "h1"))
        self.broker = Broker(self._ports(), self._settings, str(directory), self._wake_broker)
        self._join_daemons(directory)
        self.agent = self._make_agent(directory)

    def _ports(self) -> BrokerPorts:
        return BrokerPorts(
            clock=self.clock,
            runner=self._broker_runner,
            store=self.store,
            lockspace=StubLockspace(self.volume.parts, self.store),
            hypervisor=lambda _name: self._vm,
            health_page=SimHealthPage(),
            network=SimNetworkProbe(),
            vitals=SimVitals(self.clock),
            notification_sender=SimNotificationSender(self.clock, SimPostOffice()),
            services=SimServiceManager(),
        )

    def _join_daemons(self, directory: Path) -> None:
        path = str(directory / "broker.sock")
        # The next look comes in virtual time: nobody can wait for it here.
        api = Api(self.broker.mailbox, self.clock.monotonic_s, look_within_s=0.0)
        self._server = ApiServer(path, api.answer)
        self._server.start()
        self._client = LeanClient(path, 60.0)
        self.watch = BrokerWatch(self._client, self.clock, self._wake_agent, wait_s=0.0)

    def _make_agent(self, directory: Path) -> Agent:
        ports = AgentPorts(
            self.clock,
            self._agent_runner,
            self._vm,
            StubLockspace(self.volume.parts, self.store),
            self,
            SimServiceManager(),
            FileHistory(str(directory / "history")),
        )
        return Agent(ports, self._settings)

    def close(self) -> None:
        self._client.close()
        self._server.stop()
        self.store.close()
        self.volume.close()

    # --- BrokerPort -------------------------------------------------------------------

    def latest_snapshot(self) -> BrokerLook:
        return self.watch.latest_snapshot()

    def publish(self, publication: Publication) -> None:
        """The job of an agent that goes by what goes on between the two."""
        before_ns = self.exchange_meter.tick_ns
        self.exchange_meter.tick(lambda: self.watch.publish(publication))
        self._published_ns += self.exchange_meter.tick_ns - before_ns

    def shared_config(self) -> SharedConfig:
        return self.volume.config

    def not_reached_why(self, address: str) -> str:
        """Nothing moves here."""
        return self.watch.not_reached_why(address)

    # --- the loops --------------------------------------------------------------------

    def _wake_broker(self) -> None:
        self._broker_due_s = 0.0

    def _wake_agent(self) -> None:
        self._agent_due_s = 0.0

    def _tick_broker(self) -> None:
        self._broker_due_s = float("inf")  # a wake during the tick counts
        before = self.broker.mailbox.snapshot().sequence
        due_s = self.broker_meter.tick(self.broker.tick)
        assert isinstance(due_s, float)
        self._broker_due_s = min(self._broker_due_s, due_s)
        if self.broker.mailbox.snapshot().sequence != before:
            self._poll_due_s = 0.0

    def _poll(self) -> None:
        """The agent's watch asks when there is news, or else each tick, if no record's answer
        brings it."""
        self._poll_due_s = self.clock.monotonic_s() + TICK_S
        if self._client.told_by_records and not self._has_news():
            return
        self.exchange_meter.tick(self.watch.poll_once)
        assert not self.watch.latest_snapshot().error, self.watch.latest_snapshot().error

    def _has_news(self) -> bool:
        known = self.watch.latest_snapshot().snapshot
        return known is None or known.sequence != self.broker.mailbox.snapshot().sequence

    def _tick_agent(self) -> None:
        self._agent_due_s = float("inf")
        self.agent_meter.tick(self.agent.tick)
        self._agent_due_s = min(self._agent_due_s, self.agent.next_due_s)

    def _turn(self) -> bool:
        """Do what is due; was there anything?"""
        now_s = self.clock.monotonic_s()
        broker_due = min(self._broker_due_s, self._broker_runner.next_end_s()) <= now_s
        if broker_due:
            self._tick_broker()
        poll_due = self._poll_due_s <= now_s
        if poll_due:
            self._poll()
        agent_due = min(self._agent_due_s, self._agent_runner.next_end_s()) <= now_s
        if agent_due:
            self._tick_agent()
        return broker_due or poll_due or agent_due

    def _next_due_s(self) -> float:
        ends_s = self._broker_runner.next_end_s(), self._agent_runner.next_end_s()
        return min(self._broker_due_s, self._agent_due_s, self._poll_due_s, *ends_s)

    def run(self, seconds: float) -> None:
        """Let the daemons do what they do in that time."""
        end_s = self.clock.monotonic_s() + seconds
        self._settle()
        while self.clock.monotonic_s() < end_s:
            # A daemon's loop does not spin either, whatever a part says is due.
            due_s = max(self._next_due_s(), self.clock.monotonic_s() + 0.02)
            self.clock.advance(min(due_s, end_s) - self.clock.monotonic_s())
            self._settle()

    def _settle(self) -> None:
        for _ in range(MOST_TURNS):
            if not self._turn():
                return
        raise AssertionError("a daemon spins")

    # --- what is measured ---------------------------------------------------------------

    def settle_down(self) -> None:
        """Until every host is known and nothing changes any more; raises AssertionError."""
        for _ in range(SETTLE_TICKS):
            self.write_all()
            self.run(TICK_S)
        snapshot = self.broker.mailbox.snapshot()
        fresh = sum(view.fresh for view in snapshot.hosts)
        assert fresh == self.volume.hosts, (fresh, snapshot.storage, snapshot.lockspace)
        assert self.agent.memory.state.value == "EngineDown", self.agent.memory

    def write_all(self, score: int = 3400) -> None:
        """All other hosts write their record anew."""
        self.volume.write_all(int(self.clock.monotonic_s()), score)

    def write_share(self, tick: int) -> None:
        """One in twenty of the others does."""
        self.volume.write_share(tick, int(self.clock.monotonic_s()), SHARE_CHANGED)

    def cost_of_a_tick(self, others: Callable[[], None]) -> Cost:
        """What the daemons spend in 5 s after `others` have written."""
        others()
        before = self._spent_ns()
        self.run(TICK_S)
        broker, exchange, agent = (
            (after - former) / 1e6 for after, former in zip(self._spent_ns(), before)
        )
        return Cost(broker, exchange, agent)

    def _spent_ns(self) -> tuple[int, int, int]:
        broker, exchange, agent = (
            meter.tick_ns + meter.job_ns
            for meter in (self.broker_meter, self.exchange_meter, self.agent_meter)
        )
        # Records are handed over in the agent's jobs.
        return broker, exchange, agent - self._published_ns


@contextlib.contextmanager
def scale_host(directory: Path, hosts: int) -> Iterator[ScaleHost]:
    """Settled down; its files are in `directory`, on which direct I/O must be possible."""
    directory.mkdir()
    host = ScaleHost(directory, hosts)
    try:
        with host.sanlock.installed():
            host.settle_down()
            yield host
    finally:
        host.close()
