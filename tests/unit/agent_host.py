# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One agent in virtual time: the real core, the fakes, and a broker that tests arrange."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Optional

from ha_agent.agent import Agent
from ha_agent.ports import AgentPorts, BrokerLook
from ha_broker.api.client import BrokerGoneError
from ha_broker.api.monitors import MonitorView
from ha_broker.api.snapshot import (
    ConfigView,
    EngineView,
    HostView,
    LeaseState,
    LeaseView,
    LockspaceView,
    Publication,
    Snapshot,
    StorageView,
)
from metadata.domain_xml import lease_element
from metadata.layout import storage_parts
from metadata.liveness import Liveness
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from metadata.settings.parse import ClusterSettings, EngineSettings, HostSettings
from metadata.shared_config import SharedConfig
from metadata.states import State
from simulation.world import (
    InlineRunner,
    SimHistory,
    SimHypervisor,
    SimLockspace,
    SimSan,
    SimServiceManager,
    VirtualClock,
)
from world.ports.libvirt import DomainState
from world.ports.sanlock import Membership

PARTS = storage_parts("/shared/leases")
SETTINGS = ClusterSettings(engine=EngineSettings(health_url="http://engine/health"))
TICK_S = SETTINGS.timing.tick_s
HOST = HostSettings(host_id=1, host_name="h1", storage=PARTS)

UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
DOWN = EngineStatus(EngineVm.DOWN, Health.BAD, "unknown", "vm not running on this host")


def domain_xml(name: str = "HostedEngine", lease: Optional[str] = None) -> str:
    element = lease_element(PARTS) if lease is None else lease
    return f"<domain type='qemu'><name>{name}</name><devices>{element}</devices></domain>"


def host_view(host_id: int, score: int = 3400, **fields: Any) -> HostView:
    """A living, fresh host `h<id>` without the engine."""
    record_fields = {"engine_status": DOWN, "state": "EngineDown", **fields.pop("record", {})}
    record = HostRecord(
        host_id=host_id, timestamp_s=7, score=score, hostname=f"h{host_id}", **record_fields
    )
    view = HostView(host_id=host_id, liveness=Liveness.LIVE, record=record, fresh=True)
    return replace(view, **fields)


def network(answered: float, at_s: float) -> MonitorView:
    """The network monitor's word: this fraction of its probes was answered."""
    return MonitorView("network", value=answered, seen_at_s=at_s)


def snapshot(now_s: float, **fields: Any) -> Snapshot:
    """A broker that is content in every way, at `now_s`, with a free lease."""
    content: dict[str, Any] = {
        "sequence": 1,
        "taken_at_s": now_s,
        "host_id": 1,
        "host_name": "h1",
        "started_at_s": now_s - 1000,
        "storage": StorageView(last_read_at_s=now_s, last_write_at_s=now_s),
        "lockspace": LockspaceView(Membership.JOINED, fire_timeout_s=60),
        "lease": LeaseView(LeaseState.FREE, seen_at_s=now_s),
        "engine": EngineView(DomainState.ABSENT, seen_at_s=now_s),
        "monitors": (network(1.0, now_s),),
        "config": ConfigView(sequence=1),
        "hosts": (host_view(1),),
        "global_maintenance": False,
    }
    return Snapshot(**{**content, **fields})


class StubBroker:
    """A `BrokerPort` that looks at the fakes by itself; `override` changes its snapshots."""

    def __init__(self, clock: VirtualClock, lockspace: SimLockspace, vm: SimHypervisor) -> None:
        self.clock = clock
        self.lockspace = lockspace
        self.vm = vm
        self.gone = False
        self.health = Health.UNKNOWN
        self.health_detail = ""
        self.peers: tuple[HostView, ...] = ()
        self.override: dict[str, Any] = {}
        self.config = SharedConfig(1, SETTINGS, domain_xml())
        self.published: list[Publication] = []
        self.tried: list[str] = []  # addresses of other hosts' libvirts
        self.unreached: dict[str, str] = {}
        self.ended_for: list[str] = []  # why local maintenance was taken back, each time
        self.written_at_s: Optional[float] = None
        self._last = BrokerLook()

    def latest_snapshot(self) -> BrokerLook:
        if self.gone:
            self._last = replace(self._last, error="there is no broker")
        else:
            now_s = self.clock.monotonic_s()
            self._last = BrokerLook(self._snapshot(now_s), now_s)
        return self._last

    def publish(self, publication: Publication) -> None:
        self._need("publish")
        self.published.append(publication)
        self.written_at_s = self.clock.monotonic_s()

    def shared_config(self) -> SharedConfig:
        self._need("ask for the shared configuration")
        return self.config

    def end_local_maintenance(self, why: str) -> None:
        self._need("end local maintenance")
        self.ended_for.append(why)

    def not_reached_why(self, address: str) -> str:
        self.tried.append(address)
        return self.unreached.get(address, "")

    def _need(self, what: str) -> None:
        if self.gone:
            raise BrokerGoneError(what, "there is no broker", 2)

    def _snapshot(self, now_s: float) -> Snapshot:
        fields: dict[str, Any] = {
            "storage": StorageView(last_read_at_s=now_s, last_write_at_s=self.written_at_s),
            "lease": self._lease(now_s),
            "engine": self._engine(now_s),
            "config": ConfigView(sequence=self.config.sequence),
            "hosts": (host_view(1), *self.peers),
        }
        return snapshot(now_s, **{**fields, **self.override})

    def _lease(self, now_s: float) -> LeaseView:
        owner = self.lockspace.san.lease
        slot = None if owner is None else self.lockspace.san.slots.get(owner.host_id)
        # A host that joined anew (a higher generation) holds nothing of its earlier life.
        if owner is None or (slot is not None and slot.generation > owner.generation):
            return LeaseView(LeaseState.FREE, seen_at_s=now_s)
        return LeaseView(LeaseState.HELD, owner.host_id, now_s)

    def _engine(self, now_s: float) -> EngineView:
        # Not by asking: a test may make the asking slow.
        state = DomainState.UNKNOWN if self.vm._gone else self.vm._domain.state
        health = self.health if state is DomainState.RUNNING else Health.UNKNOWN
        return EngineView(state, health, self.health_detail, now_s)


class AgentHost:
    """Host 1 of a cluster: everything around one agent, which `restart_agent` replaces."""

    def __init__(self, has_lock_manager: bool = True) -> None:
        self.clock = VirtualClock()
        self.runner = InlineRunner(self.clock)
        self.san = SimSan(self.clock)
        self.lockspace = SimLockspace(self.san, "h1")
        self.lockspace.join(1, 10)
        self.vm = SimHypervisor(self.lockspace, has_lock_manager)
        self.broker = StubBroker(self.clock, self.lockspace, self.vm)
        self.services = SimServiceManager()
        self.history = SimHistory()
        self.states: list[State] = []
        self.agent = self._new_agent()
        self.vm.on_change(self._domain_changed)

    def _new_agent(self) -> Agent:
        ports = AgentPorts(
            self.clock,
            self.runner,
            self.vm,
            self.lockspace,
            self.broker,
            self.services,
            self.history,
        )
        return Agent(ports, HOST)

    def restart_agent(self) -> None:
        """The process was killed: nothing of the old one is left, its jobs included."""
        self.runner = InlineRunner(self.clock)
        self.agent = self._new_agent()

    @property
    def state(self) -> State:
        return self.agent.memory.state

    def settle(self) -> State:
        """Tick as often as ended jobs would wake the loop, without letting time pass."""
        for _ in range(6):
            jobs, now_s = len(self.runner.submitted), self.clock.monotonic_s()
            self.agent.tick()
            self._note_state()
            if len(self.runner.submitted) == jobs and self.agent.next_due_s > now_s:
                break
        return self.state

    def run_for(self, seconds: float, step_s: float = 1.0) -> State:
        """Let time pass."""
        end_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < end_s:
            self.clock.advance(min(step_s, end_s - self.clock.monotonic_s()))
            self.settle()
        return self.state

    def run_until(self, condition: Callable[[], bool], limit_s: float = 60.0) -> float:
        """Let time pass until `condition`; returns the seconds it took."""
        begun_s = self.clock.monotonic_s()
        while not condition():
            passed_s = self.clock.monotonic_s() - begun_s
            assert passed_s < limit_s, f"still {self.state.value} after {passed_s} s"
            self.run_for(1.0)
        return self.clock.monotonic_s() - begun_s

    def bring_engine_up(self) -> None:
        self.settle()
        self.broker.health = Health.GOOD
        self.run_until(lambda: self.state is State.ENGINE_UP)
        self.vm.calls.clear()

    def last_published(self) -> Publication:
        return self.broker.published[-1]

    def another_host_takes_the_lease(self) -> SimLockspace:
        other = SimLockspace(self.san, "h2")
        other.join(2, 10)
        other.acquire(9001)
        self.broker.peers = (host_view(2, record={"engine_status": UP, "state": "EngineUp"}),)
        return other

    def _domain_changed(self) -> None:
        self.agent.domain_changed()

    def _note_state(self) -> None:
        if not self.states or self.states[-1] is not self.state:
            self.states.append(self.state)
