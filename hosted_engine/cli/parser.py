"""From the words on the command line to one command of the catalogue and its options.

argparse does the parsing, with the options of the one command that was asked for; what it
refuses becomes a UsageError of one line.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable, NoReturn, Optional, Union

from hosted_engine.cli.catalogue import COMMANDS, GROUPS, commands_with
from hosted_engine.cli.catalogue.base import Command, Option
from hosted_engine.errors import EXIT_CODES, PROGRAM, UsageError

_HELP = ("-h", "--help")
_WIDTH = 88


@dataclass(frozen=True)
class Asked:
    """A command and what was given with it."""

    command: Command
    options: argparse.Namespace


def parse(arguments: Sequence[str]) -> Union[Asked, str]:
    """What was asked for; a text when only help was. Raises UsageError."""
    named = [command for command in COMMANDS if _is_named(command.name, arguments)]
    if len(named) > 1:
        raise UsageError(f"argument {named[1].name}: not allowed with argument {named[0].name}")
    if any(argument in _HELP for argument in arguments):
        return command_help(named[0]) if named else overview()
    if named:
        return Asked(named[0], parse_command(named[0], arguments))
    _refuse_foreign(None, arguments)
    for argument in arguments:
        raise UsageError(f"unrecognized argument: {argument} (see {PROGRAM} --help)")
    raise UsageError(f"say what to do; see {PROGRAM} --help")


def parse_command(
    command: Command, arguments: Sequence[str], program: str = PROGRAM
) -> argparse.Namespace:
    """The options of `command`; raises UsageError."""
    _refuse_foreign(command, arguments)
    options = command_parser(command, program).parse_args(list(arguments))
    if command.arguments:
        options.arguments = tuple(getattr(options, command.dest))
    return options


def _is_named(name: str, arguments: Sequence[str]) -> bool:
    return any(argument == name or argument.startswith(f"{name}=") for argument in arguments)


def _refuse_foreign(command: Optional[Command], arguments: Sequence[str]) -> None:
    """An option that other commands have is told with their names."""
    own = {option.name for option in command.options} if command else set()
    for argument in arguments:
        name = argument.partition("=")[0]
        owners = commands_with(name) if name not in own else []
        if owners:
            raise UsageError(f"{name} goes with {' or '.join(owners)} only")


# --- argparse -------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, instead of printing the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


class _Once(argparse.Action):
    """A value that is not silently replaced by a second one."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: Optional[str] = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string}: given twice")
        setattr(namespace, self.dest, values)


def command_parser(command: Command, program: str = PROGRAM) -> argparse.ArgumentParser:
    """argparse's parser of one command; `program` alone is the command when it has no name."""
    parser = _Parser(
        prog=f"{program} {command.name}".strip(),
        usage=_plain(usage(command, program)),
        description=description(command),
        epilog=_epilog(command),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if command.name:
        _add_command(parser, command)
    for option in command.options:
        _add_option(parser, option)
    return parser


def _add_command(parser: argparse.ArgumentParser, command: Command) -> None:
    if command.arguments:
        parser.add_argument(
            command.name,
            nargs=len(command.arguments),
            metavar=command.arguments,
            type=_converter(_argument),
            action=_Once,
            help=argparse.SUPPRESS,
        )
    else:
        parser.add_argument(command.name, action="store_true", help=argparse.SUPPRESS)


def _argument(text: str) -> str:
    if not text:
        raise ValueError(f"{text!r} is refused; allowed: anything that is not empty")
    return text


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    if option.metavar is None:
        parser.add_argument(option.name, action="store_true", help=_plain(option.help))
        return
    parser.add_argument(
        option.name,
        action=_Once,
        metavar=option.metavar,
        choices=option.choices or None,
        type=_converter(option.type or str),
        help=_plain(option.help),
    )


def _converter(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """argparse shows the words of its own error only."""

    def converted(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return converted


# --- help -----------------------------------------------------------------------------------


def usage(command: Command, program: str = PROGRAM) -> str:
    """One line: what may be typed."""
    words = [program, command.name, *command.arguments]
    return " ".join([*filter(None, words), *(f"[{synopsis(one)}]" for one in command.options)])


def synopsis(option: Option) -> str:
    """``--timeout=S``, or the choices themselves."""
    if option.metavar is None:
        return option.name
    return f"{option.name}={'|'.join(option.choices) or option.metavar}"


def command_help(command: Command, program: str = PROGRAM) -> str:
    """What a command's own ``--help`` prints."""
    return command_parser(command, program).format_help().rstrip("\n")


def overview() -> str:
    """What ``--help`` alone prints."""
    lines = [f"usage: {PROGRAM} COMMAND [OPTION…]", "", *_paragraph(OVERVIEW), ""]
    for group in GROUPS:
        if group.commands:
            lines += [f"{group.title}:", *(_overview_line(one) for one in group.commands), ""]
    lines += [f"'{PROGRAM} COMMAND --help' shows a command's options and examples.", ""]
    codes = "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES)
    return "\n".join([*lines, *_paragraph(f"Exit codes: {codes}.")])


OVERVIEW = "Look after the engine virtual machine and the hosts that keep it running."


def _overview_line(command: Command) -> str:
    words = " ".join([command.name, *command.arguments])
    if len(words) > 27:
        return f"  {words}\n{'':30}{command.summary}"
    return f"  {words:<28}{command.summary}"


def description(command: Command) -> str:
    """What it does, in filled paragraphs."""
    summary = f"{command.summary[:1].upper()}{command.summary[1:]}."
    return "\n\n".join(_filled(part) for part in (summary, command.text) if part)


def _plain(text: str) -> str:
    """argparse would take a percent sign for one of its own."""
    return text.replace("%", "%%")


def _epilog(command: Command) -> str:
    parts = []
    if command.examples:
        parts += ["examples:", *(f"  {line}\n      {what}" for line, what in command.examples)]
    if command.exit_codes:
        parts += ["exit codes:", *(f"  {code}  {what}" for code, what in command.exit_codes)]
    return "\n".join(parts)


def _filled(text: str) -> str:
    return "\n\n".join("\n".join(_paragraph(part)) for part in text.split("\n\n"))


def _paragraph(text: str) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), _WIDTH)
