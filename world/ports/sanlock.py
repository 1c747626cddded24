# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""sanlock: who lives, who is a member, who owns the engine's lease."""

from __future__ import annotations

from typing import NamedTuple, Optional, Protocol

from metadata.liveness import Liveness
from metadata.value_class import value_class
from world.ports.membership import Membership as Membership  # of this port


class LockspaceHost(NamedTuple):
    """One host as sanlock's `get_hosts` shows it; there may be 2000 of them in each tick."""

    host_id: int
    generation: int
    timestamp: int
    liveness: Liveness


@value_class(frozen=True)
class Renewal:
    """One successful renewal of this host's id, as sanlock's daemon remembers it.

    `timestamp` is its second of this machine's monotonic clock. `read_s` and `write_s` are what
    reading and writing took, in steps of a millisecond (both 0 in the one that was the join).
    `timeouts` and `errors` are how many attempts after it, before the next one, ended so.
    """

    timestamp: int
    read_s: float
    write_s: float
    timeouts: int = 0
    errors: int = 0


@value_class(frozen=True)
class LeaseOwner:
    """The owner of the engine's lease as it stands on the storage (alive or not)."""

    host_id: int
    generation: int


@value_class(frozen=True)
class HostPlace:
    """A host id's place in the lockspace as it stands on the storage; timestamp 0: it is free.

    `owner_name` is the name under which a daemon joined with that id.
    """

    owner_name: str
    generation: int
    timestamp: int


class Lockspace(Protocol):
    """The sanlock lockspace and the engine's lease."""

    def join(self, host_id: int, io_timeout_s: int) -> None:
        """Join and wait until it is done (about 2.5 x io_timeout); joined already is fine.

        Raises LockspaceError (EINVAL: this host is joined with another id).
        """

    def leave_if_unused(self, host_id: int) -> bool:
        """Leave; False (and still joined) while any process here holds a lease of it."""

    def membership(self, host_id: int) -> Membership:
        """Asked of the local daemon, without I/O on the storage."""

    def hosts(self) -> list[LockspaceHost]:
        """All hosts sanlock knows of, without I/O on the storage."""

    def lease_owner(self) -> Optional[LeaseOwner]:
        """Read the lease's owner from storage; None: nobody owns it."""

    def process_holds_lease(self, pid: int) -> bool:
        """Does the local process `pid` hold the engine's lease, at its place? Without I/O.

        Raises LockspaceBusyError where sanlock had no time for the question for a second.
        """

    def process_is_registered(self, pid: int) -> bool:
        """Is the local process `pid` a client of sanlock, with or without leases?

        Raises as `process_holds_lease`.
        """

    def fire_timeout_s(self) -> int:
        """The daemon's watchdog_fire_timeout: so long after its last good moment the watchdog
        resets a host that sanlock has given up. Without I/O on the storage; not cheap."""

    def place(self, host_id: int) -> Optional[HostPlace]:
        """Read from the storage what stands in a host id's place of the lockspace; None:
        nothing of sanlock's."""

    def held_version(self, pid: int) -> Optional[int]:
        """The version of the engine's lease that `pid` holds; None: it holds none. Without I/O.

        The version rises by one each time that anybody takes the lease.
        """

    def lease_version(self) -> int:
        """The same as it stands on the storage, held or free."""

    def renewals(self) -> list[Renewal]:
        """This host's latest renewals, the oldest first; without I/O on the storage.

        Raises LockspaceError (ENOENT: not joined).
        """


@value_class(frozen=True)
class LockspaceOnStorage:
    """A formatted lockspace as it stands on the storage."""

    name: str
    io_timeout_s: int


@value_class(frozen=True)
class LeaseOnStorage:
    """A formatted lease as it stands on the storage."""

    lockspace: str
    name: str


class WriterLock(Protocol):
    """The lock of who writes the shared configuration: a second lease of the lockspace.

    Every call may block or raise LockspaceError: LeaseHeldError (a live host has it), -223 (the
    cluster was made without it), ENOSPC (this host has not joined the lockspace).
    """

    def take_config_lease(self) -> None:
        """Take it for this process; it is let go with the process at the latest.

        Blocks while its holder's host has fallen silent and is not surely dead (up to
        8 x io_timeout + fire_timeout_s).
        """

    def drop_config_lease(self) -> None:
        """Let it go; fine when this process has not got it."""

    def config_lease_owner(self) -> Optional[LeaseOwner]:
        """Read its owner, alive or not, from the storage; None: nobody has it."""

    def has_config_lease(self) -> bool:
        """Is there such a lease on the storage?"""

    def format_config_lease(self) -> None:
        """Make it, free; refused (EEXIST) where there is one.

        Two that make it at the same time can both take it afterwards: who does so must be the
        only one.
        """


class LockspaceAdmin(Lockspace, WriterLock, Protocol):
    """What deploying needs beyond `Lockspace`. Every call may block or raise LockspaceError."""

    def format_lockspace(self, io_timeout_s: int) -> None:
        """Write an empty lockspace; every membership and every lease in it is lost.

        Refused (EBUSY) only while this host's own daemon has joined it: sanlock itself formats
        a lockspace in use without a word.
        """

    def format_lease(self) -> None:
        """Write a free lease; refused (EBUSY) while this host's daemon has joined."""

    def read_lockspace(self) -> Optional[LockspaceOnStorage]:
        """The lockspace on the storage; None: there is none."""

    def read_lease(self) -> Optional[LeaseOnStorage]:
        """The lease on the storage; None: there is none."""

    def daemon_host_name(self) -> str:
        """The name that sanlock's daemon gives this host (``our_host_name``, else random)."""

    def joined_elsewhere(self) -> str:
        """The lockspace of our name, at another place than ours, that this host is in.

        sanlock lets a host into one lockspace of a name only, and oVirt's own tools give theirs
        the same name. ``NAME:ID:PATH:OFFSET``, as sanlock's command takes it; empty: in none.
        """

    def holders(self) -> list[int]:
        """Pids of the local processes that hold the engine's lease."""
