# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The protocols through which both daemons reach the world.

Every method here may block for as long as the world likes (storage hangs, daemons
freeze). The cores therefore never call a blocking method themselves: they hand a closure
to `Runner.submit` and look at `Runner.poll` in a later cycle.

What they raise stands in `world.ports.errors`.
"""

from __future__ import annotations

from typing import Optional, Protocol

from metadata.host_notes import MachineIdentity
from metadata.value_class import value_class

# --- processes ------------------------------------------------------------------------


@value_class(frozen=True)
class ProcessStart:
    """One process: `identity` differs from that of any other of this boot of the machine.

    `began_s` is when it began, in seconds of CLOCK_MONOTONIC.
    """

    identity: str
    began_s: float


class Processes(Protocol):
    """The processes of this machine."""

    def started(self, pid: int) -> Optional[ProcessStart]:
        """The process that has `pid` now; None: not known. Never blocks, never raises."""


# --- this host ------------------------------------------------------------------------


@value_class(frozen=True)
class CpuTimes:
    """The host's CPUs since its boot: seconds of all of them together, busy and altogether."""

    busy_s: float
    total_s: float
    cpus: int


@value_class(frozen=True)
class MemoryFree:
    """What a new process could get: ordinary memory, and free huge pages by their size.

    `usual_huge_page` is the size in bytes of those that are meant where none is named; None:
    this kernel has no huge pages.
    """

    available_bytes: int
    huge_free_bytes: tuple[tuple[int, int], ...] = ()  # (page size, free bytes of that size)
    usual_huge_page: Optional[int] = None


@value_class(frozen=True)
class BridgeLook:
    """A network bridge: can it carry traffic, and in words what was seen."""

    up: bool
    detail: str


@value_class(frozen=True)
class SpaceLook:
    """Room on the file system that holds a path."""

    free_bytes: int
    total_bytes: int


class HostVitals(Protocol):
    """This host's own condition, from its kernel. Each raises WorldError when it can't be had."""

    def cpu_times(self) -> CpuTimes:
        """The CPUs' times until now."""

    def memory(self) -> MemoryFree:
        """Free memory now."""

    def bridge(self, name: str) -> BridgeLook:
        """The bridge `name`; one that is not there is not up."""

    def identity(self) -> MachineIdentity:
        """Which machine this is; never raises: what can't be had is empty."""

    def space(self, path: str) -> Optional[SpaceLook]:
        """Room where `path` lies; None: on no file system, it is a block device."""


# --- service manager ------------------------------------------------------------------


class ServiceManager(Protocol):
    """systemd's notification socket; silently nothing when there is none."""

    def ready(self) -> None:
        """READY=1."""

    def status(self, text: str) -> None:
        """STATUS=text."""

    def alive(self) -> None:
        """WATCHDOG=1."""

    def stopping(self) -> None:
        """STOPPING=1."""

    def extend_timeout(self, seconds: float) -> None:
        """EXTEND_TIMEOUT_USEC: a stop that is under way may take so much longer from now on."""

    def delays_shutdown(self, why: str) -> None:
        """Show people that a shutdown of this host takes a while, and `why`; empty: it does not.

        Holds up nothing by itself; to be said again and again.
        """

    def machine_stops(self) -> bool:
        """Is the whole machine being shut down? Blocks for 2 s at the most; False when nobody
        tells."""
