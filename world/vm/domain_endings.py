# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Why the engine's domain ended, worked out of libvirt's events. Pure.

Measured with libvirt 9.0.0 and QEMU 7.2 (event: detail):

=============================  ==============================================
qemu killed (SIGKILL)          STOPPED: FAILED
qemu terminated (SIGTERM)      SHUTDOWN: HOST, then STOPPED: SHUTDOWN
power-off from inside          SHUTDOWN: GUEST, then STOPPED: SHUTDOWN
destroyed through libvirt      SHUTDOWN: HOST, then STOPPED: DESTROYED
guest panicked (pvpanic)       SUSPENDED, CRASHED: PANICKED, STOPPED: CRASHED
migration to here broken off   STARTED: MIGRATED, then STOPPED: FAILED
=============================  ==============================================

sanlock ends qemu with SIGTERM when the host loses its lockspace, so a SIGTERM that nobody
asked libvirt for counts as a crash. ``virsh shutdown`` by somebody else looks like a
power-off from inside, because it asks the guest to do just that. A process that began between
SHUTDOWN and STOPPED does not know which of both it was: qemu may take minutes to end when its
disk hangs.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from typing import Optional

from metadata.value_class import value_class
from world.ports.libvirt import Ending

# Ends of a sentence: "the VM crashed: …".
GUEST_PANIC = "the guest's kernel panicked"
GUEST_CRASHED = "the guest crashed"
GUEST_SAVED = "it was saved to disk"
QEMU_DIED = "qemu died"
QEMU_SIGNALLED = "qemu was ended by a signal"
POWERED_OFF = "powered off from inside"
NOT_ARRIVED = "a live migration to here was broken off"

# The same of an ending whose events told no more.
ENDING_WORDS = {
    Ending.NONE: "nobody told why",
    Ending.CRASHED: "qemu or its guest crashed",
    Ending.GUEST_SHUTDOWN: POWERED_OFF,
    Ending.STOPPED: "stopped through libvirt",
    Ending.MIGRATED: "moved by live migration",
    Ending.MISSING: "no event of libvirt told why",
}


class LifecycleEvent(IntEnum):
    """libvirt's virDomainEventType, as far as it matters here."""

    STARTED = 2
    SUSPENDED = 3
    RESUMED = 4
    STOPPED = 5
    SHUTDOWN = 6
    CRASHED = 8


class StartedDetail(IntEnum):
    """libvirt's virDomainEventStartedDetailType."""

    BOOTED = 0
    MIGRATED = 1


class ShutdownDetail(IntEnum):
    """libvirt's virDomainEventShutdownDetailType."""

    FINISHED = 0
    GUEST = 1
    HOST = 2


class CrashedDetail(IntEnum):
    """libvirt's virDomainEventCrashedDetailType."""

    PANICKED = 0


class StoppedDetail(IntEnum):
    """libvirt's virDomainEventStoppedDetailType."""

    SHUTDOWN = 0
    DESTROYED = 1
    CRASHED = 2
    MIGRATED = 3
    SAVED = 4
    FAILED = 5
    FROM_SNAPSHOT = 6


@value_class(frozen=True)
class DomainLife:
    """What is known of the domain's latest life.

    ran          it has been seen running since this process first reached libvirt
    ending       how that life ended; NONE while it has not, or nobody knows yet
    detail       the same in words, where the ending alone does not say it
    panicked     qemu said that the guest's kernel panicked (pvpanic)
    shutdown     why qemu shuts down, by its own word (`ShutdownDetail`); None: it has not said so
    asked        this process asked the guest to power off
    arriving     a migration brings it, and its guest has not run here yet
    events       how many events have been seen, to tell whether a look is older than an event
    """

    ran: bool = False
    ending: Ending = Ending.NONE
    detail: str = ""
    panicked: bool = False
    shutdown: Optional[int] = None
    asked: bool = False
    arriving: bool = False
    events: int = 0

    @property
    def ended_untold(self) -> bool:
        """It ran, and (if it is absent now) no event has said why it ended."""
        return self.ran and self.ending == Ending.NONE


_FRESH = DomainLife(ran=True)

_STOPPED: dict[int, tuple[Ending, str]] = {
    StoppedDetail.DESTROYED: (Ending.STOPPED, ""),
    StoppedDetail.CRASHED: (Ending.CRASHED, GUEST_CRASHED),
    StoppedDetail.MIGRATED: (Ending.MIGRATED, ""),
    StoppedDetail.SAVED: (Ending.STOPPED, GUEST_SAVED),
    StoppedDetail.FAILED: (Ending.CRASHED, QEMU_DIED),
    StoppedDetail.FROM_SNAPSHOT: (Ending.STOPPED, ""),
}


def after_event(life: DomainLife, event: int, detail: int) -> DomainLife:
    """The life after one lifecycle event of the engine's domain (libvirt's numbers)."""
    return replace(_told(life, event, detail), events=life.events + 1)


def after_request(life: DomainLife) -> DomainLife:
    """This process asked the guest to power off."""
    return replace(life, asked=True)


def after_look(
    life: DomainLife, present: bool, events_before: int, runs: bool = False
) -> DomainLife:
    """The life after libvirt was asked whether the domain is there, and whether it runs.

    `events_before` is `life.events` from before asking: an event that came meanwhile is newer
    than the answer, which then says nothing.
    """
    if life.events != events_before:
        return life
    if present:
        same_life = life.ran and life.ending == Ending.NONE
        life = life if same_life else replace(_FRESH, events=life.events)
        return replace(life, arriving=False) if runs and life.arriving else life
    return replace(life, ending=Ending.MISSING) if life.ended_untold else life


def _told(life: DomainLife, event: int, detail: int) -> DomainLife:
    if event in (LifecycleEvent.STARTED, LifecycleEvent.RESUMED):
        # The order of these two differs between versions, and a resume is no new life.
        life = life if life.ran and life.ending == Ending.NONE else _FRESH
        arrives = (event, detail) == (LifecycleEvent.STARTED, StartedDetail.MIGRATED)
        return replace(life, arriving=arrives)
    if event == LifecycleEvent.SHUTDOWN:
        return replace(life, shutdown=detail)
    if event == LifecycleEvent.CRASHED:
        return replace(life, panicked=detail == CrashedDetail.PANICKED)
    if event == LifecycleEvent.STOPPED and _is_open(life):
        ending, words = _ending(life, detail)
        return replace(life, ending=ending, detail=words)
    return life


def _is_open(life: DomainLife) -> bool:
    """A start that fails (say, for its lease) sends STOPPED too, but ends no life."""
    return life.ran and life.ending in (Ending.NONE, Ending.MISSING)


def _ending(life: DomainLife, detail: int) -> tuple[Ending, str]:
    if life.arriving:
        return Ending.STOPPED, NOT_ARRIVED
    if detail == StoppedDetail.SHUTDOWN:
        return _ending_of_shutdown(life)
    if detail == StoppedDetail.CRASHED and life.panicked:
        return Ending.CRASHED, GUEST_PANIC
    return _STOPPED.get(detail, (Ending.MISSING, ""))


def _ending_of_shutdown(life: DomainLife) -> tuple[Ending, str]:
    if life.shutdown == ShutdownDetail.HOST:
        return Ending.CRASHED, QEMU_SIGNALLED
    if life.asked:
        return Ending.STOPPED, ""
    return (Ending.MISSING, "") if life.shutdown is None else (Ending.GUEST_SHUTDOWN, POWERED_OFF)
