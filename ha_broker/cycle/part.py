# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the parts of the broker's cycle share: the world, the settings, the shape of a part.

A part owns one or two of the runner's keys. In each cycle it is given the outcomes of its
jobs, then submits what is due; it never blocks and never sleeps.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from typing import Callable, Optional, Protocol

from ha_broker.api.times import local_time
from metadata.error_words import reason_with_file
from metadata.settings.parse import ClusterSettings, HostSettings, Timing
from metadata.shared_config import SharedConfig, StoredConfig
from metadata.value_class import value_class
from world.ports.errors import WorldError
from world.ports.host import HostVitals, ServiceManager
from world.ports.jobs import Clock, Outcome, Runner
from world.ports.libvirt import MeasuredHypervisor
from world.ports.log_fields import fields
from world.ports.network import HealthPage, NetworkProbe
from world.ports.notifications import NotificationSender
from world.ports.plugins import PluginMaker, PluginWord
from world.ports.sanlock import Lockspace
from world.ports.storage import BlockStore

NEVER_S = math.inf

FIRST_REMINDER = 1000
"""Of a trouble that lasts: at one to five seconds a cycle, after a quarter of an hour or more."""

log = logging.getLogger(__name__)


class NoPlugin:
    """A `Plugin` in a world where there are none, as in the simulation."""

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        self._name = name

    def measure(self, timeout_s: float) -> PluginWord:
        """Raises WorldError."""
        raise WorldError(f"measure by plug-in {self._name}", "there are no plug-ins here")

    def close(self) -> None:
        """Nothing to end."""


def no_restore(_held: StoredConfig) -> bool:
    """A `Restore` for a world without one; raises WorldError."""
    raise WorldError("write the shared configuration back", "nothing here can do that")


Restore = Callable[[StoredConfig], bool]
"""Writes it back to the storage under the lock of writers; False: there was no need any more.

Raises WorldError.
"""


@value_class(frozen=True)
class BrokerPorts:
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
    notification_sender: NotificationSender
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


class CyclePart(Protocol):
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


class ChangeLog:
    """One log line when something becomes wrong, changes, or is right again; no flood.

    What is seen again and again is counted: the count stands in the line that ends it, and in a
    line of its own at the 1000th, 10,000th time, for whoever reads only the end of a log.
    """

    def __init__(self) -> None:
        self._last: dict[str, str] = {}
        self._times: dict[str, int] = {}

    def tell(self, topic: str, trouble: str, level: int = logging.ERROR) -> None:
        """`trouble` is how `topic` is doing now: empty when all is well."""
        if trouble == self._last.get(topic, ""):
            if trouble:
                self._count(topic, trouble, level)
            return
        times = self._times.pop(topic, 1)
        self._last[topic] = trouble
        found = fields(topic=topic, times=times)
        if trouble:
            log.log(level, "%s", behind(topic, trouble), extra=fields(topic=topic))
        elif times > 1:
            log.info("%s: all is well again, after it was seen %d times", topic, times, extra=found)
        else:
            log.info("%s: all is well again", topic, extra=found)

    def _count(self, topic: str, trouble: str, level: int) -> None:
        times = self._times[topic] = self._times.get(topic, 1) + 1
        if times >= FIRST_REMINDER and times == 10 ** (len(str(times)) - 1):
            found = fields(topic=topic, times=times)
            log.log(level, "%s (seen %d times)", behind(topic, trouble), times, extra=found)


def behind(topic: str, trouble: str) -> str:
    """``slot 3: what is wrong``; a trouble that names the topic itself stands alone."""
    return trouble if trouble.startswith(topic) else f"{topic}: {trouble}"


def clock_time(clock: Clock, at_s: float) -> str:
    """The monotonic second `at_s` as a time of day, for people."""
    wall_s = clock.wall_s() - (clock.monotonic_s() - at_s)
    return time.strftime("%H:%M:%S", local_time(wall_s))


def error_text(error: Exception) -> str:
    """One line for people."""
    return reason_with_file(error)
