# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the engine's domain does on this host, from libvirt, never waiting for it."""

from __future__ import annotations

from typing import Optional, cast

from metadata.error_words import bare_reason
from metadata.value_class import value_class
from world.ports.host import Processes, ProcessStart
from world.ports.jobs import Outcome, Runner
from world.ports.libvirt import Domain, DomainState, Hypervisor

KEY = "domain"


@value_class(frozen=True)
class DomainReading:
    """One answer of libvirt (or its error), as of `at_s`: the moment it was asked."""

    at_s: float
    domain: Optional[Domain] = None
    error: str = ""
    process: Optional[ProcessStart] = None


class DomainWatch:
    """Asks libvirt when it is wanted, and keeps the latest answer.

    Nobody waits: a question that is not answered within its deadline makes the domain
    UNKNOWN until libvirt answers again.
    """

    def __init__(
        self, runner: Runner, hypervisor: Hypervisor, processes: Optional[Processes] = None
    ) -> None:
        self._processes = processes
        self._process: Optional[ProcessStart] = None
        self._runner = runner
        self._hypervisor = hypervisor
        self._wanted = True
        self._reading: Optional[DomainReading] = None
        self._valid_from_s = float("-inf")
        self._seen = False
        self._pid: Optional[int] = None
        self._pid_since_s: Optional[float] = None
        self._running_pid: Optional[int] = None
        self._running_since_s: Optional[float] = None
        self._same_since_s: Optional[float] = None
        self._ran_pid: Optional[int] = None
        self._domain: Optional[Domain] = None  # the latest that libvirt has shown
        self.absent_as_before = False
        """Did the latest two answers say that there is no domain here?"""

    def want(self) -> None:
        """The domain may have changed: ask soon. May be called from any thread."""
        self._wanted = True

    @property
    def is_wanted(self) -> bool:
        """Is there a question that has not been asked yet?"""
        return self._wanted

    def request(self) -> None:
        """Ask libvirt if that is wanted and the previous question has ended."""
        if not self._wanted or self._runner.busy_since_s(KEY) is not None:
            return
        # Before the submission, so that an event during it is not lost.
        self._wanted = False
        self._runner.submit(KEY, self._look)

    def _look(self) -> tuple[Domain, Optional[ProcessStart]]:
        domain = self._hypervisor.domain()
        if domain.pid is None or self._processes is None:
            return domain, None
        return domain, self._processes.started(domain.pid)

    def take(self, outcome: Outcome[object]) -> Optional[DomainReading]:
        """Keep an answer; returns it, or None when something newer is known already."""
        if outcome.started_at_s < self._valid_from_s:
            return None  # what has made it void has asked anew
        if outcome.error is not None:
            reading = DomainReading(outcome.started_at_s, error=bare_reason(outcome.error))
        else:
            domain, process = cast(tuple[Domain, Optional[ProcessStart]], outcome.value)
            reading = DomainReading(outcome.started_at_s, domain, process=process)
        self._keep(reading)
        return reading

    def changed(self, at_s: float, domain: Optional[Domain] = None) -> None:
        """An order of ours ended at `at_s` (a start leaves `domain`): older answers are void."""
        self._valid_from_s = at_s
        if domain is not None:
            self._keep(DomainReading(at_s, domain))
        self.want()

    def domain(self, now_s: float, deadline_s: float) -> Domain:
        """The domain now; UNKNOWN with the reason in `detail` when libvirt does not say."""
        why = self._unknown_why(now_s, deadline_s)
        if why:
            return Domain(DomainState.UNKNOWN, detail=why)
        assert self._reading is not None and self._reading.domain is not None
        return self._reading.domain

    def was_answered(self, now_s: float, deadline_s: float) -> bool:
        """Has the first question ended, by an answer, an error or its deadline?"""
        return self._reading is not None or self._silence_s(now_s) > deadline_s

    @property
    def vm_since_s(self) -> Optional[float]:
        """Since when the VM has been this very process; None: it ran before we looked."""
        return self._pid_since_s

    @property
    def running_since_s(self) -> Optional[float]:
        """Since when each answer has shown this very process running; None: it does not run."""
        return self._running_since_s

    @property
    def seen_at_s(self) -> Optional[float]:
        """When libvirt was asked for what is known."""
        return self._reading.at_s if self._reading else None

    @property
    def vm_same_since_s(self) -> Optional[float]:
        """Since when libvirt has said the very same of the domain, as far as it was asked."""
        return self._same_since_s

    @property
    def vm_ran(self) -> bool:
        """Has the VM's process been seen running here?"""
        return self._pid is not None and self._pid == self._ran_pid

    @property
    def process(self) -> Optional[ProcessStart]:
        """Which process the VM is, as far as that is known."""
        return self._process

    def _keep(self, reading: DomainReading) -> None:
        before, self._reading = self._reading, reading
        self.absent_as_before = _is_absent(before) and _is_absent(reading)
        domain, at_s = reading.domain, reading.at_s
        if domain is None:
            return
        if domain != self._domain:
            self._same_since_s = at_s
        self._domain = domain
        running = domain.state is DomainState.RUNNING
        running_pid = domain.pid if running else None
        if running_pid != self._running_pid:
            self._running_since_s = None if running_pid is None else at_s
        self._running_pid = running_pid
        if running:
            self._ran_pid = domain.pid
        known, now = self._process, reading.process
        # When a process began is reckoned anew each time, and differs by a hair.
        if known is None or now is None or known.identity != now.identity:
            self._process = now
        first, self._seen = not self._seen, True
        if domain.pid != self._pid:
            self._pid = domain.pid
            self._pid_since_s = None if first else at_s

    def _silence_s(self, now_s: float) -> float:
        """Since when a question waits, or since libvirt has shown the domain at the end of a start.

        libvirt may keep questions waiting as long as it starts a domain: what it says then is newer
        than they are.
        """
        since_s = self._runner.busy_since_s(KEY)
        if since_s is None:
            return 0.0
        seen_at_s = self.seen_at_s
        return now_s - (since_s if seen_at_s is None else max(since_s, seen_at_s))

    def _unknown_why(self, now_s: float, deadline_s: float) -> str:
        silence_s = self._silence_s(now_s)
        if silence_s > deadline_s:
            return f"libvirt has not answered for {silence_s:.0f} s"
        if self._reading is None:
            return "libvirt has not been asked yet"
        if self._reading.error:
            return self._reading.error
        # After a pause of this process (SIGSTOP, suspend) what was known is nothing to act on.
        age_s = now_s - self._reading.at_s
        if age_s > 3 * deadline_s:
            return f"libvirt was last asked {age_s:.0f} s ago"
        return ""


def _is_absent(reading: Optional[DomainReading]) -> bool:
    domain = None if reading is None else reading.domain
    return domain is not None and domain.state is DomainState.ABSENT
