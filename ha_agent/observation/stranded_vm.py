# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Is the VM here stranded: paused by a live migration, with the lease still held by its process?

libvirt lets the lease go as it stops a domain's CPUs, and takes it again before they run. When
sanlock refuses to let it go, the VM can't run on the target, and can't go on here either: libvirt
does not get a lease that the process has already. Nobody else can have it while that process
lives, so there is no second engine to fear, and nothing but its end helps. libvirt calls it held by
the migration then; since 9.2 it may say instead that it could not let it go on.

What must not be taken for that is a VM whose migration goes well or may yet end well. Its process
has not got the lease: at the target it has not run yet, and at the source libvirt has let the lease
go, also before post-copy. And none of these may be disturbed: sanlock answers one question about a
process at a time and refuses whoever comes second, which may be libvirt (that is how a VM gets
stranded, too). So the question is put only where libvirt has shown the same pause for
`timing.away_s`, and the storage, looked at since it began, says that the lease is this host's.

One "yes" is not enough, for libvirt may be letting the VM go on at this very moment: two are
needed, and libvirt, asked after the first one, must still show the same pause.
"""

from __future__ import annotations

from typing import Optional

from ha_broker.api.snapshot import LeaseView
from metadata.settings.parse import Timing
from metadata.value_class import value_class
from world.ports.jobs import Outcome, Runner
from world.ports.libvirt import Domain, Pause
from world.ports.sanlock import Lockspace

KEY = "paused-lease-check"
# What libvirt may call it.
_PAUSES = frozenset({Pause.MIGRATION, Pause.API_ERROR})
# A "yes" is too old to count after so many ticks.
FRESH_TICKS = 3


@value_class(frozen=True)
class PausedVm:
    """A process that libvirt has shown paused so, the very same since `since_s`."""

    pid: int
    since_s: float


@value_class(frozen=True)
class PausedLeaseAnswer:
    """Does the process of `vm`, which libvirt showed paused at `vm_seen_at_s`, hold the lease?"""

    vm: PausedVm
    vm_seen_at_s: float
    holds: bool


def paused_for_long(
    domain: Domain, since_s: Optional[float], now_s: float, timing: Timing
) -> Optional[PausedVm]:
    """The VM that was paused so for longer than a migration that goes well takes; None: none was.

    `since_s`: since when libvirt has said the very same of `domain`.
    """
    if domain.pid is None or domain.pause not in _PAUSES or since_s is None:
        return None
    return PausedVm(domain.pid, since_s) if now_s - since_s >= timing.away_s else None


class StrandedVerdict:
    """The rules, without any I/O."""

    def __init__(self) -> None:
        self._vm: Optional[PausedVm] = None
        self._first_yes_at_s: Optional[float] = None
        self._confirmed_at_s: Optional[float] = None

    def answered(self, answer: PausedLeaseAnswer, at_s: float) -> None:
        """sanlock gave `answer`, which arrived at `at_s`."""
        if answer.vm != self._vm:
            self.forget()
            self._vm = answer.vm
        if not answer.holds:
            self.forget()
        elif self._first_yes_at_s is None:
            self._first_yes_at_s = at_s
        elif answer.vm_seen_at_s >= self._first_yes_at_s:
            self._confirmed_at_s = at_s

    def forget(self) -> None:
        """sanlock did not say, or there is no such VM: what it said before counts no more."""
        self._vm = self._first_yes_at_s = self._confirmed_at_s = None

    def is_stranded(self, vm: PausedVm, now_s: float, timing: Timing) -> bool:
        """Is it known of `vm`, and was it so a moment ago?"""
        if vm != self._vm or self._confirmed_at_s is None:
            return False
        return now_s - self._confirmed_at_s <= FRESH_TICKS * timing.tick_s


class StrandedWatch:
    """Asks sanlock about a VM that has been paused so for long, once a tick."""

    def __init__(self, runner: Runner, lockspace: Lockspace, host_id: int) -> None:
        self._runner = runner
        self._lockspace = lockspace
        self._host_id = host_id
        self._rules = StrandedVerdict()
        self._asked_at_s = float("-inf")

    def look(
        self, vm: Optional[PausedVm], seen_at_s: Optional[float], lease: LeaseView, timing: Timing
    ) -> None:
        """Ask, if that is due; `seen_at_s` is when libvirt was asked for `vm`."""
        if vm is None or seen_at_s is None or not self._is_ours(lease, vm.since_s):
            self._rules.forget()
        elif seen_at_s - self._asked_at_s >= timing.tick_s:
            self._ask(vm, seen_at_s)

    def take(self, outcome: Outcome[object]) -> None:
        """Keep an answer; an error is none."""
        if isinstance(outcome.value, PausedLeaseAnswer):
            self._rules.answered(outcome.value, outcome.finished_at_s)
        else:
            self._rules.forget()

    def is_stranded(self, vm: Optional[PausedVm], now_s: float, timing: Timing) -> bool:
        """Is it certain that nothing can let `vm` go on?"""
        return vm is not None and self._rules.is_stranded(vm, now_s, timing)

    def _is_ours(self, lease: LeaseView, since_s: float) -> bool:
        """Does the storage say so, by a look since then?"""
        seen = lease.seen_at_s is not None and lease.seen_at_s >= since_s
        return seen and lease.holder_id == self._host_id

    def _ask(self, vm: PausedVm, seen_at_s: float) -> None:
        def ask() -> PausedLeaseAnswer:
            return PausedLeaseAnswer(vm, seen_at_s, self._lockspace.process_holds_lease(vm.pid))

        if self._runner.submit(KEY, ask):
            self._asked_at_s = seen_at_s
