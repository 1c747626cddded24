# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the monitors of the host itself have in common: they measure as the settings say."""

from __future__ import annotations

from ha_broker.cycle.part import BrokerPorts, Settings
from ha_broker.monitors.base import Monitor


class HostMonitor(Monitor):
    """A monitor that goes by the section ``monitors`` of the cluster's settings."""

    def __init__(self, world: BrokerPorts, settings: Settings) -> None:
        self._world = world
        self._settings = settings

    def interval_s(self) -> float:
        """The same for all of them, so that one wake-up of the broker does for all."""
        return self._settings.cluster.monitors.interval_s

    def timeout_s(self) -> float:
        """The same for all of them."""
        return self._settings.cluster.monitors.timeout_s
