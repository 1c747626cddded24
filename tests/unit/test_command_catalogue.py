# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The catalogue of commands: what it promises is there, and can be typed."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest

from hosted_engine.cli.catalogue import COMMANDS
from hosted_engine.cli.catalogue.base import Command, Option
from hosted_engine.cli.catalogue.storage import CLEANUP
from hosted_engine.cli.generated.__main__ import files
from hosted_engine.cli.option_parser import command_help, command_parser
from hosted_engine.cli.parser import Asked, parse, parse_command
from hosted_engine.config.key_types import SECTIONS
from hosted_engine.errors import EXIT_CODES, UsageError
from hosted_engine.main import main

DOCS = Path(__file__).parents[2] / "docs"


def each_command() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)


def test_no_name_is_given_twice() -> None:
    names = [command.name for command in COMMANDS]
    assert sorted(set(names)) == sorted(names)


def test_help_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert [command.name for command in COMMANDS if command.name not in text] == []
    assert [code for code, _ in EXIT_CODES if f"{code} " not in text] == []


@each_command()
def test_a_commands_own_help_shows_all_that_it_takes(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command.name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: hosted-engine {command.name}")
    wanted = [option.name for option in command.options] + [line for line, _ in command.examples]
    assert [one for one in wanted if one not in text] == []


@each_command()
def test_what_a_command_runs_takes_the_options_alone(command: Command) -> None:
    module, _, function = command.run.partition(":")
    found = getattr(importlib.import_module(module), function)
    assert len(inspect.signature(found).parameters) == 1


@each_command()
def test_every_example_can_be_typed(command: Command) -> None:
    assert command.examples != ()
    for line, what in command.examples:
        program, *arguments = shlex.split(line)
        asked = parse(arguments)
        assert program == "hosted-engine"
        assert isinstance(asked, Asked)
        assert asked.command is command
        assert what.endswith((".", "?"))


@each_command()
def test_texts_have_one_form(command: Command) -> None:
    assert not command.summary.endswith(".")
    assert len(command.summary) <= 72
    assert command.text == "" or command.text.endswith(".")
    assert [one.name for one in command.options if not one.help or one.help.endswith(".")] == []


@pytest.mark.parametrize("name", sorted(files()))
def test_what_is_kept_is_what_the_catalogues_make(name: str) -> None:
    """After a change: python -m hosted_engine.cli.generated docs."""
    assert (DOCS / name).read_text(encoding="utf-8") == files()[name]


def test_no_other_page_or_completion_is_kept() -> None:
    kept = {
        str(path.relative_to(DOCS))
        for folder in ("man", "completion")
        for path in (DOCS / folder).iterdir()
    }
    assert kept == {name for name in files() if "/" in name}


WEIGH = Command(
    "--weigh",
    run="nowhere:nothing",
    summary="weigh 100 % of it",
    arguments=("WHAT", "WHERE"),
    options=(
        Option("--unit", metavar="UNIT", choices=("g", "kg"), help="half is 50 %"),
        Option("--twice", help="to be sure"),
    ),
)


@each_command()
def test_switches_alone_are_what_argparse_makes_of_them(command: Command) -> None:
    """They do not load it, see `hosted_engine.cli.parser`."""
    switches = [option.name for option in command.options if option.metavar is None]
    named = [command.name, *command.arguments]
    for given in ([], switches, switches[:1] * 2, switches[-1:]):
        for words in ([*named, *given], [*given, *named]):
            parsed = vars(command_parser(command).parse_args(words))
            if command.arguments:
                parsed["arguments"] = command.arguments
            assert vars(parse_command(command, words)) == parsed


ALIASES = {
    "--clean-metadata": {"--force-clean": "--force-cleanup"},
    "--deploy": {"--write-answers": "--generate-answer"},
    "": {"--yes": "-q"},
}


def test_the_older_tools_names_for_options_are_those_that_it_has() -> None:
    found = {
        command.name: {option.name: alias for option in command.options for alias in option.aliases}
        for command in (*COMMANDS, CLEANUP)
    }
    assert {name: aliases for name, aliases in found.items() if aliases} == ALIASES


@pytest.mark.parametrize("command", [*COMMANDS, CLEANUP], ids=lambda command: command.name)
def test_an_alias_is_the_option_itself(command: Command) -> None:
    named = [command.name, *command.arguments] if command.name else []
    for option in command.options:
        value = [] if option.metavar is None else ["x"]
        for name in option.aliases:
            parsed = vars(parse_command(command, [*named, name, *value]))
            assert parsed == vars(parse_command(command, [*named, option.name, *value]))
            assert parsed[option.dest]
            if option.metavar is not None:
                with pytest.raises(UsageError, match="given twice"):
                    parse_command(command, [*named, f"{name}=x", f"{option.name}=y"])
            assert name in command_help(command)


@pytest.mark.parametrize(
    ("words", "owner"),
    [
        (["--vm-status", "--generate-answer=x"], "--generate-answer goes with --deploy only"),
        (["--force-cleanup"], "--force-cleanup goes with --clean-metadata only"),
        (["--vm-status", "-q"], "unrecognized arguments: -q"),
    ],
)
def test_an_alias_at_another_command_is_told_as_its_option(words: list[str], owner: str) -> None:
    with pytest.raises(UsageError, match=owner):
        parse(words)


def test_options_become_attributes() -> None:
    options = parse_command(WEIGH, ["--weigh", "me", "here", "--unit=kg", "--twice"])
    assert (options.arguments, options.unit, options.twice) == (("me", "here"), "kg", True)


def test_what_is_not_given_is_none_or_false() -> None:
    options = parse_command(WEIGH, ["--weigh", "me", "-5"])
    assert (options.arguments, options.unit, options.twice) == (("me", "-5"), None, False)


def test_percent_signs_are_no_riddle() -> None:
    text = command_help(WEIGH)
    assert "100 % of it" in text
    assert "half is 50 %\n" in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--weigh", "me"], "expected 2 arguments"),
        (["--weigh", "me", ""], "'' is refused"),
        (["--weigh", "a", "b", "--unit=t"], "'t'"),
        (["--weigh", "a", "b", "--unit=g", "--unit=kg"], "--unit: given twice"),
        (["--weigh", "a", "b", "--mode=none"], "--mode goes with --set-maintenance only"),
        (["--weigh", "a", "b", "c"], "unrecognized arguments: c"),
        (["--weigh", "a", "b", "--twi"], "unrecognized arguments: --twi"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: list[str], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        parse_command(WEIGH, arguments)


@pytest.mark.parametrize("name", ["--get-shared-config", "--set-shared-config"])
def test_the_types_of_settings_are_told_with_their_sections(name: str) -> None:
    """In the help, and in the page."""
    (command,) = [one for one in COMMANDS if one.name == name]
    (option,) = [one for one in command.options if one.name == "--type"]
    page = (DOCS / "shared-settings.md").read_text(encoding="utf-8")
    for kind, sections in SECTIONS.items():
        told = re.findall(rf"\b{kind} \(([^)]*)\)", option.help)[0]
        (row,) = re.findall(rf"^\| `{kind}`[^|]*\| (.*) \|$", page, re.MULTILINE)
        for section in sections:
            assert section in told
            assert f"`{section}`" in row
