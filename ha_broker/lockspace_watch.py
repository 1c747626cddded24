"""This host's place in the lockspace, and sanlock's word on all hosts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Callable, Optional, cast

from ha_broker.parts import Settings, Task, Teller, World, clock_time, error_text
from ha_broker.snapshot import LockspaceView
from ha_broker.world.ports import (
    DomainState,
    Liveness,
    Lockspace,
    LockspaceHost,
    Membership,
    Outcome,
)
from metadata.pace import quickest_s, with_ticks_s

SANLOCK = "sanlock"
JOIN = "join"
SHORTEST_CALM_S = 2.0
LONGEST_CALM_S = 30.0  # a host is FAIL for 60 s before it is DEAD: never missed
ANSWER_DEADLINE_S = 10.0
OVERDUE_IO_TIMEOUTS = 4  # a living host renews its place every 2
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 16.0


log = logging.getLogger(__name__)

Look = tuple[Membership, list[LockspaceHost]]


class LockspaceWatch:
    """Joins, joins again after sanlock dropped the lockspace, and knows the hosts.

    Only a successful answer "out" makes it join; a daemon that does not answer is no "out".
    It never leaves: what sanlock has learnt of the other hosts lasts while this host is a member,
    so a member that leaves and joins again begins to wait for a dead host anew. The unit
    ha-lockspace.service leaves when this host shuts down (`ha_broker.leave`).
    """

    keys = (SANLOCK, JOIN)

    def __init__(self, world: World, settings: Settings, teller: Teller) -> None:
        self.hosts: dict[int, LockspaceHost] = {}
        self.looked_at_s: Optional[float] = None
        self._world = world
        self._settings = settings
        self._teller = teller
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
        self.overdue: set[int] = set()
        self.in_a_hurry = False
        self.engine: Optional[DomainState] = None
        self.looked_in_vain = False

    # --- what others ask --------------------------------------------------------------------

    def view(self, now_s: float) -> LockspaceView:
        """Membership and what is wrong with it."""
        membership = self._membership
        if membership == Membership.OUT and self._join.busy_since_s is not None:
            membership = Membership.JOINING
        return LockspaceView(membership, self.error(now_s))

    def error(self, now_s: float) -> str:
        """Why this host is not a member, or why nobody knows; empty: nothing is wrong."""
        since_s = self._look.stuck_since_s(now_s, ANSWER_DEADLINE_S)
        if since_s is not None:
            return f"sanlock has not answered since {clock_time(self._world.clock, since_s)}"
        if self._look_error:
            return self._look_error
        if self.joined or self.looked_at_s is None:
            return ""
        return self._waits_for() or self._join_error

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
        return ""

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

    def stop(self) -> None:
        """Join no more."""
        self._stopping = True

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
        self._teller.tell("lockspace", self.error(now_s))

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

    def _look_job(self) -> Callable[[], Look]:
        return partial(look, self._world.lockspace, self._settings.host.host_id)

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
            self._use_hosts([], outcome.started_at_s)
        else:
            self._use_look(cast(Look, outcome.value), outcome)
        self.looked_in_vain = self._seen() == before

    def _seen(self) -> tuple[object, ...]:
        """All that a look tells and that others act on; renewals are only counted."""
        lives = {host.host_id: (host.liveness, host.generation) for host in self.hosts.values()}
        heard = self.looked_at_s is not None
        return heard, self._look_error, self._membership, lives, self.overdue

    def _use_look(self, seen: Look, outcome: Outcome[object]) -> None:
        membership, hosts = seen
        self._look_error = ""
        self.looked_at_s = outcome.started_at_s
        self._use_hosts(hosts, outcome.started_at_s)
        self._note_membership(membership, outcome.finished_at_s)

    def _use_hosts(self, hosts: list[LockspaceHost], at_s: float) -> None:
        """A new mapping only for new hosts: others see by its identity that nothing changed."""
        by_id = {host.host_id: host for host in hosts}
        self._note_renewals(by_id, at_s)
        if by_id != self.hosts:
            self.hosts = by_id
            self._somebody_joins = any(host.liveness == Liveness.UNKNOWN for host in hosts)

    def _note_renewals(self, hosts: dict[int, LockspaceHost], at_s: float) -> None:
        limit_s = OVERDUE_IO_TIMEOUTS * self._settings.timing.io_timeout_s
        renewed_at_s = {
            host_id: at_s if self._is_renewed(host) else self.renewed_at_s[host_id]
            for host_id, host in hosts.items()
        }
        self.renewed_at_s = renewed_at_s
        self.overdue = {host_id for host_id in hosts if at_s - renewed_at_s[host_id] >= limit_s}

    def _is_renewed(self, host: LockspaceHost) -> bool:
        before = self.hosts.get(host.host_id)
        return before is None or before.timestamp != host.timestamp

    def _note_membership(self, membership: Membership, now_s: float) -> None:
        if membership == self._membership:
            return
        log.info("lockspace: %s => %s", self._membership.value, membership.value)
        lost = self._membership == Membership.JOINED and membership == Membership.OUT
        self._membership = membership
        if membership == Membership.JOINED:
            self._join_error, self._pause_s = "", FIRST_PAUSE_S
        elif lost:
            self._join_error = "sanlock dropped the lockspace; joining again"
            self._join.hurry(now_s)

    def _start_join(self, now_s: float) -> None:
        host_id = self._settings.host.host_id
        io_timeout_s = self._settings.timing.io_timeout_s
        job = partial(self._world.lockspace.join, host_id, io_timeout_s)
        self._join.start(now_s, job, self._pause_s)

    def _harvest_join(self, outcome: Outcome[object]) -> None:
        self._look.hurry(outcome.finished_at_s)
        if outcome.error is None:
            self._join_error = ""
            return
        self._join_error = error_text(outcome.error)
        self._join.postpone(outcome.finished_at_s + self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def look(lockspace: Lockspace, host_id: int) -> Look:
    """Ask the local daemon; raises LockspaceError. Hosts are known to members only."""
    membership = lockspace.membership(host_id)
    hosts = lockspace.hosts() if membership == Membership.JOINED else []
    return membership, hosts
