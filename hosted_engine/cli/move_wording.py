# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How a move of the engine reads in sentences. Pure."""

from __future__ import annotations

from typing import Optional

from ha_broker.api.snapshot import MovePhase, MoveReport, Snapshot
from ha_broker.api.takers import reasons_text


def progress_text(report: MoveReport) -> str:
    """How far it is, in one line."""
    refused = f"; refused: {reasons_text(report.refusals)}" if report.refusals else ""
    if report.phase != MovePhase.MOVING:
        return f"looking for a host that takes the engine{refused}"
    copied = "" if report.copied is None else f", {report.copied:.0%} copied"
    tries = f", try {report.tries}" if report.tries > 1 else ""
    return f"the engine moves to {report.target or 'another host'}{copied}{tries}{refused}"


def moved_text(report: MoveReport, took_s: float) -> str:
    """That it has moved; `took_s` is what whoever waited for it has seen."""
    return f"the engine has moved to {report.target} in {took_s:.0f} s"


def paused_text(report: Optional[MoveReport]) -> str:
    """How long it stood still, as libvirt says; empty: it does not."""
    if report is None or report.downtime_s is None:
        return ""
    return f" (it stood still for {report.downtime_s:.2f} s)"


def stays_text(snapshot: Snapshot, report: MoveReport) -> str:
    """That nobody took it, with all reasons."""
    why = reasons_text(report.refusals) or "no other host offers itself"
    runs_on = ", which runs on here" if snapshot.engine.is_here else ""
    return f"no host took the engine{runs_on}: {why}"
