# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Does the VM that runs here hold the engine's lease?

sanlock answers from its memory, so the question is cheap, and it is asked after each answer
of libvirt that shows the VM running. A VM without its lease is switched off, so a single
"no" is not enough: libvirt releases the lease of a domain that it pauses and takes it again
before the domain goes on, and the answers of the two daemons are not of one moment. A "no"
counts when libvirt, asked after the first "no", still shows the same process running and
sanlock says "no" again.

sanlock answers one question about a process at a time, and refuses whoever comes second: libvirt,
too, which lets the lease go as a live migration ends. It then leaves the VM paused, with a lease
that it can neither give away nor take again. So while a migration takes the VM away, sanlock is
asked once a tick, as at rest, and not after each of libvirt's many answers.

A sanlock that is busy says nothing, and lives: it is asked again at once, and counts as silent
only after 8 x io_timeout.

When sanlock itself is gone (and no watchdog resets the host), other hosts may take the
lease 8 x io_timeout + its watchdog_fire_timeout after its last renewal; the answer turns to "no"
at 8 x io_timeout, or sooner where long ticks need more of the rest for switching the VM off
(`metadata.settings.timing.sanlock_silence_s`). An agent that has never had an answer about this
process does not know how long sanlock has been gone: it may itself have just been restarted,
so it waits only one renewal, 2 x io_timeout.

sanlock's clock stands still while the machine sleeps, the others' does not. A sleep is a silence of
sanlock's, too, until somebody here has looked at the lease on the storage: `UnseenSleep`.
"""

from __future__ import annotations

from typing import Optional

from metadata.settings.parse import Timing
from metadata.settings.timing import (
    SHORTEST_FIRE_TIMEOUT_S,
    renewal_fail_s,
    renewal_s,
    sanlock_silence_s,
)
from metadata.value_class import value_class
from world.ports.errors import LockspaceBusyError, WorldError
from world.ports.jobs import Outcome, Runner
from world.ports.sanlock import Lockspace

KEY = "lease-check"
NEVER_THERE_AFTER_IO_TIMEOUTS = 2
# So many ticks without a look a VM has after its host slept: as many as it takes to deny its lease.
LOOKS = 2


@value_class(frozen=True)
class LeaseAnswer:
    """sanlock's answer on process `pid`, which libvirt showed running at `vm_seen_at_s`.

    `version` is that of the lease it holds (see `Lockspace.held_version`; None: not known).
    """

    pid: int
    vm_seen_at_s: float
    holds: bool
    version: Optional[int] = None


class LeaseVerdict:
    """The rules, without any I/O."""

    def __init__(self) -> None:
        self._pid: Optional[int] = None
        self._holds: Optional[bool] = None
        self._first_no_at_s: Optional[float] = None
        self._silent_since_s: Optional[float] = None
        self._busy = False

    def answered(self, answer: LeaseAnswer, at_s: float) -> None:
        """sanlock gave `answer`, which arrived at `at_s`."""
        if answer.pid != self._pid:
            self.forget()
            self._pid = answer.pid
        self._silent_since_s, self._busy = None, False
        if answer.holds:
            self._holds, self._first_no_at_s = True, None
        else:
            self._said_no(answer, at_s)

    def failed(self, since_s: float, busy: bool = False) -> None:
        """A question asked at `since_s` brought an error: sanlock is gone, refuses or is `busy`."""
        self._busy = busy
        if self._silent_since_s is None:
            self._silent_since_s = since_s

    def forget(self) -> None:
        """No VM runs here."""
        self._pid = self._holds = self._first_no_at_s = self._silent_since_s = None
        self._busy = False

    @property
    def doubtful(self) -> bool:
        """Is there a "no" not confirmed yet, or no answer? Then asking again should not wait."""
        return self._busy or self.denied

    @property
    def denied(self) -> bool:
        """Is there a "no" not confirmed yet?"""
        return self._first_no_at_s is not None and self._holds is not False

    def verdict(
        self,
        pid: Optional[int],
        now_s: float,
        asked_at_s: Optional[float],
        timing: Timing,
        storage_good_at_s: Optional[float] = None,
        *,
        fire_timeout_s: Optional[int] = None,
    ) -> Optional[bool]:
        """True: `pid` holds it; False: it does not, or nobody can tell for too long; else None.

        `asked_at_s` is when the question that is still open was asked; `storage_good_at_s` when
        the storage last answered this host. A sanlock that has died can't have renewed its
        place since then, so the time that others wait for began there. `fire_timeout_s` None:
        nobody has told it yet, and it may be short.
        """
        if pid is None:
            return None
        known = pid == self._pid
        fire_s = SHORTEST_FIRE_TIMEOUT_S if fire_timeout_s is None else fire_timeout_s
        patience_s = sanlock_silence_s(timing, fire_s)
        if self._busy:  # it lives, and ends a holder of a lost lease itself
            patience_s = renewal_fail_s(timing.io_timeout_s)
        elif not known:
            patience_s = min(patience_s, NEVER_THERE_AFTER_IO_TIMEOUTS * timing.io_timeout_s)
        if self._silent_s(now_s, asked_at_s, storage_good_at_s) > patience_s:
            return False
        return self._holds if known and self._silent_since_s is None else None

    def _said_no(self, answer: LeaseAnswer, at_s: float) -> None:
        if self._first_no_at_s is None:
            self._first_no_at_s, self._holds = at_s, None
        elif answer.vm_seen_at_s >= self._first_no_at_s:
            self._holds = False

    def _silent_s(
        self, now_s: float, asked_at_s: Optional[float], storage_good_at_s: Optional[float]
    ) -> float:
        moments = [at_s for at_s in (self._silent_since_s, asked_at_s) if at_s is not None]
        if self._silent_since_s is not None and storage_good_at_s is not None:
            moments.append(storage_good_at_s)
        return now_s - min(moments) if moments else 0.0


class UnseenSleep:
    """How long this machine has slept since sanlock could last renew its place for certain.

    On waking the storage is asked at once, and its word decides (`fsm.guards.is_denied`). When it
    does not answer, the VM must not wait for sanlock, which gives it all of 8 x io_timeout by a
    clock that stood still: others may have had the lease for long, and the guest would write again
    when the storage comes back. A look that shows the lease as ours is no end of it, either: until
    sanlock has renewed its place, a renewal after the waking, the next moment may be another
    host's. A pause from below shows on no clock, and is not known here.
    """

    def __init__(self) -> None:
        self._slept_s = 0.0
        self._woke_at_s = 0.0
        self._seen_at_s = 0.0

    def woke(self, slept_s: float, now_s: float) -> None:
        """The machine slept for so long until now."""
        self._slept_s += slept_s
        self._woke_at_s = self._seen_at_s = now_s

    def seen(self, lease_seen_at_s: Optional[float]) -> None:
        """The lease was last seen on the storage at that moment; None: never, or it is void."""
        if lease_seen_at_s is not None:
            self._seen_at_s = max(self._seen_at_s, lease_seen_at_s)

    def outlasts_lease(self, now_s: float, timing: Timing, fire_timeout_s: int) -> bool:
        """May others have taken the lease, and has nobody here seen it for `LOOKS` ticks?"""
        if self._seen_at_s - self._woke_at_s > renewal_s(timing.io_timeout_s):
            self._slept_s = 0.0
        silent_s = self._slept_s + now_s - self._woke_at_s
        too_long = silent_s > sanlock_silence_s(timing, fire_timeout_s)
        return self._slept_s > 0 and too_long and now_s - self._seen_at_s > LOOKS * timing.tick_s

    @property
    def why(self) -> str:
        """For people, why a VM whose lease it outlasts can't be said to hold it."""
        slept = f"this machine slept for {self._slept_s:.0f} s"
        return f"{slept}, and the storage does not tell who holds it now"


class VmLeaseWatch:
    """Asks sanlock about the running VM, and keeps the verdict.

    `version` is the lease's when the VM was last known to hold it; it outlasts a pause. `why` is
    the reason for the latest False of `holds`, where there is more to say than sanlock's "no".
    """

    def __init__(self, runner: Runner, lockspace: Lockspace) -> None:
        self._runner = runner
        self._lockspace = lockspace
        self._rules = LeaseVerdict()
        self._sleep = UnseenSleep()
        self._asked: Optional[tuple[int, float]] = None
        self.version: Optional[int] = None
        self.why = ""

    def request(self, pid: int, vm_seen_at_s: float, *, not_within_s: float = 0.0) -> None:
        """Ask about `pid`, which libvirt showed running at `vm_seen_at_s`.

        `not_within_s`: not so soon after the question before, unless it was answered by a "no".
        """
        if self._asked is not None and not self._rules.denied:
            asked_pid, asked_at_s = self._asked
            if asked_pid == pid and vm_seen_at_s - asked_at_s < not_within_s:
                return
        self._asked = pid, vm_seen_at_s

        def ask() -> LeaseAnswer:
            holds = self._lockspace.process_holds_lease(pid)
            return LeaseAnswer(pid, vm_seen_at_s, holds, self._version(pid) if holds else None)

        self._runner.submit(KEY, ask)

    def take(self, outcome: Outcome[object]) -> None:
        """Keep an answer."""
        if isinstance(outcome.value, LeaseAnswer):
            self.version = outcome.value.version
            self._rules.answered(outcome.value, outcome.finished_at_s)
        else:
            busy = isinstance(outcome.error, LockspaceBusyError)
            self._rules.failed(outcome.started_at_s, busy)

    def _version(self, pid: int) -> Optional[int]:
        """What else sanlock can't say must not spoil the answer that counts."""
        try:
            return self._lockspace.held_version(pid)
        except WorldError:
            return None

    def vm_is_gone(self) -> None:
        """No VM runs here."""
        self._asked = None
        self._rules.forget()

    def woke(self, slept_s: float, now_s: float) -> None:
        """This machine slept for so long until now."""
        self._sleep.woke(slept_s, now_s)

    def seen(self, lease_seen_at_s: Optional[float]) -> None:
        """The broker saw then who holds the lease on the storage; None: it does not know."""
        self._sleep.seen(lease_seen_at_s)

    @property
    def doubtful(self) -> bool:
        """Should libvirt and sanlock be asked again at once?"""
        return self._rules.doubtful

    def holds(
        self,
        pid: Optional[int],
        now_s: float,
        timing: Timing,
        storage_good_at_s: Optional[float] = None,
        *,
        fire_timeout_s: Optional[int] = None,
    ) -> Optional[bool]:
        """`LeaseVerdict.verdict`; False as well, with `why`, when a sleep outlasts the lease."""
        fire_s = SHORTEST_FIRE_TIMEOUT_S if fire_timeout_s is None else fire_timeout_s
        self.why = ""
        if pid is not None and self._sleep.outlasts_lease(now_s, timing, fire_s):
            self.why = self._sleep.why
            return False
        asked_at_s = self._runner.busy_since_s(KEY)
        return self._rules.verdict(
            pid, now_s, asked_at_s, timing, storage_good_at_s, fire_timeout_s=fire_timeout_s
        )
