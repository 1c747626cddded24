# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Answers in files: those that were typed here, and those for the next host."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hosted_engine.errors import CommandError
from hosted_engine.host.error_lines import writing
from hosted_engine.host.settings_file import write_settings_text
from metadata.settings.parse import HostSettings, host_settings_to_data

_HEADER = (
    "# Answers for the next hosts of this cluster, written by hosted-engine --deploy. There:\n"
    "#   hosted-engine --deploy --config-append=FILE\n"
    "# What is another host's own (host: host_id, host_name, bridge, gateway, metrics,\n"
    "# migration_address) is not in here: where the usual does not fit, add it.\n"
)
_TYPED_HEADER = "# The answers that were typed for hosted-engine --deploy; gone when it is done.\n"
_ALIKE_ON_ALL_HOSTS = {
    "libvirt_uri": HostSettings.libvirt_uri,
    "socket_group": HostSettings.socket_group,
    "command_users": HostSettings.command_users,
}
"""Settings of a host that are likely to be those of the next one, with their defaults."""


def next_answers(host: HostSettings) -> dict[str, Any]:
    """What the next host needs to know of this one; nothing that belongs to one host alone."""
    data = host_settings_to_data(host)
    answers: dict[str, Any] = {"storage": data["storage"]}
    given = {
        key: data[key] for key, usual in _ALIKE_ON_ALL_HOSTS.items() if getattr(host, key) != usual
    }
    if given:
        answers["host"] = given
    return answers


def check_can_write(path: str) -> None:
    """Raise CommandError, before anything is done, when the folder for `path` is missing."""
    folder = Path(path).absolute().parent
    if not folder.is_dir() or Path(path).is_dir():
        why = "is a folder" if Path(path).is_dir() else f"there is no folder {folder}"
        raise CommandError(f"--write-answers={path} is refused: {why}; name a file")


def write_next_answers(path: str, host: HostSettings) -> bool:
    """Write the file (mode 0644) in one step; False: it had this content. Raises CommandError."""
    from world.plain_yaml import yaml_text

    text = _HEADER + yaml_text(next_answers(host))
    with writing(path):
        if Path(path).is_file() and Path(path).read_bytes() == text.encode():
            return False
        write_settings_text(Path(path), text)
    return True


# --- what was typed -------------------------------------------------------------------------


def keep_typed(path: str, data: Mapping[Any, Any]) -> None:
    """Nobody shall type them again because a check failed; raises CommandError."""
    from world.plain_yaml import yaml_text

    text = _TYPED_HEADER + yaml_text(dict(data))
    with writing(path):
        write_settings_text(Path(path), text)


def forget_typed(path: str) -> None:
    """The host is deployed: host.yaml and the storage have it all."""
    with suppress(OSError):
        Path(path).unlink()
