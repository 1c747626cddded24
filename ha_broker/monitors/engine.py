# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine on this host: its domain by libvirt's events, its health page by looking."""

from __future__ import annotations

from math import inf
from typing import Callable, Optional, cast

from ha_broker.api.monitors import GUEST_AGENT, MonitorView
from ha_broker.api.snapshot import EngineView
from ha_broker.cycle.part import BrokerPorts, ChangeLog, Settings
from ha_broker.cycle.task import Task
from ha_broker.monitors.page import page_look, reading_of
from metadata.error_words import bare_reason
from metadata.records import Health
from metadata.schedule import quick_s
from world.ports.jobs import Outcome
from world.ports.libvirt import Domain, DomainState, Hypervisor, MeasuredHypervisor
from world.ports.network import HealthReading

DOMAIN = "domain"
HEALTH = "health"
FAILURES_TO_BAD = 2
LIBVIRT_DEADLINE_S = 15.0

_UNKNOWN = Domain(
    DomainState.UNKNOWN,
    detail="the shared configuration, which names the engine's domain, has not been read yet",
)


class EngineMonitor:
    """Domain state (events, with polling as a net) and health (only while it runs).

    Health is unknown until the first good look or the second failed one in a row, good from
    one good look on, bad after two failed looks in a row; after two that could not be made it is
    unknown again. Until the shared configuration was read the domain's name is not known, hence
    nothing of the domain.
    """

    keys = (DOMAIN, HEALTH)

    def __init__(
        self,
        world: BrokerPorts,
        settings: Settings,
        change_log: ChangeLog,
        on_change: Callable[[float], None],
        wake: Callable[[], None],
    ) -> None:
        self._world = world
        self._settings = settings
        self._change_log = change_log
        self._on_change = on_change
        self._wake = wake
        self._domain_name = ""
        self._hypervisor: Optional[MeasuredHypervisor] = None
        self._domain_task = Task(world.runner, DOMAIN)
        self._health_task = Task(world.runner, HEALTH)
        self._domain = _UNKNOWN
        self._domain_at_s: Optional[float] = None
        self._life = 0  # counts the domain's changes; a look at another life does not count
        self._looking_at_life = 0
        self._event = False
        # The guest agent's latest word, passed on by the broker.
        self.guest = MonitorView(GUEST_AGENT.name, GUEST_AGENT.unit)
        self._forget_health()

    @property
    def hypervisor(self) -> Optional[MeasuredHypervisor]:
        """The port for the engine's domain; None until its name is known."""
        return self._hypervisor

    @property
    def domain(self) -> DomainState:
        """The domain's state as last heard from libvirt."""
        return self._domain.state

    @property
    def first_word(self) -> Optional[DomainState]:
        """The same; None while libvirt has not been heard at all."""
        return None if self._domain_at_s is None else self._domain.state

    @property
    def health(self) -> Health:
        """How the engine is, by its page."""
        return self._health

    @property
    def has_event(self) -> bool:
        """Has libvirt reported something that was not looked at yet?"""
        return self._event

    def view(self) -> EngineView:
        """Domain and health."""
        detail = self._page_detail() or self._domain.detail
        seen_at_s = self._health_at_s or self._domain_at_s
        return EngineView(self._domain.state, self._health, detail, seen_at_s)

    def _page_detail(self) -> str:
        """What the page says; of an ill one also whether the guest itself has answered since."""
        asked_at_s = self.guest.seen_at_s
        if self._health != Health.BAD or self.guest.flag is None or asked_at_s is None:
            return self._health_detail
        if asked_at_s <= self._good_at_s:
            return self._health_detail
        guest = "answers itself" if self.guest.flag else "does not answer either"
        return f"{self._health_detail}; the guest {guest}"

    def _note_event(self) -> None:
        """libvirt says that the domain may have changed; any thread may call this."""
        self._event = True
        self._wake()

    def harvest(self, outcome: Outcome[object]) -> None:
        """A job of this part ended."""
        if outcome.key == DOMAIN:
            self._harvest_domain(outcome)
        else:
            self._harvest_health(outcome)

    def work(self, now_s: float) -> None:
        """Submit what is due."""
        self._use_domain_name()
        if self._hypervisor is not None:
            self._look_at_domain(self._hypervisor, now_s)
        self._look_at_page(now_s)
        self._tell()

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens."""
        if self._hypervisor is None:
            return float("inf")
        due_s = self._domain_task.next_due_s(now_s, LIBVIRT_DEADLINE_S)
        if self._page_is_looked_at():
            due_s = min(due_s, self._health_task.next_due_s(now_s))
        return due_s

    def _use_domain_name(self) -> None:
        config = self._settings.config
        name = config.settings.engine.domain_name if config else ""
        if name != self._domain_name:
            self._domain_name = name
            self._hypervisor = self._world.hypervisor(name)
            self._hypervisor.on_change(self._note_event)
            self._event = True

    def _look_at_domain(self, hypervisor: Hypervisor, now_s: float) -> None:
        if self._event:
            self._event = False
            self._domain_task.hurry(now_s)
            self._on_change(now_s)
        self._domain_task.start(now_s, hypervisor.domain, self._settings.timing.tick_s)
        if self._domain_task.stuck_since_s(now_s, LIBVIRT_DEADLINE_S) is not None:
            self._note_domain(Domain(DomainState.UNKNOWN, detail="libvirt does not answer"), now_s)

    def _tell(self) -> None:
        unknown = self._domain_at_s is not None and self._domain.state == DomainState.UNKNOWN
        self._change_log.tell("engine's domain", self._domain.detail if unknown else "")

    def _harvest_domain(self, outcome: Outcome[object]) -> None:
        if outcome.error is None:
            domain = cast(Domain, outcome.value)
        else:
            domain = Domain(DomainState.UNKNOWN, detail=bare_reason(outcome.error))
        self._note_domain(domain, outcome.finished_at_s)

    def _note_domain(self, domain: Domain, at_s: float) -> None:
        before, self._domain = self._domain, domain
        self._domain_at_s = at_s
        if (before.state, before.pid) == (domain.state, domain.pid):
            return
        self._life += 1
        self._forget_health()
        self._health_task.hurry(at_s)
        self._on_change(at_s)

    def _forget_health(self) -> None:
        self._health = Health.UNKNOWN
        self._health_detail = ""
        self._health_at_s: Optional[float] = None
        self._good_at_s = -inf
        self._failures = self._unmade = 0

    def _page_is_looked_at(self) -> bool:
        running = self._domain.state == DomainState.RUNNING
        return running and bool(self._settings.cluster.engine.page_url)

    def _look_at_page(self, now_s: float) -> None:
        if not self._page_is_looked_at() or not self._health_task.is_due(now_s):
            return
        job = page_look(self._world, self._settings)
        tick_s = self._settings.timing.tick_s
        calm = self._health == Health.GOOD and not (self._failures or self._unmade)
        if self._health_task.start(now_s, job, tick_s if calm else quick_s(tick_s)):
            self._looking_at_life = self._life

    def _harvest_health(self, outcome: Outcome[object]) -> None:
        if self._looking_at_life != self._life or self._domain.state != DomainState.RUNNING:
            return
        reading = reading_of(outcome)
        self._health_at_s = outcome.finished_at_s
        if reading.good:
            self._good_at_s = outcome.finished_at_s
        if not self._note_reading(reading):
            self._health_task.hurry(outcome.finished_at_s + quick_s(self._settings.timing.tick_s))

    def _note_reading(self, reading: HealthReading) -> bool:
        """False: not yet believed. Looks that failed and looks not made are counted apart."""
        if reading.good:
            self._failures = self._unmade = 0
            health = Health.GOOD
        elif reading.known:
            self._failures, self._unmade = self._failures + 1, 0
            health = Health.BAD
        else:
            self._unmade += 1
            health = Health.UNKNOWN
        if 0 < (self._failures if reading.known else self._unmade) < FAILURES_TO_BAD:
            return False
        self._health, self._health_detail = health, reading.detail
        return True
