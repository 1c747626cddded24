# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Is this host deployed? Kept apart from the rest, so that ``--vm-status`` stays light."""

from __future__ import annotations

import os

from ha_broker.api import paths
from hosted_engine.errors import CommandError, NotDeployedError
from metadata.error_words import reason


def check_deployed() -> None:
    """Raise NotDeployedError on a host without settings, CommandError where nobody can tell."""
    path = paths.host_settings_file()
    try:
        os.stat(path)  # noqa: PTH116  # pathlib costs 15 ms
    except (FileNotFoundError, NotADirectoryError):
        raise NotDeployedError() from None
    except OSError as error:
        raise CommandError(f"{path}: can't be looked at: {reason(error)}") from error
