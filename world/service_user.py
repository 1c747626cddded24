# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The user that ha-broker and ha-agent run as: its name, its groups, and what it is told.

The units and ``hosted-engine-ha.sysusers.conf`` name the same; a test compares them.
"""

from __future__ import annotations

import os
import stat
from typing import Optional

from metadata.error_words import reason

USER = "hosted-engine-ha"
"""The user, and its own group."""

STORAGE_GROUP = "sanlock"
LIBVIRT_GROUP = "libvirt"
GROUPS = (STORAGE_GROUP, LIBVIRT_GROUP)
"""Its further groups: one for sanlock's socket and the shared storage, one for libvirt."""


def is_service_user() -> bool:
    """Does this process run as that user?"""
    import pwd  # noqa: PLC0415  # for the one who was denied alone

    try:
        return pwd.getpwnam(USER).pw_uid == os.geteuid()
    except KeyError:
        return False


def own_gid() -> Optional[int]:
    """The number of the user's own group; None: this host has none of that name."""
    import grp  # noqa: PLC0415  # for files with secrets alone

    try:
        return grp.getgrnam(USER).gr_gid
    except KeyError:
        return None


def needs_text(path: str) -> str:
    """What keeps the user from a volume, if its mode does, and what is allowed.

    ``user hosted-engine-ha needs group sanlock there: /srv/san/leases has group root and mode
    0600; chgrp sanlock /srv/san/leases && chmod g+rw /srv/san/leases``
    """
    closed = _first_closed_folder(path) or path
    right = "rw" if closed == path else "x"
    return (
        f"user {USER} gets there by group {STORAGE_GROUP}: {_whose(closed)}; "
        f"chgrp {STORAGE_GROUP} {closed} && chmod g+{right} {closed}"
    )


def _first_closed_folder(path: str) -> str:
    """The first folder above `path` that this process may not pass; empty: there is none."""
    from pathlib import Path  # noqa: PLC0415  # costs 15 ms

    folders = [str(folder) for folder in reversed(Path(path).absolute().parents)]
    return next((each for each in folders if not os.access(each, os.X_OK)), "")


def _whose(path: str) -> str:
    import grp  # noqa: PLC0415  # for the one who was denied alone

    try:
        found = os.stat(path)  # noqa: PTH116  # pathlib costs 15 ms
    except OSError as error:
        return f"{path} can't be looked at ({reason(error)})"
    try:
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        group = str(found.st_gid)
    return f"{path} has group {group} and mode {stat.S_IMODE(found.st_mode):04o}"
