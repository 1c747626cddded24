# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One process of a kind on a host: a lock that is held for life and goes with the process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from metadata.error_words import reason
from world.durable import PRIVATE_FILE_MODE
from world.ports.errors import WorldError


class AnotherRunsError(WorldError):
    """Another process has the lock."""


class OnlyOne:
    """The lock ``DIRECTORY/NAME.lock``; the directory is made if it is not there.

    Raises AnotherRunsError when another process has it, WorldError when it can't be taken at all.
    The file stays: removing it would let two processes lock two files of one name.
    """

    def __init__(self, directory: str, name: str) -> None:
        path = Path(directory) / f"{name}.lock"
        what = f"start {name}"
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._fd = _opened(path)
        except OSError as error:
            raise WorldError(what, f"can't open {path}: {reason(error)}") from None
        try:
            self._take(what, path, name)
        except WorldError:
            os.close(self._fd)
            raise

    def _take(self, what: str, path: Path, name: str) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise WorldError(what, f"can't lock {path}: {reason(error)}") from None
            pid = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip()
            holder = f"process {pid}" if pid else "another process"
            why = f"{name} runs on this host already ({holder} has locked {path})"
            raise AnotherRunsError(what, why) from None
        with contextlib.suppress(OSError):  # a full disk; it is for people only
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let it go before the process ends."""
        os.close(self._fd)


def _opened(path: Path) -> int:
    """Nobody else may open it: whoever can read a file can lock it, and keep the service away.

    A file system that became read-only after an error keeps nobody from locking.
    """
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, PRIVATE_FILE_MODE)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY | flags)
    with contextlib.suppress(OSError):  # an older version let everybody read it
        os.fchmod(descriptor, PRIVATE_FILE_MODE)
    return descriptor
