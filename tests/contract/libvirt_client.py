# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A process that asks libvirt as the daemons do, on several threads, and tells of each answer.

Started by `hypervisor_cases`: what takes it down must not take the tests down.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import Callable

from world.ports.errors import HypervisorError
from world.vm.libvirt_hypervisor import LibvirtHypervisor

PAUSE_S = 0.5


def ask(name: str, call: Callable[[], object]) -> None:
    for number in itertools.count():
        try:
            call()
            print(name, "answered", number, flush=True)
        except HypervisorError:
            print(name, "failed", number, flush=True)
        time.sleep(PAUSE_S)


def main() -> None:
    hypervisor = LibvirtHypervisor("qemu:///system", "HostedEngine")
    asked: dict[str, Callable[[], object]] = {
        "domain": hypervisor.domain,
        "cpu": hypervisor.cpu_time,
        "guest": lambda: hypervisor.ping_guest(1.0),
    }
    for name, call in asked.items():
        threading.Thread(target=ask, args=(name, call), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
