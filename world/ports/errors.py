# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the world's adapters raise.

Errors::

    WorldError                 something outside failed; `what` and `why` for people
      StorageError             reading or writing the shared storage failed (`errno`)
      LockspaceError           sanlock refused or is gone (`errno` decides, never the text)
        LeaseHeldError         the engine's lease is held by a live host
        LockspaceGoneError     sanlock's daemon does not answer: nothing is known
        LockspaceBusyError     sanlock is busy with another question: ask again
      HypervisorError          libvirt refused or is gone
        HypervisorGoneError    there is no connection to libvirt: nothing is known
      DeliveryError            a mail server or a webhook's did not take a message
"""

from __future__ import annotations

from metadata.error_words import cannot
from metadata.plain_text import one_line

# sanlock's own numbers in `LockspaceError.errno`.
LEADER_MAGIC = -223  # there is no lockspace or lease on the storage
ACQUIRE_IDLIVE = -243  # the lease is held by a live host
HOSTID_BUSY = -262  # another host renews this host id


class WorldError(Exception):
    """Something outside the program failed.

    `what` names the operation and its object ("read the lease"), `why` what the other side said;
    the text is "can't WHAT: WHY". Both become one printable line, for the other side may be
    anybody.
    """

    def __init__(self, what: str, why: str, errno: int = 0) -> None:
        what, why = one_line(what), one_line(why)
        super().__init__(cannot(what, why))
        self.what = what
        self.why = why
        self.errno = errno

    def __reduce__(self) -> tuple[object, ...]:
        """It comes back from another process as what it is (pickle would make it of its text)."""
        return type(self), (self.what, self.why), self.__dict__


class StorageError(WorldError):
    """Reading or writing the shared storage failed."""


class LockspaceError(WorldError):
    """sanlock refused, or its daemon is gone; `errno` is sanlock's (negative) or the system's."""


class LeaseHeldError(LockspaceError):
    """The engine's lease is held by another live host."""


class LockspaceGoneError(LockspaceError):
    """sanlock's daemon does not answer (`errno` is ECONNREFUSED): nothing is known."""


class LockspaceBusyError(LockspaceError):
    """sanlock lives and had no time for this question (busy, interrupted, timed out).

    That says neither yes nor no. It is raised after a while of trying, so whoever asks again
    need not wait first.
    """


class HypervisorError(WorldError):
    """libvirt refused an operation."""


class HypervisorGoneError(HypervisorError):
    """libvirt can't be reached: nothing is known of the engine's domain."""
