# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What one who was denied a file or a socket can do: one text for all who tell it."""

from __future__ import annotations

import os
import stat

AS_ROOT = "run it as root"


def way_in(path: str, right: int = stat.S_IRGRP) -> str:
    """``run it as root``, with the group whose members have `right` at `path`, if there is one.

    `right` is a bit for groups (``stat.S_IRGRP``, for a socket ``stat.S_IWGRP``).
    """
    try:
        found = os.stat(path)  # noqa: PTH116  # pathlib costs 15 ms
    except OSError:
        return AS_ROOT
    if not found.st_mode & right:
        return AS_ROOT
    from world.group_access import listed_group  # noqa: PLC0415  # for the one who was denied alone

    # Where there is such a list, the group's bits of the mode are the most that it gives.
    gid = listed_group(path) or found.st_gid
    return AS_ROOT if gid == 0 else f"{AS_ROOT}, or be in group {_group_name(gid)}"


def _group_name(gid: int) -> str:
    import grp  # noqa: PLC0415  # for the one who was denied alone

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
