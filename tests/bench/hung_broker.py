# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""`ha-broker` on this machine, with a look at the bridge that never ends."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Callable

from ha_broker.adapters import BrokerAdapters
from ha_broker.cycle.part import BrokerPorts
from ha_broker.main import main
from metadata.settings.parse import HostSettings
from world.host.host_vitals import KernelVitals
from world.ports.host import BridgeLook


class HungVitals(KernelVitals):
    """The kernel's, but for the bridge."""

    def bridge(self, name: str) -> BridgeLook:
        threading.Event().wait()
        raise AssertionError("unreachable")


class HungWorld(BrokerAdapters):
    """This machine, but for the bridge."""

    def world(self, host: HostSettings, wake: Callable[[], None]) -> BrokerPorts:
        return replace(super().world(host, wake), vitals=HungVitals())


if __name__ == "__main__":
    raise SystemExit(main(maker=HungWorld()))
