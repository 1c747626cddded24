"""One simulated host: power, daemons, paths to the storage and the network, sanlock, libvirt."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from typing import Callable, Optional

from fsm.decision import Decision
from fsm.machine import walk
from fsm.states import State
from ha_agent.agent import Agent
from ha_agent.ports import AgentPorts, BrokerLook
from ha_agent.simulation import administrator, versions
from ha_agent.simulation.errors import SimulationError
from ha_agent.simulation.process import AgentCore, BrokerCore, Core, Process
from ha_agent.simulation.settings import HOST_CPUS, HostTraits
from ha_agent.simulation.shared import SharedWorld
from ha_agent.simulation.world import (
    HostClock,
    InlineRunner,
    SimCourier,
    SimHealthPage,
    SimHistory,
    SimHypervisor,
    SimLockspace,
    SimNetworkProbe,
    SimServiceManager,
    SimStore,
    SimVitals,
)
from ha_broker.broker import Broker
from ha_broker.client import BrokerGoneError, BrokerRefusedError
from ha_broker.desk import Refusal, Ticket
from ha_broker.local_state import read_flag
from ha_broker.parts import World
from ha_broker.snapshot import Publication, Snapshot
from ha_broker.world.ports import DomainState, Ending, HypervisorError, WorldError
from metadata.settings import HostSettings
from metadata.shared_config import SharedConfig

AGENT, BROKER = "ha-agent", "ha-broker"
GATEWAY = "192.0.2.1"
BRIDGE = "ovirtmgmt"
MIB = 1 << 20
MAX_ROUNDS = 60
# What a host's path to the storage does.
WORKS, HANGS, FAILS = "works", "hangs", "fails"
LIBVIRT_RESTART_S = 3.0
# How long an orderly shutdown of the machine takes between two of its steps.
SHUTDOWN_STEP_S = 5.0


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
        self.next_s = math.inf
        self.tell_transition: Callable[[SimHost, State, State, str], None] = _nothing
        self.tell: Callable[[SimHost, str], None] = _nothing
        self._shared = shared
        self._directory = directory / traits.name
        self._directory.mkdir(exist_ok=True)
        self._make_world()
        self._admin = InlineRunner(self.clock, keep_log=False)
        self._tickets: list[tuple[str, Ticket]] = []
        self._current: Optional[Process] = None
        self._boots_at_s = math.inf
        self._steps: list[tuple[float, Callable[[], None]]] = []
        self._flap_s = math.inf
        self._flaps_at_s = math.inf
        self._look = BrokerLook()
        self._broker_sequence = -1
        self.agent_process = Process(AGENT, self.clock, self._make_agent, self._agent_died)
        self.broker_process = Process(BROKER, self.clock, self._make_broker, self._broker_died)

    def _make_world(self) -> None:
        shared, traits = self._shared, self.traits
        self.clock = HostClock(shared.clock)
        self.clock.drift(traits.clock_drift_ppm)
        self.store = SimStore(shared.volumes, shared.clock, keep_log=False)
        self.store.latency_s = traits.latency_s
        self.store.on_write = versions.translator(traits.version, traits.host_id, shared.parts)
        self.lockspace = SimLockspace(shared.san, self.name)
        self.lockspace.watchdog = traits.watchdog
        self.lockspace.disk_hangs_too = True
        self.lockspace.host_clock_s = self.clock.monotonic_s
        self.lockspace.kill_daemon()
        self.vm = SimHypervisor(self.lockspace)
        self.vm.boot_s = shared.engine.boot_s
        self.vm.kill_takes_s = shared.engine.kill_s
        self.vm.guest_obeys_after_s = shared.engine.shutdown_s
        self.history = SimHistory()
        self.page = SimHealthPage(keep_log=False)
        self.page.answer = self._health
        self.network = SimNetworkProbe(keep_log=False)
        self.vm.cpus_used = shared.engine.cpus
        self.vm.cpu_unknown_s = shared.engine.cpu_unknown_s
        self.vitals = SimVitals(self.clock, HOST_CPUS, lambda: self.vm.cpu_busy_s)
        self.courier = SimCourier(
            shared.clock, shared.post_office, lambda: self._network_cut, self._tell_delivered
        )
        self.settings = HostSettings(
            self.host_id,
            self.name,
            shared.parts,
            bridge=BRIDGE,
            gateway=GATEWAY if traits.gateway else "",
        )
        self._network_cut = False
        self._path = WORKS
        self.lockspace.on_reset(self._watchdog_resets)
        self.vm.on_change(self._domain_changed)
        for port in (self.store, self.lockspace, self.vm):
            port.before_call = self._before_call

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
        return read_flag(str(self._directory))

    @property
    def is_changing(self) -> bool:
        """Is a boot, a shutdown, a stop of a daemon, or somebody's command under way?"""
        if self._boots_at_s != math.inf or self._steps or self._tickets:
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
        return self.broker.desk.snapshot() if self.broker else None

    @property
    def engine_is_healthy(self) -> bool:
        """Would the engine's health page, if it runs here, say so now?"""
        return self._health()[0]

    # --- power ----------------------------------------------------------------------------

    def power_on(self) -> None:
        """Switch it on; its services run after its boot."""
        if self.power:
            raise SimulationError(f"{self.name} is on already")
        self.power = True
        self.clock.power_on()
        self.vm.reboot_host()
        self.vitals.reboot()
        self.set_gateway()
        self._boots_at_s = self._shared.now_s + self.traits.boot_s
        self._plan()

    def power_off(self) -> None:
        """Cut the power: everything in it is gone at once."""
        self._need_power()
        self.power = False
        self._boots_at_s = math.inf
        self._steps.clear()
        self.broker_process.vanish()
        self.agent_process.vanish()
        self._admin = InlineRunner(self.clock, keep_log=False)
        self._drop_tickets("the host lost its power")
        self.lockspace.power_off()
        self.history.power_off()
        self.vm.reboot_host()
        self._plan()

    def shutdown(self) -> None:
        """Shut it down in order: agent, guest, broker, power."""
        self._need_running()
        self.agent_process.stop()
        self._step_in(SHUTDOWN_STEP_S, self._shutdown_guest)
        guest_s = SHUTDOWN_STEP_S + (self.vm.guest_obeys_after_s or 0) + 1
        self._step_in(guest_s, self._shutdown_rest)

    def _shutdown_guest(self) -> None:
        if self.vm.now.state == DomainState.RUNNING:
            self.vm.shutdown_by_user()

    def _shutdown_rest(self) -> None:
        if self.vm.now.state != DomainState.ABSENT:
            self.vm.end(Ending.STOPPED)
        self.broker_process.stop()
        self._step_in(20.0, self.power_off)

    def _boot(self) -> None:
        self._boots_at_s = math.inf
        self.lockspace.start_daemon()
        self.broker_process.start()
        self.agent_process.start()

    def _watchdog_resets(self) -> None:
        self.tell(self, "the watchdog resets the host")
        self.power_off()
        self.power_on()

    # --- storage, network, clock ------------------------------------------------------------
    # Paths and cables lie outside the host: they stay as they are over a power cut.

    def storage_hang(self) -> None:
        """The path to the storage hangs."""
        self._set_path(HANGS)

    def storage_fail(self) -> None:
        """The path to the storage answers with I/O errors."""
        self._set_path(FAILS)

    def storage_slow(self, seconds: float) -> None:
        """Each storage operation of the daemons takes so long."""
        self.store.latency_s = seconds

    def storage_flap(self, period_s: float) -> None:
        """The path hangs for one period, works for one, and so on."""
        self._flap_s, self._flaps_at_s = period_s, self._shared.now_s
        self._plan()

    def storage_heal(self) -> None:
        """The path works as usual."""
        self._flaps_at_s = math.inf
        self.store.latency_s = self.traits.latency_s
        self._set_path(WORKS)

    def _flap(self) -> None:
        self._flaps_at_s = self._shared.now_s + self._flap_s
        self._set_path(HANGS if self._path == WORKS else WORKS)

    def _set_path(self, path: str) -> None:
        self._path = path
        self.store.heal()
        self.lockspace.heal_storage()
        if path == HANGS:
            self.store.hang()
            self.lockspace.hang_storage()
        elif path == FAILS:
            self.store.fail(errno.EIO)
            self.lockspace.fail_storage(errno.EIO)
        self._wake_both()

    def network_cut(self) -> None:
        """Pull the network cable."""
        self._network_cut = True
        self.set_gateway()

    def network_heal(self) -> None:
        """Plug the network cable."""
        self._network_cut = False
        self.set_gateway()

    def set_gateway(self) -> None:
        """Look whether the gateway can be reached from here now."""
        reachable = not self._network_cut and self.vitals.bridge_up
        self.network.answers = reachable and self._shared.gateway_up

    # --- the host's own condition -------------------------------------------------------------

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

    # --- sanlock and libvirt ----------------------------------------------------------------

    def sanlock_kill(self) -> None:
        """sanlock's daemon dies."""
        self._need_running()
        if not self.lockspace.is_alive:
            raise SimulationError(f"sanlock does not run on {self.name}")
        self.lockspace.kill_daemon()
        self._wake_both()

    def sanlock_start(self) -> None:
        """sanlock's daemon is started anew; it has joined nothing. Nothing, when it runs."""
        self._need_running()
        if self.lockspace.daemon_runs:
            return
        if self.lockspace.is_alive:
            raise SimulationError(f"sanlock runs on {self.name} already")
        self.lockspace.start_daemon()
        self._wake_both()

    def libvirt_hang(self) -> None:
        """libvirtd takes calls and never answers."""
        self._need_running()
        self.vm.hang()

    def libvirt_lose_events(self) -> None:
        """libvirtd reports no more events, and forgets why a domain ended."""
        self._need_running()
        self.vm.loses_events = True

    def libvirt_heal(self) -> None:
        """libvirtd works as usual."""
        self._need_running()
        self.vm.heal()
        self.vm.reappear()

    def libvirt_stop(self) -> None:
        """libvirtd is stopped; its guests run on."""
        self._need_running()
        self.vm.disappear()

    def libvirt_start(self) -> None:
        """libvirtd is started."""
        self.libvirt_heal()

    def libvirt_restart(self) -> None:
        """libvirtd is restarted; its guests run on."""
        self.libvirt_stop()
        self._step_in(LIBVIRT_RESTART_S, self.libvirt_heal)

    def start_fails(self, fails: bool) -> None:
        """From now on libvirt refuses to create the domain, or does not."""
        why = "the emulator can't be run"
        self.vm.start_error = HypervisorError("create the domain", why) if fails else None

    # --- the VM, by somebody's hand -----------------------------------------------------------

    def vm_suspend(self) -> None:
        """``virsh suspend``."""
        self._need_vm(DomainState.RUNNING)
        self.vm.pause("user")

    def vm_resume(self) -> None:
        """``virsh resume``."""
        self._need_vm(DomainState.PAUSED)
        try:
            self.vm.resume()
        except WorldError as error:
            raise SimulationError(str(error)) from error

    def vm_destroy_by_user(self) -> None:
        """``virsh destroy``."""
        self._need_vm()
        self.vm.end(Ending.STOPPED)

    def vm_shutdown_by_user(self) -> None:
        """``virsh shutdown``: libvirt tells it from a power-off inside the guest by nothing."""
        self._need_vm(DomainState.RUNNING)
        self.vm.shutdown_by_user()
        self._plan()

    def vm_start(self) -> str:
        """``hosted-engine --vm-start``; its result is told when it is there."""
        snapshot = self.snapshot
        self._admin_job(
            "vm-start",
            lambda: administrator.start_vm(
                self.vm, self.lockspace, self._shared, self.host_id, snapshot
            ),
        )
        return ""

    def vm_shutdown(self) -> str:
        """``hosted-engine --vm-shutdown``."""
        self._admin_job("vm-shutdown", lambda: administrator.stop_vm(self.vm, graceful=True))
        return ""

    def vm_poweroff(self) -> str:
        """``hosted-engine --vm-poweroff``."""
        self._admin_job("vm-poweroff", lambda: administrator.stop_vm(self.vm, graceful=False))
        return ""

    def set_maintenance(self, scope: str, on: bool) -> str:
        """Ask the broker; its answer is told when it is there. Returns an immediate refusal."""
        self._need_running()
        broker = self.broker
        if broker is None:
            return "there is no broker"
        try:
            ticket = broker.desk.ask_maintenance(scope, on)
        except Refusal as refusal:
            return refusal.why
        self._tickets.append((f"{scope} maintenance {'on' if on else 'off'}", ticket))
        self.broker_process.wake()
        self._plan()
        return ""

    # --- the daemons --------------------------------------------------------------------------

    def service(self, unit: str, verb: str) -> None:
        """`verb` (start, stop, restart, kill, freeze, thaw) to "ha-agent" or "ha-broker"."""
        self._need_running()
        process = self._process(unit)
        if verb in ("kill", "freeze") and process.core is None:
            raise SimulationError(f"{unit} does not run on {self.name}")
        getattr(process, verb)()
        self._plan()

    def after_calls(self, unit: str, fault: str, calls: int) -> None:
        """ "kill" or "freeze" the daemon right before the call that follows `calls` others."""
        self._need_running()
        process = self._process(unit)
        if process.core is None:
            raise SimulationError(f"{unit} does not run on {self.name}")
        process.after_calls(fault, calls)

    def _process(self, unit: str) -> Process:
        found = {AGENT: self.agent_process, BROKER: self.broker_process}.get(unit)
        if found is None:
            raise SimulationError(f"no unit {unit!r}: {AGENT} or {BROKER}")
        return found

    def _make_broker(self, runner: InlineRunner) -> Core:
        world = World(
            clock=self.clock,
            runner=runner,
            store=self.store,
            lockspace=self.lockspace,
            hypervisor=lambda _name: self.vm,
            health_page=self.page,
            network=self.network,
            vitals=self.vitals,
            courier=self.courier,
            services=SimServiceManager(keep_log=False),
        )
        process = self.broker_process
        return BrokerCore(Broker(world, self.settings, str(self._directory), process.wake))

    def _make_agent(self, runner: InlineRunner) -> Core:
        view = administrator.HypervisorOf(self.vm, self._shared.now_s)
        services = SimServiceManager(keep_log=False)
        ports = AgentPorts(self.clock, runner, view, self.lockspace, self, services, self.history)
        self._look = BrokerLook()  # a new process has heard nothing yet
        return AgentCore(
            Agent(ports, self.settings, on_transition=self._tell_decision, find_row=walk)
        )

    def _tell_delivered(self, text: str) -> None:
        self.tell(self, text)

    def _tell_decision(self, before: State, decision: Decision) -> None:
        self.tell_transition(self, before, decision.memory.state, decision.why)

    def _broker_died(self) -> None:
        self._drop_tickets("the broker has ended")

    def _agent_died(self) -> None:
        self.vm.starter_died()

    def _domain_changed(self) -> None:
        if self.agent is not None:
            self.agent.domain_changed()
        self._wake_both()

    def _wake_both(self) -> None:
        self.agent_process.wake()
        self.broker_process.wake()
        self._plan()

    # --- the broker, as the agent reaches it -----------------------------------------------------

    def latest_snapshot(self) -> BrokerLook:
        """`BrokerPort.latest_snapshot`."""
        look, broker = self._look, self.broker
        if broker is None:
            return BrokerLook(look.snapshot, look.received_at_s, "there is no broker")
        self._look = BrokerLook(broker.desk.snapshot(), self.clock.monotonic_s())
        return self._look

    def publish(self, publication: Publication) -> None:
        """`BrokerPort.publish`."""
        broker = self.broker
        if broker is None:
            raise BrokerGoneError("publish", "there is no broker", 2)
        broker.desk.publish(publication)
        self.broker_process.wake()

    def shared_config(self) -> SharedConfig:
        """`BrokerPort.shared_config`."""
        config = self.broker.desk.config() if self.broker else None
        if config is None:
            raise BrokerRefusedError("ask for the configuration", 503, "not read yet")
        return config

    # --- time -----------------------------------------------------------------------------

    def run(self) -> None:
        """Let everything in this host do what is due now."""
        if self._flaps_at_s <= self._shared.now_s:
            self._flap()
        if not self.power:
            return self._plan()
        self._run_due_steps()
        for _ in range(MAX_ROUNDS):
            if not self._round():
                break
        else:
            raise SpinError(f"{self.name}: a daemon finds something to do again and again")
        self._run_admin()
        return self._plan()

    def _round(self) -> bool:
        ran = self._run_process(self.broker_process)
        broker = self.broker
        if broker is not None and broker.desk.snapshot().sequence != self._broker_sequence:
            self._broker_sequence = broker.desk.snapshot().sequence
            self.agent_process.wake()
        return self._run_process(self.agent_process) or ran

    def _run_process(self, process: Process) -> bool:
        self._current = process
        try:
            return process.run_if_due()
        finally:
            self._current = None

    def _run_due_steps(self) -> None:
        now_s = self._shared.now_s
        if self._boots_at_s <= now_s:
            self._boot()
        due = [step for at_s, step in self._steps if at_s <= now_s]
        self._steps = [item for item in self._steps if item[0] > now_s]
        for step in due:
            step()
        vm_s = self.vm.next_event_s()
        if vm_s is not None and vm_s <= now_s:
            self.vm.settle()

    def _plan(self) -> None:
        if not self.power:
            self.next_s = self._flaps_at_s
            return
        mine_s = min(self._boots_at_s, self._flaps_at_s)
        for at_s, _step in self._steps:
            mine_s = min(mine_s, at_s)
        vm_s = self.vm.next_event_s()
        if vm_s is not None:
            mine_s = min(mine_s, vm_s)
        # Commands that wait are looked at each second.
        if self._tickets or self._admin.next_try_s() or self._admin.next_end_s():
            mine_s = min(mine_s, self._shared.now_s + 1)
        daemons_s = min(self.broker_process.next_s(), self.agent_process.next_s())
        self.next_s = min(mine_s, self.clock.at_s(daemons_s))

    def _step_in(self, seconds: float, step: Callable[[], None]) -> None:
        self._steps.append((self._shared.now_s + seconds, step))
        self._plan()

    def _before_call(self, _what: str) -> None:
        if self._current is not None:
            self._current.note_call()

    # --- commands -------------------------------------------------------------------------

    def _admin_job(self, key: str, job: Callable[[], object]) -> None:
        self._need_running()
        if not self._admin.submit(key, job):
            raise SimulationError(f"the previous {key} has not ended")
        self._run_admin()
        self._plan()

    def _run_admin(self) -> None:
        for outcome in self._admin.poll():
            result = outcome.value if outcome.error is None else f"refused: {outcome.error}"
            self.tell(self, f"{outcome.key}: {result}")
        for name, ticket in list(self._tickets):
            answer = administrator.answer_of(ticket)
            if answer is not None:
                self._tickets.remove((name, ticket))
                self.tell(self, f"{name}: {answer}")

    def _drop_tickets(self, why: str) -> None:
        for name, _ticket in self._tickets:
            self.tell(self, f"{name}: not confirmed, {why}")
        self._tickets.clear()

    # --- details --------------------------------------------------------------------------

    def _health(self) -> tuple[bool, str]:
        guest = self.vm.guest
        if self.vm.now.state != DomainState.RUNNING or guest is None:
            return False, "Connection refused"
        if guest.hangs or not self.vitals.bridge_up:
            return False, "timed out"
        return guest.is_healthy(self._shared.now_s), "Connection refused"

    def _need_power(self) -> None:
        if not self.power:
            raise SimulationError(f"{self.name} is off")

    def _need_running(self) -> None:
        self._need_power()
        if self._boots_at_s != math.inf:
            raise SimulationError(f"{self.name} is still booting")

    def _need_vm(self, *states: DomainState) -> None:
        self._need_running()
        state = self.vm.now.state
        if state == DomainState.ABSENT or (states and state not in states):
            raise SimulationError(f"the engine's VM is {state.value} on {self.name}")


def _nothing(*_ignored: object) -> None:
    pass
