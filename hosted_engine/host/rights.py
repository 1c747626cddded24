# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""May who typed this administer this host? Told before anything is looked at.

Half of what a command looks at answers a plain user, too; what it then said of the rest would be
about that user's rights, and look like something that is wrong with the host.
"""

from __future__ import annotations

import os

from ha_broker.api import paths
from hosted_engine.errors import CommandError
from world.way_in import AS_ROOT


def check_right(command: str) -> None:
    """Raise CommandError for a user who is not root and may not change this host's settings."""
    if os.geteuid() == 0 or _may_write_settings():
        return
    raise CommandError(f"{command}: permission denied: {AS_ROOT}".removeprefix(": "))


def _may_write_settings() -> bool:
    """Who may put another host.yaml there administers this host, whatever its user is called."""
    folder = os.path.dirname(paths.host_settings_file()) or "."  # noqa: PTH120
    while not os.path.exists(folder):  # noqa: PTH110
        folder = os.path.dirname(folder) or "."  # noqa: PTH120
    return os.access(folder, os.W_OK | os.X_OK)
