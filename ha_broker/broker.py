# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The broker's core: one cycle, driven from outside; no thread, no sleep, no decision.

A cycle harvests the jobs that ended, takes in what the API was asked, submits the jobs that
are due and shows a new immutable snapshot::

    broker = Broker(world, host_settings, state_dir, wake)
    while running:
        due_s = broker.tick()
        wait until due_s, or until `wake` was called

Nothing here waits: storage, sanlock and libvirt are touched by jobs only.

Most cycles bring nothing new, and there may be 2000 hosts, so what was worked out is kept. Each of
these caches holds for as long as what follows it stays; "the same" is meant by identity, which is
enough because such a value is replaced and never changed, and replaced only where it differs::

    MembershipWatch.hosts          what sanlock answers, but for the hosts' renewals
    MembershipWatch._looked        sanlock's answer of the look before: equal, nobody renewed
    MembershipWatch.fire_timeout_s the daemon, which reads it when it starts; asked again after an
                                   error, after a join that failed, after the lockspace was lost
    SlotDecoder._bytes, _said      all 4096 bytes of the slot; but for the time in them, the record
    SlotTable._reading             the same hosts of sanlock; no slot begins or ceases to hold a
                                   record, or to be torn
    SlotTable._shown, _all_shown   the same hosts of sanlock, `alive_s`, no new look at the slot
                                   (those with one are in `_outdated`, and made anew alone while
                                   the same hosts are listed); until a record gets stale by time
    SlotReader, for its own slot   read by its writer, which looks first, in the last 1.5 ticks
    OwnWrite.expected              the slot's bytes are those that this process wrote last
    ConfigWatch._heads             the first 4096 bytes of both copies: sequence number and checksum
    HostChanges._shown             the views before, with which these are compared; who is found
                                   changed differs in more than when its record was written
    Broker._engines, _host_errors, the same `HostVersions`: `HostChanges` finds no host changed
    MembershipWatch._fire_times,
    LeaseReader._machines
    Witness._next                  so, and the same owner of the lease
    SignificantChanges._hosts      `HostChanges` does not find the host changed
    MonitorPart._view,             nothing was measured, begun or found late; until the value is too
    MonitorRound._views            old
    MemoryMonitor._domain_need     the same shared configuration
    PluginMonitors._parts          equal settings of the plug-in
    Delivery._targets              the same settings of notifications
    Notifications._picture         the snapshot's sequence; for a tick at most, and not at all while
                                   something is about to be told
    ToldSnapshots._by_number       a snapshot never changes; a mark names it, in this life of the
                                   process
    ClusterPicture.hosts           `HostChanges` has not found the host changed since the picture
                                   before, and whether others can be seen; this host's own is made
                                   anew

The text of the metrics is made when it is asked for, and given again for half a second. What a
record's parts are as text (`metadata.engine_status`, `metadata.wire`), and how a class is read from
JSON (`json_codec`), follows from the arguments alone: kept for ever, the latest 64 texts of each.
Beside the cycle, `metrics.Certificate` goes by place, size and time of its files, and
`NameLookup` by what it was told first.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from math import inf
from typing import Callable, Optional

from ha_broker.api.monitors import MonitorView
from ha_broker.api.snapshot import HostView, LeaseState, Publication, Snapshot, StorageView
from ha_broker.cycle.host_changes import HostChanges
from ha_broker.cycle.observer import NoObserver, Observer
from ha_broker.cycle.part import BrokerPorts, ChangeLog, CyclePart, Settings
from ha_broker.cycle.task import HarvestedRunner
from ha_broker.engine_moves import MoveOrders
from ha_broker.engine_words import EngineWords, words_on_the_engine
from ha_broker.lockspace.lease_reader import LeaseReader
from ha_broker.lockspace.membership import SANLOCK, MembershipWatch
from ha_broker.lockspace.same_id import SameIdWatch
from ha_broker.monitors.base import Monitor, MonitorPart
from ha_broker.monitors.bridge import BridgeMonitor
from ha_broker.monitors.cpu_load import CpuLoadMonitor
from ha_broker.monitors.engine import EngineMonitor
from ha_broker.monitors.guest_agent import GuestAgentMonitor
from ha_broker.monitors.memory import MemoryMonitor
from ha_broker.monitors.network import NetworkMonitor
from ha_broker.monitors.plugins import PluginMonitors
from ha_broker.monitors.round import MonitorRound
from ha_broker.monitors.storage import RenewalMonitor, SpaceMonitor, StorageTimes
from ha_broker.monitors.witness import Witness
from ha_broker.notifications.notifier import Notifications
from ha_broker.server.mailbox import (
    NO_REQUESTS,
    Mailbox,
    MoveTicket,
    Refusal,
    Requests,
    Ticket,
    TrialTicket,
)
from ha_broker.significant_changes import SignificantChanges, starts_in_vain_s
from ha_broker.status_line import host_errors, status_line
from ha_broker.storage.answers import AnswerWatch
from ha_broker.storage.config_reader import ConfigWatch
from ha_broker.storage.global_maintenance import GlobalMaintenance
from ha_broker.storage.local_maintenance import LocalMaintenance
from ha_broker.storage.own_slot_writer import WRITE_OWN, OwnSlot
from ha_broker.storage.second_look import SecondLook
from ha_broker.storage.slot_notes import newer_config_elsewhere
from ha_broker.storage.slot_reader import SlotReader
from metadata.host_notes import FIRE_TIMEOUT, identity_notes
from metadata.notes import PROGRAM, Notes
from metadata.program import VERSION
from metadata.records import Health
from metadata.sanlock_usual import USUAL_FIRE_TIMEOUT_S
from metadata.schedule import quick_s, quickest_s
from metadata.settings.parse import HostSettings
from metadata.value_class import replaced
from world.ports.jobs import Outcome
from world.ports.libvirt import DomainState
from world.ports.sanlock import Membership
from world.ports.sleep_watch import SleepWatch

log = logging.getLogger(__name__)

ALIVE_INTERVAL_S = 5.0

SETTLE_S = 0.1
"""What a tick's jobs bring is looked at when the first of them have ended, some 20 ms after they
were begun; where none ends, after this."""

# Records are written each tick and read each tick. An engine's host that is silent for longer
# may be gone, and may be back in a new life, its lease free, before sanlock has missed it.


class Broker:
    """Made of parts; it only passes on what one part learns and another must know.

    Raises `local_maintenance.StateDirError` when the state directory can't be read.
    """

    def __init__(
        self,
        world: BrokerPorts,
        host: HostSettings,
        state_dir: str,
        wake: Callable[[], None] = lambda: None,
        observer: Optional[Observer] = None,
    ) -> None:
        self._metrics_error = ""
        self._observer = observer or NoObserver()
        self._runner = HarvestedRunner(world.runner, world.clock)
        self._world = replace(world, runner=self._runner)
        self._settings = Settings(host)
        self._started_at_s = world.clock.monotonic_s()
        self._sleep = SleepWatch(world.clock)
        self._stopping = False
        self._told_alive_at_s = -inf
        self._status = ""
        self._due_s = self._look_due_s = -inf
        self._host_changes = HostChanges()
        self._unshown: set[int] = set()
        self._engines = EngineWords()
        self._host_errors: tuple[str, ...] = ()
        self._identity: Notes = (*identity_notes(world.vitals.identity()), (PROGRAM, VERSION))
        self._make_parts(state_dir, wake)
        self._pass_on(self._started_at_s)
        # Begins high enough that a restarted broker never repeats a number.
        self._snapshot = self._look(self._started_at_s, int(self._started_at_s * 1000))
        self._significant = SignificantChanges(self._snapshot)
        self._unshown.clear()
        self.mailbox = Mailbox(self._snapshot, wake, self._host_changes.versions)

    def _make_parts(self, state_dir: str, wake: Callable[[], None]) -> None:
        world, settings, change_log = self._world, self._settings, ChangeLog()
        self._storage = SlotReader(world, settings, change_log)
        self._answers = AnswerWatch()
        self._local = LocalMaintenance(world, state_dir, self._look_now, SecondLook(self._storage))
        self._own = OwnSlot(world, settings, self._storage, self._local, change_log)
        self._moves = MoveOrders(
            self._look_now,
            lambda: (self._own.published, self._own.published_at_s),
            SecondLook(self._storage),
        )
        self._storage_times = StorageTimes(settings, self._storage, self._own)
        self._global = GlobalMaintenance(world, settings, self._storage)
        self._config = ConfigWatch(
            world,
            settings,
            change_log,
            lambda: self._lockspace.joined,
            lambda sequence: newer_config_elsewhere(self._views, sequence),
        )
        self._lockspace = MembershipWatch(world, settings, change_log)
        self._same_id = SameIdWatch(world, settings, change_log)
        self._lease = LeaseReader(world, settings, self._lockspace, change_log)
        self._engine = EngineMonitor(world, settings, change_log, self._lease.hurry, wake)
        self._witness = Witness(world, settings)
        self._guest = MonitorPart(
            GuestAgentMonitor(world, settings, self._engine), world, change_log
        )
        measured = [MonitorPart(monitor, world, change_log) for monitor in self._host_monitors()]
        self._monitors = MonitorRound((*measured, self._guest))
        self._notifications = Notifications(world, settings, state_dir, change_log)
        self._plugins = PluginMonitors(world, settings, change_log)
        # In the order of who needs to know first: a lease read uses the hosts just seen.
        self._parts: tuple[CyclePart, ...] = (
            self._local,
            self._moves,
            self._config,
            self._same_id,
            self._lockspace,
            self._storage,
            self._own,
            self._global,
            self._engine,
            self._lease,
            self._witness,
            self._monitors,
            self._plugins,
            self._notifications,
        )
        self._by_key = {key: part for part in self._parts for key in part.keys}

    def _host_monitors(self) -> list[Monitor]:
        """In the order in which they are shown."""
        world, settings = self._world, self._settings
        return [
            NetworkMonitor(world, settings),
            BridgeMonitor(world, settings),
            MemoryMonitor(world, settings),
            CpuLoadMonitor(world, settings, lambda: self._engine.hypervisor),
            RenewalMonitor(world, settings, lambda: self._lockspace.joined),
            SpaceMonitor(world, settings),
        ]

    @property
    def renewed_at_s(self) -> Mapping[int, float]:
        """When each host of the lockspace was last seen to have renewed its place there."""
        return self._lockspace.renewed_at_s

    def note_metrics(self, error: str) -> None:
        """How the metrics' server is doing (empty: well); from any thread, shown in the next
        cycle."""
        self._metrics_error = error

    # --- the cycle ----------------------------------------------------------------------------

    def tick(self) -> float:
        """One turn of the loop; returns the monotonic second at which the next one is due."""
        # The clock after the jobs: nothing that is harvested ended later than now.
        outcomes = self._runner.poll()
        now_s = self._world.clock.monotonic_s()
        requests = self.mailbox.take()
        slept = self._note_sleep(now_s)
        news = self._harvest(outcomes) or slept
        if news or self._asks_for_more(requests) or self._has_to_look(now_s):
            self._cycle(requests, now_s)
        else:
            self._carry_on(outcomes, requests, now_s)
        self._tell_alive(now_s)
        return min(self._due_s, self._look_due_s, self._lockspace.next_look_s)

    def _note_sleep(self, now_s: float) -> bool:
        """After a sleep of this machine, look at everything at once; True: so it was."""
        slept_s = self._sleep.slept_s()
        if not slept_s:
            return False
        log.warning("this machine has slept for %.0f s; looking who holds the lease", slept_s)
        self._lease.slept(now_s)
        self._lockspace.hurry(now_s)
        self._storage.hurry_scan(now_s)
        return True

    def _asks_for_more(self, requests: Requests) -> bool:
        """Did somebody come with more than an agent that lives and says the same as before?"""
        if requests is NO_REQUESTS:
            return False
        same = requests.publication == self._own.published
        return not same or bool(requests.tickets) or requests.reread

    def _has_to_look(self, now_s: float) -> bool:
        return now_s >= self._look_due_s or self._engine.has_event or self._stopping

    def _cycle(self, requests: Requests, now_s: float) -> None:
        """Everything: what is known is brought together, acted on, and shown."""
        self._pass_on(now_s)
        self._take(requests, now_s)
        self._work(now_s)
        self._show(now_s)
        self._tell_service_manager()
        self._plan(now_s)
        # What is shown gets old too: a cycle each tick, whatever the parts say.
        self._look_due_s = now_s + self._settings.timing.tick_s + SETTLE_S

    def _work(self, now_s: float) -> None:
        for part in self._parts:
            part.work(now_s)

    def _plan(self, now_s: float) -> None:
        """When there is something to do again; what was shown may have made more of it."""
        dues_s = [part.next_due_s(now_s) for part in self._parts]
        self._due_s = min(now_s + self._settings.timing.tick_s, *dues_s)

    # --- the turns in which there is nothing to decide (ADR 79) -------------------------------

    def _carry_on(self, outcomes: list[Outcome[object]], requests: Requests, now_s: float) -> None:
        """Nothing is new. Jobs that end a moment after those that woke the loop wake it for
        nothing, too."""
        keys = {outcome.key for outcome in outcomes}
        if requests.publication is not None:
            self._own.publish(requests.publication, now_s)
        if now_s >= self._due_s:
            self._begin_jobs(now_s)
        elif SANLOCK in keys or now_s >= self._lockspace.next_look_s:
            self._glance(now_s)
        elif requests.publication is not None:
            self._own.work(now_s)
            self._due_s = min(self._due_s, self._own.next_due_s(now_s))
        if WRITE_OWN in keys:
            self._show_write(now_s)

    def _begin_jobs(self, now_s: float) -> None:
        """Have done what is due; what comes of it is looked at together, in one cycle.

        Where nothing could be begun it is a job's end that is overdue: that is for all to know.
        """
        begun = self._runner.begun
        self._work(now_s)
        if self._runner.begun == begun:
            self._cycle(NO_REQUESTS, now_s)
        else:
            self._plan(now_s)
            self._look_due_s = min(self._look_due_s, now_s + SETTLE_S)

    def _show_write(self, now_s: float) -> None:
        """The record was written again, and says the same."""
        views = self._hosts(now_s)
        if self._host_changes.differ(views):
            self._cycle(NO_REQUESTS, now_s)
            return
        self._views = views
        self._snapshot = replaced(
            self._snapshot,
            hosts=views,
            storage=self._storage_view(now_s),
            agent_published_at_s=self._own.published_at_s,
        )
        self.mailbox.show_times(self._snapshot)

    def _glance(self, now_s: float) -> None:
        """sanlock was looked at in vain, or is to be: nothing for the others, if time is not.

        While a host may be gone it is asked often, and most of its answers are the same.
        """
        views, lease = self._views, self._lease.view
        self._pass_on(now_s)
        if self._views == views and self._lease.view == lease:
            self._lockspace.work(now_s)
        else:
            self._cycle(NO_REQUESTS, now_s)

    def begin_stop(self) -> None:
        """Begin nothing new that outlives it; the host stays in the lockspace."""
        self._stopping = True
        self._lockspace.stop()
        self._plugins.stop()
        self._world.services.stopping()

    @property
    def stopped(self) -> bool:
        """After `begin_stop`: is there nothing left to wait for?"""
        return self._stopping

    def _harvest(self, outcomes: list[Outcome[object]]) -> bool:
        """False: nothing came, or nothing but what was known already."""
        for outcome in outcomes:
            self._observer.job_ended(outcome)
            self._by_key.get(outcome.key, self._plugins).harvest(outcome)
        return any(not self._is_known(outcome.key) for outcome in outcomes)

    def _is_known(self, key: str) -> bool:
        """Did the job that ended last under this key bring nothing new?"""
        if key == SANLOCK:
            return self._lockspace.looked_in_vain
        return key == WRITE_OWN and self._own.said_the_same

    def _take(self, requests: Requests, now_s: float) -> None:
        if requests.publication is not None:
            self._note_start(requests.publication, now_s)
            self._own.publish(requests.publication, now_s)
            self._answers.note(requests.publication.notes)
        for ticket in requests.tickets:
            self._ask(ticket)
        if requests.reread:
            self._config.hurry(now_s)
            self._storage.hurry_scan(now_s)

    def _note_start(self, publication: Publication, now_s: float) -> None:
        """A start that came to nothing, perhaps for the lease: what was seen of it is old."""
        if starts_in_vain_s(publication)[-1:] != starts_in_vain_s(self._own.published)[-1:]:
            self._lease.hurry(now_s)

    def _ask(self, ticket: Ticket) -> None:
        if self._stopping:
            ticket.resolve(Refusal(503, "the broker is stopping"))
        elif isinstance(ticket, TrialTicket):
            self._notifications.ask_trial(ticket)
        elif isinstance(ticket, MoveTicket):
            self._moves.ask(ticket)
        elif ticket.scope == "global":
            self._global.ask(ticket)
        else:
            self._local.ask(ticket)

    def _pass_on(self, now_s: float) -> None:
        # In this order, for each uses what those above have brought up to date: the hosts; with
        # them sanlock's word, which counts or not; with both the lease; with the lease the witness
        # and how often sanlock is asked.
        self._views = self._hosts(now_s)
        changed = self._host_changes.note(self._views)
        self._unshown |= changed
        if changed:
            self._engines = words_on_the_engine(self._views, self._settings.host.host_id)
            self._host_errors = host_errors(self._views)
        self._storage.note_hosts(self._lockspace.hosts)
        self._lockspace.engine = self._engine.first_word
        if self._storage.all_slots_seen:
            self._lockspace.note_peers(self._views, self._host_changes.versions, now_s)
        self._own.marks = self._marks()
        self._look_for_same_id(now_s)
        self._lease.note_records(self._views, self._host_changes.versions)
        self._engine.guest = self._guest.view(now_s)
        runs_here = self._engine.domain == DomainState.RUNNING
        let_go = bool(self._engines.giving)
        self._lease.judge(now_s, self._knows_healthy_engine(), runs_here, let_go)
        versions = self._host_changes.versions
        self._witness.consider(self._lease.view, self._lease.owner_lives, self._views, versions)
        self._lockspace.in_a_hurry = self._owner_may_be_gone()
        tick_s = self._settings.timing.tick_s
        self._storage.watch(
            self._slots_to_watch(), quickest_s(tick_s) if let_go else quick_s(tick_s)
        )
        self._look_for_answers(now_s)

    def _look_for_answers(self, now_s: float) -> None:
        own = self._storage.book.state(self._settings.host.host_id)
        if (
            own is not None
            and own.record is not None
            and self._answers.is_due(
                own.record.notes, self._own.written_at_s, self._storage.last_round_at_s
            )
        ):
            self._storage.hurry(now_s)

    def _knows_healthy_engine(self) -> bool:
        """Does a healthy engine run here, or on a living host by its record?"""
        return self._engine.health == Health.GOOD or self._engines.healthy

    def _look_for_same_id(self, now_s: float) -> None:
        """Nobody else may use our id when we join, nor while we look whether somebody does."""
        same_id = self._same_id
        same_id.joined = self._lockspace.view(now_s).membership != Membership.OUT
        same_id.known_generation = self._lockspace.own_generation
        same_id.fire_timeout_s = self._lockspace.fire_timeout_s or USUAL_FIRE_TIMEOUT_S
        if self._storage.own_slot_seen:
            same_id.slot = self._storage.book.state(self._settings.host.host_id)
        same_id.judge(now_s)
        self._lockspace.same_id_why = same_id.why
        self._own.held_why = same_id.why if same_id.holds_slot else ""
        self._own.owns_id = not self._lockspace.unusable_why(now_s)

    def _marks(self) -> Notes:
        """What the record says beside what the agent published: which machine and which version of
        the program write it, and as a member of the lockspace sanlock's watchdog time."""
        fire_timeout_s = self._lockspace.fire_timeout_s
        if not self._lockspace.joined or fire_timeout_s is None:
            return self._identity
        return (*self._identity, (FIRE_TIMEOUT, str(fire_timeout_s)))

    def _owner_may_be_gone(self) -> bool:
        """May the lease be free as soon as sanlock says something new of its owner's host?

        While another host that lives holds it, only reading the lease can bring news.
        """
        lease = self._lease.view
        if lease.state != LeaseState.HELD:
            return lease.state == LeaseState.UNKNOWN and self._lockspace.joined
        return not self._lease.owner_lives or lease.owner_id in self._lockspace.overdue

    def _slots_to_watch(self) -> AbstractSet[int]:
        """Slots whose next words may let this host start the engine, or tell it not to (ADR 70).

        Of a host that lets the engine go; where the lease is free, of its last owner, and of
        whoever has the engine by its record; and slot 0 while maintenance keeps it down.
        """
        engines, lease = self._engines, self._lease
        if lease.view.state != LeaseState.FREE:
            return engines.giving
        last = {one.host_id for one in self._views if self._was_owner_and_speaks(one)}
        waits_for_people = {0} if self._storage.maintenance else set()
        return engines.to_tell | last | waits_for_people

    def _was_owner_and_speaks(self, view: HostView) -> bool:
        other = view.host_id != self._settings.host.host_id
        return view.host_id == self._lease.last_owner_id and other and view.agent_speaks

    # --- what is shown --------------------------------------------------------------------------

    def _show(self, now_s: float) -> None:
        snapshot = self._look(now_s, self._snapshot.sequence)
        changed, self._unshown = self._unshown, set()
        heard = self._answers.take_heard()
        if self._significant.found_in(snapshot, changed) or heard:
            snapshot = replaced(snapshot, sequence=snapshot.sequence + 1)
        self._notifications.look(snapshot, changed)
        snapshot = self._with_news(snapshot)
        self._snapshot = snapshot
        versions = self._host_changes.versions
        self.mailbox.show(snapshot, self._settings.config, self._config.held, versions)
        self._observer.shown(snapshot)

    def _with_news(self, snapshot: Snapshot) -> Snapshot:
        """What was found by looking at this very snapshot belongs to it; mostly it is nothing."""
        events, counts = self._notifications.events, self._notifications.counts
        if events == snapshot.events and counts == snapshot.notifications:
            return snapshot
        return replaced(snapshot, events=events, notifications=counts)

    def _look(self, now_s: float, sequence: int) -> Snapshot:
        host = self._settings.host
        return Snapshot(
            sequence=sequence,
            taken_at_s=now_s,
            host_id=host.host_id,
            host_name=host.host_name,
            started_at_s=self._started_at_s,
            storage=self._storage_view(now_s),
            lockspace=self._lockspace.view(now_s),
            lease=self._lease.view,
            engine=self._engine.view(),
            witness=self._witness.view(now_s),
            monitors=self._monitor_views(now_s),
            config=self._config.view(now_s),
            hosts=self._views,
            global_maintenance=self._storage.maintenance,
            global_error=self._storage.global_error,
            local_maintenance=self._local.maintenance,
            move_order=self._moves.order,
            agent_published_at_s=self._own.published_at_s,
            agent=self._own.published,
            metrics_error=self._metrics_error,
            events=self._notifications.events,
            notifications=self._notifications.counts,
        )

    def _look_now(self) -> Snapshot:
        return self._look(self._world.clock.monotonic_s(), self._snapshot.sequence)

    def _monitor_views(self, now_s: float) -> tuple[MonitorView, ...]:
        measured = self._monitors.views(now_s)
        return (*measured, *self._storage_times.views(now_s), *self._plugins.views(now_s))

    def _storage_view(self, now_s: float) -> StorageView:
        busy_s = (self._storage.busy_since_s, self._own.busy_since_s)
        errors = (self._storage.error(now_s), self._own.error(now_s))
        return StorageView(
            last_read_at_s=self._storage.last_read_at_s,
            last_write_at_s=self._own.written_at_s,
            busy_since_s=min([at_s for at_s in busy_s if at_s is not None], default=None),
            latency_s=self._storage.latency_s,
            error="; ".join(filter(None, errors)),
        )

    def _hosts(self, now_s: float) -> tuple[HostView, ...]:
        alive_s = self._settings.timing.alive_s
        views = self._storage.book.views(self._lockspace.hosts, now_s, alive_s)
        conflict = self._own.conflict(now_s) if self._storage.own_slot_seen else ""
        if not conflict:
            return views
        own_id = self._settings.host.host_id
        return tuple(
            replace(view, error=conflict) if view.host_id == own_id else view for view in views
        )

    def _tell_alive(self, now_s: float) -> None:
        if now_s - self._told_alive_at_s >= ALIVE_INTERVAL_S:
            self._told_alive_at_s = now_s
            self._world.services.alive()

    def _tell_service_manager(self) -> None:
        text = status_line(self._snapshot, self._host_errors)
        if text != self._status:
            self._status = text
            self._world.services.status(text)
