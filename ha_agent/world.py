"""Which adapters the daemon runs with. Tests hand in a world of their own."""

from __future__ import annotations

from typing import Callable, Protocol

from ha_agent.kept_memory import MemoryStore
from ha_agent.ports import HistoryStore
from ha_broker.world.ports import (
    Clock,
    Hypervisor,
    Lockspace,
    Processes,
    Runner,
    ServiceManager,
)
from metadata.settings import HostSettings


class World(Protocol):
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


class RealWorld:
    """This machine. Each adapter is imported when it is made, so that errors are its own."""

    def clock(self) -> Clock:
        """CLOCK_MONOTONIC."""
        from ha_broker.world.clock import SystemClock  # noqa: PLC0415

        return SystemClock()

    def services(self) -> ServiceManager:
        """systemd's notification socket."""
        from ha_broker.world.systemd import SystemdServiceManager  # noqa: PLC0415

        return SystemdServiceManager()

    def runner(self, wake: Callable[[], None]) -> Runner:
        """A thread per kind of job."""
        from ha_broker.world.clock import SystemClock  # noqa: PLC0415
        from ha_broker.world.runner import ThreadRunner  # noqa: PLC0415

        return ThreadRunner(SystemClock(), wake)

    def hypervisor(self, host: HostSettings, domain_name: str) -> Hypervisor:
        """This host's libvirtd."""
        from ha_broker.world.libvirt_hypervisor import LibvirtHypervisor  # noqa: PLC0415

        return LibvirtHypervisor(host.libvirt_uri, domain_name)

    def lockspace(self, host: HostSettings) -> Lockspace:
        """This host's sanlock daemon."""
        from ha_broker.world.sanlock_lockspace import SanlockLockspace  # noqa: PLC0415

        return SanlockLockspace(host.storage)

    def history(self) -> HistoryStore:
        """Files in this host's state directory."""
        from ha_agent.chronicle.files import FileHistory  # noqa: PLC0415
        from ha_broker.paths import history_dir  # noqa: PLC0415

        return FileHistory(history_dir())

    def memory(self) -> MemoryStore:
        """A file beside the broker's socket, which a boot of the machine clears."""
        from ha_agent.memory_file import MemoryFile  # noqa: PLC0415
        from ha_broker.paths import agent_memory_file  # noqa: PLC0415

        return MemoryFile(agent_memory_file())

    def processes(self) -> Processes:
        """/proc."""
        from ha_broker.world.processes import ProcProcesses  # noqa: PLC0415

        return ProcProcesses()
