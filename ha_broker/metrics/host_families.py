# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""This host: its storage, lockspace, engine, agent, score, monitors and notifications."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Optional

from prometheus_client.core import Metric

from ha_broker.api.monitors import MonitorView, Unit
from ha_broker.api.snapshot import MoveReport, Publication, Snapshot
from ha_broker.metrics.families import Row, age_s, counter, gauge, gauges, one_hot
from metadata.reach import Sight
from metadata.records import Health
from metadata.states import State
from world.ports.libvirt import DomainState
from world.ports.sanlock import Membership

# Shown to all readers by name, in this order.
STATES = tuple(state.value for state in State)
MOST_PENALTIES = MOST_MONITORS = 64

_SUFFIXES = {Unit.FRACTION: "ratio", Unit.BOOLEAN: "ok"}


def host_families(snapshot: Snapshot, now_s: float) -> Iterator[Metric]:
    """All of them, from one snapshot."""
    names = ((str(snapshot.host_id), snapshot.host_name), 1.0)
    yield gauges("host_info", "Which host this is.", ("host_id", "host"), [names])
    text = "Age of the broker's picture of the world; its cycle makes a new one each tick."
    yield gauge("snapshot_age_seconds", text, age_s(snapshot.taken_at_s, now_s))
    yield from _storage(snapshot, now_s)
    yield from _lockspace(snapshot)
    yield from _engine(snapshot, now_s)
    yield from _agent(snapshot, now_s)
    yield from _move(snapshot.agent.move if snapshot.agent else None)
    yield from _score(snapshot.agent)
    yield from _monitors(snapshot.monitors[:MOST_MONITORS], now_s)
    yield from _notifications(snapshot)


def _storage(snapshot: Snapshot, now_s: float) -> Iterator[Metric]:
    storage, config = snapshot.storage, snapshot.config
    text = "Whether reading or writing the shared storage fails or hangs."
    yield gauge("storage_failing", text, bool(storage.error))
    text = "Seconds since the shared storage was last read."
    yield gauge("storage_read_age_seconds", text, age_s(storage.last_read_at_s, now_s))
    text = "Seconds since this host's record was last written."
    yield gauge("storage_write_age_seconds", text, age_s(storage.last_write_at_s, now_s))
    text = "Seconds for which the present read or write has been under way; 0: there is none."
    yield gauge("storage_busy_seconds", text, age_s(storage.busy_since_s, now_s) or 0.0)
    text = "Sequence number of the shared configuration that this host goes by."
    yield gauge("config_sequence", text, config.sequence)
    yield gauge("config_failing", "Whether it can't be read.", bool(config.error))


def _lockspace(snapshot: Snapshot) -> Iterator[Metric]:
    lockspace = snapshot.lockspace
    text = "This host's place in sanlock's lockspace."
    members = [membership.value for membership in Membership]
    yield one_hot("lockspace_state", text, "state", members, lockspace.membership.value)
    text = "Whether sanlock does not answer or joining its lockspace fails."
    yield gauge("lockspace_failing", text, bool(lockspace.error))
    text = "sanlock's watchdog_fire_timeout on this host; it must be the same on all."
    yield gauge("watchdog_fire_timeout_seconds", text, lockspace.fire_timeout_s)


def _engine(snapshot: Snapshot, now_s: float) -> Iterator[Metric]:
    engine = snapshot.engine
    text = "The engine's domain on this host."
    states = [state.value for state in DomainState]
    yield one_hot("domain_state", text, "state", states, engine.domain.value)
    text = "The engine's health, as seen from the host that it runs on."
    healths = [health.value for health in Health]
    yield one_hot("domain_health", text, "health", healths, engine.health.value)
    text = "Seconds since this host last heard of the engine on it."
    yield gauge("domain_seen_age_seconds", text, age_s(engine.seen_at_s, now_s))
    text = "The engine's page as seen from this host, while it is a witness of an engine elsewhere."
    sights = [sight.value for sight in Sight] if snapshot.witness else ()
    sight = snapshot.witness.sight.value if snapshot.witness else ""
    yield one_hot("witness_sight", text, "sight", sights, sight)
    yield gauge("local_maintenance", "Local maintenance.", snapshot.local_maintenance)


def _agent(snapshot: Snapshot, now_s: float) -> Iterator[Metric]:
    agent = snapshot.agent
    text = "Seconds since the agent last said how this host is doing."
    age = age_s(snapshot.agent_published_at_s, now_s)
    yield gauge("agent_record_age_seconds", text, age)
    states = STATES if agent else ()
    state = agent.state if agent else ""
    yield one_hot("agent_state", "The agent's state.", "state", states, state)
    text = "Seconds since the agent entered its state."
    since_s = agent.in_state_since_s if agent else None
    yield gauge("agent_state_age_seconds", text, age_s(since_s, now_s))


def _move(move: Optional[MoveReport]) -> Iterator[Metric]:
    text = "How much of the engine's memory the target of a live migration from here has."
    yield gauge("move_copied_ratio", text, move.copied if move else None)
    latest = "of the latest live migration from here, if that succeeded."
    text = f"How long the whole took, {latest}"
    yield gauge("move_duration_seconds", text, move.took_s if move else None)
    text = f"How long libvirt kept the engine's VM paused, {latest}"
    yield gauge("move_downtime_seconds", text, move.downtime_s if move else None)
    text = f"How much went over the network, {latest}"
    yield gauge("move_copied_bytes", text, move.copied_bytes if move else None)


def _score(agent: Optional[Publication]) -> Iterator[Metric]:
    text = "This host's score: how well it could run the engine."
    yield gauge("score", text, agent.score if agent else None)
    penalties = agent.penalties[:MOST_PENALTIES] if agent else ()
    rows = [((penalty.name,), penalty.points) for penalty in penalties]
    text = "Points that this host's score has lost, by reason."
    yield gauges("score_penalty_points", text, ("penalty",), rows)


def _monitors(monitors: Sequence[MonitorView], now_s: float) -> Iterator[Metric]:
    for unit in Unit:
        measured = [view for view in monitors if view.unit == unit]
        suffix = _SUFFIXES.get(unit, unit.value)
        text = f"What is measured on this host, as {unit.value}."
        yield _table(f"monitor_{suffix}", text, [((one.name,), one.value) for one in measured])
        if unit != Unit.BOOLEAN:
            text = f"What the value is held against, as {unit.value}."
            limits: list[Row] = [((one.name,), one.limit) for one in measured]
            yield _table(f"monitor_limit_{suffix}", text, limits)
    text = "Seconds since it was measured."
    ages: list[Row] = [((one.name,), age_s(one.seen_at_s, now_s)) for one in monitors]
    yield _table("monitor_age_seconds", text, ages)
    troubles: list[Row] = [((one.name,), bool(one.trouble)) for one in monitors]
    yield _table("monitor_failing", "Whether it can't be measured.", troubles)


def _table(name: str, text: str, rows: Sequence[Row]) -> Metric:
    return gauges(name, text, ("monitor",), rows)


def _notifications(snapshot: Snapshot) -> Iterator[Metric]:
    counts = snapshot.notifications
    yield gauge("notifications_queued", "Notifications that wait.", counts.queued)
    yield counter("notifications_sent", "Notifications delivered to a target.", counts.sent)
    yield counter("notifications_failed", "Deliveries that failed.", counts.failed)
    yield counter("notifications_dropped", "Notifications given up.", counts.dropped)
