# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""libvirt: the engine's domain."""

from __future__ import annotations

from enum import Enum
from typing import Callable, Optional, Protocol

from metadata.value_class import value_class
from world.ports.domain_state import DomainState as DomainState  # of this port

# How the reasons of a refused or failed `migrate` begin, or what stands in them.
NO_CONNECTION = "no connection to"
SILENT_TARGET = "has not answered for"
TOO_LONG = "it took longer than"
BROKEN_OFF = "it was broken off from here"


class Ending(str, Enum):
    """Why the engine's domain is not running any more, as far as libvirt's events told."""

    NONE = "none"  # it has not run here since this process started
    CRASHED = "crashed"  # qemu was killed or died, or the guest panicked
    GUEST_SHUTDOWN = "guest-shutdown"  # powered off from inside
    STOPPED = "stopped"  # shut down or destroyed through libvirt
    MIGRATED = "migrated"  # left by live migration
    MISSING = "missing"  # gone, and no event said why


class Pause(str, Enum):
    """Why the domain is paused: libvirt's virDomainPausedReason, in its own words.

    What libvirt does itself ends by itself; beside it stands for how long that is waited for: the
    setting of `timing` and the usual seconds. What is left does not go on without somebody.
    """

    UNKNOWN = "unknown"
    USER = "user"  # by whoever asked libvirt; a domain that is created paused is so, too
    MIGRATION = "migration"  # migration_s (600)
    SAVE = "save"  # save_s (600)
    DUMP = "dump"  # save_s
    IOERROR = "ioerror"
    WATCHDOG = "watchdog"
    FROM_SNAPSHOT = "from_snapshot"  # save_s
    SHUTTING_DOWN = "shutting_down"  # stop_s (300)
    SNAPSHOT = "snapshot"  # save_s
    CRASHED = "crashed"
    STARTING_UP = "starting_up"
    POSTCOPY = "postcopy"  # migration_s
    POSTCOPY_FAILED = "postcopy_failed"
    API_ERROR = "api_error"


@value_class(frozen=True)
class Domain:
    """What libvirt says of the engine's domain here.

    `pid` is qemu's process id while it runs or is paused; `detail` is libvirt's reason, or why it
    can't say, as the end of a sentence for people; who decides goes by `pause`. `leaving`: it runs,
    and a live migration is taking it away; `copied` (0 to 1) is how much of its memory the target
    has by then, None: not known.
    """

    state: DomainState
    ending: Ending = Ending.NONE
    pid: Optional[int] = None
    detail: str = ""
    leaving: bool = False
    copied: Optional[float] = None
    pause: Optional[Pause] = None


@value_class(frozen=True)
class MigrationOptions:
    """How a live migration is made.

    bandwidth_mib_s   at most so many MiB a second; 0: as fast as it goes
    downtime_ms       how long libvirt may pause the VM for the last step
    limit_s           given up after so many seconds: the VM stays
    auto_converge     the guest is slowed down when its memory changes faster than it is copied
    post_copy         the VM may go on at the target before all of its memory is there. When either
                      side dies then, the VM is lost
    encrypt           the memory is sent with TLS, with certificates of qemu's own
    """

    bandwidth_mib_s: int = 0
    downtime_ms: int = 300
    limit_s: float = 120.0
    auto_converge: bool = True
    post_copy: bool = False
    encrypt: bool = False


@value_class(frozen=True)
class MigrationResult:
    """What libvirt says of a migration that has succeeded; None: it does not say.

    `took_s` is the whole of it, `downtime_ms` how long the VM did not run, `copied_bytes` what went
    over the network.
    """

    took_s: float
    downtime_ms: Optional[int] = None
    copied_bytes: Optional[int] = None


@value_class(frozen=True)
class EngineCpu:
    """CPU seconds that the domain of process `pid` has used here; None: libvirt can't say."""

    pid: Optional[int]
    used_s: Optional[float]


class Hypervisor(Protocol):
    """libvirt, reduced to the engine's domain. Every call may block or raise HypervisorError."""

    def domain(self) -> Domain:
        """The engine's domain now; raises HypervisorGoneError when libvirt can't say."""

    def start(
        self, domain_xml: str, before_run: Callable[[Optional[int]], None] = lambda _pid: None
    ) -> Domain:
        """Clean up a stale inactive domain, create a transient one, and return it running.

        qemu is created paused; `before_run` gets its process id (None: not to be found) before
        the guest's first instruction. Whatever it raises is passed on, and the domain is
        switched off without ever having run. Raises LeaseHeldError when another host holds
        the lease, else HypervisorError.
        """

    def shutdown(self) -> None:
        """Ask the guest to power off (ACPI)."""

    def resume_after_migration(self) -> None:
        """Let the VM go on that a migration from here has left paused, with its lease.

        Raises LeaseHeldError when another host has the lease, HypervisorError when the VM is in
        any other condition, or libvirt is still at the migration.
        """

    def destroy(self) -> None:
        """Switch the domain off at once; fine when there is none."""

    def migrate(self, address: str, options: MigrationOptions) -> MigrationResult:
        """Move the running domain alive to the libvirt at `address` (``qemu+tls://h2/system``).

        Blocks until it runs there and is gone here. Before anything moves the target is asked
        whether it can take this domain (CPU, machine type, no domain of that name). Raises
        HypervisorError when it is refused or fails: the domain has stayed here, or is as `domain`
        says.
        """

    def abort_migration(self) -> None:
        """Break off the migration from here that is under way; fine when there is none. Raises
        HypervisorError when libvirt refuses, as it does from post-copy on."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` from any thread when the domain's state may have changed."""


class MeasuredHypervisor(Hypervisor, Protocol):
    """libvirt with what only the broker asks of it."""

    def cpu_time(self) -> Optional[EngineCpu]:
        """CPU time the engine's domain has used here; None: it is not here. Raises
        HypervisorError."""

    def ping_guest(self, timeout_s: float) -> bool:
        """Does the guest agent answer? Raises HypervisorError when it can't be asked at all."""


class AdministeredHypervisor(Hypervisor, Protocol):
    """libvirt with what only the administrator's command asks of it."""

    def start_paused(
        self, domain_xml: str, before_run: Callable[[Optional[int]], None] = lambda _pid: None
    ) -> Domain:
        """As `start`, but the guest does not run yet, and so qemu does not hold the lease yet:
        libvirt takes it when somebody resumes the domain. Raises HypervisorError."""

    def check_xml(self, domain_xml: str) -> None:
        """Could a VM be made of it? Nothing is started or defined; raises HypervisorError.

        What it names (files, bridges, networks) is looked at only when the VM starts.
        """

    def has_network(self, name: str) -> bool:
        """Has this host's libvirt a network of that name, and is it on? Raises HypervisorError."""

    def has_network_filter(self, name: str) -> bool:
        """Has this host's libvirt such a filter of network packets? Raises HypervisorError."""

    def live_xml(self) -> str:
        """The domain as it is here now, in libvirt's words; raises HypervisorError."""

    def update_device(self, device_xml: str) -> None:
        """Change a device of the domain that is here, until it ends; raises HypervisorError."""

    def not_reached_why(self, address: str) -> str:
        """Why this very libvirt is not reached at `address`, tried as other hosts do; empty: it is.

        Raises HypervisorError where it does not answer here either.
        """
