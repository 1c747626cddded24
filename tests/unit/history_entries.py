# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Entries as an agent writes them, told by the second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ha_agent.history.entry import AgentStarted, ClusterSight, Entry, Fact, HostSight, line_of

WALL_S = 1_700_000_000.0


def entry(at_s: float, fact: Fact, boot: str = "a", mono_s: float | None = None) -> Entry:
    """At second `at_s` of the story; the machine was booted 100 s before it."""
    return Entry(WALL_S + at_s, at_s + 100 if mono_s is None else mono_s, fact, boot)


def host(host_id: int, state: str = "EngineDown", **fields: Any) -> HostSight:
    """A living host `h<id>` without the engine."""
    content = {"name": f"h{host_id}", "score": 3400, "vm": "down", "health": "bad", "live": True}
    return HostSight(host_id, state=state, **{**content, "liveness": "live", **fields})


def up(host_id: int, **fields: Any) -> HostSight:
    """The same with a healthy engine."""
    return host(host_id, "EngineUp", **{"vm": "up", "health": "good", **fields})


def lease(owner_id: int | None, maintenance: bool | None = False) -> ClusterSight:
    """It is held, or free."""
    return ClusterSight(
        "free" if owner_id is None else "held", owner_id, maintenance, "engine.example.com"
    )


def story() -> list[Entry]:
    """What h2 saw when h1 lost its power."""
    return [
        entry(0, AgentStarted(2, "h2")),
        entry(1, lease(1)),
        entry(1, up(1)),
        entry(1, host(2)),
        entry(1, host(3)),
        entry(300, up(1, live=False, liveness="fail")),
        entry(360, up(1, live=False, liveness="dead")),
        entry(360, lease(None)),
    ]


def write(directory: Path, entries: list[Entry]) -> None:
    """As the agent's files."""
    directory.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line_of(one)}\n" for one in entries)
    (directory / "history.jsonl").write_text(text)
