# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""argparse's part: options with values, and all texts of help, from a command's catalogue entry.

Loading argparse takes a tenth of a short command's time, so it is imported only for a command line
that needs it (see `hosted_engine.cli.parser`).
"""

from __future__ import annotations

import argparse
import textwrap
from typing import Any, Callable, NoReturn, Optional

from hosted_engine.cli.catalogue import GROUPS
from hosted_engine.cli.catalogue.base import Command, Option
from hosted_engine.cli.wording import capital
from hosted_engine.errors import EXIT_CODES, PROGRAM, UsageError
from metadata.error_words import shown

_WIDTH = 88


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
        raise ValueError(f"{shown(text)} is refused; allowed: anything that is not empty")
    return text


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    if option.metavar is None:
        parser.add_argument(
            *option.names, dest=option.dest, action="store_true", help=_plain(option.help)
        )
        return
    parser.add_argument(
        *option.names,
        dest=option.dest,
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
    summary = f"{capital(command.summary)}."
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
