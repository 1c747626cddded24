"""What the parts of the broker's cycle share: the world, the settings, the shape of a part.

A part owns one or two of the runner's keys. In each cycle it is given the outcomes of its
jobs, then submits what is due; it never blocks and never sleeps.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable, Optional, Protocol

from ha_broker.world.ports import (
    BlockStore,
    Clock,
    Courier,
    HealthPage,
    HostVitals,
    Lockspace,
    MeasuredHypervisor,
    NetworkProbe,
    Outcome,
    PluginMaker,
    PluginWord,
    Runner,
    ServiceManager,
    WorldError,
)
from metadata.pace import in_step_s
from metadata.settings import ClusterSettings, HostSettings, Timing
from metadata.shared_config import SharedConfig, StoredConfig

NEVER_S = math.inf
# Intervals that are shares of each other meet, but for rounding: one wake-up does for both.
EARLY_S = 0.001
# Just after a deadline a job is late, at it not yet.
LATE_S = 0.001

log = logging.getLogger(__name__)


class NoPlugin:
    """A `Plugin` in a world where there are none, as in the simulation."""

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        self._name = name

    def measure(self, timeout_s: float) -> PluginWord:
        """Raises WorldError."""
        raise WorldError(f"plug-in {self._name}", "there are no plug-ins here")

    def close(self) -> None:
        """Nothing to end."""


def no_restore(_held: StoredConfig) -> bool:
    """A `Restore` for a world without one; raises WorldError."""
    raise WorldError("write the shared configuration back", "nothing here can do that")


Restore = Callable[[StoredConfig], bool]
"""Writes it back to the storage under the lock of writers; False: there was no need any more.

Raises WorldError.
"""


@dataclass(frozen=True)
class World:
    """All ports of the broker.

    `hypervisor` makes the port for the domain of a given name, which stands in the shared
    configuration.
    """

    clock: Clock
    runner: Runner
    store: BlockStore
    lockspace: Lockspace
    hypervisor: Callable[[str], MeasuredHypervisor]
    health_page: HealthPage
    network: NetworkProbe
    vitals: HostVitals
    courier: Courier
    services: ServiceManager
    plugins: PluginMaker = NoPlugin
    restore: Restore = no_restore


class Settings:
    """This host's settings and, once it was readable, the shared configuration.

    Until then `cluster` has the defaults, which are good enough to look around with; the
    lockspace is not joined with them (`config is None`).
    """

    def __init__(self, host: HostSettings) -> None:
        self.host = host
        self.config: Optional[SharedConfig] = None
        self.cluster = ClusterSettings()
        self.timing: Timing = self.cluster.timing

    def use(self, config: SharedConfig) -> None:
        """Go by this configuration from now on."""
        self.config = config
        self.cluster = config.settings
        self.timing = config.settings.timing


class Part(Protocol):
    """One part of the cycle."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The runner's keys whose outcomes are this part's."""

    def harvest(self, outcome: Outcome[object]) -> None:
        """A job of this part ended."""

    def work(self, now_s: float) -> None:
        """Submit what is due."""

    def next_due_s(self, now_s: float) -> float:
        """When `work` has something to do again, if nothing else happens."""


class HarvestedRunner:
    """A `Runner` whose keys stay busy until their outcome was harvested.

    Else a job that ends between harvest and submission would be followed by another one
    before anybody looked at it.
    """

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock
        self._awaited: dict[str, float] = {}
        self.busy_since_s: Callable[[str], Optional[float]] = self._awaited.get
        """As `Runner.busy_since_s`; until the outcome was harvested. Asked very often."""

    def submit(self, key: str, job: Callable[[], object]) -> bool:
        """As `Runner.submit`."""
        started_at_s = self._clock.monotonic_s()
        if key in self._awaited or not self._runner.submit(key, job):
            return False
        self._awaited[key] = started_at_s
        return True

    def poll(self) -> list[Outcome[object]]:
        """As `Runner.poll`."""
        outcomes = self._runner.poll()
        for outcome in outcomes:
            self._awaited.pop(outcome.key, None)
        return outcomes


class Task:
    """One kind of job, done again and again under its own key.

    It is due at the multiples of its interval, so that jobs of one interval, whatever
    happened in between, are begun and harvested together; never later than that interval.
    """

    def __init__(self, runner: Runner, key: str) -> None:
        self.key = key
        self._runner = runner
        self._busy_since_s = runner.busy_since_s
        self._due_at_s = -math.inf
        self._started_at_s = -math.inf

    def start(self, now_s: float, job: Callable[[], object], interval_s: float) -> bool:
        """Submit `job` if it is due and the previous one has ended."""
        if not self.is_due(now_s) or not self._runner.submit(self.key, job):
            return False
        self._due_at_s = in_step_s(max(now_s, self._due_at_s), interval_s)
        self._started_at_s = now_s
        return True

    def is_due(self, now_s: float) -> bool:
        """Would `start` submit it now? Asked first where making the job is work."""
        return now_s >= self._due_at_s - EARLY_S and self._busy_since_s(self.key) is None

    def hurry(self, at_s: float) -> None:
        """Do it again at `at_s`, if that is earlier; after the running one, if one runs."""
        self._due_at_s = min(self._due_at_s, at_s)

    def quicken(self, interval_s: float) -> None:
        """From now on it is due `interval_s` after its latest start, at most."""
        self._due_at_s = min(self._due_at_s, self._started_at_s + interval_s)

    def postpone(self, until_s: float) -> None:
        """Not before `until_s`."""
        self._due_at_s = until_s

    @property
    def busy_since_s(self) -> Optional[float]:
        """Since when a job of this kind runs."""
        return self._busy_since_s(self.key)

    def stuck_since_s(self, now_s: float, deadline_s: float) -> Optional[float]:
        """Since when a job runs that should have ended by now."""
        since_s = self._busy_since_s(self.key)
        return since_s if since_s is not None and now_s - since_s > deadline_s else None

    def next_due_s(self, now_s: float, deadline_s: float = NEVER_S) -> float:
        """When it is due, or its running job is late; the end of a job wakes by itself."""
        since_s = self._busy_since_s(self.key)
        return self._due_at_s if since_s is None else _later(since_s + deadline_s, now_s)

    @property
    def due_at_s(self) -> float:
        """When it is due; never while its job runs."""
        return self._due_at_s if self._busy_since_s(self.key) is None else NEVER_S

    def late_at_s(self, now_s: float, deadline_s: float) -> float:
        """When the job that runs will be late, if it still is in time."""
        since_s = self._busy_since_s(self.key)
        return NEVER_S if since_s is None else _later(since_s + deadline_s, now_s)


def _later(late_at_s: float, now_s: float) -> float:
    """A moment after it, unless that is over."""
    return late_at_s + LATE_S if late_at_s + LATE_S > now_s else NEVER_S


class Teller:
    """One log line when something becomes wrong, changes, or is right again; no flood."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def tell(self, topic: str, trouble: str, level: int = logging.ERROR) -> None:
        """`trouble` is how `topic` is doing now: empty when all is well."""
        if trouble == self._last.get(topic, ""):
            return
        self._last[topic] = trouble
        if trouble:
            log.log(level, "%s: %s", topic, trouble)
        else:
            log.info("%s: all is well again", topic)


def clock_time(clock: Clock, at_s: float) -> str:
    """The monotonic second `at_s` as a time of day, for people."""
    wall_s = clock.wall_s() - (clock.monotonic_s() - at_s)
    return time.strftime("%H:%M:%S", time.localtime(wall_s))


def error_text(error: Exception) -> str:
    """One line for people."""
    return " ".join(str(error).split()) or type(error).__name__
