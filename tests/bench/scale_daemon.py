# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A daemon as a process of its own, on this machine but for sanlock::

python -m tests.bench.scale_daemon ha-broker|ha-agent HOSTS [the daemon's options]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Callable

from metadata.settings.parse import HostSettings
from tests.bench.stub_sanlock import StubLockspace, StubSanlock


def broker(arguments: Sequence[str]) -> int:
    from ha_broker.adapters import BrokerAdapters
    from ha_broker.cycle.part import BrokerPorts
    from ha_broker.main import main

    class World(BrokerAdapters):
        def world(self, host: HostSettings, wake: Callable[[], None]) -> BrokerPorts:
            return replace(super().world(host, wake), lockspace=StubLockspace(host.storage))

    return main(arguments, World())


def agent(arguments: Sequence[str]) -> int:
    from ha_agent.adapters import AgentAdapters
    from ha_agent.main import main

    class World(AgentAdapters):
        def lockspace(self, host: HostSettings) -> Any:
            return StubLockspace(host.storage)

    return main(arguments, World())


if __name__ == "__main__":
    StubSanlock(int(sys.argv[2])).install()
    sys.exit({"ha-broker": broker, "ha-agent": agent}[sys.argv[1]](sys.argv[3:]))
