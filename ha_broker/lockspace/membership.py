# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""This host's place in the lockspace, and sanlock's word on all hosts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Callable, Optional, cast

from ha_broker.api.snapshot import HostView, LockspaceView
from ha_broker.cycle.host_changes import HostVersions
from ha_broker.cycle.part import BrokerPorts, ChangeLog, Settings, clock_time, error_text
from ha_broker.cycle.task import Task
from metadata.host_notes import fire_timeout_in
from metadata.liveness import Liveness
from metadata.schedule import quickest_s, with_ticks_s
from metadata.settings.timing import floor_problems
from metadata.value_class import value_class
from world.ports.errors import LockspaceError
from world.ports.jobs import Outcome
from world.ports.libvirt import DomainState
from world.ports.sanlock import Lockspace, LockspaceHost, Membership

SANLOCK = "sanlock"
JOIN = "join"
SHORTEST_CALM_S = 2.0
LONGEST_CALM_S = 30.0
ANSWER_DEADLINE_S = 10.0
OVERDUE_IO_TIMEOUTS = 4  # a living host renews its place every 2
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 16.0


log = logging.getLogger(__name__)

_SILENT = frozenset({Liveness.FAIL, Liveness.DEAD})


@value_class(frozen=True)
class LockspaceLook:
    """What the daemon answered; `fire_timeout_s` None: it was not asked for that."""

    membership: Membership
    hosts: list[LockspaceHost]
    fire_timeout_s: Optional[int] = None


class MembershipWatch:
    """Joins, joins again after sanlock dropped the lockspace, and knows the hosts.

    Only a successful answer "out" makes it join; a daemon that does not answer is no "out".
    It never leaves: what sanlock has learnt of the other hosts lasts while this host is a member,
    so a member that leaves and joins again begins to wait for a dead host anew. The unit
    ha-lockspace.service leaves when this host shuts down (`ha_broker.lockspace.leave`).
    It joins only with a watchdog time that the cluster's times allow and that all living members
    have, and as a member goes by its word only while that is so.
    """

    keys = (SANLOCK, JOIN)

    def __init__(self, world: BrokerPorts, settings: Settings, change_log: ChangeLog) -> None:
        # Replaced only where a host's liveness or life is another one: others see by its identity
        # that nothing changed. When each was renewed stands in `renewed_at_s`.
        self.hosts: dict[int, LockspaceHost] = {}
        self._looked: dict[int, LockspaceHost] = {}  # by the latest look
        self.looked_at_s: Optional[float] = None
        self._world = world
        self._settings = settings
        self._change_log = change_log
        self._look = Task(world.runner, SANLOCK)
        self._join = Task(world.runner, JOIN)
        self._membership = Membership.OUT
        self._look_error = ""
        self._join_error = ""
        self._pause_s = FIRST_PAUSE_S
        self._stopping = False
        self._somebody_joins = False
        # Replaced, never changed: the metrics read it from another thread.
        self.renewed_at_s: Mapping[int, float] = {}
        self.silent_since_s: Mapping[int, float] = {}
        self._hosts_at_s = 0.0  # when `hosts` were asked for, if there are any
        self.overdue: set[int] = set()
        self.in_a_hurry = False
        self.engine: Optional[DomainState] = None
        self.fire_timeout_s: Optional[int] = None
        self.same_id_why = ""
        self.own_generation: Optional[int] = None
        self._fire_why = ""
        self._fire_versions: Optional[HostVersions] = None
        self._fire_times: set[int] = set()
        self._ask_all = True
        self._peers_known = False
        self._started_at_s = world.clock.monotonic_s()
        self.looked_in_vain = False

    # --- what others ask --------------------------------------------------------------------

    def view(self, now_s: float) -> LockspaceView:
        """Membership and what is wrong with it."""
        membership = self._membership
        if membership == Membership.OUT and self._join.busy_since_s is not None:
            membership = Membership.JOINING
        return LockspaceView(membership, self.error(now_s), self.fire_timeout_s)

    def error(self, now_s: float) -> str:
        """Why this host is not a member, or why nobody knows; empty: nothing is wrong."""
        since_s = self._look.stuck_since_s(now_s, ANSWER_DEADLINE_S)
        if since_s is not None:
            return f"sanlock has not answered since {clock_time(self._world.clock, since_s)}"
        if self._look_error:
            return self._look_error
        if self.looked_at_s is None:
            return ""
        if self.joined:
            return self._fire_why
        return self._waits_for() or self._join_error

    def note_peers(self, views: tuple[HostView, ...], versions: HostVersions, now_s: float) -> None:
        """Compare sanlock's watchdog time with that of all others who may be members."""
        self._peers_known = True
        if versions is not self._fire_versions:
            self._fire_versions = versions
            self._fire_times = _fire_times(views, self._settings.host.host_id)
        own_s = self.fire_timeout_s
        self._fire_why = "" if own_s is None else self._differs_why(own_s, views, now_s)

    def _differs_why(self, own_s: int, views: tuple[HostView, ...], now_s: float) -> str:
        """A member with the longer time is only slow; the other one would take a lease early."""
        if self._fire_times <= {own_s}:
            return ""
        host = self._settings.host
        for view in views:
            record = view.record
            if record is None or view.host_id == host.host_id or not self._may_live(view, now_s):
                continue
            other_s = fire_timeout_in(record)
            if other_s is None or other_s == own_s or (self.joined and own_s > other_s):
                continue
            return (
                f"sanlock's watchdog_fire_timeout is {own_s} s on this host ({host.host_name}) "
                f"and {other_s} s on {record.hostname}: set the same in /etc/sanlock/sanlock.conf "
                "of all hosts and restart sanlock there"
            )
        return ""

    def _may_live(self, view: HostView, now_s: float) -> bool:
        """Does the host write, or is it too early to say?"""
        seen_at_s = view.changed_at_s
        alive_s = self._settings.timing.alive_s
        if seen_at_s is None:
            seen_at_s = self._started_at_s
        return now_s - seen_at_s <= alive_s

    def _waits_for(self) -> str:
        """Why this host does not even try to join now; empty: it may.

        A VM may run here on a lease of this host's earlier life: so it is when sanlock died and
        came back. Joining anew voids that lease at once, for everybody: first the agent must
        have switched the VM off.
        """
        if self._settings.config is None:
            return "not joined: waits for the shared configuration"
        if self.engine == DomainState.RUNNING:
            return "not joined: a VM runs here that would lose its lease at once"
        if self.engine == DomainState.UNKNOWN:
            return "not joined: waits for libvirt's word on the VM"
        why = self._fire_refusal() or self.same_id_why
        return f"not joined: {why}" if why else ""

    def _fire_refusal(self) -> str:
        """Why sanlock's watchdog time keeps this host from joining; empty: it does not."""
        if not self._peers_known:
            return "waits for the first look at all hosts' records"
        if self.fire_timeout_s is None:
            return "sanlock has not told its watchdog_fire_timeout yet"
        problems = floor_problems(self._settings.timing, self.fire_timeout_s)
        if problems:
            return (
                f"with sanlock's watchdog_fire_timeout of {self.fire_timeout_s} s "
                f"here, {problems[0]}"
            )
        return self._fire_why

    @property
    def joined(self) -> bool:
        """Is this host a member, as far as sanlock was heard?"""
        return self._membership == Membership.JOINED

    def unusable_why(self, now_s: float) -> str:
        """Why sanlock's word on the hosts can't be used; empty: it can."""
        error = self.error(now_s)
        if error:
            return error
        if not self.joined:
            return "this host has not joined the lockspace"
        return ""

    def unreadable_why(self, now_s: float) -> str:
        """Why a lease's owner can't even be looked at; empty: it can.

        Watchdog times that differ make no lease one that can be taken, but whose it is can be seen.
        """
        why = self.unusable_why(now_s)
        return "" if self.joined and why == self._fire_why else why

    def stop(self) -> None:
        """Join no more."""
        self._stopping = True

    def hurry(self, now_s: float) -> None:
        """Ask sanlock again at once."""
        self._look.hurry(now_s)

    # --- the cycle ----------------------------------------------------------------------------

    def harvest(self, outcome: Outcome[object]) -> None:
        """A job of this part ended."""
        self.looked_in_vain = False
        if outcome.key == SANLOCK:
            self._harvest_look(outcome)
        else:
            self._harvest_join(outcome)

    def work(self, now_s: float) -> None:
        """Submit what is due."""
        interval_s = self._interval_s()
        self._look.quicken(interval_s)
        if self._look.is_due(now_s):
            self._look.start(now_s, self._look_job(), interval_s)
        if self._wants_to_join():
            self._start_join(now_s)
        self._change_log.tell("lockspace", self.error(now_s))

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens, but for looking."""
        due_s = self._look.late_at_s(now_s, ANSWER_DEADLINE_S)
        if self._wants_to_join():
            due_s = min(due_s, self._join.next_due_s(now_s))
        return due_s

    @property
    def next_look_s(self) -> float:
        """When sanlock is to be looked at again; most looks bring nothing new."""
        return self._look.due_at_s

    def _look_job(self) -> Callable[[], LockspaceLook]:
        return partial(look, self._world.lockspace, self._settings.host.host_id, self._ask_all)

    def _interval_s(self) -> float:
        quickest = quickest_s(self._settings.timing.tick_s)
        if self._membership == Membership.JOINING or self.in_a_hurry:
            return quickest
        if self._membership == Membership.OUT or self._somebody_joins:
            return max(SHORTEST_CALM_S, quickest)
        tick_s = max(SHORTEST_CALM_S, self._settings.timing.tick_s)
        return min(tick_s, with_ticks_s(tick_s, LONGEST_CALM_S))

    def _wants_to_join(self) -> bool:
        known_out = self.looked_at_s is not None and not self._look_error
        out = known_out and self._membership == Membership.OUT
        # Before libvirt's first word it is not known whether a VM runs here.
        return out and not self._stopping and self.engine is not None and not self._waits_for()

    def _harvest_look(self, outcome: Outcome[object]) -> None:
        before = self._seen()
        if outcome.error is not None:
            self._look_error = error_text(outcome.error)
            self._ask_all = True  # who answers next may be another daemon
            self._use_hosts([], outcome.started_at_s)
        else:
            self._use_look(cast(LockspaceLook, outcome.value), outcome)
        self.looked_in_vain = self._seen() == before

    def _seen(self) -> tuple[object, ...]:
        """All that a look tells and that others act on; renewals are only counted."""
        heard = self.looked_at_s is not None
        told = (self._look_error, self._membership, self.hosts)
        return (heard, *told, self.overdue, self.fire_timeout_s)

    def _use_look(self, seen: LockspaceLook, outcome: Outcome[object]) -> None:
        self._look_error = ""
        self.looked_at_s = outcome.started_at_s
        if seen.fire_timeout_s is not None:
            self.fire_timeout_s, self._ask_all = seen.fire_timeout_s, False
        self._use_hosts(seen.hosts, outcome.started_at_s)
        self._note_membership(seen.membership, outcome.finished_at_s)

    def _use_hosts(self, hosts: list[LockspaceHost], at_s: float) -> None:
        by_id = {host.host_id: host for host in hosts}
        own = by_id.get(self._settings.host.host_id)
        if own is not None:
            self.own_generation = own.generation
        if by_id != self._looked:
            self._note_renewals(by_id, at_s)
            if not _live_alike(by_id, self.hosts):
                self._tell_lives(by_id)
                self.hosts = by_id
                self._somebody_joins = any(host.liveness == Liveness.UNKNOWN for host in hosts)
        self._looked, self._hosts_at_s = by_id, at_s
        self._note_overdue(at_s)

    def _tell_lives(self, hosts: Mapping[int, LockspaceHost]) -> None:
        """Who fell silent, died, or came back: not the first look at a big cluster."""
        for host_id, host in hosts.items():
            before = self.hosts[host_id].liveness if host_id in self.hosts else host.liveness
            if before is not host.liveness and _SILENT & {before, host.liveness}:
                log.info("sanlock on host %d: %s => %s", host_id, before.value, host.liveness.value)

    def _note_renewals(self, hosts: dict[int, LockspaceHost], at_s: float) -> None:
        before = self._looked
        renewed = {
            host_id
            for host_id, host in hosts.items()
            if host_id not in before or before[host_id].timestamp != host.timestamp
        }
        renewed_at_s = {
            host_id: at_s if host_id in renewed else self.renewed_at_s[host_id] for host_id in hosts
        }
        # A change that this look shows and the one before did not came between the two.
        self.silent_since_s = {
            host_id: (self._hosts_at_s if host_id in self.hosts else at_s)
            if host_id in renewed
            else self.silent_since_s[host_id]
            for host_id in hosts
        }
        self.renewed_at_s = renewed_at_s

    def _note_overdue(self, at_s: float) -> None:
        limit_s = OVERDUE_IO_TIMEOUTS * self._settings.timing.io_timeout_s
        renewed = self.renewed_at_s
        if at_s - min(renewed.values(), default=at_s) < limit_s:
            self.overdue = set()
        else:
            self.overdue = {one for one, since_s in renewed.items() if at_s - since_s >= limit_s}

    def _note_membership(self, membership: Membership, now_s: float) -> None:
        if membership == self._membership:
            return
        log.info("lockspace: %s => %s", self._membership.value, membership.value)
        lost = self._membership == Membership.JOINED and membership == Membership.OUT
        self._membership = membership
        if membership == Membership.JOINED:
            self._join_error, self._pause_s = "", FIRST_PAUSE_S
        elif lost:
            self._ask_all = True
            self._join_error = "sanlock dropped the lockspace; joining again"
            self._join.hurry(now_s)

    def _start_join(self, now_s: float) -> None:
        host_id = self._settings.host.host_id
        io_timeout_s = self._settings.timing.io_timeout_s
        job = partial(join, self._world.lockspace, host_id, io_timeout_s, self.fire_timeout_s or 0)
        self._join.start(now_s, job, self._pause_s)

    def _harvest_join(self, outcome: Outcome[object]) -> None:
        self._look.hurry(outcome.finished_at_s)
        if outcome.error is None:
            self._join_error = ""
            return
        self._join_error = error_text(outcome.error)
        self._ask_all = True
        self._join.postpone(outcome.finished_at_s + self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def _fire_times(views: Iterable[HostView], own_id: int) -> set[int]:
    """All the watchdog times that other hosts' records tell."""
    told = [
        fire_timeout_in(view.record) for view in views if view.record and view.host_id != own_id
    ]
    return {seconds for seconds in told if seconds is not None}


def _live_alike(hosts: Mapping[int, LockspaceHost], before: Mapping[int, LockspaceHost]) -> bool:
    """Do both tell the same of the hosts, but that they were renewed?"""
    if len(hosts) != len(before):
        return False
    for host_id, host in hosts.items():
        was = before.get(host_id)
        if was is None or was.liveness is not host.liveness or was.generation != host.generation:
            return False
    return True


def look(lockspace: Lockspace, host_id: int, ask_all: bool = True) -> LockspaceLook:
    """Ask the local daemon; raises LockspaceError. Hosts are known to members only.

    `ask_all`: also for what it runs with, which is not cheap and rarely changes.
    """
    membership = lockspace.membership(host_id)
    hosts = lockspace.hosts() if membership == Membership.JOINED else []
    return LockspaceLook(membership, hosts, lockspace.fire_timeout_s() if ask_all else None)


def join(lockspace: Lockspace, host_id: int, io_timeout_s: int, fire_timeout_s: int) -> None:
    """Join, if the daemon still runs with what was looked at; raises LockspaceError."""
    now_s = lockspace.fire_timeout_s()
    if now_s != fire_timeout_s:
        why = f"sanlock's watchdog_fire_timeout has become {now_s} s"
        raise LockspaceError("join the lockspace", why)
    lockspace.join(host_id, io_timeout_s)
