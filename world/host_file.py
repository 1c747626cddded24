# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Reading ``host.yaml``, for both daemons and the command."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from metadata.error_words import reason
from metadata.errors import SettingsError
from metadata.settings.parse import HostSettings, parse_host_settings
from world.plain_yaml import PlainYamlError, parse_yaml


def read_host_settings(path: str) -> Optional[HostSettings]:
    """This host's settings; None when there is no such file: the host is not deployed.

    Raises SettingsError naming the file and what is wrong with it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: can't be read: {reason(error)}"]) from error
    try:
        data = parse_yaml(text)
    except PlainYamlError as error:
        raise SettingsError([f"{path}: {error.of_file}"]) from error
    return parse_host_settings(data, path)
