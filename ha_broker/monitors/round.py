# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The host's monitors as one part of the cycle: most cycles have nothing to do with any of them."""

from __future__ import annotations

from ha_broker.api.monitors import MonitorView
from ha_broker.cycle.part import NEVER_S
from ha_broker.monitors.base import MonitorPart
from world.ports.jobs import Outcome


class MonitorRound:
    """Asks its monitors only when one of them has something to do."""

    def __init__(self, parts: tuple[MonitorPart, ...]) -> None:
        self._parts = parts
        self._by_key = {key: part for part in parts for key in part.keys}
        self._again_s = -NEVER_S
        self._due_s = -NEVER_S
        self._views: tuple[MonitorView, ...] = ()
        self._views_end_s = -NEVER_S

    @property
    def keys(self) -> tuple[str, ...]:
        """The runner's keys of all measurements."""
        return tuple(self._by_key)

    def harvest(self, outcome: Outcome[object]) -> None:
        """A measurement ended."""
        self._by_key[outcome.key].harvest(outcome)
        self._again_s = self._views_end_s = -NEVER_S

    def work(self, now_s: float) -> None:
        """Submit the measurements that are due."""
        if now_s < self._again_s:
            return
        for part in self._parts:
            part.work(now_s)
        self._views_end_s = -NEVER_S
        dues_s = [part.dues_s(now_s) for part in self._parts]
        self._due_s = min([wake_s for wake_s, _ in dues_s], default=NEVER_S)
        self._again_s = min([work_s for _, work_s in dues_s], default=NEVER_S)

    def next_due_s(self, now_s: float) -> float:
        """When the first of them is due, or late."""
        return self._due_s

    def views(self, now_s: float) -> tuple[MonitorView, ...]:
        """The latest word of each."""
        if now_s > self._views_end_s:
            self._views = tuple([part.view(now_s) for part in self._parts])
            self._views_end_s = min([part.view_ends_s for part in self._parts], default=NEVER_S)
        return self._views
