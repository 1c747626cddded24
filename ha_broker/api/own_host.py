# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""This host as its own broker knows it now, which may be more than what stands in its slot.

Other hosts go by the record, and by how long ago it changed. This host knows better in two ways:
what its agent has handed over and could not be written (the storage hangs or fails), and, where the
agent says nothing any more, what the broker sees of the engine here. So its own status does not
claim an engine that is gone or ill here, for as long as an old record would pass for fresh.

Only a record that this broker has written itself is corrected: another one may be that of a
machine with the same host id, and is that machine's word.
"""

from __future__ import annotations

from dataclasses import replace

from ha_broker.api.snapshot import EngineView, HostView, Publication, Snapshot
from metadata.engine_status import NOT_HERE, UNHEALTHY
from metadata.records import PAUSED, EngineStatus, EngineVm, Health, HostRecord
from world.ports.domain_state import DomainState

AGENT_WORD_S = 20.0
"""An agent speaks once a tick (5 s as a rule) and with each change; later, what is seen counts."""


def own_host(snapshot: Snapshot, view: HostView) -> HostView:
    """`view`, this host's own, with what is known better than its record says."""
    record = view.record
    if record is None or not _is_ours(snapshot, view):
        return view
    now = record
    if _is_unwritten(snapshot) and snapshot.agent is not None:
        now = _as_published(now, snapshot.agent, snapshot.local_maintenance)
    if not _agent_speaks(snapshot):
        now = replace(now, engine_status=_not_more_than_seen(now.engine_status, snapshot.engine))
    return view if now == record else replace(view, record=_as_written(now))


def _is_ours(snapshot: Snapshot, view: HostView) -> bool:
    """Does what was read last come from this broker, and not from a later writer of its slot?"""
    written_at_s, changed_at_s = snapshot.storage.last_write_at_s, view.changed_at_s
    return written_at_s is not None and changed_at_s is not None and changed_at_s <= written_at_s


def _agent_speaks(snapshot: Snapshot) -> bool:
    said_at_s = snapshot.agent_published_at_s
    return said_at_s is not None and snapshot.taken_at_s - said_at_s <= AGENT_WORD_S


def _is_unwritten(snapshot: Snapshot) -> bool:
    """Has the agent spoken since the last write that is known to have ended well?"""
    said_at_s, written_at_s = snapshot.agent_published_at_s, snapshot.storage.last_write_at_s
    return said_at_s is not None and written_at_s is not None and said_at_s > written_at_s


def _as_published(record: HostRecord, agent: Publication, maintenance: bool) -> HostRecord:
    """The time stays that of the last write, which `live-data` is about."""
    # Mostly nothing is to be corrected, and monitoring asks for this host all the time.
    from metadata.own_notes import AGENT_KEYS  # noqa: PLC0415

    kept = [note for note in record.notes if note[0] not in AGENT_KEYS]
    return replace(
        record,
        score=agent.score,
        engine_status=agent.engine_status,
        state=agent.state,
        stopped=agent.stopped,
        maintenance=maintenance,
        timeout_wall_time=agent.timeout_wall_time,
        notes=(*kept, *agent.notes),
    )


def _not_more_than_seen(said: EngineStatus, engine: EngineView) -> EngineStatus:
    """An engine that the broker sees to be gone, paused or ill is not said to be well.

    What it does not know (yet) takes nothing away: right after its start that is everything.
    """
    if not said.is_up:
        return said
    if engine.domain is DomainState.ABSENT:
        return EngineStatus(EngineVm.DOWN, Health.BAD, "unknown", NOT_HERE)
    if not said.is_healthy:
        return said
    if engine.domain is DomainState.PAUSED:
        return EngineStatus(EngineVm.UP, Health.BAD, PAUSED, f"paused: {engine.detail}")
    if engine.domain is DomainState.RUNNING and engine.health is Health.BAD:
        why = f"{UNHEALTHY}: {engine.detail}"
        return EngineStatus(EngineVm.UP, Health.BAD, said.detail, why)
    return said


def _as_written(record: HostRecord) -> HostRecord:
    """With text and checksum of its own, as readers of the slot would see it."""
    from metadata.wire import decode_slot, encode_host  # noqa: PLC0415

    found = decode_slot(record.host_id, encode_host(record))
    return found if isinstance(found, HostRecord) else record
