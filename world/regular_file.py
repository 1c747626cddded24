# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Opening files whose names others may have chosen: never a device, a FIFO or a directory.

A FIFO in the place of a file would hold its reader for ever, a device might never end, and a link
would lead to whatever its maker wants.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Union

from world.durable import STATE_FILE_MODE

_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO"}

Name = Union[str, Path]


def open_regular(path: Name, *, follow_links: bool = False) -> BinaryIO:
    """The file for reading; raises OSError, also for what is no regular file."""
    return os.fdopen(_opened(path, os.O_RDONLY, follow_links=follow_links), "rb")


def open_to_append(path: Name) -> BinaryIO:
    """A state file, made if it is not there, for appending and reading; raises OSError.

    Whatever the umask says, everybody may read it and its owner alone may write.
    """
    usage = os.O_RDWR | os.O_APPEND
    try:
        descriptor = _opened(path, usage | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return os.fdopen(_opened(path, usage), "ab+", buffering=0)
    os.fchmod(descriptor, STATE_FILE_MODE)
    return os.fdopen(descriptor, "ab+", buffering=0)


@contextmanager
def stable_name(path: Name) -> Iterator[str]:
    """A name for a library that opens files by name: the regular file that `path` is now.

    Links are followed, as certificates of the system have them. Raises OSError.
    """
    with open_regular(path, follow_links=True) as file:
        yield f"/proc/self/fd/{file.fileno()}"


def _opened(path: Name, usage: int, *, follow_links: bool = False) -> int:
    flags = usage | _FLAGS | (0 if follow_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags, STATE_FILE_MODE)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow_links:
            raise _refused(path, errno.ELOOP, "a symbolic link") from None
        if error.errno == errno.ENXIO:
            raise _refused(path, errno.ENXIO, "a FIFO or socket") from None
        if error.errno == errno.EISDIR:
            raise _refused(path, errno.EISDIR, "a directory") from None
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise _refused(path, errno.EINVAL, _KINDS.get(stat.S_IFMT(mode), "a device"))


def _refused(path: Name, number: int, what: str) -> OSError:
    return OSError(number, f"{what} is refused; allowed: a regular file", str(path))
