# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A test notification to every target at once, and what each of them says to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Optional, cast

from ha_broker.api.trial import TrialResult
from ha_broker.cycle.part import NEVER_S, BrokerPorts
from ha_broker.notifications.message import Notice
from ha_broker.notifications.targets import SLOTS, Target
from ha_broker.server.mailbox import Refusal, TrialTicket
from metadata.error_words import bare_reason
from world.ports.jobs import Outcome
from world.ports.notifications import Receipt

# Beyond a target's own time-out: resolving its name takes its own time.
GRACE_S = 10.0
_PREFIX = "trial-"


@dataclass
class _Run:
    """One test under way."""

    ticket: TrialTicket
    targets: dict[str, Target]
    results: dict[str, TrialResult]
    give_up_at_s: float


class Trials:
    """At most one at a time; it has runner keys of its own, so that what hangs hinders no test."""

    keys = tuple(_PREFIX + slot for slot in SLOTS)

    def __init__(self, world: BrokerPorts) -> None:
        self._world = world
        self._run: Optional[_Run] = None

    def ask(
        self, ticket: TrialTicket, targets: dict[str, Target], notice: Notice, now_s: float
    ) -> None:
        """Begin it, or refuse it."""
        why = "" if targets else "no mail server and no webhook is configured"
        if self._run is not None:
            why = "another test notification is under way"
        if why:
            ticket.resolve(Refusal(409, why))
        elif ticket.begin():
            self._begin(ticket, targets, notice, now_s)

    def _begin(
        self, ticket: TrialTicket, targets: dict[str, Target], notice: Notice, now_s: float
    ) -> None:
        longest_s = max(target.timeout_s for target in targets.values())
        self._run = run = _Run(ticket, targets, {}, now_s + longest_s + GRACE_S)
        for slot, target in targets.items():
            self._send(run, slot, target, notice)
        self._end_if_complete(run)

    def _send(self, run: _Run, slot: str, target: Target, notice: Notice) -> None:
        wall_s = self._world.clock.wall_s()
        job = partial(target.deliver, self._world.notification_sender, notice, (), wall_s)
        if not self._world.runner.submit(_PREFIX + slot, job):
            why = "the test before has not ended there yet"
            run.results[slot] = TrialResult(target.label, False, why)

    def harvest(self, outcome: Outcome[object]) -> None:
        """A delivery of a test ended."""
        run = self._run
        slot = outcome.key[len(_PREFIX) :]
        if run is None or slot not in run.targets or slot in run.results:
            return  # of a test that is over
        run.results[slot] = _result(run.targets[slot].label, outcome)
        self._end_if_complete(run)

    def work(self, now_s: float) -> None:
        """Wait no longer than allowed."""
        run = self._run
        if run is None or now_s < run.give_up_at_s:
            return
        for slot in run.targets.keys() - run.results.keys():
            label = run.targets[slot].label
            run.results[slot] = TrialResult(label, False, "no answer in time")
        self._end_if_complete(run)

    def next_due_s(self) -> float:
        """When waiting is over."""
        return NEVER_S if self._run is None else self._run.give_up_at_s

    def _end_if_complete(self, run: _Run) -> None:
        if run.results.keys() == run.targets.keys():
            self._run = None
            run.ticket.results = tuple(run.results[slot] for slot in run.targets)
            run.ticket.resolve()


def _result(label: str, outcome: Outcome[object]) -> TrialResult:
    error = outcome.error
    if error is not None:
        why = bare_reason(error)
        return TrialResult(label, False, why)
    receipt = cast(Receipt, outcome.value)
    words = [receipt.words, *(f"{item.address} is refused: {item.why}" for item in receipt.refused)]
    return TrialResult(label, not receipt.refused, "; ".join(words))
