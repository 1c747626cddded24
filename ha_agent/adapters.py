# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which adapters the daemon runs with. Tests hand in a world of their own."""

from __future__ import annotations

from typing import Callable, Protocol

from ha_agent.history.entry import HistoryStore
from ha_agent.kept_memory import MemoryStore
from metadata.settings.parse import HostSettings
from world.ports.host import Processes, ServiceManager
from world.ports.jobs import Clock, Runner
from world.ports.libvirt import Hypervisor
from world.ports.sanlock import Lockspace


class AgentWorld(Protocol):
    """Makes the adapters."""

    def clock(self) -> Clock:
        """Time."""

    def services(self) -> ServiceManager:
        """systemd."""

    def runner(self, wake: Callable[[], None]) -> Runner:
        """Work that may hang; `wake` is called when a job ends."""

    def hypervisor(self, host: HostSettings, domain_name: str) -> Hypervisor:
        """libvirt, for the domain of that name."""

    def lockspace(self, host: HostSettings) -> Lockspace:
        """sanlock."""

    def history(self) -> HistoryStore:
        """Where the history is kept."""

    def memory(self) -> MemoryStore:
        """Where what the agent has learnt is kept."""

    def processes(self) -> Processes:
        """The processes of this machine."""


class AgentAdapters:
    """This machine. Each adapter is imported when it is made, so that errors are its own."""

    def clock(self) -> Clock:
        """CLOCK_MONOTONIC."""
        from world.host.clock import SystemClock  # noqa: PLC0415

        return SystemClock()

    def services(self) -> ServiceManager:
        """systemd's notification socket."""
        from world.host.systemd import SystemdServiceManager  # noqa: PLC0415

        return SystemdServiceManager()

    def runner(self, wake: Callable[[], None]) -> Runner:
        """A thread per kind of job."""
        from world.host.clock import SystemClock  # noqa: PLC0415
        from world.host.thread_runner import ThreadRunner  # noqa: PLC0415

        return ThreadRunner(SystemClock(), wake)

    def hypervisor(self, host: HostSettings, domain_name: str) -> Hypervisor:
        """This host's libvirtd."""
        from world.vm.libvirt_hypervisor import LibvirtHypervisor  # noqa: PLC0415

        return LibvirtHypervisor(host.libvirt_uri, domain_name, gives_orders=True)

    def lockspace(self, host: HostSettings) -> Lockspace:
        """This host's sanlock daemon."""
        from world.storage.sanlock_lockspace import SanlockLockspace  # noqa: PLC0415

        return SanlockLockspace(host.storage)

    def history(self) -> HistoryStore:
        """Files in this host's state directory."""
        from ha_agent.history.store import FileHistory  # noqa: PLC0415
        from ha_broker.api.paths import history_dir  # noqa: PLC0415

        return FileHistory(history_dir())

    def memory(self) -> MemoryStore:
        """A file beside the broker's socket, which a boot of the machine clears."""
        from ha_agent.memory_file import MemoryFile  # noqa: PLC0415
        from ha_broker.api.paths import agent_memory_file  # noqa: PLC0415

        return MemoryFile(agent_memory_file())

    def processes(self) -> Processes:
        """/proc."""
        from world.host.processes import ProcProcesses  # noqa: PLC0415

        return ProcProcesses()
