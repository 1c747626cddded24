# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""libvirt's state and reason for the engine's domain, in our values and in words. Pure.

The numbers are those of virDomainState and of its reasons. Each text is the end of a sentence for
people ("the engine's VM is paused here: …"), who need not know libvirt's constants; a number that
this version does not know is told as that number.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Optional

from world.ports.libvirt import Domain, DomainState, Ending, Pause
from world.vm.domain_endings import GUEST_CRASHED, GUEST_PANIC, GUEST_SAVED


class VirDomainState(IntEnum):
    """libvirt's virDomainState."""

    NOSTATE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTDOWN = 4
    SHUTOFF = 5
    CRASHED = 6
    PMSUSPENDED = 7


class ShutoffReason(IntEnum):
    """libvirt's virDomainShutoffReason."""

    UNKNOWN = 0
    SHUTDOWN = 1
    DESTROYED = 2
    CRASHED = 3
    MIGRATED = 4
    SAVED = 5
    FAILED = 6
    FROM_SNAPSHOT = 7
    DAEMON = 8


class CrashedReason(IntEnum):
    """libvirt's virDomainCrashedReason."""

    UNKNOWN = 0
    PANICKED = 1


PAUSES: dict[int, tuple[Pause, str]] = {
    0: (Pause.UNKNOWN, "libvirt does not know why"),
    1: (Pause.USER, "somebody paused it, or its start was broken off"),
    2: (Pause.MIGRATION, "a live migration holds it"),
    3: (Pause.SAVE, "it is being saved to disk"),
    4: (Pause.DUMP, "its memory is being written to a file"),
    5: (Pause.IOERROR, "its disk can't be read or written (I/O error)"),
    6: (Pause.WATCHDOG, "the guest's watchdog has fired"),
    7: (Pause.FROM_SNAPSHOT, "it is being set back to a snapshot"),
    8: (Pause.SHUTTING_DOWN, "it is shutting down"),
    9: (Pause.SNAPSHOT, "a snapshot of it is being taken"),
    10: (Pause.CRASHED, GUEST_CRASHED),
    11: (Pause.STARTING_UP, "libvirt is still starting it"),
    12: (Pause.POSTCOPY, "a live migration moves the rest of its memory (post-copy)"),
    13: (Pause.POSTCOPY_FAILED, "a live migration broke off after the VM had moved (post-copy)"),
    14: (Pause.API_ERROR, "libvirt paused it for a while and could not let it go on"),
}
"""virDomainPausedReason; 14 since libvirt 9.2."""

_SHUTOFFS: dict[int, tuple[Ending, str]] = {
    ShutoffReason.UNKNOWN: (Ending.NONE, "libvirt does not know why it ended"),
    ShutoffReason.SHUTDOWN: (Ending.NONE, "it was shut down"),
    ShutoffReason.DESTROYED: (Ending.STOPPED, "it was switched off through libvirt"),
    ShutoffReason.CRASHED: (Ending.CRASHED, GUEST_CRASHED),
    ShutoffReason.MIGRATED: (Ending.MIGRATED, "it has moved to another host"),
    ShutoffReason.SAVED: (Ending.NONE, GUEST_SAVED),
    ShutoffReason.FAILED: (Ending.CRASHED, "libvirt could not start it"),
    ShutoffReason.FROM_SNAPSHOT: (
        Ending.NONE,
        "it was set back to a snapshot of a VM that was off",
    ),
    ShutoffReason.DAEMON: (Ending.NONE, "libvirt ended it when its daemon was restarted"),
}

# Their reasons change nothing.
_OTHERS: dict[int, Domain] = {
    VirDomainState.NOSTATE: Domain(DomainState.UNKNOWN, detail="libvirt does not know its state"),
    VirDomainState.RUNNING: Domain(DomainState.RUNNING),
    VirDomainState.BLOCKED: Domain(DomainState.RUNNING),
    VirDomainState.SHUTDOWN: Domain(DomainState.RUNNING, detail="it is shutting down"),
    VirDomainState.CRASHED: Domain(DomainState.ABSENT, Ending.CRASHED, detail=GUEST_CRASHED),
    VirDomainState.PMSUSPENDED: Domain(
        DomainState.PAUSED, detail="its guest has suspended itself to memory"
    ),
}


def domain_of(state: int, reason: int) -> Domain:
    """What virDomainGetState said; ABSENT for a domain without a running qemu.

    A domain kept after a guest's panic (on_crash=preserve) has a qemu that will never run the
    guest again: it counts as absent, and a start removes it. One that is starting up may yet
    fail for its lease: it counts as unknown.
    """
    if state == VirDomainState.PAUSED:
        return _paused(reason)
    if state == VirDomainState.SHUTOFF:
        return _shut_off(reason)
    if (state, reason) == (VirDomainState.CRASHED, CrashedReason.PANICKED):
        return Domain(DomainState.ABSENT, Ending.CRASHED, detail=GUEST_PANIC)
    why = f"libvirt's state of it has the number {state}, which this version does not know"
    return _OTHERS.get(state, Domain(DomainState.UNKNOWN, detail=why))


def paused(pause: Pause, pid: Optional[int] = None) -> Domain:
    """The domain of process `pid` that is paused so."""
    state = DomainState.UNKNOWN if pause is Pause.STARTING_UP else DomainState.PAUSED
    return Domain(state, pid=pid, detail=_WORDS[pause], pause=pause)


_WORDS = dict(PAUSES.values())


def _paused(reason: int) -> Domain:
    known = PAUSES.get(reason)
    if known is not None:
        return paused(known[0])
    why = f"libvirt's reason has the number {reason}, which this version does not know"
    return Domain(DomainState.PAUSED, detail=why, pause=Pause.UNKNOWN)


def _shut_off(reason: int) -> Domain:
    """A domain that is defined and does not run; libvirt remembers why it stopped."""
    why = f"it has ended, by libvirt's reason {reason}, which this version does not know"
    ending, words = _SHUTOFFS.get(reason, (Ending.NONE, why))
    return Domain(DomainState.ABSENT, ending, detail=words)
