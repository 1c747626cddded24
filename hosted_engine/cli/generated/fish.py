# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Completion for fish."""

from __future__ import annotations

from hosted_engine.cli.catalogue.base import Command, Option
from hosted_engine.cli.generated.programs import Program


def fish_completion(program: Program) -> str:
    """The file, to be put into a folder of fish_complete_path."""
    name = program.name
    lines = [
        f"# fish completion for {name}; made from the catalogue of commands, do not edit.",
        f"complete -c {name} -f",
        f"complete -c {name} -l help -d 'show help'",
    ]
    if program.commands[0].name:
        lines += _commands(program)
    for command in program.commands:
        lines += [_option(name, command, option) for option in command.options]
    return "\n".join(lines) + "\n"


def _commands(program: Program) -> list[str]:
    names = " ".join(command.name for command in program.commands)
    function = _function(program.name)
    lines = [
        f"function {function}",
        "    for word in (commandline -opc)",
        f"        contains -- $word {names}; and return 1",
        "    end",
        "    return 0",
        "end",
    ]
    for command in program.commands:
        files = " -r -F" if command.completes == "file" else ""
        lines.append(
            f"complete -c {program.name} -n {function} -l {command.name[2:]}{files} "
            f"-d {_quoted(command.summary)}"
        )
        if command.completes == "file":
            lines.append(f"complete -c {program.name} -n {_given(command)} -F")
    return lines


def _option(program: str, command: Command, option: Option) -> str:
    when = f" -n {_given(command)}" if command.name else ""
    value = ""
    if option.metavar is not None:
        value = f" -x -a {_quoted(' '.join(option.choices))}" if option.choices else " -x"
    if option.completes == "file":
        value = " -r -F"
    what = _quoted(option.help)
    return f"complete -c {program}{when} -l {option.name[2:]}{value} -d {what}"


def _given(command: Command) -> str:
    return f"'contains -- {command.name} (commandline -opc)'"


def _function(program: str) -> str:
    return f"__{program.replace('-', '_')}_no_command"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
