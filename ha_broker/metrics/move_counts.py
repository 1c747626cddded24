# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Live migrations of the engine away from this host, counted by purpose, outcome and reason.

Counted from the agent's reports, each of which tells of the latest move as a whole.
"""

from __future__ import annotations

import re
from typing import Optional

from ha_broker.api.snapshot import OWN_PURPOSES, MovePhase, MoveReport
from ha_broker.metrics.plain_numbers import Count
from ha_broker.metrics.prefix import PREFIX
from world.ports.libvirt import BROKEN_OFF, NO_CONNECTION, SILENT_TARGET, TOO_LONG

# Of one move several hosts may be tried, each of which begins and may fail; `REFUSED`: all of them.
BEGUN, MOVED, FAILED, REFUSED = MOVE_OUTCOMES = ("begun", "moved", "failed", "refused")
ORDER = "order"
"""A person's order, which has an id of its own in each report: not each may become a series."""
PURPOSES = (*OWN_PURPOSES, ORDER)

UNABLE, UNREACHABLE, TOO_SLOW, REFUSED_BY_LIBVIRT = REASONS = (
    "unable",  # by its own record, or by ours of it
    "unreachable",  # its libvirt was not reached, or one of both does not take the certificate
    "too-slow",  # it took longer than it may, or was broken off
    "libvirt",  # libvirt tried, or looked at the target, and said no
)
# By what stands in the words, the first that fits. Each reason of a record, or of ours about it, is
# the end of a sentence about the host ("h2 can't take the engine: it is in local maintenance").
_KINDS = tuple(
    (reason, re.compile(words, re.IGNORECASE))
    for reason, words in (
        (TOO_SLOW, f"{TOO_LONG}|{BROKEN_OFF}"),
        (UNREACHABLE, "certificate"),
        (UNABLE, r"^(it|its|sanlock|the engine's VM|this host|the VM ended)\b"),
        (UNREACHABLE, f"{NO_CONNECTION}|{SILENT_TARGET}|unable to connect|connection reset"),
        (UNREACHABLE, "end of file while reading|no route to host|name resolution"),
        (UNREACHABLE, "name or service not known|client socket is closed"),
    )
)


class MoveCounts:
    """What came of them since the broker's start."""

    def __init__(self) -> None:
        self.moves = Count(
            f"{PREFIX}moves",
            "Live migrations of the engine away from this host, by what came of them.",
            ["purpose", "outcome"],
        )
        self.refusals = Count(
            f"{PREFIX}move_refusals",
            "Hosts that did not get the engine although it was to move, by the kind of reason.",
            ["purpose", "reason"],
        )
        self._knows = False
        self._last: Optional[MoveReport] = None
        # A series that begins with its first event shows no rise, so no alert sees it.
        for purpose in PURPOSES:
            for outcome in MOVE_OUTCOMES:
                self.moves.inc(purpose, outcome, by=0)
            for reason in REASONS:
                self.refusals.inc(purpose, reason, by=0)

    def shown(self, now: Optional[MoveReport]) -> None:
        """The agent says this now; None: of none, as one that was restarted may for a moment.

        What it said first an earlier life of the broker has counted.
        """
        before = self._last
        if now is not None and now != before:
            self._last = now
            if self._knows:
                self._count(now, before if before and _is_same_move(before, now) else None)
        self._knows = True

    def _count(self, now: MoveReport, before: Optional[MoveReport]) -> None:
        purpose = now.what_for if now.what_for in PURPOSES else ORDER
        counted = dict.fromkeys(MOVE_OUTCOMES, 0) if before is None else _outcomes(before)
        for outcome, count in _outcomes(now).items():
            self.moves.inc(purpose, outcome, by=max(0, count - counted[outcome]))
        known = {} if before is None else _refusals(before)
        for host, why in _refusals(now).items():
            if host not in known:
                self.refusals.inc(purpose, reason_of(why))


def reason_of(why: str) -> str:
    """One of `REASONS` for the words in which a move to a host was refused.

    Only people and counters go by it: libvirt has no number for most of them.
    """
    found = (reason for reason, words in _KINDS if words.search(why))
    return next(found, REFUSED_BY_LIBVIRT)


def _is_same_move(before: MoveReport, now: MoveReport) -> bool:
    """For local maintenance each is for the same; one that is over does not go on."""
    return before.what_for == now.what_for and (now.is_over or not before.is_over)


def _outcomes(report: MoveReport) -> dict[str, int]:
    """What has come of it by then."""
    moved, moves = report.phase == MovePhase.MOVED, report.phase == MovePhase.MOVING
    return {
        BEGUN: report.tries,
        MOVED: int(moved),
        FAILED: max(0, report.tries - moved - moves),
        REFUSED: int(report.phase == MovePhase.REFUSED),
    }


def _refusals(report: MoveReport) -> dict[str, str]:
    """The reason of each host; the line that tells of further hosts has none."""
    parted = (text.partition(": ") for text in report.refusals)
    return {host: why for host, _, why in parted if why}
