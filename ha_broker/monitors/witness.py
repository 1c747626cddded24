# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine's page from where this host stands, while the engine runs on another one.

Only the hosts that would take over next look (at most `MOST_WITNESSES`): they are the ones to whose
network the engine could go, and hundreds of hosts that look each tick would be a load of their own.
"""

from __future__ import annotations

from typing import Optional

from ha_broker.api.snapshot import HostView, LeaseView, WitnessView
from ha_broker.cycle.host_changes import HostVersions
from ha_broker.cycle.part import BrokerPorts, Settings
from ha_broker.cycle.task import Task
from ha_broker.monitors.page import page_look, reading_of
from metadata.reach import MOST_WITNESSES, Sight
from metadata.schedule import quick_s
from world.ports.jobs import Outcome
from world.ports.network import HealthReading

WITNESS = "witness"
# One look that found nothing, or could not be made, may be a lost packet.
LOOKS_TO_BELIEVE = 2
VALID_TICKS = 3


class Witness:
    """Reached from the first answer on; dark, or not known, after two looks in a row."""

    keys = (WITNESS,)

    def __init__(self, world: BrokerPorts, settings: Settings) -> None:
        self._world = world
        self._settings = settings
        self._task = Task(world.runner, WITNESS)
        self._owner_id: Optional[int] = None
        self._owner_lives = False
        self._asked_owner_id: Optional[int] = None
        self._called = False
        self._next: Optional[tuple[HostVersions, Optional[int], list[int]]] = None
        self._forget()

    def consider(
        self,
        lease: LeaseView,
        owner_lives: bool,
        hosts: tuple[HostView, ...],
        versions: HostVersions,
    ) -> None:
        """Take in who has the engine, and whether this host is to look.

        `versions`: of `hosts`; while it is the same object they say the same.
        """
        own_id = self._settings.host.host_id
        owner_id = lease.holder_id
        if owner_id is not None and owner_id != self._owner_id:
            self._owner_id = owner_id
            self._forget()
        self._owner_lives = owner_lives and owner_id is not None
        elsewhere = self._owner_id is not None and self._owner_id != own_id
        page = bool(self._settings.cluster.engine.page_url)
        called = elsewhere and page
        self._called = called and own_id in self._next_in_line(hosts, versions)

    def _next_in_line(self, hosts: tuple[HostView, ...], versions: HostVersions) -> list[int]:
        known = self._next
        if known is None or known[0] is not versions or known[1] != self._owner_id:
            ids = next_in_line(hosts, self._owner_id)
            known = self._next = versions, self._owner_id, ids
        return known[2]

    def harvest(self, outcome: Outcome[object]) -> None:
        """A look has ended."""
        if self._asked_owner_id != self._owner_id:
            return
        self._note(reading_of(outcome), outcome.finished_at_s)

    def work(self, now_s: float) -> None:
        """Look, if it is time to."""
        if not self._looks or not self._task.is_due(now_s):
            return
        job = page_look(self._world, self._settings)
        if self._task.start(now_s, job, self._settings.timing.tick_s):
            self._asked_owner_id = self._owner_id

    def next_due_s(self, now_s: float) -> float:
        """When the next look is due."""
        return self._task.next_due_s(now_s) if self._looks else float("inf")

    def view(self, now_s: float) -> Optional[WitnessView]:
        """What this host sees; None: it is not one of those that look.

        While the engine is on its way to another host there is nothing to be seen.
        """
        if not self._called or self._owner_id is None:
            return None
        sight = self._sight if self._owner_lives and not self._is_old(now_s) else Sight.UNKNOWN
        return WitnessView(self._owner_id, sight, self._detail, self._seen_at_s)

    @property
    def _looks(self) -> bool:
        return self._called and self._owner_lives

    def _is_old(self, now_s: float) -> bool:
        cluster = self._settings.cluster
        valid_s = VALID_TICKS * cluster.timing.tick_s + cluster.engine.health_timeout_s
        return self._seen_at_s is None or now_s - self._seen_at_s > valid_s

    def _forget(self) -> None:
        """Another host has the engine: what was seen of it before does not count."""
        self._sight, self._detail = Sight.UNKNOWN, ""
        self._seen_at_s: Optional[float] = None
        self._pending, self._looks_alike = Sight.UNKNOWN, 0

    def _note(self, reading: HealthReading, at_s: float) -> None:
        sight = _sight(reading)
        self._looks_alike = self._looks_alike + 1 if sight is self._pending else 1
        self._pending = sight
        if sight is not Sight.REACHED and self._looks_alike < LOOKS_TO_BELIEVE:
            self._task.hurry(at_s + quick_s(self._settings.timing.tick_s))
            return
        self._sight, self._detail, self._seen_at_s = sight, reading.detail, at_s


def _sight(reading: HealthReading) -> Sight:
    """A page that answers something else than it should is ill, but in reach."""
    if reading.good or reading.answered:
        return Sight.REACHED
    return Sight.DARK if reading.known else Sight.UNKNOWN


def next_in_line(hosts: tuple[HostView, ...], owner_id: Optional[int]) -> list[int]:
    """The ids of the hosts that would take the engine over next, by their records."""
    able = [view for view in hosts if view.host_id != owner_id and view.is_able]
    able.sort(key=lambda view: (-(view.record.score if view.record else 0), view.host_id))
    return [view.host_id for view in able[:MOST_WITNESSES]]
