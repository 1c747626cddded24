"""Passwords and keys that stand in files on this host.

Which file that is may be said by whoever may write the shared settings, and its content goes to
a server that they name. So a secret of theirs lies in one directory, and no secret is anything
but a regular file, root's (or this program's own) and nobody else's to read: see `read_secret`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from world.regular_file import open_regular

MOST_BYTES = 4096
SHARED_SECRETS = "/etc/hosted-engine-ha"
"""The directory in which the shared settings may name files with secrets."""


def read_secret(path: str, below: str = "") -> bytes:
    """The file's content without the line end behind it; raises OSError, which says why.

    With `below`, a directory, the file must lie in it or deeper. A link, a FIFO, a device, a file
    of somebody else and one that others than its owner may use are refused.
    """
    if below:
        _check_place(path, below)
    with open_regular(path) as file:
        _check_owner(path, os.fstat(file.fileno()))
        secret = file.read(MOST_BYTES + 1).rstrip(b"\r\n")
    if not secret or len(secret) > MOST_BYTES:
        raise OSError(f"{path}: a secret has 1 to {MOST_BYTES} bytes")
    return secret


def lies_below(path: str, directory: str) -> bool:
    """By the name alone: no way up in it, and nothing to be put right."""
    return os.path.normpath(path) == path and path.startswith(f"{directory.rstrip('/')}/")


def _check_place(path: str, below: str) -> None:
    """By the name, and by where its folders really are; the file itself may be no link anyway."""
    folder, place = Path(path).parent.resolve(), Path(below).resolve()
    if not lies_below(path, below) or not (folder == place or place in folder.parents):
        raise OSError(f"{path}: is refused; allowed: a file below {below}")


def _check_owner(path: str, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise OSError(f"{path}: its owner {found.st_uid} is refused; allowed: root (chown root)")
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise OSError(
            f"{path}: others than its owner may use it (mode {mode:04o}), so it is refused; "
            f"allowed: mode 0600 or less (chmod 600 {path})"
        )
