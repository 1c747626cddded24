# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What docs/monitoring holds, as the tests look at it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ha_broker.api.event import Event, EventKind
from ha_broker.api.monitors import MonitorView, Unit
from ha_broker.api.snapshot import (
    ConfigView,
    EngineView,
    HostView,
    LeaseView,
    LockspaceView,
    MovePhase,
    MoveReport,
    Publication,
    Snapshot,
    StorageView,
    TransitionView,
    WitnessView,
)
from ha_broker.metrics.counters import Counters
from metadata.liveness import Liveness
from metadata.penalties import Penalty
from metadata.reach import Sight
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from tests.unit.metrics_text import Scrape, scrape
from world.ports.jobs import Outcome
from world.ports.libvirt import DomainState
from world.ports.sanlock import Membership

DIRECTORY = Path(__file__).resolve().parents[2] / "docs" / "monitoring"
UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")

# What Prometheus itself adds to every target, the label of README.md here, and its own metric.
TARGET_LABELS = {"job", "instance", "cluster"}
OWN_METRICS = {"up": set[str](), "ALERTS": {"alertname", "alertstate"}}

_TEXTS = re.compile(r'"(?:[^"\\]|\\.)*"')
_NAME = re.compile(r"\b(?:hosted_engine_\w+|process_\w+|up)\b")
_MATCHERS = re.compile(r"\{([^{}]*)\}")
_GROUPINGS = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^()]*)\)")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DIRECTORY / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DIRECTORY / "dashboard.json").read_text())
    return found


def dashboard_queries() -> list[tuple[str, str]]:
    """Each query, the variables filled in, with its legend."""
    found = dashboard()
    queries = [
        (target["expr"], target["legendFormat"])
        for panel in found["panels"]
        for target in panel.get("targets", [])
    ]
    queries += [(one["expr"], "") for one in found["annotations"]["list"]]
    return [(filled_in(expr), legend) for expr, legend in queries]


def filled_in(expr: str) -> str:
    for variable, value in (
        ("$__rate_interval", "5m"),
        ("$cluster", ".*"),
        ("$instance", ".*"),
    ):
        expr = expr.replace(variable, value)
    assert "$" not in expr, expr
    return expr


@dataclass(frozen=True)
class Used:
    """What a query needs of the exporter."""

    names: frozenset[str]
    labels: frozenset[str]


def used(expr: str) -> Used:
    """The names of the metrics and of the labels in a query."""
    matchers = [found for text in _MATCHERS.findall(expr) for found in _matched(text)]
    bare = _MATCHERS.sub("", expr)
    grouped = [name.strip() for text in _GROUPINGS.findall(bare) for name in text.split(",")]
    groupings = [name for name in grouped if name]  # `on ()` names none
    names = _NAME.findall(_GROUPINGS.sub("", bare))
    return Used(frozenset(names), frozenset([*matchers, *groupings]))


def _matched(text: str) -> list[str]:
    bare = _TEXTS.sub('""', text)
    return [re.split(r"=~|!~|!=|=", part)[0].strip() for part in bare.split(",") if part.strip()]


def full_scrape() -> Scrape:
    """A scrape in which every metric has a sample."""
    return scrape(whole_snapshot(), counters=whole_tallies(), renewed_at_s={1: 90.0, 2: 91.0})


def whole_tallies() -> Counters:
    """Everything has been counted."""
    counters = Counters()
    for key in ("read", "scan", "write-own", "write-global"):
        counters.job_ended(Outcome(key, None, None, 1.0, 2.0))
    counters.job_ended(Outcome("sanlock", None, OSError("gone"), 1.0, 2.0))
    counters.cycle_ended(0.001)
    counters.call_answered("/v1/status", 200, 0.001)
    counters.shown(replace(whole_snapshot(), events=()))
    counters.shown(whole_snapshot())
    return counters


def whole_snapshot(count: int = 2) -> Snapshot:
    """Everything is known, of so many hosts."""
    hosts = tuple(
        HostView(
            host_id, Liveness.LIVE, 1, HostRecord(host_id, 7, 3400, UP, f"h{host_id}"),
            fresh=True, changed_at_s=90.0,
        )
        for host_id in range(1, count + 1)
    )  # fmt: skip
    monitors = tuple(
        MonitorView(f"m-{unit.value}", unit, 1.0, 2.0, seen_at_s=90.0) for unit in Unit
    )
    agent = Publication(
        3000, UP, "EngineUp", in_state_since_s=80.0,
        penalties=(Penalty("network", 400, "lost"),),
        transitions=(TransitionView(1, 85.0, "EngineStarting", "EngineUp", "healthy"),),
        # More than any one report says: how far it is, and how it was in the end.
        move=MoveReport("maintenance", MovePhase.MOVED, "h2", 1, (), 0.9, 1.6, 0.64, 10**8),
    )  # fmt: skip
    return Snapshot(
        7, 100.0, 1, "h1", 50.0,
        storage=StorageView(90.0, 91.0, 92.0, 0.1),
        lockspace=LockspaceView(Membership.JOINED, fire_timeout_s=60),
        lease=LeaseView("held", 1),
        witness=WitnessView(2, Sight.REACHED),
        engine=EngineView(DomainState.RUNNING, Health.GOOD, "Up", 95.0),
        monitors=monitors,
        config=ConfigView(4),
        hosts=hosts,
        global_maintenance=False,
        agent_published_at_s=95.0,
        agent=agent,
        events=(Event(1, EventKind.TAKEN_OVER, 90.0, 1, "h1", outage_s=100.0),),
    )  # fmt: skip
