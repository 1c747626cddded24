# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The manual page, in the man(7) macros."""

from __future__ import annotations

from ha_broker.api import paths
from hosted_engine.cli.catalogue.base import Command, Option
from hosted_engine.cli.generated.programs import CLEANUP_PROGRAM, HOSTED_ENGINE, Program
from hosted_engine.cli.wording import capital
from hosted_engine.errors import EXIT_CODES

_FILES = (
    ("/etc/hosted-engine-ha/host.yaml", "This host's own settings; without it, it is undeployed."),
    ("/run/hosted-engine-ha/broker.sock", "Where the broker answers, in HTTP and JSON."),
    ("/var/lib/hosted-engine-ha/", "What outlives a restart: history, maintenance, notifications."),
)
_VARIABLES = (
    (paths.SETTINGS_VARIABLE, "Another path of host.yaml."),
    (paths.SOCKET_VARIABLE, "Another path of the broker's socket."),
    (paths.STATE_VARIABLE, "Another directory of the state."),
)
_DESCRIPTION = (
    "Keeps exactly one engine virtual machine running on the best of a few hosts that share "
    "nothing but storage. The services ha-broker and ha-agent do that by themselves; this is the "
    "administrator's command. Each call is one command with its options. It never waits for "
    "storage, libvirt, sanlock or the broker beyond a deadline, and an error is one line that "
    "says what to do."
)


def man_page(program: Program) -> str:
    """The whole page; section 8, as of programs for administrators."""
    lines = [
        '.\\" Made from the catalogue of commands; do not edit.',
        f'.TH {program.name.upper()} 8 "" "hosted-engine HA" "System Administration"',
        ".SH NAME",
        f"{_text(program.name)} \\- {_text(program.summary)}",
        ".SH SYNOPSIS",
        *_synopses(program),
        ".SH DESCRIPTION",
        *_paragraphs(_DESCRIPTION if program is HOSTED_ENGINE else program.commands[0].text),
        *_commands(program),
        ".SH EXIT STATUS",
        *[line for code, meaning in EXIT_CODES for line in _item(str(code), f"{meaning}.")],
        ".SH FILES",
        *[line for name, what in _FILES for line in _item(name, what)],
        ".SH ENVIRONMENT",
        *[line for name, what in _VARIABLES for line in _item(name, what)],
        ".SH SEE ALSO",
        _see_also(program),
    ]
    return "\n".join(lines) + "\n"


def _see_also(program: Program) -> str:
    other = CLEANUP_PROGRAM if program is HOSTED_ENGINE else HOSTED_ENGINE
    names = [(other.name, 8), ("sanlock", 8), ("virsh", 1), ("systemctl", 1), ("journalctl", 1)]
    return ",\n".join(f".BR {_text(name)} ({section})" for name, section in names).replace(
        ",\n", " ,\n"
    )


def _synopses(program: Program) -> list[str]:
    if program is HOSTED_ENGINE:
        return [f".B {_text(program.name)}", ".I COMMAND", "[\\fIOPTION\\fR...]"]
    return [f".B {_text(program.name)}", *_option_words(program.commands[0])]


def _commands(program: Program) -> list[str]:
    if program is not HOSTED_ENGINE:
        command = program.commands[0]
        return [".SH OPTIONS", *_options(command), *_examples(command)]
    lines = [".SH COMMANDS"]
    for group in program.groups:
        lines.append(f".SS {_quoted(group.title)}")
        for command in group.commands:
            lines += _command(command)
    return lines


def _command(command: Command) -> list[str]:
    heading = " ".join([f"\\fB{_text(command.name)}\\fR", *map(_variable, command.arguments)])
    summary = f"{capital(command.summary)}."
    parts = [*_paragraphs(summary), *(f for f in _paragraphs(command.text, first=".IP") if f)]
    lines = [".TP", heading, *_option_words(command), ".br", *parts]
    details = [*_options(command), *_examples(command), *_codes(command)]
    return [*lines, ".RS", *details, ".RE"] if details else lines


def _option_words(command: Command) -> list[str]:
    return [f"[{_option_word(option)}]" for option in command.options]


def _option_word(option: Option) -> str:
    return _word(option, option.name)


def _word(option: Option, name: str) -> str:
    if option.metavar is None:
        return f"\\fB{_text(name)}\\fR"
    value = "|".join(option.choices)
    shown = f"\\fB{_text(value)}\\fR" if value else _variable(option.metavar)
    return f"\\fB{_text(name)}\\fR={shown}"


def _options(command: Command) -> list[str]:
    lines = []
    for option in command.options:
        words = ", ".join(_word(option, name) for name in option.names)
        lines += [".TP", words, *_paragraphs(f"{option.help}.")]
    return lines


def _examples(command: Command) -> list[str]:
    items = [_item(line, what) for line, what in command.examples]
    return [".PP", "Examples:", *(line for item in items for line in item)] if items else []


def _codes(command: Command) -> list[str]:
    return [line for code, what in command.exit_codes for line in _item(f"exit code {code}", what)]


def _item(name: str, what: str) -> list[str]:
    return [".TP", f"\\fB{_text(name)}\\fR", *_paragraphs(what)]


def _paragraphs(text: str, first: str = "") -> list[str]:
    """Filled by the formatter; an empty line begins another one."""
    parts = [_text(" ".join(part.split())) for part in text.split("\n\n") if part.strip()]
    lines = []
    for number, part in enumerate(parts):
        lines += ([".IP"] if number or first else []) + [part]
    return lines


def _variable(name: str) -> str:
    return f"\\fI{_text(name)}\\fR"


def _quoted(text: str) -> str:
    return '"' + _text(text).replace('"', "\\(dq") + '"'


def _text(text: str) -> str:
    """Nothing in it is a request; what can be typed keeps its own signs."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace("\u2026", "...")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain
