# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Starting the engine's VM, so that it never runs without its lease.

Used by the agent and by ``hosted-engine --vm-start``. The lease belongs to the qemu process:
libvirt's sanlock lock manager registers qemu with sanlock and acquires the lease before the
guest runs. Where the lock manager is not configured libvirt starts the domain all the same,
silently without the lease. Hence two checks: before the guest's first instruction qemu must
be known to sanlock, and once it runs it must hold the lease.

A sanlock that is busy says neither yes nor no, and is asked again; a lease is missing when
sanlock says so twice.
"""

from __future__ import annotations

from typing import Callable, Optional

from metadata.domain_xml import lease_problems
from metadata.settings.parse import StorageParts
from world.ports.errors import HypervisorError, LeaseHeldError, LockspaceBusyError, WorldError
from world.ports.libvirt import AdministeredHypervisor, Domain, DomainState, Hypervisor
from world.ports.sanlock import Lockspace

WHAT = "start the engine's VM"
# Each takes a second while sanlock is busy. The lease is some seconds old at the most then: far
# from the time after which another host could have it.
QUESTIONS = 5
RESUME = "resume the engine's VM"


class EngineNotStartedError(HypervisorError):
    """The engine's VM was refused, or was switched off again because it had no lease."""


def start_engine(
    hypervisor: Hypervisor, lockspace: Lockspace, domain_xml: str, parts: StorageParts
) -> Domain:
    """Start the engine's VM and return it running, its lease listed by sanlock for its qemu.

    Blocks as long as libvirt and sanlock do. Raises LeaseHeldError when another host was
    faster (no error of this host), EngineNotStartedError when the domain XML is refused, the
    lease can't be used, or qemu has not got it (it is destroyed then), HypervisorError when
    libvirt refuses. A stale inactive domain is cleaned up by `Hypervisor.start`.
    """
    _refuse_without_lease(domain_xml, parts)
    try:
        domain = hypervisor.start(domain_xml, lambda pid: _refuse_unregistered(lockspace, pid))
    except LeaseHeldError:
        _refuse_unusable_lease(lockspace)
        raise
    if domain.state is DomainState.ABSENT:
        raise EngineNotStartedError(WHAT, "the VM ended as soon as it was started")
    why = lease_missing_why(lockspace, domain.pid)
    if why is not None:
        _destroy_again(hypervisor, why)
    return domain


def start_engine_paused(
    hypervisor: AdministeredHypervisor, lockspace: Lockspace, domain_xml: str, parts: StorageParts
) -> Domain:
    """Create the engine's VM paused, known to sanlock, and return it; nothing of its guest runs.

    It does not hold its lease yet: libvirt takes it when the VM is resumed, and does not resume
    it without. Raises as `start_engine`, but for LeaseHeldError.
    """
    _refuse_without_lease(domain_xml, parts)
    return hypervisor.start_paused(domain_xml, lambda pid: _refuse_unregistered(lockspace, pid))


def _refuse_without_lease(domain_xml: str, parts: StorageParts) -> None:
    problems = lease_problems(domain_xml, parts)
    if problems:
        raise EngineNotStartedError(WHAT, "the domain XML is refused: " + "; ".join(problems))


def _refuse_unregistered(lockspace: Lockspace, pid: Optional[int]) -> None:
    why = _unregistered_why(lockspace, pid)
    if why is not None:
        raise EngineNotStartedError(WHAT, f"{why}; the VM was removed before its guest ran")


def _unregistered_why(lockspace: Lockspace, pid: Optional[int]) -> Optional[str]:
    """Why sanlock can't be said to know qemu's process; None: it does."""
    if pid is None:
        return "libvirt does not tell qemu's process id, so its lease can't be checked"
    try:
        known = _asked(lambda: lockspace.process_is_registered(pid))
    except WorldError as error:
        return f"sanlock can't be asked about qemu (pid {pid}): {error.why}"
    if known:
        return None
    return (
        f"sanlock does not know qemu (pid {pid}): libvirt's lock manager is not set up "
        '(set lock_manager = "sanlock" in qemu.conf and restart libvirt)'
    )


def _refuse_unusable_lease(lockspace: Lockspace) -> None:
    """libvirt reports a lease that is missing or damaged just as one that is held."""
    try:
        lockspace.lease_owner()
    except WorldError as error:
        raise EngineNotStartedError(WHAT, f"the lease can't be used: {error.why}") from error


def resume_left_engine(
    hypervisor: Hypervisor, lockspace: Lockspace, version: Optional[int]
) -> None:
    """Resume the VM that a migration from here has left paused, if nobody ran it since.

    `version` is the lease's while the VM ran here. Each taking of the lease raises it: had the
    target run for a moment only, this VM's memory would be older than its disk. Raises
    LeaseHeldError when another host holds the lease, else HypervisorError or LockspaceError.
    """
    if version is None:
        raise HypervisorError(RESUME, "it is not known with which version of the lease it ran")
    found = lockspace.lease_version()
    if found != version:
        why = f"another VM has had the lease since (version {found}, not {version})"
        raise HypervisorError(RESUME, f"{why}: this one is older than the engine's disk")
    hypervisor.resume_after_migration()


def lease_missing_why(lockspace: Lockspace, pid: Optional[int]) -> Optional[str]:
    """Why process `pid` can't be said to hold the engine's lease; None: it holds it."""
    if pid is None:
        return "the engine's lease can't be confirmed: libvirt does not tell qemu's process id"
    try:
        held = _asked(lambda: lockspace.process_holds_lease(pid)) or _asked(
            lambda: lockspace.process_holds_lease(pid)
        )
    except WorldError as error:
        return f"sanlock can't confirm the engine's lease for qemu (pid {pid}): {error.why}"
    if held:
        return None
    return (
        f"sanlock lists no engine lease for qemu (pid {pid}): is libvirt's lock manager set "
        'up (lock_manager = "sanlock" in qemu.conf)?'
    )


def _asked(question: Callable[[], bool]) -> bool:
    """The answer of a sanlock that may be busy; raises WorldError when there is none."""
    for _ in range(QUESTIONS - 1):
        try:
            return question()
        except LockspaceBusyError:
            continue
    return question()


def _destroy_again(hypervisor: Hypervisor, why: str) -> None:
    try:
        hypervisor.destroy()
    except WorldError as error:
        raise EngineNotStartedError(
            WHAT, f"{why}; it runs WITHOUT its lease, for destroying it failed: {error.why}"
        ) from error
    raise EngineNotStartedError(WHAT, f"{why}; it was switched off again")
