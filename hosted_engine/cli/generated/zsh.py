# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Completion for zsh."""

from __future__ import annotations

from hosted_engine.cli.catalogue.base import Command, Option
from hosted_engine.cli.generated.programs import Program


def zsh_completion(program: Program) -> str:
    """An autoloaded function, to be put into a folder of fpath."""
    function = f"_{program.name}"
    lines = [
        f"#compdef {program.name}",
        "# Made from the catalogue of commands; do not edit.",
        "",
        f"{function}() {{",
        "  local -a commands",
        "  local command= word",
        *_body(program),
        "}",
        "",
        f'{function} "$@"',
    ]
    return "\n".join(lines) + "\n"


def _body(program: Program) -> list[str]:
    if not program.commands[0].name:
        return [f"  _arguments {' '.join(_specs(program.commands[0]))}"]
    names = "|".join(command.name for command in program.commands)
    listed = [f"    {_quoted(f'{one.name}:{one.summary}')}" for one in program.commands]
    cases = [
        line
        for command in program.commands
        for line in (
            f"    {command.name})",
            "      _arguments \\",
            " \\\n".join(f"        {spec}" for spec in _specs(command)),
            "      ;;",
        )
    ]
    return [
        "  commands=(",
        *listed,
        "    '--help:show all commands'",
        "  )",
        '  for word in "${words[@]:1}"; do',
        f"    case $word in ({names}) command=$word; break ;; esac",
        "  done",
        "  case $command in",
        *cases,
        "    *) _describe -o command commands ;;",
        "  esac",
    ]


def _specs(command: Command) -> list[str]:
    specs = []
    if command.name:
        action = "_files" if command.completes == "file" else " "
        what = "".join(f":{name}:{action}" for name in command.arguments)
        specs.append(_quoted(f"{command.name}[{_escaped(command.summary)}]{what}"))
    specs += [_quoted(_spec(option)) for option in command.options]
    return [*specs, "'--help[show its options and examples]'"]


def _spec(option: Option) -> str:
    if option.metavar is None:
        return f"{option.name}[{_escaped(option.help)}]"
    action = f"({' '.join(option.choices)})" if option.choices else " "
    if option.completes == "file":
        action = "_files"
    metavar = _escaped(option.metavar).replace(":", "\\:")
    return f"{option.name}=[{_escaped(option.help)}]:{metavar}:{action}"


def _escaped(text: str) -> str:
    """Brackets would end the text."""
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
