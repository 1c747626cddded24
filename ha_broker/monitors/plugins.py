# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The plug-ins that the cluster's settings name: made, and ended, as the settings change."""

from __future__ import annotations

from typing import Callable, Optional, cast

from ha_broker.api.monitors import MonitorView, plugin_kind
from ha_broker.cycle.part import NEVER_S, BrokerPorts, ChangeLog, Settings, error_text
from ha_broker.monitors.base import Measurement, Monitor, MonitorPart
from metadata.settings.monitors import PluginSettings
from world.ports.jobs import Outcome
from world.ports.plugins import PLUGIN_START_S, Plugin, PluginWord

Measured = tuple[Plugin, PluginWord]


class PluginMonitor(Monitor):
    """One plug-in. Its value is the share of its points that is lost."""

    def __init__(self, settings: PluginSettings, plugin: Plugin) -> None:
        kind = plugin_kind(settings.name)
        self.name, self.unit = kind.name, kind.unit
        self._settings = settings
        self._plugin = plugin
        self._measured = False

    @property
    def points(self) -> int:
        """As the cluster's settings say."""
        return self._settings.points

    def interval_s(self) -> float:
        """As the cluster's settings say."""
        return self._settings.interval_s

    def timeout_s(self) -> float:
        """The plug-in's own time, and that of its start."""
        return self._settings.timeout_s + PLUGIN_START_S

    def job(self) -> Optional[Callable[[], object]]:
        """Ask it."""
        return self._ask

    def _ask(self) -> Measured:
        return self._plugin, self._plugin.measure(self._settings.timeout_s)

    def read(self, result: object, at_s: float) -> Measurement:
        """Its word; one of a plug-in with older settings says nothing."""
        plugin, word = cast(Measured, result)
        if plugin is not self._plugin:
            return Measurement(None, "not measured yet")
        self._measured = True
        return Measurement(word.share, word.detail)

    def failed(self, error: Exception) -> Optional[Measurement]:
        """Until it was measured once, what fails is all that can be told of it."""
        return None if self._measured else Measurement(None, error_text(error))


class PluginMonitors:
    """All of them as one part of the cycle."""

    keys = ()

    def __init__(self, world: BrokerPorts, settings: Settings, change_log: ChangeLog) -> None:
        self._world = world
        self._settings = settings
        self._change_log = change_log
        self._stopped = False
        self._made_of: tuple[PluginSettings, ...] = ()
        self._plugins: dict[PluginSettings, Plugin] = {}
        self._parts: dict[PluginSettings, MonitorPart] = {}

    def harvest(self, outcome: Outcome[object]) -> None:
        """A measurement ended; of a plug-in that is not wanted any more it is no news."""
        for part in self._parts.values():
            if outcome.key in part.keys:
                part.harvest(outcome)

    def work(self, now_s: float) -> None:
        """Make and end plug-ins as the settings say, and measure what is due."""
        if self._stopped:
            return
        wanted = self._settings.cluster.monitors.plugins
        if wanted != self._made_of:
            self._remake(wanted)
        for part in self._parts.values():
            part.work(now_s)

    def next_due_s(self, now_s: float) -> float:
        """When the first of them is due."""
        return min((part.next_due_s(now_s) for part in self._parts.values()), default=NEVER_S)

    def views(self, now_s: float) -> list[MonitorView]:
        """The latest word of each."""
        return [part.view(now_s) for part in self._parts.values()]

    def stop(self) -> None:
        """End them all, for good."""
        self._stopped = True
        self._remake(())

    def _remake(self, wanted: tuple[PluginSettings, ...]) -> None:
        for settings in set(self._parts) - set(wanted):
            self._parts.pop(settings)
            self._plugins.pop(settings).close()
        self._parts = {settings: self._part(settings) for settings in wanted}
        self._made_of = wanted

    def _part(self, settings: PluginSettings) -> MonitorPart:
        """The same as before for a plug-in whose settings did not change."""
        if settings not in self._parts:
            plugin = self._world.plugins(settings.name, dict(settings.options))
            self._plugins[settings] = plugin
            monitor = PluginMonitor(settings, plugin)
            self._parts[settings] = MonitorPart(monitor, self._world, self._change_log)
        return self._parts[settings]
