# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Where the engine would go alive, why not elsewhere, and how far a move is: sentences. Pure.

Nothing is said where no host's program knows of moving the engine alive.
"""

from __future__ import annotations

from typing import Optional

from ha_broker.api.snapshot import MovePhase, MoveReport
from ha_broker.api.takers import cannot_take, not_chosen
from hosted_engine.cli.move_wording import progress_text
from hosted_engine.cli.wording import capital, clause
from hosted_engine.cluster.facts import Cluster, HostFacts
from metadata import moving_note
from metadata.moving_note import decode_moving
from metadata.states import State
from metadata.takes_note import takes_of

MOST_NAMES = 5


def move_sentences(cluster: Cluster, runner: HostFacts) -> list[str]:
    """How far it is with the engine that is on `runner`, or where it would go."""
    report = cluster.snapshot.agent.move if cluster.snapshot.agent is not None else None
    if not runner.this or cluster.agent_silent_s is not None:
        report = None
    if runner.known_state is State.ENGINE_MIGRATING_AWAY:
        return [_under_way(runner, report)]
    if report is not None and report.phase == MovePhase.WAITING:
        return [_sentence(progress_text(report)), *_where_to(cluster, runner)]
    return _where_to(cluster, runner)


def cannot_take_sentences(cluster: Cluster, host: HostFacts) -> list[str]:
    """Why the engine can't go to `host`, unless something else that is told says so."""
    runner = cluster.runner
    if runner is None or host is runner or not _is_known(cluster):
        return []
    why = cannot_take(host.view)
    if not why or host.maintenance or not host.score or not host.speaks:
        return []
    return [f"It can't take the engine while that runs: {clause(why)}."]


def _under_way(runner: HostFacts, report: Optional[MoveReport]) -> str:
    if report is not None and not report.is_over:
        return _sentence(progress_text(report))
    record = runner.view.fresh_record
    note = decode_moving(dict(record.notes).get(moving_note.KEY, "")) if record else None
    known = note is not None and note.to != moving_note.SOMEWHERE
    to = note.to if note is not None and known else "another host"
    return f"{runner.name} is moving it to {to} while it runs."


def _where_to(cluster: Cluster, runner: HostFacts) -> list[str]:
    if runner.engine.stranded or not _is_known(cluster):
        return []
    # As the agent chooses: `fsm.moves.target`.
    able = [one for one in cluster.hosts if one is not runner and not not_chosen(one.view)]
    able.sort(key=lambda host: (-(host.score or 0), host.host_id))
    if not able:
        return ["No other host can take it while it runs, as things are: see each host."]
    names = [host.name for host in able]
    rest = len(names) - MOST_NAMES
    more = f", then {rest} more" if rest > 0 else ""
    order = ", then ".join(names[:MOST_NAMES])
    return [f"If it has to leave {runner.name}, it can move while it runs: to {order}{more}."]


def _is_known(cluster: Cluster) -> bool:
    """Does any host say whether it can take it?"""
    records = [host.view.fresh_record for host in cluster.hosts]
    return any(takes_of(record.notes) is not None for record in records if record is not None)


def _sentence(text: str) -> str:
    return f"{capital(clause(text))}."
