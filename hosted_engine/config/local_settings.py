# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--type=he_local``: this host's own settings, ``host.yaml``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ha_broker.api import paths
from hosted_engine.config.key_types import unknown_local_text
from hosted_engine.config.keys import MISSING, find, leaves, with_value
from hosted_engine.errors import EXIT_OK, CommandError, NotDeployedError, UsageError
from hosted_engine.host.error_lines import writing
from hosted_engine.host.local_host import host_settings
from hosted_engine.host.settings_file import without_unset, write_settings_text
from metadata.error_words import reason, shown
from metadata.settings.parse import SettingsError, host_settings_to_data, parse_host_settings
from world.plain_yaml import PlainYamlError, parse_yaml, yaml_text

RESTART = "systemctl restart ha-broker ha-agent"
_IDENTITY = ("host_id", "host_name", "storage")
_KEPT = ".previous"


def get_value(key: str) -> Any:
    """Raises UsageError for an unknown key, CommandError, NotDeployedError."""
    data = host_settings_to_data(host_settings())
    value = data if key == "all" else find(data, tuple(key.split(".")))
    if value is MISSING:
        raise UsageError(unknown_local_text(key, leaves(data)))
    return value


def set_value(key: str, text: str, as_json: bool) -> int:
    """Replace one value in host.yaml; raises as `get_value`, and for what may not be changed."""
    file = Path(paths.host_settings_file())
    path = tuple(key.split("."))
    if path[0] in _IDENTITY:
        raise CommandError(
            f"{key} is refused: it says which host this is and where its cluster lies; deploy the "
            "host again to change it"
        )
    if find(host_settings_to_data(host_settings()), path[:1]) is MISSING:
        raise UsageError(unknown_local_text(key, leaves(host_settings_to_data(host_settings()))))
    before = _read(file)
    after = with_value(parse_yaml(before), path, _value(text))
    try:
        parse_host_settings(after, str(file))
    except SettingsError as error:
        raise CommandError(f"{'; '.join(error.problems)}; nothing was written") from error
    _write(file, before, after)
    kept = f"{file}{_KEPT}"
    if as_json:
        print(json.dumps({"file": str(file), "previous": kept, "restart": RESTART}))
    else:
        print(f"{key} is set in {file} (what it held before: {kept}). It holds after: {RESTART}")
    return EXIT_OK


def _value(text: str) -> Any:
    if not text:
        return text
    try:
        return parse_yaml(text)
    except PlainYamlError as error:
        raise UsageError(f"{shown(text)} is refused: it is no YAML ({error})") from error


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotDeployedError() from None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: can't be read: {reason(error)}") from error


def _write(file: Path, before: str, after: dict[str, Any]) -> None:
    """What people had written beside the values (comments) is kept in another file."""
    header = "".join(line for line in before.splitlines(True) if line.startswith("#"))
    text = header + yaml_text(without_unset(after))
    with writing(file):
        write_settings_text(file.with_name(file.name + _KEPT), before)
        write_settings_text(file, text)
