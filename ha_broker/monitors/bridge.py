# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The management bridge: can it carry traffic?"""

from __future__ import annotations

from functools import partial
from typing import Callable, Optional, cast

from ha_broker.api.monitors import BRIDGE
from ha_broker.monitors.base import Measurement
from ha_broker.monitors.host import HostMonitor
from world.ports.host import BridgeLook


class BridgeMonitor(HostMonitor):
    """1 while the bridge of the host's (else the cluster's) settings is up, else 0."""

    name, unit = BRIDGE.name, BRIDGE.unit

    def job(self) -> Optional[Callable[[], object]]:
        """One look; None without a bridge in the settings."""
        name = self._settings.host.bridge or self._settings.cluster.network.bridge
        return partial(self._world.vitals.bridge, name) if name else None

    def read(self, result: object, at_s: float) -> Measurement:
        """Its state now."""
        look = cast(BridgeLook, result)
        return Measurement.of_flag(look.up, look.detail)
