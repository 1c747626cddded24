# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""From the words on the command line to one command of the catalogue and its options.

Words that are all switches are taken as they are; anything else is parsed by argparse, with the
options of the one command that was asked for. What it refuses becomes a UsageError of one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import NamedTuple, Optional, Union

from hosted_engine.cli.catalogue import COMMANDS, commands_with
from hosted_engine.cli.catalogue.base import Command
from hosted_engine.errors import PROGRAM, UsageError

_HELP = ("-h", "--help")


class Asked(NamedTuple):
    """A command and what was given with it."""

    command: Command
    options: SimpleNamespace


def parse(arguments: Sequence[str]) -> Union[Asked, str]:
    """What was asked for; a text when only help was. Raises UsageError."""
    named = [command for command in COMMANDS if _is_named(command.name, arguments)]
    if len(named) > 1:
        raise UsageError(f"argument {named[1].name}: not allowed with argument {named[0].name}")
    if any(argument in _HELP for argument in arguments):
        from hosted_engine.cli.option_parser import command_help, overview

        return command_help(named[0]) if named else overview()
    if named:
        return Asked(named[0], parse_command(named[0], arguments))
    _refuse_foreign(None, arguments)
    for argument in arguments:
        raise UsageError(f"unrecognized argument: {argument} (see {PROGRAM} --help)")
    raise UsageError(f"say what to do; see {PROGRAM} --help")


def parse_command(
    command: Command, arguments: Sequence[str], program: str = PROGRAM
) -> SimpleNamespace:
    """The options of `command`; raises UsageError."""
    _refuse_foreign(command, arguments)
    return _switches_alone(command, arguments) or _parsed(command, arguments, program)


def _switches_alone(command: Command, arguments: Sequence[str]) -> Optional[SimpleNamespace]:
    """What argparse would make of words that are all switches; None: some of them are not."""
    if command.arguments:
        return None
    options = [option for option in command.options if option.metavar is None]
    switches = {name: option.dest for option in options for name in option.names}
    if command.name:
        switches[command.name] = command.dest
    if any(argument not in switches for argument in arguments):
        return None
    unset = {option.dest: None for option in command.options if option.metavar is not None}
    given = dict.fromkeys(switches.values(), False)
    given.update((switches[argument], True) for argument in arguments)
    return SimpleNamespace(**unset, **given)


def _parsed(command: Command, arguments: Sequence[str], program: str) -> SimpleNamespace:
    from hosted_engine.cli.option_parser import command_parser

    options = SimpleNamespace()
    command_parser(command, program).parse_args(list(arguments), namespace=options)
    if command.arguments:
        options.arguments = tuple(getattr(options, command.dest))
    return options


def _is_named(name: str, arguments: Sequence[str]) -> bool:
    return any(argument == name or argument.startswith(f"{name}=") for argument in arguments)


def _refuse_foreign(command: Optional[Command], arguments: Sequence[str]) -> None:
    """An option that other commands have is told with their names."""
    own = {name for option in command.options for name in option.names} if command else set()
    for argument in arguments:
        name = argument.partition("=")[0]
        owners = commands_with(name) if name not in own else []
        if owners:
            raise UsageError(f"{name} goes with {' or '.join(owners)} only")
