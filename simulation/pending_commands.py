# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What people have ordered on a simulated host, until it is done."""

from __future__ import annotations

from typing import Callable, Optional

from ha_broker.server.mailbox import Refusal, Ticket
from simulation.errors import SimulationError
from simulation.world import HostClock, InlineRunner

# Commands that wait are looked at each second.
LOOK_S = 1.0


class PendingCommands:
    """Commands run under keys of their own; requests to the broker are tickets.

    `tell` is told what became of each.
    """

    def __init__(self, clock: HostClock, tell: Callable[[str], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._runner = InlineRunner(clock, keep_log=False)
        self._tickets: list[tuple[str, Ticket]] = []

    @property
    def tickets_wait(self) -> bool:
        """Has the broker yet to answer somebody?"""
        return bool(self._tickets)

    @property
    def wait(self) -> bool:
        """Is any of them not done yet?"""
        runner = self._runner
        return bool(self._tickets or runner.next_try_s() or runner.next_end_s())

    def begin(self, key: str, job: Callable[[], object]) -> None:
        """Run a command; raises SimulationError while the previous `key` runs."""
        if not self._runner.submit(key, job):
            raise SimulationError(f"the previous {key} has not ended")
        self.run()

    def await_answer(self, name: str, ticket: Ticket) -> None:
        """The broker was asked for `name`."""
        self._tickets.append((name, ticket))

    def run(self) -> None:
        """Tell what has ended."""
        for outcome in self._runner.poll():
            result = outcome.value if outcome.error is None else f"refused: {outcome.error}"
            self._tell(f"{outcome.key}: {result}")
        for name, ticket in list(self._tickets):
            answer = _answer_of(ticket)
            if answer is not None:
                self._tickets.remove((name, ticket))
                self._tell(f"{name}: {answer}")

    def drop_tickets(self, why: str) -> None:
        """Nobody will answer any more."""
        for name, _ticket in self._tickets:
            self._tell(f"{name}: not confirmed, {why}")
        self._tickets.clear()

    def power_off(self) -> None:
        """All of it is gone with the host."""
        self._runner = InlineRunner(self._clock, keep_log=False)
        self.drop_tickets("the host lost its power")


def _answer_of(ticket: Ticket) -> Optional[str]:
    """What became of a request; None: nothing yet."""
    try:
        return "done" if ticket.is_done() else None
    except Refusal as refusal:
        return f"refused: {refusal.why}"
