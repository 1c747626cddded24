# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Monitors as one part of the cycle: they are due together, and nobody asks them in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Optional

from ha_broker.monitors.round import MonitorRound
from metadata.settings.monitors import MonitorSettings
from tests.unit.broker_host import CONFIG, JOIN_S, Cluster


def test_seldom_measurements_fall_together_with_the_ticks(tmp_path: Path) -> None:
    """Begun at 1003.3, say, and due each 80 s: at multiples of 80 s, as a tick of 5 s is."""
    settings = replace(CONFIG.settings, monitors=MonitorSettings(interval_s=80.0))
    cluster = Cluster(replace(CONFIG, settings=settings))
    cluster.clock.advance(3.3)
    host = cluster.host(1, tmp_path)
    cluster.run(JOIN_S)
    host.runner.submitted.clear()
    cluster.run(400)
    seen = host.snapshot.monitors
    measured = {view.name: view.seen_at_s for view in seen if view.name in ("mem-free", "bridge")}
    assert measured["mem-free"] is not None
    assert measured["mem-free"] % 80.0 < 1.0
    assert host.runner.submitted.count("monitor:mem-free") == 5


def test_words_are_the_same_until_there_is_another(tmp_path: Path) -> None:
    cluster = Cluster()
    host = cluster.host(1, tmp_path)
    cluster.run(JOIN_S + 30)
    part = host.broker._monitors
    assert isinstance(part, MonitorRound)
    now_s = cluster.clock.monotonic_s()
    assert part.views(now_s) is part.views(now_s)
    host.vitals.free_bytes = 7
    before = part.views(now_s)
    cluster.run(30)
    after = part.views(cluster.clock.monotonic_s())
    assert after is not before
    (free,) = [view.value for view in after if view.name == "storage-space"]
    assert free == 7


def test_a_value_ends_in_time_though_nothing_else_happens(tmp_path: Path) -> None:
    cluster = Cluster()
    host = cluster.host(1, tmp_path)
    cluster.run(JOIN_S + 30)
    part = host.broker._monitors
    host.runner.hang("monitor:storage-space")
    now_s = cluster.clock.monotonic_s()
    assert space(part, now_s) is not None
    assert space(part, now_s + 1000) is None


def space(part: MonitorRound, at_s: float) -> Optional[float]:
    (value,) = [view.value for view in part.views(at_s) if view.name == "storage-space"]
    return value
