# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Completion for bash, without helpers of other packages."""

from __future__ import annotations

from hosted_engine.cli.catalogue.base import Command
from hosted_engine.cli.generated.programs import Program

_TEMPLATE = """\
# bash completion for @PROGRAM@; made from the catalogue of commands, do not edit.

@FUNCTION@() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= word
    # bash takes "=" for a word of its own.
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    for word in "${COMP_WORDS[@]:1}"; do
        case $word in
        @COMMANDS@) command=$word; break ;;
        esac
    done
    COMPREPLY=()
    case "$command $prev" in
@VALUES@
    esac
    case $command in
@OPTIONS@
    esac
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F @FUNCTION@ @PROGRAM@
"""


def bash_completion(program: Program) -> str:
    """The script, to be put where bash-completion finds it or to be sourced."""
    names = [command.name for command in program.commands if command.name]
    values = [line for command in program.commands for line in _values(command)]
    words = {
        "PROGRAM": program.name,
        "FUNCTION": f"_{program.name.replace('-', '_')}",
        "COMMANDS": "|".join(names) or "''",
        "VALUES": "\n".join(values) or "    *) ;;",
        "OPTIONS": "\n".join(_options(program)),
    }
    text = _TEMPLATE
    for name, value in words.items():
        text = text.replace(f"@{name}@", value)
    return text


def _values(command: Command) -> list[str]:
    lines = []
    for option in command.options:
        if option.metavar is not None:
            made = _offer(" ".join(option.choices), option.completes)
            given = "|".join(f'"{command.name} {name}"' for name in option.names)
            lines.append(f"    {given}) {made}return 0 ;;")
    return lines


def _offer(choices: str, completes: str) -> str:
    if choices:
        return f'COMPREPLY=($(compgen -W "{choices}" -- "$cur")); '
    if completes == "file":
        return 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")); '
    return ""


def _options(program: Program) -> list[str]:
    lines = []
    for command in program.commands:
        words = [f"{one.name}=" if one.metavar else one.name for one in command.options]
        offered = " ".join([*words, "--help"])
        files = '; [[ $cur != -* ]] && COMPREPLY=($(compgen -f -- "$cur"))'
        also = files if command.completes == "file" else ""
        pattern = command.name or "*"
        lines.append(f'    {pattern}) COMPREPLY=($(compgen -W "{offered}" -- "$cur")){also} ;;')
    names = " ".join(command.name for command in program.commands)
    if names.strip():
        lines.append(f'    *) COMPREPLY=($(compgen -W "{names} --help" -- "$cur")) ;;')
    return lines
