# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Reads the owner of the engine's lease, more often while something may happen to it."""

from __future__ import annotations

import logging
from typing import Optional, cast

from ha_broker.api.snapshot import HostView, LeaseView
from ha_broker.cycle.host_changes import HostVersions
from ha_broker.cycle.part import BrokerPorts, ChangeLog, Settings
from ha_broker.cycle.task import Task
from ha_broker.lockspace.lease_state import LeaseReading, lease_view
from ha_broker.lockspace.membership import MembershipWatch
from metadata.error_words import bare_reason
from metadata.host_notes import MachineIdentity, identity_in
from metadata.liveness import Liveness
from metadata.schedule import quick_s, quickest_s
from metadata.settings.timing import lease_floor_s, renewal_s
from world.ports.jobs import Outcome
from world.ports.log_fields import fields
from world.ports.sanlock import LeaseOwner

log = logging.getLogger(__name__)

LEASE = "lease"
# A host that joins is listed after the next renewal of ours, 2 x io_timeout; this is three.
UNLISTED_IO_TIMEOUTS = 6
MACHINES_KEPT = 8


class LeaseReader:
    """The lease's owner, as it stands on the storage (read by the sanlock daemon).

    view       free, held or not known
    restless   the lease may change hands soon: no healthy engine, or an owner who is not LIVE;
               or a VM runs here and the lease is not this host's
    last_owner_id   the host that was read as its owner last; None: none was
    """

    keys = (LEASE,)

    def __init__(
        self,
        world: BrokerPorts,
        settings: Settings,
        lockspace: MembershipWatch,
        change_log: ChangeLog,
    ) -> None:
        self.view = LeaseView()
        self.restless = True
        self.last_owner_id: Optional[int] = None
        self._is_let_go = False
        self._world = world
        self._settings = settings
        self._lockspace = lockspace
        self._change_log = change_log
        self._task = Task(world.runner, LEASE)
        self._reading: Optional[LeaseReading] = None
        self._unlisted: Optional[tuple[LeaseOwner, float]] = None
        self._new_life: Optional[tuple[LeaseOwner, int, float]] = None
        self._versions = HostVersions()
        self._machines: dict[int, list[MachineIdentity]] = {}
        self._error = ""
        self._unusable_why = ""
        self._unreadable_why = ""
        self._runs_here = False
        self._valid_from_s = float("-inf")

    def judge(
        self, now_s: float, healthy_engine_known: bool, runs_here: bool, let_go: bool = False
    ) -> None:
        """Take in what was harvested; `view` and `restless` hold until the next cycle.

        `runs_here`: a VM runs on this host. `let_go`: its owner says that it is about to let it go.
        """
        self._is_let_go = let_go
        self._unusable_why = self._lockspace.unusable_why(now_s)
        self._unreadable_why = self._lockspace.unreadable_why(now_s)
        self._runs_here = runs_here
        self._note_unlisted(now_s)
        self._note_new_life(now_s)
        self._show(self._view(now_s))
        denied = runs_here and not self._is_ours
        self.restless = not healthy_engine_known or not self.owner_lives or denied

    def _show(self, view: LeaseView) -> None:
        before, self.view = self.view, view
        if (view.state, view.owner_id, view.generation) == (
            *(before.state, before.owner_id, before.generation),
        ):
            return
        log.info(
            "the engine's lease is %s: %s",
            view.state,
            view.why,
            extra=fields(
                lease=view.state, lease_owner=view.owner_id, lease_generation=view.generation
            ),
        )

    def note_records(self, views: tuple[HostView, ...], versions: HostVersions) -> None:
        """Remember which machines have written each host's record since this broker began."""
        if versions is self._versions:
            return
        changed, self._versions = versions.since(self._versions.latest), versions
        for view in [view for view in views if view.host_id in changed]:
            identity = identity_in(view.record) if view.record else MachineIdentity()
            seen = self._machines.setdefault(view.host_id, [])
            if identity.known and (not seen or seen[-1] != identity):
                seen.append(identity)
                del seen[:-MACHINES_KEPT]

    def hurry(self, now_s: float) -> None:
        """Something happened to the domain here: read again at once."""
        self._task.hurry(now_s)

    def slept(self, now_s: float) -> None:
        """This machine slept until now: what was read before says nothing any more."""
        self._valid_from_s, self._reading = now_s, None
        self._task.hurry(now_s)

    def harvest(self, outcome: Outcome[object]) -> None:
        """A job of this part ended."""
        if outcome.started_at_s < self._valid_from_s:
            return  # it is due again since this machine woke up
        if outcome.error is not None:
            self._error = bare_reason(outcome.error)
            return
        self._error = ""
        owner = cast(Optional[LeaseOwner], outcome.value)
        self._reading = LeaseReading(owner, outcome.started_at_s)
        self.last_owner_id = self.last_owner_id if owner is None else owner.host_id

    def work(self, now_s: float) -> None:
        """Submit what is due."""
        readable = not self._unreadable_why
        if readable:
            interval_s = self._interval_s()
            self._task.quicken(interval_s)
            self._task.start(now_s, self._world.lockspace.lease_owner, interval_s)
        self._change_log.tell("the lease", self._read_failure if readable else "")

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens."""
        if self._unreadable_why:
            return float("inf")
        return self._task.next_due_s(now_s, self._longest_use_s())

    @property
    def _read_failure(self) -> str:
        return f"the lease can't be read: {self._error}" if self._error else ""

    def _view(self, now_s: float) -> LeaseView:
        unusable = self._unusable_why or self._read_failure
        return lease_view(
            self._reading,
            self._lockspace.hosts,
            self._settings.host.host_id,
            unusable,
            now_s - self._longest_use_s(),
            vm_is_here=self._runs_here and not self._unreadable_why,
            unlisted_long=self._is_unlisted_long(now_s),
            silent_long=self._is_silent_long(now_s),
            new_life_for_s=self._new_life_for_s(now_s),
        )

    @property
    def _is_ours(self) -> bool:
        return self.view.holder_id == self._settings.host.host_id

    @property
    def owner_lives(self) -> bool:
        """Is it held, by a host that sanlock calls alive?"""
        holder_id = self.view.holder_id
        owner = None if holder_id is None else self._lockspace.hosts.get(holder_id)
        return owner is not None and owner.liveness == Liveness.LIVE

    def _note_unlisted(self, now_s: float) -> None:
        """Since when sanlock, which has looked around, does not list the owner's host."""
        owner, hosts = self._reading.owner if self._reading else None, self._lockspace.hosts
        if owner is None or not hosts or owner.host_id in hosts:
            self._unlisted = None
        elif self._unlisted is None or self._unlisted[0] != owner:
            self._unlisted = owner, now_s

    def _is_unlisted_long(self, now_s: float) -> bool:
        limit_s = UNLISTED_IO_TIMEOUTS * self._settings.timing.io_timeout_s
        return self._unlisted is not None and now_s - self._unlisted[1] >= limit_s

    def _note_new_life(self, now_s: float) -> None:
        """Since when the owner's host is seen in a later life than the one that owns."""
        owner = self._reading.owner if self._reading else None
        host = self._lockspace.hosts.get(owner.host_id) if owner else None
        if owner is None or host is None or host.generation <= owner.generation:
            self._new_life = None
        elif self._new_life is None or self._new_life[:2] != (owner, host.generation):
            self._new_life = owner, host.generation, now_s

    def _new_life_for_s(self, now_s: float) -> Optional[float]:
        """How long such a new life still frees nothing; None: it is surely the same machine.

        In a copy of the host a new life ends the old one's engine only when the original's
        sanlock next looks at its place, and that is within a renewal.
        """
        if self._new_life is None:
            return None
        owner, _, seen_at_s = self._new_life
        if self._has_rebooted(owner.host_id):
            return None
        timing = self._settings.timing
        return renewal_s(timing.io_timeout_s) + timing.tick_s - (now_s - seen_at_s)

    def _has_rebooted(self, host_id: int) -> bool:
        """Was one and the same machine, and no other, seen there in two boots?"""
        seen = self._machines.get(host_id, [])
        return (
            len(seen) > 1
            and seen[0].boot != seen[-1].boot
            and all(one.is_same_machine(seen[-1]) for one in seen)
        )

    def _is_silent_long(self, now_s: float) -> bool:
        """Is it time to try? sanlock saw the owner's last renewal between two looks of ours, and
        counts from then; a try that comes between the two moments waits for the second one."""
        owner = self._reading.owner if self._reading else None
        fire_timeout_s = self._lockspace.fire_timeout_s
        if owner is None or fire_timeout_s is None:
            return False
        silent_since_s = self._lockspace.silent_since_s.get(owner.host_id, now_s)
        floor_s = lease_floor_s(self._settings.timing.io_timeout_s, fire_timeout_s)
        return now_s - silent_since_s > floor_s

    def _interval_s(self) -> float:
        tick_s = self._settings.timing.tick_s
        if self.restless:
            return quickest_s(tick_s) if self._is_let_go else quick_s(tick_s)
        return tick_s

    def _longest_use_s(self) -> float:
        """Two cycles may be missed, and each read may take sanlock's own patience."""
        timing = self._settings.timing
        return 2 * timing.tick_s + timing.io_timeout_s
