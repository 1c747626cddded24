# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which hosts can take the engine by live migration, as their records and sanlock say. Pure.

The broker refuses by these reasons before anything is begun, and the commands show them. Who
decides about a move is the agent, which looks closer, and the target's own libvirt.
"""

from __future__ import annotations

from collections.abc import Iterable

from ha_broker.api.snapshot import HostView, Snapshot
from metadata.liveness import Liveness
from metadata.records import HostRecord
from metadata.takes_note import OLDER_PROGRAM, takes_of

NO_OTHER_HOST = "there is no other host"
MOST_REASONS = 8
"""How many hosts are named with their reasons in one sentence."""

_LIVENESS = {
    Liveness.DEAD: "sanlock counts it as dead",
    Liveness.FAIL: "sanlock has not heard of it for a while",
    Liveness.FREE: "it is not in the lockspace",
    Liveness.UNKNOWN: "sanlock does not say that it lives",
}


def cannot_take(view: HostView) -> str:
    """What stands against moving the engine to that host; empty: nothing does.

    Its score is not looked at: a person may want a host that nobody would choose.
    """
    record = view.record
    if view.liveness is Liveness.DEAD:
        return _LIVENESS[Liveness.DEAD]
    if record is None:
        return view.error or "it has written no record"
    if record.stopped:
        return "its agent is stopped"
    if not view.fresh:
        return "it has not reported for a while"
    return _LIVENESS[view.liveness] if not view.is_live else _says_no(record)


def _says_no(record: HostRecord) -> str:
    if record.maintenance:
        return "it is in local maintenance"
    note = takes_of(record.notes)
    if note is None:
        return OLDER_PROGRAM
    return note.why_not


def not_chosen(view: HostView) -> str:
    """The same for a host that nobody has named: one without points is none to choose."""
    why = cannot_take(view)
    if not why and view.record is not None and view.record.score <= 0:
        why = "its score is 0"
    return why


def takers(snapshot: Snapshot) -> list[HostView]:
    """The other hosts to which the engine could go now; not in the order of choice."""
    return [view for view in _others(snapshot) if not not_chosen(view)]


def refusals(snapshot: Snapshot) -> str:
    """Why none of the other hosts can take it, each with its reason."""
    found = [f"{view.name}: {why}" for view in _others(snapshot) if (why := not_chosen(view))]
    return reasons_text(found) or NO_OTHER_HOST


def reasons_text(reasons: Iterable[str]) -> str:
    """``h2: too little free memory; h3: ...``, the first of them where there are many."""
    told = list(reasons)
    rest = len(told) - MOST_REASONS
    more = [f"and {rest} more hosts"] if rest > 0 else []
    return "; ".join([*told[:MOST_REASONS], *more])


def _others(snapshot: Snapshot) -> list[HostView]:
    return [view for view in snapshot.hosts if view.host_id != snapshot.host_id]
