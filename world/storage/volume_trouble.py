# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is wrong with a volume as a whole: it is not there, may only be read, or is too short.

sanlock answers with whatever its own system call happened to say: "Message too long" for a volume
that ends before its areas, "No such device" for one that may only be read (sanlock 3.8.5). People
are told what is so.
"""

from __future__ import annotations

import errno as errno_module
import os
from collections.abc import Mapping
from typing import Optional

from metadata.error_words import reason
from metadata.layout import too_short_text

# What the kernel says of a volume that may be read and not written: a mount, a file, a device.
_READ_ONLY = (errno_module.EROFS, errno_module.EACCES, errno_module.EPERM)


def volume_trouble(needed: Mapping[str, int]) -> str:
    """The first trouble of the volumes, by path with the bytes that each must have; empty: none.

    Opens and measures them, so it may block as long as the storage does.
    """
    return next((why for path, size in needed.items() if (why := _trouble(path, size))), "")


def open_trouble(path: str, error: OSError) -> Optional[str]:
    """Why `path` can't be opened for reading and writing, where the kernel's words say too little.

    None: they are enough.
    """
    if error.errno not in _READ_ONLY or not _can_be_read(path):
        return None
    return f"the volume is read-only: {path} can be read and not written ({reason(error)})"


def _trouble(path: str, needed: int) -> str:
    try:
        descriptor = _opened(path, os.O_RDWR)
    except OSError as error:
        return open_trouble(path, error) or f"{path} can't be opened ({reason(error)})"
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
    except OSError as error:
        return f"{path} can't be measured ({reason(error)})"
    finally:
        os.close(descriptor)
    return too_short_text(path, size, needed) if size < needed else ""


def _can_be_read(path: str) -> bool:
    try:
        os.close(_opened(path, os.O_RDONLY))
    except OSError:
        return False
    return True


def _opened(path: str, mode: int) -> int:
    # A pipe in a volume's place must not hold us up.
    return os.open(path, mode | os.O_CLOEXEC | os.O_NONBLOCK)
