# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writing this host's settings file so that it is whole at every moment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hosted_engine.host.error_lines import writing
from metadata.settings.parse import HostSettings, host_settings_to_data
from world.durable import replace_file

# Beside host.yaml: what the next host needs, and what was typed for a deployment not finished yet.
ANSWERS_NAME = "answers.yaml"
TYPED_ANSWERS_NAME = "typed-answers.yaml"

_LATER_KEYS = ("socket_group", "command_users", "migration_address")
"""A program from before these keys would refuse them; left out they mean the same as empty."""

_HEADER = "# Written by hosted-engine --deploy. Restart ha-broker and ha-agent after a change.\n"


def write_host_settings(path: str, settings: HostSettings) -> None:
    """Write ``host.yaml`` (mode 0644), replacing it in one step; raises CommandError."""
    from world.plain_yaml import yaml_text

    text = _HEADER + yaml_text(without_unset(host_settings_to_data(settings)))
    with writing(path):
        write_settings_text(Path(path), text)


def without_unset(data: Mapping[str, Any]) -> dict[str, Any]:
    """What is to stand in ``host.yaml``, so that older programs read it where they can."""
    return {key: value for key, value in data.items() if value or key not in _LATER_KEYS}


def write_settings_text(path: Path, text: str) -> None:
    """A file for people to read (mode 0644), in a directory that is made; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.encode(), mode=0o644)
