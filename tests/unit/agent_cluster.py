"""Three whole hosts in virtual time: real brokers and real agents over the fakes."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Optional

from ha_agent.agent import Agent
from ha_agent.ports import AgentPorts, BrokerLook
from ha_broker.api.client import BrokerGoneError, BrokerRefusedError
from ha_broker.api.snapshot import Publication
from metadata.domain_xml import lease_element
from metadata.shared_config import SharedConfig
from metadata.states import State
from simulation.world import InlineRunner, SimServiceManager
from tests.unit.broker_host import PARTS, SETTINGS, Cluster, Host
from world.ports.libvirt import DomainState

XML = f"<domain><name>HostedEngine</name><devices>{lease_element(PARTS)}</devices></domain>"
BOOT_S = 20.0
STEP_S = 0.5


class FullHost:
    """A host with a broker and an agent; `power` off stops both and everything below them."""

    def __init__(self, cluster: FullCluster, host_id: int, directory: Path) -> None:
        self.cluster = cluster
        self.clock = cluster.base.clock
        self.power = True
        self.broker_runs = True
        self.agent_runs = True
        self.base: Host = cluster.base.host(host_id, directory)
        self.vm = self.base.hypervisor
        self._pid: Optional[int] = None
        self._pid_since_s = 0.0
        self._last = BrokerLook()
        self.vm.on_change(self._domain_changed)
        self.start_agent()

    @property
    def name(self) -> str:
        return self.base.name

    @property
    def state(self) -> State:
        return self.agent.memory.state

    @property
    def vm_runs(self) -> bool:
        return self.vm._domain.state is DomainState.RUNNING

    @property
    def shows_page(self) -> bool:
        """Has the engine booted here?"""
        age_s = self.clock.monotonic_s() - self._pid_since_s
        return self.power and self.vm_runs and age_s >= BOOT_S

    # --- BrokerPort -------------------------------------------------------------------

    def latest_snapshot(self) -> BrokerLook:
        if self.broker_runs:
            self._last = BrokerLook(self.base.snapshot, self.clock.monotonic_s())
        else:
            self._last = BrokerLook(self._last.snapshot, self._last.received_at_s, "gone")
        return self._last

    def publish(self, publication: Publication) -> None:
        if not self.broker_runs:
            raise BrokerGoneError("publish", "there is no broker", 2)
        self.base.broker.desk.publish(publication)

    def shared_config(self) -> SharedConfig:
        config = self.base.broker.desk.config()
        if config is None:
            raise BrokerRefusedError("ask for the configuration", 503, "not read yet")
        return config

    # --- what may happen --------------------------------------------------------------

    def start_agent(self) -> None:
        """A new agent process."""
        self.runner = InlineRunner(self.clock)
        ports = AgentPorts(
            self.clock, self.runner, self.vm, self.base.lockspace, self, SimServiceManager()
        )
        self.agent = Agent(ports, self.base.settings)

    def start_broker(self) -> None:
        """A new broker process."""
        self.base.start()
        self.broker_runs = True

    def power_off(self) -> None:
        self.power = False
        self.base.lockspace.power_off()

    def power_on(self) -> None:
        self.power = True
        self.base.lockspace.power_on()
        self.vm.reboot_host()
        self.start_broker()
        self.start_agent()

    def turn(self) -> None:
        """Let both daemons do what there is to do now."""
        if not self.power:
            return
        self._run_guest()
        if self.broker_runs:
            self.base.settle()
        if self.agent_runs:
            self.agent.tick()

    def _run_guest(self) -> None:
        pid = self.vm._domain.pid
        if pid != self._pid:
            self._pid, self._pid_since_s = pid, self.clock.monotonic_s()
        # All hosts are on one network, so all see the same page.
        self.base.page.set(any(host.shows_page for host in self.cluster.hosts), "booting")

    def _domain_changed(self) -> None:
        self.agent.domain_changed()


class FullCluster:
    """The hosts; after each step at most one of them may run the engine."""

    def __init__(self, directory: Path, hosts: int = 3) -> None:
        self.base = Cluster(SharedConfig(4, SETTINGS, XML))
        self.hosts = [
            FullHost(self, host_id, directory / f"h{host_id}") for host_id in range(1, hosts + 1)
        ]

    @property
    def now_s(self) -> float:
        return self.base.clock.monotonic_s()

    def runners(self) -> list[FullHost]:
        return [host for host in self.hosts if host.vm_runs]

    def healthy_host(self) -> Optional[FullHost]:
        """The host whose agent says that the engine is up."""
        up = [host for host in self.runners() if host.state is State.ENGINE_UP and host.power]
        return up[0] if up else None

    def run(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.base.clock.advance(min(STEP_S, end_s - self.now_s))
            for _ in range(3):
                for host in self.hosts:
                    host.turn()
            names = [host.name for host in self.runners()]
            assert len(names) <= 1, f"two engines at {self.now_s}: {names}"

    def run_until(self, what: str, condition: Callable[[], object], limit_s: float) -> float:
        """Returns the seconds it took; fails naming `what`."""
        begun_s = self.now_s
        while not condition():
            states = [(host.name, host.state.value, host.agent._status) for host in self.hosts]
            assert self.now_s - begun_s <= limit_s, f"no {what} after {limit_s} s: {states}"
            self.run(STEP_S)
        return self.now_s - begun_s

    def wait_healthy(self, limit_s: float) -> tuple[FullHost, float]:
        seconds = self.run_until("healthy engine", self.healthy_host, limit_s)
        host = self.healthy_host()
        assert host is not None
        return host, seconds
