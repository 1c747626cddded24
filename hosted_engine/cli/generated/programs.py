# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The programs that manual pages and completion are made for."""

from __future__ import annotations

from dataclasses import dataclass

from hosted_engine.cli.catalogue import GROUPS
from hosted_engine.cli.catalogue.base import Command, Group
from hosted_engine.cli.catalogue.storage import CLEANUP
from hosted_engine.errors import PROGRAM


@dataclass(frozen=True)
class Program:
    """A program that is installed, and its commands."""

    name: str
    summary: str
    groups: tuple[Group, ...]

    @property
    def commands(self) -> tuple[Command, ...]:
        """All of them, in order."""
        return tuple(command for group in self.groups for command in group.commands)


HOSTED_ENGINE = Program(PROGRAM, "look after the engine virtual machine and its hosts", GROUPS)
CLEANUP_PROGRAM = Program("hosted-engine-cleanup", CLEANUP.summary, (Group("", (CLEANUP,)),))
