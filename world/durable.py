# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Files that are whole at every moment, and changes in a directory that last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Optional

STATE_FILE_MODE = 0o644
PRIVATE_FILE_MODE = 0o600
_AS_THE_UMASK_SAYS = 0o666


def make_open_directory(directory: Path) -> None:
    """One that everybody may look into, whatever the umask says; one that is there stays as it is.

    Raises OSError.
    """
    try:
        directory.mkdir(mode=0o755, parents=True)
    except FileExistsError:
        return
    directory.chmod(0o755)


def sync_directory(directory: Path) -> None:
    """Names that were made, replaced or removed in it survive a power cut; raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(
    path: Path,
    data: bytes,
    *,
    mode: Optional[int] = None,
    durable: bool = True,
    only_writer: bool = False,
) -> None:
    """The file holds either what it held or all of `data`; raises OSError, nothing changed then.

    mode         its permissions, whatever the umask says
    durable      that is so after a power cut, too
    only_writer  no other process writes it: what a crash leaves of a write has one name
                 (``NAME.new``), and the next write takes it away
    """
    with written_beside(path, data, mode=mode, durable=durable, only_writer=only_writer) as new:
        new.replace(path)
    if durable:
        sync_directory(path.parent)


@contextmanager
def written_beside(
    path: Path,
    data: bytes,
    *,
    mode: Optional[int] = None,
    durable: bool = True,
    only_writer: bool = False,
) -> Iterator[Path]:
    """A new file with `data` in the directory of `path`, to be given that name within; whatever
    was not is removed. The rest as in `replace_file`."""
    name = f"{path.name}.new" if only_writer else f".{path.name}.{os.urandom(8).hex()}"
    new = path.with_name(name)
    if only_writer:
        with suppress(FileNotFoundError):
            new.unlink()
    # Never into what somebody else has put there, be it a link to another file.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(new, flags, _AS_THE_UMASK_SAYS if mode is None else mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        yield new
    finally:
        new.unlink(missing_ok=True)
