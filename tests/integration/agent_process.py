# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""`ha-agent` as a process of its own: the real daemon, with libvirt and sanlock in a file.

Run as ``python -m tests.integration.agent_process FILE [ha-agent's options]``. FILE is the
machine: JSON that outlives the process, as libvirtd and qemu outlive the real agent.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

from ha_agent.adapters import AgentAdapters
from ha_agent.main import main
from metadata.settings.parse import HostSettings
from simulation.world import SimServiceManager
from world.ports.errors import HypervisorGoneError
from world.ports.host import ServiceManager
from world.ports.libvirt import Domain, DomainState, Ending, Hypervisor
from world.ports.sanlock import LockspaceHost, Membership


@dataclass
class Machine:
    """What libvirt and sanlock would know; `calls` lists the orders libvirt was given.

    `start_lasts`: an order to start goes on until this is taken back.
    """

    path: Path
    state: str = "absent"
    ending: str = "none"
    pid: int = 0
    lease_pid: int = 0
    libvirt_gone: bool = False
    start_lasts: bool = False
    calls: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Machine:
        return cls(path, **json.loads(path.read_text()))

    def write(self) -> None:
        data = {key: value for key, value in vars(self).items() if key != "path"}
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps(data))
        temporary.replace(self.path)


class FileHypervisor:
    """A `Hypervisor` on a `Machine`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def domain(self) -> Domain:
        machine = Machine.read(self._path)
        if machine.libvirt_gone:
            raise HypervisorGoneError("ask for the domain", "libvirtd is not there")
        pid = machine.pid if machine.state == "running" else None
        return Domain(DomainState(machine.state), Ending(machine.ending), pid)

    def start(
        self, domain_xml: str, before_run: Callable[[Optional[int]], None] = lambda _pid: None
    ) -> Domain:
        machine = self._call("start")
        while machine.start_lasts:
            time.sleep(0.01)
            machine = Machine.read(self._path)
        before_run(machine.pid + 1)
        machine.state, machine.ending, machine.pid = "running", "none", machine.pid + 1
        machine.lease_pid = machine.pid
        machine.write()
        return self.domain()

    def shutdown(self) -> None:
        self._call("shutdown")

    def destroy(self) -> None:
        machine = self._call("destroy")
        machine.state, machine.ending, machine.lease_pid = "absent", "stopped", 0
        machine.write()

    def on_change(self, callback: Callable[[], None]) -> None:
        pass

    def _call(self, name: str) -> Machine:
        machine = Machine.read(self._path)
        machine.calls.append(name)
        machine.write()
        return machine


class FileLockspace:
    """A `Lockspace` on a `Machine`, joined."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def process_holds_lease(self, pid: int) -> bool:
        return Machine.read(self._path).lease_pid == pid

    def process_is_registered(self, pid: int) -> bool:
        return True

    def fire_timeout_s(self) -> int:
        return 60

    def held_version(self, pid: int) -> None:
        return None

    def lease_version(self) -> int:
        raise NotImplementedError

    def join(self, host_id: int, io_timeout_s: int) -> None:
        raise NotImplementedError

    def leave_if_unused(self, host_id: int) -> bool:
        raise NotImplementedError

    def membership(self, host_id: int) -> Membership:
        return Membership.JOINED

    def hosts(self) -> list[LockspaceHost]:
        return []

    def lease_owner(self) -> None:
        return None


class FileWorld(AgentAdapters):
    """The real clock, runner and service manager; libvirt and sanlock in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def services(self) -> ServiceManager:
        return super().services() if "NOTIFY_SOCKET" in os.environ else SimServiceManager()

    def hypervisor(self, host: HostSettings, domain_name: str) -> Hypervisor:
        return FileHypervisor(self._path)

    def lockspace(self, host: HostSettings) -> Any:
        return FileLockspace(self._path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:], FileWorld(Path(sys.argv[1]))))
