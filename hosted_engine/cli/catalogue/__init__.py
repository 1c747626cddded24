# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""All commands of ``hosted-engine``, in the order in which people read of them."""

from __future__ import annotations

from hosted_engine.cli.catalogue import config, deploy, engine, status, storage, support
from hosted_engine.cli.catalogue.base import Command, Group

GROUPS: tuple[Group, ...] = (
    status.GROUP,
    engine.GROUP,
    config.GROUP,
    storage.GROUP,
    deploy.GROUP,
    support.GROUP,
)
COMMANDS: tuple[Command, ...] = tuple(command for group in GROUPS for command in group.commands)


def commands_with(option: str) -> list[str]:
    """The names of the commands that have `option`."""
    return [
        command.name for command in COMMANDS if any(option in one.names for one in command.options)
    ]
