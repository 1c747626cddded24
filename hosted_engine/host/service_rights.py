# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the daemons' user must be able to read and write, given to it by root.

``python3 -c 'from hosted_engine.host.service_rights import main; main(first=True)'`` is what a
package does when it is installed, before it restarts the daemons: older ones ran as root.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from ha_broker.api import paths
from hosted_engine.errors import CommandError
from hosted_engine.host.units import SystemdUnits, Units
from metadata.error_words import bare_reason, reason_with_file
from metadata.errors import SettingsError
from metadata.layout import required_sizes
from metadata.settings.parse import HostSettings
from metadata.settings.storage_connection import IscsiConnection
from world.host.accounts import group_id
from world.host_file import read_host_settings
from world.ports.errors import WorldError
from world.service_user import STORAGE_GROUP, own_gid


def main(first: bool) -> None:
    """Give what this host's settings name; says what could not be given, and never fails.

    first   the user is new on this host, so that no file was its own so far
    """
    try:
        give(Path(paths.host_settings_file()), SystemdUnits(), first)
    except (CommandError, SettingsError, OSError) as error:
        print(f"hosted-engine-ha: {reason_with_file(error)}", file=sys.stderr)


def give(settings_file: Path, units: Units, first: bool) -> None:
    """The same; raises CommandError, SettingsError and OSError."""
    settings = read_host_settings(str(settings_file))
    if settings is None:
        return
    units.let_write(required_sizes(settings.storage))
    gid = own_gid()
    if first and gid is not None:
        for path in _secrets(settings_file.parent, settings):
            let_group_read(path, gid)


def _secrets(folder: Path, settings: HostSettings) -> Iterator[Path]:
    """Files in the folder that are root's alone; iSCSI's password is for root's command only."""
    connection = settings.connection
    kept = connection.password_file if isinstance(connection, IscsiConnection) else ""
    for path in sorted(folder.rglob("*")):
        found = path.lstat()
        roots_alone = (found.st_uid, found.st_gid) == (0, 0) and not found.st_mode & 0o077
        if stat.S_ISREG(found.st_mode) and roots_alone and str(path) != kept:
            yield path


def let_group_read(path: Path, gid: int) -> None:
    """Its group is `gid` then, which may read it; raises OSError."""
    os.chown(path, -1, gid, follow_symlinks=False)
    path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IRGRP)


def give_volume(path: str) -> Optional[str]:
    """Let sanlock's group read and write a file that is to be the shared storage.

    Both sanlock and the daemons get there by it. None: done; else why not. Not for storage that
    hosts use already: their number of that group may be another one.
    """
    try:
        gid = group_id(STORAGE_GROUP)
        if gid is None:
            return f"this host has no group {STORAGE_GROUP}"
        os.chown(path, -1, gid)
        Path(path).chmod(stat.S_IMODE(Path(path).stat().st_mode) | stat.S_IRGRP | stat.S_IWGRP)
    except (WorldError, OSError) as error:
        return bare_reason(error)
    return None
