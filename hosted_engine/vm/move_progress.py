# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Following a move of the engine away from this host, as its agent tells it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Callable, Optional

from ha_broker.api.client import BrokerClient, BrokerError
from ha_broker.api.snapshot import MAINTENANCE, MovePhase, MoveReport, Snapshot
from hosted_engine.cli.move_wording import progress_text, stays_text
from hosted_engine.cli.wait import EndedError, follow, say_nothing
from hosted_engine.errors import NotReachedError

# Without --wait a command looks so long for what comes of its order: a tick, and a bit.
SHORT_LOOK_S = 6.0
# So often may a look find nothing of what is followed: agent and broker speak in turns, and a
# broker that was restarted hears of it again with the agent's next tick.
EMPTY_LOOKS = 10
# ... and so often one of this host may find it in local maintenance, and no end of the move.
ENDING_LOOKS = 6

GOES_ON = "It goes on by itself: 'hosted-engine --explain' says how far it is."


@dataclass
class MoveWatch:
    """One move, looked at again and again; `look` is for `hosted_engine.cli.wait.follow`.

    missing    what is missing, by the snapshot and the agent's report of this very move (None:
               it says nothing of it yet); raises EndedError
    since_s    what the agent said before counts for nothing (monotonic)
    """

    client: BrokerClient
    what_for: str
    missing: Callable[[Snapshot, Optional[MoveReport]], str]
    since_s: float
    report: Optional[MoveReport] = None
    told: str = ""
    began_s: float = field(default_factory=time.monotonic)

    def look(self, _allowed_s: float) -> str:
        """What is missing; empty: it is done."""
        try:
            snapshot = self.client.status()
        except BrokerError as error:  # it may be on its way up again
            return str(error)
        self.report = self._said(snapshot) or self.report
        self.told = self.missing(snapshot, self.report)
        return self.told

    def peek(self, allowed_s: float) -> str:
        """The same until there is anything to tell of the move."""
        missing = self.look(allowed_s)
        return missing if self.report is None else ""

    @property
    def took_s(self) -> float:
        """Until now."""
        return time.monotonic() - self.began_s

    def _said(self, snapshot: Snapshot) -> Optional[MoveReport]:
        said_at_s, agent = snapshot.agent_published_at_s, snapshot.agent
        if agent is None or agent.move is None or said_at_s is None or said_at_s < self.since_s:
            return None
        return agent.move if agent.move.what_for == self.what_for else None


def look_shortly(watch: MoveWatch) -> bool:
    """What has come of it at once; False: nothing that could be told. Raises EndedError."""
    try:
        follow(watch.peek, "the agent takes it up", SHORT_LOOK_S, tell=say_nothing)
    except NotReachedError:
        return False
    return True


class MaintenanceMove:
    """What is missing until a host from which the engine moves first is in local maintenance.

    `reached` says it by the snapshot alone.
    """

    what_for = MAINTENANCE

    def __init__(self, reached: Callable[[Snapshot], str]) -> None:
        self._reached = reached
        self._off = self._ends = 0

    def missing(self, snapshot: Snapshot, report: Optional[MoveReport]) -> str:
        """Raises EndedError when local maintenance is off again."""
        if snapshot.local_maintenance:
            return self._missing(snapshot, report)
        if report is not None and report.phase == MovePhase.REFUSED:
            raise EndedError(
                f"local maintenance of this host was taken back: {stays_text(snapshot, report)}"
            )
        self._off += 1
        if self._off > EMPTY_LOOKS:
            raise EndedError("local maintenance of this host is off again: somebody has ended it")
        return "local maintenance of this host is off again"

    def _missing(self, snapshot: Snapshot, report: Optional[MoveReport]) -> str:
        """The agent may be in local maintenance a moment before it knows how the move ended."""
        missing = self._reached(snapshot)
        if report is None:
            return missing
        moves = report.phase == MovePhase.MOVING
        if not missing and moves and self._ends < ENDING_LOOKS:
            self._ends += 1
            return progress_text(report)
        return progress_text(report) if missing else ""


class OrderedMove:
    """What is missing until an order to move the engine is carried out."""

    def __init__(self, request_id: str) -> None:
        self.what_for = request_id
        self._empty = 0

    def missing(self, snapshot: Snapshot, report: Optional[MoveReport]) -> str:
        """Raises EndedError when nothing more comes of it."""
        if report is not None and report.phase == MovePhase.MOVED:
            return ""
        if report is not None and report.phase == MovePhase.REFUSED:
            raise EndedError(stays_text(snapshot, report))
        moves = report is not None and report.phase == MovePhase.MOVING
        if not moves:
            order = snapshot.move_order
            if order is not None and order.request_id != self.what_for:
                raise EndedError("a newer order has taken the place of this one")
            self._empty = 0 if order is not None else self._empty + 1
            if self._empty > EMPTY_LOOKS:
                raise EndedError(
                    "the order was dropped before it was begun; the engine stays (see "
                    "'hosted-engine --explain')"
                )
        if report is None:
            return "waiting for this host's agent to take the order up"
        return progress_text(report)
