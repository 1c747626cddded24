"""The manual pages and the shells' completion, all made from the catalogue. Pure text.

``python -m hosted_engine.cli.generated.programs FOLDER`` writes them; what is
kept in docs/ is what it wrote.
"""

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


def files() -> dict[str, str]:
    """All files: path below the folder, and text."""
    from hosted_engine.cli.generated.bash import bash_completion
    from hosted_engine.cli.generated.fish import fish_completion
    from hosted_engine.cli.generated.man_page import man_page
    from hosted_engine.cli.generated.zsh import zsh_completion

    written = {}
    for program in (HOSTED_ENGINE, CLEANUP_PROGRAM):
        name = program.name
        written[f"man/{name}.8"] = man_page(program)
        written[f"completion/{name}"] = bash_completion(program)
        written[f"completion/_{name}"] = zsh_completion(program)
        written[f"completion/{name}.fish"] = fish_completion(program)
    return written
