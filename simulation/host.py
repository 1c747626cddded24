# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One simulated host: power, daemons, paths to the storage and the network, sanlock, libvirt."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Callable, Optional

from fsm.decision import Decision
from fsm.machine import walk
from ha_agent.agent import Agent
from ha_agent.observation.broker_poller import REACH_S
from ha_agent.ports import AgentPorts, BrokerLook
from ha_broker.api.client import REACH_MARGIN_S, BrokerGoneError, BrokerRefusedError
from ha_broker.api.snapshot import Publication, Snapshot
from ha_broker.broker import Broker
from ha_broker.cycle.part import BrokerPorts
from ha_broker.server.mailbox import Ticket
from ha_broker.storage.local_maintenance import FLAG_NAME, read_flag
from metadata.error_words import shown
from metadata.records import VolumeAddress
from metadata.settings.parse import HostSettings, StorageParts
from metadata.shared_config import SharedConfig, StoredConfig
from metadata.states import State
from simulation import other_versions
from simulation.errors import SimulationError
from simulation.hypervisor_view import ProcessHypervisor
from simulation.pending_commands import LOOK_S, PendingCommands
from simulation.process import AgentCore, BrokerCore, Core, SimProcess
from simulation.settings import HOST_CPUS, VERSIONS, HostTraits
from simulation.shared_storage import SharedWorld
from simulation.storage_path import StoragePath
from simulation.system_daemons import Libvirt, Sanlock
from simulation.world import (
    CallHangs,
    HostClock,
    InlineRunner,
    SimHealthPage,
    SimHistory,
    SimHypervisor,
    SimLockspace,
    SimMemoryStore,
    SimNetworkProbe,
    SimNotificationSender,
    SimProcesses,
    SimServiceManager,
    SimStore,
    SimVitals,
)
from simulation.world.network import REFUSED, SILENT
from world.ports.errors import WorldError
from world.ports.libvirt import DomainState, Ending
from world.storage.config_restore import restore_config

AGENT, BROKER = "ha-agent", "ha-broker"
GATEWAY = "192.0.2.1"
BRIDGE = "ovirtmgmt"
OTHER_LEASE = "/rhev/other/leases"
MIB = 1 << 20
MAX_ROUNDS = 60
# How the engine's port on a host is: others reach the engine through it, only that host, nobody.
WHOLE, CUT, UNPLUGGED = "heal", "cut", "unplug"
# How long an orderly shutdown of the machine takes between two of its steps.
SHUTDOWN_STEP_S = 5.0
# From having left the lockspace to being off, and what ha-lockspace.service is given to leave.
OFF_S, LEAVE_TIMEOUT_S = 3.0, 30.0


class SpinError(Exception):
    """A daemon finds something to do again and again without time passing."""


class SimHost:
    """One host. Whatever can't be done now raises SimulationError.

    `next_s` is when `run` has something to do again (the world's seconds).
    """

    def __init__(self, traits: HostTraits, shared: SharedWorld, directory: Path) -> None:
        self.traits = traits
        self.name = traits.name
        self.host_id = traits.host_id
        self.power = False
        self.suspended_at_s: Optional[float] = None
        self.next_s = math.inf
        self.tell_transition: Callable[[SimHost, State, State, str], None] = _nothing
        self.tell: Callable[[SimHost, str], None] = _nothing
        self.shared = shared
        self._directory = directory / traits.name
        self._directory.mkdir(exist_ok=True)
        self._flag = str(self._directory / FLAG_NAME)
        self._make_world()
        self._pending = PendingCommands(self.clock, self._tell_own)
        self._current: Optional[SimProcess] = None
        self._boots_at_s = math.inf
        self._steps: list[tuple[float, Callable[[], None]]] = []
        self.shutdown_since_s: Optional[float] = None  # the world's seconds
        self._look = BrokerLook()
        self._broker_sequence = -1
        self.agent_process = SimProcess(AGENT, self.clock, self._make_agent, self._agent_died)
        self.broker_process = SimProcess(BROKER, self.clock, self._make_broker, self._broker_died)

    def _make_world(self) -> None:
        shared, traits = self.shared, self.traits
        self.clock = HostClock(shared.clock)
        self.clock.drift(traits.clock_drift_ppm)
        self.store = SimStore(shared.volumes, shared.clock, keep_log=False)
        self.store.latency_s = traits.latency_s
        self._run_version(traits.version)
        # A copy takes itself for its original in all that stands on the disk.
        known_as = traits.copy_of or self.name
        self.lockspace = SimLockspace(shared.san, known_as)
        self.lockspace.watchdog = traits.watchdog
        self.lockspace.fire_timeout = traits.watchdog_fire_timeout_s
        self.lockspace.disk_hangs_too = True
        self.lockspace.host_clock_s = self.clock.monotonic_s
        self.lockspace.kill_daemon()
        self.vm = SimHypervisor(self.lockspace)
        self.vm.boot_s = shared.engine.boot_s
        self.vm.create_takes_s = shared.engine.start_s
        self.vm.kill_takes_s = shared.engine.kill_s
        self.vm.guest_obeys_after_s = shared.engine.shutdown_s
        self.history = SimHistory()
        self.memory_store = SimMemoryStore()
        self.processes = SimProcesses(self.vm, self.clock, lambda: shared.now_s)
        self.page = SimHealthPage(keep_log=False)
        self.page.answer = self._look_at_page
        self.network = SimNetworkProbe(keep_log=False)
        self.vm.cpus_used = shared.engine.cpus
        self.vm.cpu_unknown_s = shared.engine.cpu_unknown_s
        self.vitals = SimVitals(self.clock, HOST_CPUS, lambda: self.vm.cpu_busy_s)
        self.vitals.machine_id = f"machine {known_as}"
        self.vitals.hardware_id = f"board {self.name}"
        self.notification_sender = SimNotificationSender(
            shared.clock, shared.post_office, lambda: self._network_cut, self._tell_own
        )
        self.settings = HostSettings(
            self.host_id,
            known_as,
            _parts_of(traits, shared),
            bridge=BRIDGE,
            gateway=GATEWAY if traits.gateway else "",
        )
        self._network_cut = self.network_drops = False
        self.find_unreached_why: Callable[[str], str] = lambda _address: ""
        self._uplink = WHOLE
        self._gateway_lost = False
        self.storage = StoragePath(
            self.store, self.lockspace, lambda: shared.now_s, self._wake_both
        )
        self.sanlock = Sanlock(self.name, self.lockspace, self.need_running, self._wake_both)
        self.libvirt = Libvirt(self.name, self.vm, self.need_running, self._step_in)
        self.lockspace.on_reset(self._watchdog_resets)
        self.vm.on_change(self._domain_changed)
        for port in (self.store, self.lockspace, self.vm):
            port.before_call = self._before_call

    def _run_version(self, version: str) -> None:
        self.store.on_write = other_versions.translator(version, self.host_id, self.shared.parts)
        self.store.on_read = other_versions.reader(version)

    # --- what one sees --------------------------------------------------------------------

    @property
    def agent(self) -> Optional[Agent]:
        """The agent's core while its process exists."""
        core = self.agent_process.core
        return core.agent if isinstance(core, AgentCore) else None

    @property
    def broker(self) -> Optional[Broker]:
        """The broker's core while its process exists."""
        core = self.broker_process.core
        return core.broker if isinstance(core, BrokerCore) else None

    @property
    def in_local_maintenance(self) -> bool:
        """Does its state directory say so?"""
        # Asked after each event, and mostly there is no file: that costs no exception.
        return os.access(self._flag, os.F_OK) and read_flag(str(self._directory))

    @property
    def has_orders(self) -> bool:
        """Has somebody ordered something here that is not done yet?"""
        return self._pending.wait

    @property
    def is_awake(self) -> bool:
        """Is it on, and not suspended?"""
        return self.power and self.suspended_at_s is None

    @property
    def is_changing(self) -> bool:
        """Is a boot, a shutdown, a stop of a daemon, or somebody's command under way?"""
        if self._boots_at_s != math.inf or self._steps or self._pending.tickets_wait:
            return True
        return self.agent_process.is_stopping or self.broker_process.is_stopping

    @property
    def agent_acts(self) -> bool:
        """Is what happens at this very moment done by the agent?"""
        return self._current is self.agent_process

    @property
    def state(self) -> Optional[State]:
        """Where the agent stands; None: it does not run."""
        return self.agent.memory.state if self.agent else None

    @property
    def score(self) -> Optional[int]:
        """The score in the host's record, as its broker shows it."""
        snapshot = self.snapshot
        views = snapshot.hosts if snapshot else ()
        own = [view.record for view in views if view.host_id == self.host_id]
        return own[0].score if own and own[0] is not None else None

    @property
    def snapshot(self) -> Optional[Snapshot]:
        """What the broker knows; None: it does not run."""
        return self.broker.mailbox.snapshot() if self.broker else None

    @property
    def engine_is_healthy(self) -> bool:
        """Would the engine's health page, if it runs here, say so now?"""
        return self._health()[0]

    @property
    def engine_page(self) -> tuple[bool, str]:
        """What the engine's page, if it runs here, answers to whoever reaches it."""
        return self._health()

    # --- power ----------------------------------------------------------------------------

    def power_on(self) -> None:
        """Switch it on; its services run after its boot."""
        if self.power:
            raise SimulationError(f"{self.name} is on already")
        self.power = True
        self.shutdown_since_s = None
        self.clock.power_on()
        self.vm.reboot_host()
        self.vitals.reboot()
        self.set_gateway()
        self._boots_at_s = self.shared.now_s + self.traits.boot_s
        self.plan()

    def power_off(self) -> None:
        """Cut the power: everything in it is gone at once."""
        self._need_power()
        self.power = False
        self.suspended_at_s = None
        self._boots_at_s = math.inf
        self._steps.clear()
        self.broker_process.vanish()
        self.agent_process.vanish()
        self._pending.power_off()
        self.lockspace.power_off()
        self.history.power_off()
        self.memory_store.power_off()
        self.vm.reboot_host()
        self.plan()

    def pause(self) -> None:
        """As `suspend`, but by a hypervisor below it: none of its clocks tells of it, ever."""
        self.suspend(boottime_stands=True)

    def suspend(self, boottime_stands: bool = False) -> None:
        """All of it stands still, its monotonic clock too; the world and the storage go on."""
        self.need_running()
        self.suspended_at_s = self.shared.now_s
        self.clock.suspend(boottime_stands)
        self.lockspace.suspend()
        self.vm.suspend_host()
        self.plan()

    def resume(self) -> None:
        """It goes on where it stood."""
        if self.suspended_at_s is None:
            raise SimulationError(f"{self.name} is not suspended")
        self.suspended_at_s = None
        slept_s = self.clock.resume()
        self._steps = [(at_s + slept_s, step) for at_s, step in self._steps]
        self.lockspace.resume()
        self.vm.resume_host()
        if not self.clock.boottime_stands:
            self._wake_both()  # as `world.host.wake` does
        self.plan()

    def shutdown(self) -> None:
        """Shut it down in order, as the units are ordered: services, guest, lockspace, power."""
        self.need_running()
        if self.shutdown_since_s is not None:
            raise SimulationError(f"{self.name} is being shut down already")
        self.shutdown_since_s = self.shared.now_s
        self.agent_process.stop(with_host=True)
        self.broker_process.await_stop()
        self._step_in(SHUTDOWN_STEP_S, self._shutdown_guest)

    def _shutdown_guest(self) -> None:
        if self.agent_process.core is not None:
            return self._step_in(SHUTDOWN_STEP_S, self._shutdown_guest)
        self.broker_process.stop()
        if self.vm.now.state == DomainState.RUNNING:
            self.vm.shutdown_by_user()
        guest_s = (self.vm.guest_obeys_after_s or 0) + 1
        return self._step_in(guest_s, self._shutdown_rest)

    def _shutdown_rest(self) -> None:
        if self.vm.now.state != DomainState.ABSENT:
            self.vm.end(Ending.STOPPED)
        self._step_in(self._leave_s() + OFF_S, self.power_off)

    def _leave_s(self) -> float:
        """ha-lockspace.service leaves the lockspace, whether the broker ran or not."""
        self.clock.begin_job()
        try:
            self.lockspace.leave_if_unused(self.host_id)
        except (WorldError, CallHangs):
            return LEAVE_TIMEOUT_S
        finally:
            spent_s = self.clock.end_job()
        return spent_s

    def _watchdog_resets(self) -> None:
        self.tell(self, "the watchdog resets the host")
        self.power_off()
        self.power_on()

    # --- network, clock, condition ------------------------------------------------------------
    # The cable lies outside the host: it stays as it is over a power cut.

    def network_cut(self) -> None:
        """Pull the network cable."""
        self._network_cut = True
        self.network_drops = False
        self.set_gateway()

    def network_drop(self) -> None:
        """The network behind this host's link loses all that it sends, and whatever is for it."""
        self._network_cut = self.network_drops = True
        self.set_gateway()

    def network_heal(self) -> None:
        """Plug the network cable, and lose nothing."""
        self._network_cut = self.network_drops = False
        self.set_gateway()

    def uplink(self, state: str) -> None:
        """The engine's port here: "cut" (only this host reaches it), "unplug" (nobody), "heal"."""
        self._uplink = state

    def gateway(self, state: str) -> None:
        """For this host alone the gateway answers no more ("down"), or again ("up")."""
        self._gateway_lost = state == "down"
        self.set_gateway()

    @property
    def reaches_others(self) -> bool:
        """Does its network work?"""
        return self.power and not self._network_cut and self.vitals.bridge_up

    @property
    def shows_engine(self) -> bool:
        """Would the engine's page, if it ran here, reach the network?"""
        return self.reaches_others and self._uplink == WHOLE

    def set_gateway(self) -> None:
        """Look whether the gateway can be reached from here now."""
        reachable = not self._network_cut and self.vitals.bridge_up
        self.network.answers = reachable and self.shared.gateway_up and not self._gateway_lost

    def bridge(self, state: str) -> None:
        """Set the management bridge "down" or "up"; a host that boots sets it up."""
        self._need_power()
        self.vitals.bridge_up = state == "up"
        self.set_gateway()

    def cpu(self, load: float) -> None:
        """From now on others than the engine use so much of all CPUs (0 to 1)."""
        self._need_power()
        self.vitals.cpu_load = load

    def memory(self, available_mib: float) -> None:
        """From now on so much memory is available."""
        self._need_power()
        self.vitals.available_bytes = round(available_mib * MIB)

    def clock_step(self, seconds: float) -> None:
        """Set the wall clock forwards or back."""
        self._need_power()
        self.clock.step_wall(seconds)

    def clock_drift(self, ppm: float) -> None:
        """From now on the wall clock gains so many microseconds a second."""
        self._need_power()
        self.clock.drift(ppm)

    # --- the daemons --------------------------------------------------------------------------

    def service(self, unit: str, verb: str) -> None:
        """`verb` (start, stop, restart, kill, freeze, thaw) to "ha-agent" or "ha-broker"."""
        self.need_running()
        process = self._process(unit)
        if verb in ("start", "restart") and self.shutdown_since_s is not None:
            raise SimulationError(f"{self.name} is being shut down: {unit} is not started any more")
        if verb in ("kill", "freeze") and process.core is None:
            raise SimulationError(f"{unit} does not run on {self.name}")
        getattr(process, verb)()
        self.plan()

    def install(self, version: str) -> None:
        """Another version of the program (`HostTraits.version`), while its services are stopped.

        It differs in what it writes and reads alone, see `simulation.other_versions`.
        """
        if self.agent_process.core is not None or self.broker_process.core is not None:
            raise SimulationError(f"{self.name}: stop {AGENT} and {BROKER} first")
        if version not in VERSIONS:
            raise SimulationError(f"no version {shown(version)}: {', '.join(VERSIONS)}")
        self.traits = replace(self.traits, version=version)
        self._run_version(version)

    def after_calls(self, unit: str, fault: str, calls: int) -> None:
        """ "kill" or "freeze" the daemon right before the call that follows `calls` others."""
        self.need_running()
        process = self._process(unit)
        if process.core is None:
            raise SimulationError(f"{unit} does not run on {self.name}")
        process.after_calls(fault, calls)

    def _process(self, unit: str) -> SimProcess:
        found = {AGENT: self.agent_process, BROKER: self.broker_process}.get(unit)
        if found is None:
            raise SimulationError(f"no unit {shown(unit)}: {AGENT} or {BROKER}")
        return found

    def _make_broker(self, runner: InlineRunner) -> Core:
        world = BrokerPorts(
            clock=self.clock,
            runner=runner,
            store=self.store,
            lockspace=self.lockspace,
            hypervisor=lambda _name: self.vm,
            health_page=self.page,
            network=self.network,
            vitals=self.vitals,
            notification_sender=self.notification_sender,
            services=SimServiceManager(keep_log=False),
            restore=self._restore_config,
        )
        process = self.broker_process
        return BrokerCore(Broker(world, self.settings, str(self._directory), process.wake))

    def _restore_config(self, held: StoredConfig) -> bool:
        return restore_config(self.store, self.lockspace, self.settings.storage.shared_config, held)

    def _make_agent(self, runner: InlineRunner) -> Core:
        view = ProcessHypervisor(self.vm, self.shared.now_s)
        services = SimServiceManager(keep_log=False)
        ports = AgentPorts(
            self.clock,
            runner,
            view,
            self.lockspace,
            self,
            services,
            self.history,
            self.memory_store,
            self.processes,
        )
        self._look = BrokerLook()  # a new process has heard nothing yet
        return AgentCore(
            Agent(ports, self.settings, on_transition=self._tell_decision, find_row=walk)
        )

    def _tell_own(self, text: str) -> None:
        self.tell(self, text)

    def _tell_decision(self, before: State, decision: Decision) -> None:
        self.tell_transition(self, before, decision.memory.state, decision.why)

    def _broker_died(self) -> None:
        self._pending.drop_tickets("the broker has ended")

    def _agent_died(self) -> None:
        self.vm.starter_died()

    def _domain_changed(self) -> None:
        if self.agent is not None:
            self.agent.domain_changed()
        self._wake_both()

    def _wake_both(self) -> None:
        self.agent_process.wake()
        self.broker_process.wake()
        self.plan()

    # --- the broker, as the agent reaches it -----------------------------------------------------

    def latest_snapshot(self) -> BrokerLook:
        """`BrokerPort.latest_snapshot`."""
        look, broker = self._look, self.broker
        if broker is None:
            return BrokerLook(look.snapshot, look.received_at_s, "there is no broker")
        self._look = BrokerLook(broker.mailbox.snapshot(), self.clock.monotonic_s())
        return self._look

    def publish(self, publication: Publication) -> None:
        """`BrokerPort.publish`."""
        broker = self.broker
        if broker is None:
            raise BrokerGoneError("publish", "there is no broker", 2)
        broker.mailbox.publish(publication)
        self.broker_process.wake()

    def shared_config(self) -> SharedConfig:
        """`BrokerPort.shared_config`."""
        config = self.broker.mailbox.config() if self.broker else None
        if config is None:
            raise BrokerRefusedError("ask for the configuration", 503, "not read yet")
        return config

    def end_local_maintenance(self, why: str) -> None:
        """`BrokerPort.end_local_maintenance`; what comes of it shows the next snapshot."""
        broker = self.broker
        if broker is None:
            raise BrokerGoneError("end local maintenance", "there is no broker", 2)
        broker.mailbox.ask_maintenance("local", False)
        self.broker_process.wake()
        self.tell(self, f"local maintenance is taken back: {why}")

    def not_reached_why(self, address: str) -> str:
        """`BrokerPort.not_reached_why`."""
        if self.broker is None:
            return ""
        if not self.broker_process.running:
            self.shared.clock.spend(REACH_S + REACH_MARGIN_S)
            return ""
        return self.find_unreached_why(address)

    # --- time -----------------------------------------------------------------------------

    def run(self) -> None:
        """Let everything in this host do what is due now."""
        self.storage.run()
        if not self.is_awake:
            return self.plan()
        self._run_due_steps()
        for _ in range(MAX_ROUNDS):
            if not self._round():
                break
        else:
            raise SpinError(f"{self.name}: a daemon finds something to do again and again")
        self._pending.run()
        return self.plan()

    def _round(self) -> bool:
        ran = self.broker_process.is_due and self._run_process(self.broker_process)
        broker = self.broker
        if broker is not None and broker.mailbox.snapshot().sequence != self._broker_sequence:
            self._broker_sequence = broker.mailbox.snapshot().sequence
            self.agent_process.wake()
        return (self.agent_process.is_due and self._run_process(self.agent_process)) or ran

    def _run_process(self, process: SimProcess) -> bool:
        self._current = process
        try:
            return process.run_if_due()
        finally:
            self._current = None

    def _run_due_steps(self) -> None:
        now_s = self.shared.now_s
        if self._boots_at_s <= now_s:
            self._boots_at_s = math.inf
            self.lockspace.start_daemon()
            self.broker_process.start()
            self.agent_process.start()
        if self._steps:
            due = [step for at_s, step in self._steps if at_s <= now_s]
            self._steps = [item for item in self._steps if item[0] > now_s]
            for step in due:
                step()
        vm_s = self.vm.next_event_s()
        if vm_s is not None and vm_s <= now_s:
            self.vm.settle()

    def plan(self) -> None:
        """Work out `next_s` anew; for whoever changes when something is due."""
        if not self.is_awake:
            self.next_s = self.storage.next_s
            return
        mine_s = min(self._boots_at_s, self.storage.next_s)
        for at_s, _step in self._steps:
            mine_s = min(mine_s, at_s)
        vm_s = self.vm.next_event_s()
        if vm_s is not None:
            mine_s = min(mine_s, vm_s)
        if self._pending.wait:
            mine_s = min(mine_s, self.shared.now_s + LOOK_S)
        daemons_s = min(self.broker_process.next_s(), self.agent_process.next_s())
        self.next_s = min(mine_s, self.clock.at_s(daemons_s))

    def _step_in(self, seconds: float, step: Callable[[], None]) -> None:
        self._steps.append((self.shared.now_s + seconds, step))
        self.plan()

    def _before_call(self, _what: str) -> None:
        if self._current is not None:
            self._current.note_call()

    # --- what people order ------------------------------------------------------------------

    def order(self, key: str, job: Callable[[], object]) -> None:
        """Run a command on this host; its result is told when it is there."""
        self.need_running()
        self._pending.begin(key, job)
        self.plan()

    def await_answer(self, name: str, ticket: Ticket) -> None:
        """The broker was asked for `name`; its answer is told when it is there."""
        self._pending.await_answer(name, ticket)
        self.broker_process.wake()
        self.plan()

    # --- details --------------------------------------------------------------------------

    def _look_at_page(self) -> tuple[bool, str]:
        """What this host sees of the engine's page, wherever the engine runs."""
        here = self.vm.now.state == DomainState.RUNNING
        return self._health() if here else self.shared.page_from(self.name)

    def _health(self) -> tuple[bool, str]:
        guest = self.vm.guest
        if self.vm.now.state != DomainState.RUNNING or guest is None:
            return False, REFUSED
        silent = guest.hangs or not self.vm.executes
        if silent or not self.vitals.bridge_up or self._uplink == UNPLUGGED:
            return False, SILENT
        return guest.is_healthy(self.shared.now_s), REFUSED

    def _need_power(self) -> None:
        if not self.power:
            raise SimulationError(f"{self.name} is off")

    def need_awake(self) -> None:
        """Raises SimulationError when it is off or suspended."""
        self._need_power()
        if self.suspended_at_s is not None:
            raise SimulationError(f"{self.name} is suspended")

    def need_running(self) -> None:
        """Raises SimulationError when it is off or boots."""
        self.need_awake()
        if self._boots_at_s != math.inf:
            raise SimulationError(f"{self.name} is still booting")

    def need_vm(self, *states: DomainState) -> None:
        """Raises SimulationError unless the engine's VM is here, in one of `states` if given."""
        self.need_running()
        state = self.vm.now.state
        if state == DomainState.ABSENT or (states and state not in states):
            raise SimulationError(f"the engine's VM is {state.value} on {self.name}")


def _parts_of(traits: HostTraits, shared: SharedWorld) -> StorageParts:
    """Where its own settings say that things are on the storage."""
    if traits.lease == "same":
        return shared.parts
    return replace(shared.parts, lease=VolumeAddress(OTHER_LEASE, shared.parts.lease.offset))


def _nothing(*_ignored: object) -> None:
    pass
