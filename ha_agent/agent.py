# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The agent's core: harvest, collect, decide, publish, act; driven by `tick()`.

No thread, no sleep and no blocking call in here: whatever may hang is a job of the runner
and its result is harvested by a later tick. The loop around it (`ha_agent.main`) ticks when
something happened (a job ended, libvirt or the broker reported a change) and when the next
tick is due.
"""

from __future__ import annotations

import logging
import math
from typing import Callable, Optional

from fsm.decision import Decision
from fsm.machine import fire
from fsm.memory import OUT_OF_REACH, Action, Memory
from fsm.observation import MoveOutcome, Observation, Peer, StartOutcome, Vm
from fsm.own_moves import PATIENCE_S, move_limit_s
from fsm.step import RowFinder, step
from ha_agent import kept_memory
from ha_agent.actions import execute
from ha_agent.actions.execute import Executor, Judged
from ha_agent.actions.migrate_engine import (
    SHORT_PATIENCE_S,
    LatestMove,
    MigrationOrder,
    options_of,
)
from ha_agent.history import recorder
from ha_agent.history.recorder import Recorder
from ha_agent.host_shutdown import HEARING_TICKS, Arrival, HostShutdown, delay_why, is_sent_to
from ha_agent.kept_memory import MemoryKeeper
from ha_agent.observation import config_cache, domain_poller, stranded_vm, vm_lease
from ha_agent.observation.collect import STALE_TICKS, Inputs, PeerList, collect, vm_of
from ha_agent.observation.config_cache import ConfigCache
from ha_agent.observation.domain_poller import DomainWatch
from ha_agent.observation.stranded_vm import StrandedWatch, paused_for_long
from ha_agent.observation.vm_lease import VmLeaseWatch
from ha_agent.ports import AgentPorts, BrokerLook
from ha_agent.publication import publish
from ha_agent.publication.heard import Heard
from ha_agent.publication.log_filter import ReasonFilter
from ha_agent.publication.move_report import MoveReporter
from ha_agent.publication.publish import Publisher, move_target, publication
from ha_agent.publication.recent_history import RecentHistory
from ha_agent.publication.takes import takes
from ha_agent.started_from import StartWatch
from ha_broker.api.snapshot import LeaseView, Snapshot
from metadata.error_words import bare_reason, cannot
from metadata.moving_note import moving_to
from metadata.schedule import in_step_s
from metadata.settings.parse import ClusterSettings, HostSettings, Timing
from metadata.states import State
from metadata.takes_note import takes_told
from world.ports.jobs import Outcome
from world.ports.libvirt import Domain, DomainState
from world.ports.log_fields import Fields, fields
from world.ports.sleep_watch import SleepWatch

log = logging.getLogger("ha_agent")

# A change of state is followed up at once; the longest way through the states is shorter.
MAX_STEPS = 5
# How long a stopping agent waits until its last record is written.
STOP_PATIENCE_S = 5.0
# ... and until a start has ended, which would else leave a paused VM behind; below the unit's
# TimeoutStopSec.
START_PATIENCE_S = 20.0

# So much later than its tick a daemon of a busy machine may have done what belongs to it.
MOMENT_S = 0.5

# The job that has the broker end local maintenance.
END_MAINTENANCE = "end-maintenance"

# What libvirt can be told: the key of the job that does it, and what it is called in the log.
_ORDERS = {
    Action.START_VM: (execute.START, "start the VM"),
    Action.SHUTDOWN_VM: (execute.SHUTDOWN, "shut the VM down"),
    Action.DESTROY_VM: (execute.DESTROY, "switch the VM off"),
    Action.RESUME_VM: (execute.RESUME, "let the VM go on"),
    Action.MIGRATE_VM: (execute.MIGRATE, "move the VM to another host"),
    Action.ABORT_MIGRATION: (execute.ABORT, "break the migration off"),
}
_ORDER_OF_KEY = dict(_ORDERS.values())


class _Settled:
    """A decision that changed nothing: taken again on the same, it is the same until `until_s`.

    Most wakes bring nothing new (the answer was as before). What the decision says to people
    may grow old by that, but for no longer than a tick.
    """

    def __init__(self, observation: Observation, settings: ClusterSettings, until_s: float) -> None:
        self._seen = _timeless(observation)
        self._settings = settings
        self._until_s = until_s

    def holds(self, observation: Observation, settings: ClusterSettings) -> bool:
        in_time = observation.now_s < self._until_s
        return in_time and settings is self._settings and _timeless(observation) == self._seen


def _timeless(observation: Observation) -> dict[str, object]:
    """All that was seen, but for when."""
    return {**vars(observation), "now_s": None}


def _is_written_since(snapshot: Snapshot, taken_at_s: Optional[float]) -> bool:
    """Has the broker confirmed a write of this host's record since it took one then?"""
    written_at_s = snapshot.storage.last_write_at_s
    return taken_at_s is not None and written_at_s is not None and written_at_s >= taken_at_s


class Agent:
    """One host's agent.

    `tick()` is one turn; `next_due_s` says when the next one is due at the latest; `finished`
    becomes true once a requested stop is done. `on_settings` is told every configuration
    that arrives (for adapters that are made before it is known); `on_transition` of every
    change of state, with the state before it. `find_row` finds the row of the table that fires.
    """

    def __init__(
        self,
        ports: AgentPorts,
        host: HostSettings,
        on_settings: Callable[[ClusterSettings], None] = lambda _settings: None,
        on_transition: Callable[[State, Decision], None] = lambda _before, _decision: None,
        find_row: RowFinder = fire,
    ) -> None:
        self._ports = ports
        self._host = host
        self._clock = ports.clock
        self._started_at_s = ports.clock.monotonic_s()
        self._sleep = SleepWatch(ports.clock)
        self._woke_at_s: Optional[float] = None
        self._domain = DomainWatch(ports.runner, ports.hypervisor, ports.processes)
        self._lease = VmLeaseWatch(ports.runner, ports.lockspace)
        self._stranded = StrandedWatch(ports.runner, ports.lockspace, host.host_id)
        self._config = ConfigCache(ports.runner, ports.broker, host.storage, on_settings)
        self._executor = Executor(
            ports.runner,
            ports.hypervisor,
            ports.lockspace,
            host.storage,
            ports.clock,
            lease_version=lambda: self._lease.version,
            not_reached_why=ports.broker.not_reached_why,
        )
        self._moves = MoveReporter()
        self._announced = Heard()
        self._refused = Heard()
        self._publisher = Publisher(ports.runner, ports.broker)
        self._reasons = ReasonFilter()
        self._history = RecentHistory(self._started_at_s)
        self._recorder = Recorder(ports.runner, ports.history, ports.clock, host)
        self._on_transition = on_transition
        self._find_row = find_row
        self._peers = PeerList(host.host_id)
        self._keeper = MemoryKeeper(ports.runner, ports.memory, host.host_id)
        self._start_watch = StartWatch()
        self._memory = self._recalled()
        self._fire_timeout_s: Optional[int] = None
        self._judged = Domain(DomainState.UNKNOWN)
        self._move_counts = False
        self._settled: Optional[_Settled] = None
        self._seen_of_broker: tuple[object, ...] = ()
        self._status = ""
        self._next_tick_s = self._started_at_s
        self._wake_at_s = math.inf
        self._stop_requested_at_s: Optional[float] = None
        self._shutdown = HostShutdown()
        self._handlers: dict[str, Callable[[Outcome[object]], None]] = {
            domain_poller.KEY: self._take_domain,
            vm_lease.KEY: self._take_lease,
            stranded_vm.KEY: self._stranded.take,
            config_cache.KEY: self._take_config,
            publish.KEY: self._take_publication,
            recorder.KEY: self._take_history,
            kept_memory.KEY: self._take_kept,
            END_MAINTENANCE: self._take_end_of_maintenance,
            **dict.fromkeys(_ORDER_OF_KEY, self._take_order),
        }

    # --- from outside -----------------------------------------------------------------

    def domain_changed(self) -> None:
        """libvirt reported a change; may be called from any thread."""
        self._domain.want()

    def request_stop(self, *, with_host: bool = False) -> None:
        """Stop at the next tick; the engine is left as it is.

        `with_host`: the whole host is being shut down, so the engine leaves it first, as the
        settings say.
        """
        if with_host:
            self._shutdown.begin(self._clock.monotonic_s())
        elif self._stop_requested_at_s is None:
            self._stop_requested_at_s = self._clock.monotonic_s()

    @property
    def holds_up_shutdown(self) -> bool:
        """Does the host's shutdown wait until the engine has left?"""
        return self._shutdown.has_begun and self._stop_requested_at_s is None

    @property
    def memory(self) -> Memory:
        """What the state machine remembers."""
        return self._memory

    @property
    def next_due_s(self) -> float:
        """Monotonic second of the next tick that is due by itself, or of the next time-out."""
        return min(self._next_tick_s, self._wake_at_s, self._told_at_s())

    @property
    def finished(self) -> bool:
        """Has a requested stop been carried out, as far as it could be?"""
        if self._stop_requested_at_s is None or self._memory.state is not State.AGENT_STOPPED:
            return False
        waited_s = self._clock.monotonic_s() - self._stop_requested_at_s
        if self._start_is_running():
            return waited_s > START_PATIENCE_S
        return waited_s > STOP_PATIENCE_S or self._stop_is_written()

    # --- one turn ---------------------------------------------------------------------

    def tick(self) -> None:
        """Harvest, collect, decide, publish, act; again at once while the state changes."""
        due = self._clock.monotonic_s() >= self._next_tick_s
        if slept_s := self._sleep.slept_s():
            self._woke_at_s = self._clock.monotonic_s()
            self._lease.woke(slept_s, self._woke_at_s)
            due = True
        if due:
            self._begin_tick()
        for turn in range(MAX_STEPS):
            as_before = self._harvest()
            if turn == 0 and not due and as_before and self._can_wait():
                break
            if not self._turn(due and turn == 0):
                break
        if self._recorder.waiting:
            self._recorder.write(self._clock.monotonic_s())
        self._show_delay()
        self._ports.services.alive()

    def _begin_tick(self) -> None:
        self._next_tick_s = in_step_s(self._clock.monotonic_s(), self._timing.tick_s)
        self._domain.want()
        self._domain.request()

    def _turn(self, due: bool) -> bool:
        """Take one decision, if there is a new one to take; True when it changed the state."""
        now_s = self._clock.monotonic_s()
        observation = self._observe(now_s, due)
        settings = self._config.settings
        if due or self._settled is None or not self._settled.holds(observation, settings):
            return self._decide(observation, settings, due)
        self._domain.request()
        return False

    def _decide(self, observation: Observation, settings: ClusterSettings, due: bool) -> bool:
        """Take a decision, publish it and act on it; True when it changed the state."""
        before = self._memory
        decision = step(before, observation, settings, self._find_row)
        self._memory = decision.memory
        self._move_counts &= decision.memory.state is State.ENGINE_MIGRATING_AWAY
        self._keeper.keep(decision.memory, self._start_watch.known)
        self._wake_at_s = math.inf if decision.wake_at_s is None else decision.wake_at_s
        self._settled = None
        if decision.memory is before and not decision.actions:
            self._settled = _Settled(observation, settings, self._wake_at_s)
        if decision.changed:
            self._record_change(before.state, decision, observation.now_s)
        self._history.note(before.state, decision, observation.now_s)
        self._tell(before.state, decision, observation.now_s)
        # Handed over before the orders are given, or right behind the record that is on its way
        # (the broker's `LOOK_WITHIN_S` at most): with EngineStart in it the broker refuses local
        # maintenance of this host. Nothing waits until the slot is written, for what makes a start
        # safe is the lease.
        self._publish(decision, observation, due)
        for action in decision.actions:
            if action is Action.END_LOCAL_MAINTENANCE:
                self._end_local_maintenance(decision.why)
            else:
                self._act(action, observation, observation.now_s)
        self._domain.request()
        return decision.changed

    @property
    def _timing(self) -> Timing:
        return self._config.settings.timing

    # --- harvest ----------------------------------------------------------------------

    def _harvest(self) -> bool:
        """True: something has ended, and all that it says is what was known."""
        outcomes = self._ports.runner.poll()
        for outcome in outcomes:
            self._handlers[outcome.key](outcome)
        return bool(outcomes) and all(self._is_known(outcome.key) for outcome in outcomes)

    def _is_known(self, key: str) -> bool:
        """Did the job that ended last under this key say what was known? Of a domain that is here
        each answer counts."""
        if key == domain_poller.KEY:
            return self._domain.absent_as_before
        return key == publish.KEY and self._publisher.said_the_same

    def _can_wait(self) -> bool:
        """Is there nothing to decide before the next tick, unless something new comes?

        Only for an agent that waits itself: one that has given an order, or is to stop, looks at
        each wake.
        """
        now_s, runner = self._clock.monotonic_s(), self._ports.runner
        orders_run = any(runner.busy_since_s(key) is not None for key in _ORDER_OF_KEY)
        stops = self._shutdown.has_begun or self._stop_requested_at_s is not None
        return (
            self._settled is not None
            and now_s < self._wake_at_s
            and not (orders_run or stops or self._domain.is_wanted)
            and self._seen_of_broker == self._ports.broker.latest_snapshot().word
        )

    def _take_domain(self, outcome: Outcome[object]) -> None:
        reading = self._domain.take(outcome)
        if reading is None or reading.domain is None:
            return
        pid = reading.domain.pid
        if reading.domain.state is not DomainState.RUNNING or pid is None:
            self._lease.vm_is_gone()
        elif self._executor.start.outcome is not StartOutcome.RUNNING:
            # While a start runs, `start_engine` asks for itself; one that was given up may hang.
            leaving = reading.domain.leaving
            wait_s = self._timing.tick_s if leaving else 0.0
            self._lease.request(pid, reading.at_s, not_within_s=wait_s)

    def _take_lease(self, outcome: Outcome[object]) -> None:
        self._lease.take(outcome)
        if self._lease.doubtful:
            self._domain.want()

    def _take_config(self, outcome: Outcome[object]) -> None:
        self._config.take(outcome)
        tick_ends_s = self._clock.monotonic_s() + self._timing.tick_s
        self._next_tick_s = min(self._next_tick_s, tick_ends_s)

    def _take_publication(self, outcome: Outcome[object]) -> None:
        error = self._publisher.take(outcome)
        self._note("publish", "publish this host's record", error, outcome.finished_at_s)

    def _take_history(self, outcome: Outcome[object]) -> None:
        earlier, error = self._recorder.take(outcome)
        self._history.remember(earlier)
        self._note("history", "write the history", error, outcome.finished_at_s)

    def _take_kept(self, outcome: Outcome[object]) -> None:
        error = self._keeper.take(outcome)
        self._note("memory", "keep on disk what was learnt", error, outcome.finished_at_s)

    def _recalled(self) -> Memory:
        found = self._keeper.recall(self._started_at_s)
        if found.why:
            log.warning("what an earlier agent had learnt is left alone: %s", found.why)
        self._start_watch = StartWatch(found.started_from)
        return found.memory

    def _take_order(self, outcome: Outcome[object]) -> None:
        result = self._executor.take(outcome)
        self._domain.changed(result.ended_at_s, result.domain)
        if result.order == execute.START:
            self._start_watch.ended(result.domain)
        self._note(result.order, _ORDER_OF_KEY[result.order], result.error, result.ended_at_s)

    # --- collect ----------------------------------------------------------------------

    def _observe(self, now_s: float, due: bool) -> Observation:
        look = self._ports.broker.latest_snapshot()
        self._seen_of_broker = look.word
        if look.snapshot is not None:
            self._config.look(look.snapshot.config)
        settings = self._config.settings
        peers = self._peers.look(look.snapshot)
        self._recorder.look(look, settings, now_s, self._peers.alike)
        self._peers.forget_alike()
        self._config.request(again=due)
        if self._executor.give_up_start(now_s, self._timing.start_s):
            self._domain.want()
        if self._executor.give_up_move(now_s):
            self._domain.want()
        domain = self._judged = self._domain.domain(now_s, self._timing.tick_s)
        self._follow_shutdown(now_s, vm_of(domain), look.snapshot, peers)
        seen = collect(
            Inputs(
                now_s=now_s,
                host=self._host,
                settings=settings,
                started_at_s=self._started_at_s,
                look=look,
                domain=domain,
                domain_asked=self._domain.was_answered(now_s, self._timing.tick_s),
                vm_since_s=self._domain.vm_since_s,
                vm_seen_at_s=self._domain.seen_at_s,
                vm_running_since_s=self._domain.running_since_s,
                vm_same_since_s=self._domain.vm_same_since_s,
                vm_ran=self._domain.vm_ran,
                vm_process=self._domain.process,
                vm_holds_lease=self._holds_lease(domain, now_s, look),
                vm_lease_why=self._lease.why,
                vm_stranded=self._is_stranded(domain, now_s, look.snapshot),
                start=self._executor.start,
                move=self._move(),
                move_announced=self._is_move_announced(look.snapshot, peers),
                unfinished_why=self._executor.unfinished_why(now_s),
                config_why=self._config.blocked_why(),
                config_refused=self._config.refused_why,
                config_current=self._config.current(),
                host_shuts_down=self._shutdown.has_begun,
                host_stops=self._shutdown.wanted(now_s, settings.migration),
                host_stop_told=self._told_at_s() == math.inf,
                stop_requested=self._stop_requested_at_s is not None,
                woke_at_s=self._woke_at_s,
                peers=peers,
            )
        )
        self._confirm(seen)
        return seen

    def _told_at_s(self) -> float:
        """When the others will have read that this host is being shut down; inf: never, or they
        have."""
        told_at_s = self._shutdown.told_at_s(self._timing, self._config.settings.migration)
        passed = told_at_s is None or told_at_s <= self._clock.monotonic_s()
        return math.inf if told_at_s is None or passed else told_at_s

    def _follow_shutdown(
        self, now_s: float, vm: Vm, snapshot: Optional[Snapshot], peers: tuple[Peer, ...]
    ) -> None:
        """The agent itself stops once nothing more is to be done for the engine."""
        if not self.holds_up_shutdown:
            return
        settings = self._config.settings
        heard_s = (
            None if self._is_refusal_heard(snapshot) else HEARING_TICKS * settings.timing.tick_s
        )
        comes = heard_s is None and is_sent_to(self._host.host_name, peers)
        arrival = Arrival(comes, heard_s)
        if not self._shutdown.waits(now_s, settings.migration, vm, self._memory.state, arrival):
            self._stop_requested_at_s = now_s

    def _show_delay(self) -> None:
        settings = self._config.settings.migration
        why = delay_why(vm_of(self._judged), self._memory.state, settings)
        self._ports.services.delays_shutdown(why)

    def _confirm(self, seen: Observation) -> None:
        """A look at the storage that denies the VM its lease: does the VM run even now?"""
        looked_at_s, asked_at_s = seen.lease_seen_at_s, seen.vm_seen_at_s
        if looked_at_s is not None and (asked_at_s is None or asked_at_s < looked_at_s):
            self._domain.want()

    def _holds_lease(self, domain: Domain, now_s: float, look: BrokerLook) -> Optional[bool]:
        pid = domain.pid if vm_of(domain) is Vm.RUNNING else None
        # What a broker that is gone said last tells nothing of the storage now. One that is there
        # has said it a tick ago when the next one is due, and a moment more on a busy machine.
        age_s = look.age_s(now_s)
        fresh = age_s is not None and age_s <= self._timing.tick_s + MOMENT_S
        good_at_s = look.snapshot.storage.last_read_at_s if look.snapshot and fresh else None
        fire_timeout_s = look.snapshot.lockspace.fire_timeout_s if look.snapshot else None
        self._fire_timeout_s = fire_timeout_s or self._fire_timeout_s
        self._lease.seen(look.snapshot.lease.seen_at_s if look.snapshot else None)
        return self._lease.holds(
            pid, now_s, self._timing, good_at_s, fire_timeout_s=self._fire_timeout_s
        )

    def _is_stranded(self, domain: Domain, now_s: float, snapshot: Optional[Snapshot]) -> bool:
        vm = paused_for_long(domain, self._domain.vm_same_since_s, now_s, self._timing)
        lease = LeaseView() if snapshot is None else snapshot.lease
        self._stranded.look(vm, self._domain.seen_at_s, lease, self._timing)
        return self._stranded.is_stranded(vm, now_s, self._timing)

    def _move(self) -> LatestMove:
        """The latest move while it runs, or while the state machine waits for its end.

        How an earlier one ended, or one to another host, must not look like the end of the next.
        """
        move = self._executor.move
        if move.outcome is MoveOutcome.RUNNING:
            return move
        same = self._move_counts and move.target_id == self._memory.move_target_id
        return move if same else LatestMove()

    def _is_move_announced(self, snapshot: Optional[Snapshot], peers: tuple[Peer, ...]) -> bool:
        """Does the record on the storage say where the engine goes, by a write that we caused?"""
        to = move_target(self._memory, peers)
        if not to or snapshot is None or snapshot.own is None or snapshot.own.record is None:
            return False
        written = _is_written_since(snapshot, self._publisher.moving_since_s(to))
        # A write that was under way as the broker took that record carries the one before it.
        said = written and moving_to(snapshot.own.record.notes) == to
        return self._announced.look(to if said else "", snapshot.storage)

    def _is_refusal_heard(self, snapshot: Optional[Snapshot]) -> bool:
        """Does the record on the storage say that this host takes no engine, and were the others'
        read after that? Then who sends one has seen it, or has said so."""
        if snapshot is None or snapshot.own is None or snapshot.own.record is None:
            return False
        written = _is_written_since(snapshot, self._publisher.refusing_since_s)
        said = written and not takes_told(snapshot.own.record.notes).address
        return self._refused.look("no" if said else "", snapshot.storage)

    def _start_is_running(self) -> bool:
        return self._ports.runner.busy_since_s(execute.START) is not None

    # --- publish and act --------------------------------------------------------------

    def _publish(self, decision: Decision, observation: Observation, due: bool) -> None:
        wall_s, loaded_at_s = self._clock.wall_s(), self._config.loaded_at_s
        self._start_watch.look(self._judged, observation.vm_id)
        record = publication(
            decision,
            observation,
            wall_s,
            loaded_at_s,
            self._history,
            takes=takes(observation, self._host, self._config.settings.migration),
            move=self._moves.report(
                decision.memory, observation, self._judged.copied, self._executor.move.result
            ),
            older_version=self._start_watch.older_version(
                observation.vm_id, self._config.domain_xml
            ),
        )
        self._publisher.offer(record, due)
        self._recorder.published(record, observation.now_s)

    def _act(self, action: Action, observation: Observation, now_s: float) -> None:
        # What is older than a stale snapshot is nothing to act on.
        judged = Judged(self._judged, now_s + STALE_TICKS * self._timing.tick_s)
        blocked_why = observation.blocked_why
        if action is Action.START_VM:
            self._start_watch.ordered(self._config.sequence, self._config.domain_xml)
        move = None
        if action is Action.MIGRATE_VM:
            move, self._move_counts = self._move_order(observation), True
        error = self._executor.perform(action, self._config.domain_xml, blocked_why, judged, move)
        self._note(action.value, _ORDERS[action][1], error, now_s)

    def _end_local_maintenance(self, why: str) -> None:
        """A job, for the broker may be slow; one that is under way does it. The broker logs why."""
        broker = self._ports.broker
        self._ports.runner.submit(END_MAINTENANCE, lambda: broker.end_local_maintenance(why))

    def _take_end_of_maintenance(self, outcome: Outcome[object]) -> None:
        error = "" if outcome.error is None else bare_reason(outcome.error)
        what = "take local maintenance back"
        self._note(END_MAINTENANCE, what, error, outcome.finished_at_s)

    def _move_order(self, seen: Observation) -> MigrationOrder:
        memory, settings = self._memory, self._config.settings
        target_id = memory.move_target_id
        address = next((peer.takes_at for peer in seen.peers if peer.host_id == target_id), "")
        options = options_of(settings.migration, move_limit_s(memory, seen, settings))
        patience_s = SHORT_PATIENCE_S if memory.move_for in OUT_OF_REACH else PATIENCE_S
        return MigrationOrder(target_id, address, options, patience_s)

    def _stop_is_written(self) -> bool:
        """The broker has confirmed a write since it took the record that says "stopped"."""
        snapshot = self._ports.broker.latest_snapshot().snapshot
        return snapshot is not None and _is_written_since(snapshot, self._publisher.stopped_at_s)

    # --- what people see --------------------------------------------------------------

    def _record_change(self, before: State, decision: Decision, now_s: float) -> None:
        lasted_s = now_s - self._history.state_since_s
        self._recorder.changed(before, decision, lasted_s, now_s)

    def _tell(self, before: State, decision: Decision, now_s: float) -> None:
        state = decision.memory.state
        if decision.changed:
            found = self._log_fields(decision, before)
            log.info("%s => %s: %s", before.value, state.value, decision.why, extra=found)
            self._reasons.forget("stay")
            self._on_transition(before, decision)
        elif self._reasons.is_news("stay", decision.why, now_s):
            found = self._log_fields(decision)
            log.info("%s: %s", state.value, decision.why, extra=found)
        elif log.isEnabledFor(logging.DEBUG):
            found = self._log_fields(decision)
            log.debug("%s, as before: %s", state.value, decision.why, extra=found)
        status = f"{state.value}: {decision.why}"
        if status != self._status:
            self._status = status
            self._ports.services.status(status)

    def _log_fields(self, decision: Decision, before: Optional[State] = None) -> Fields:
        snapshot = self._ports.broker.latest_snapshot().snapshot
        lease = LeaseView() if snapshot is None else snapshot.lease
        return fields(
            state_before=before,
            state=decision.memory.state,
            row=decision.row.label,
            lease=lease.state,
            lease_owner=lease.owner_id,
            lease_generation=lease.generation,
            config_sequence=self._config.sequence,
        )

    def _note(self, topic: str, what: str, error: str, now_s: float) -> None:
        """Log that this agent can't do `what` (``write the history``), then that it can again."""
        if error:
            if self._reasons.is_news(topic, error, now_s):
                found = fields(topic=topic, times=self._reasons.times(topic))
                log.warning("%s", cannot(what, error), extra=found)
        elif self._reasons.is_open(topic):
            times = self._reasons.times(topic)
            self._reasons.forget(topic)
            after = f", after it failed {times} times" if times > 1 else ""
            log.info("can %s again%s", what, after, extra=fields(topic=topic, times=times))
