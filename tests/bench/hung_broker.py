"""`ha-broker` on this machine, with a look at the bridge that never ends."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Callable

from ha_broker.main import main
from ha_broker.parts import World
from ha_broker.real_world import RealWorld
from ha_broker.world.kernel_vitals import KernelVitals
from ha_broker.world.ports import BridgeLook
from metadata.settings import HostSettings


class HungVitals(KernelVitals):
    """The kernel's, but for the bridge."""

    def bridge(self, name: str) -> BridgeLook:
        threading.Event().wait()
        raise AssertionError("unreachable")


class HungWorld(RealWorld):
    """This machine, but for the bridge."""

    def world(self, host: HostSettings, wake: Callable[[], None]) -> World:
        return replace(super().world(host, wake), vitals=HungVitals())


if __name__ == "__main__":
    raise SystemExit(main(maker=HungWorld()))
