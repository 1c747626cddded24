# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Passwords and keys that stand in files on this host.

Which file that is may be said by whoever may write the shared settings, and its content goes to
a server that they name. So a secret of theirs lies in one directory, and no secret is anything
but a regular file, root's (or this program's own) and nobody else's to read but the daemons', which
are not root: see `read_secret`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from metadata.error_words import reason
from world.group_access import has_list
from world.regular_file import open_regular
from world.service_user import USER, own_gid

MOST_BYTES = 4096
_ALLOWED = f"mode 0600 or less, or 0640 with group {USER}"
SHARED_SECRETS = "/etc/hosted-engine-ha"
"""The directory in which the shared settings may name files with secrets."""


def read_secret(path: str, below: str = "") -> bytes:
    """The file's content without the line end behind it; raises OSError, which says why.

    With `below`, a directory, the file must lie in it or deeper. A link, a FIFO, a device, a file
    of somebody else and one that others than its owner may use are refused; the daemons' group
    may read it.
    """
    if below:
        _check_place(path, below)
    try:
        opened = open_regular(path)
    except PermissionError as error:
        raise OSError(f"{path}: {reason(error)}; allowed: {_ALLOWED} ({_mend(path)})") from None
    with opened as file:
        _check_owner(path, file.fileno())
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


def _check_owner(path: str, descriptor: int) -> None:
    found = os.fstat(descriptor)
    if found.st_uid not in (0, os.geteuid()):
        raise OSError(f"{path}: its owner {found.st_uid} is refused; allowed: root (chown root)")
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o037 or (mode & 0o040 and not _for_daemons(path, descriptor, found.st_gid)):
        raise OSError(
            f"{path}: others than its owner may use it (mode {mode:04o}), so it is refused; "
            f"allowed: {_ALLOWED} ({_mend(path)})"
        )


def _mend(path: str) -> str:
    return f"chgrp {USER} {path} && chmod 640 {path}"


def _for_daemons(path: str, descriptor: int, gid: int) -> bool:
    """Who else may read it is the daemons' user alone.

    Of a service's credentials systemd makes copies of root's with a list of access for its user.
    """
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and lies_below(path, credentials):
        return True
    return gid == own_gid() and not has_list(descriptor)
