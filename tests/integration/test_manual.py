# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The manual pages and the completion, read by the real man, bash, zsh and fish."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosted_engine.cli.catalogue import COMMANDS, GROUPS
from hosted_engine.cli.generated.__main__ import main as write_files
from hosted_engine.errors import EXIT_CODES
from tests.lab.verbs import scaled

SHELL_TIMEOUT_S = 20.0
PAGES = ("hosted-engine.8", "hosted-engine-cleanup.8")
# Pages of a project that is built from its sources have no date.
NO_DATE = "missing date"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("manual")
    write_files(folder)
    return folder


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program}: apt-get install {program}")


def output_of(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=scaled(SHELL_TIMEOUT_S), check=False
    )
    assert done.stderr == ""
    return done.stdout


# --- man --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_page_is_well_formed(written: Path, page: str) -> None:
    need("mandoc")
    told = output_of("mandoc", "-T", "lint", "-W", "warning", str(written / "man" / page))
    assert [line for line in told.splitlines() if NO_DATE not in line] == []


@pytest.fixture(scope="module")
def shown_page(written: Path) -> str:
    need("mandoc")
    page = str(written / "man" / PAGES[0])
    shown = output_of("mandoc", "-T", "ascii", "-O", "width=400", page)
    return _without_overstrikes(shown)


def test_page_shows_every_command_option_and_example(shown_page: str) -> None:
    plain = " ".join(shown_page.split())
    for command in COMMANDS:
        wanted = [command.name, *(option.name for option in command.options)]
        assert [word for word in wanted if word not in plain] == []
        assert [line for line, _ in command.examples if line not in plain] == []


def test_page_has_the_groups_as_headings_and_all_exit_codes(shown_page: str) -> None:
    lines = [line.strip() for line in shown_page.splitlines()]
    assert [group.title for group in GROUPS if group.title not in lines] == []
    codes = [(str(code), f"{meaning}.") for code, meaning in EXIT_CODES]
    for command in COMMANDS:
        codes += [(f"exit code {code}", meaning) for code, meaning in command.exit_codes]
    plain = " ".join(shown_page.split())
    assert [code for code in codes if " ".join(code) not in plain] == []


@pytest.mark.parametrize("section", ["EXIT STATUS", "FILES", "ENVIRONMENT", "SEE ALSO"])
def test_page_has_the_usual_sections(shown_page: str, section: str) -> None:
    assert section in shown_page.splitlines()


def _without_overstrikes(text: str) -> str:
    """Bold is each letter twice, with a step back between."""
    return "".join(
        letter
        for letter, following in zip(text, f"{text[1:]} ")
        if letter != "\b" and following != "\b"
    )


# --- the shells -------------------------------------------------------------------------------

CASES = [
    ("hosted-engine --check-d", ["--check-deployed"]),
    ("hosted-engine --set-maintenance --w", ["--wait"]),
    ("hosted-engine --vm-start --wai", ["--wait"]),
    ("hosted-engine-cleanup --fo", ["--force"]),
]
FILE_CASES = ("--simulate ", "--deploy --config-append=", "--history --plot=")


def bash_words(line: str) -> list[str]:
    """As readline splits them: "=" is a word of its own."""
    return line.replace("=", " = ").split(" ")


def in_bash(written: Path, line: str) -> list[str]:
    words = [word for word in bash_words(line) if word] + ([""] if line.endswith(" ") else [])
    program = words[0]
    script = (
        f'source {written}/completion/{program}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        f"_{program.replace('-', '_')}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    return output_of("bash", "--norc", "-c", script, "bash", *words).split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        *CASES,
        ("hosted-engine --set-maintenance --mode=", ["global", "local", "none"]),
        ("hosted-engine --set-maintenance --mode=g", ["global"]),
        ("hosted-engine --set-maintenance --mode n", ["none"]),
        ("hosted-engine --set-maintenance --mo", ["--mode="]),
    ],
)
def test_bash(written: Path, line: str, expected: list[str]) -> None:
    assert in_bash(written, line) == expected


def test_bash_offers_all_commands_and_then_their_options_only(written: Path) -> None:
    names = {command.name for command in COMMANDS}
    assert set(in_bash(written, "hosted-engine ")) == {*names, "--help"}
    assert "--mode=" not in in_bash(written, "hosted-engine --vm-status ")


@pytest.mark.parametrize("words", FILE_CASES)
def test_bash_offers_files_where_files_are_meant(written: Path, tmp_path: Path, words: str) -> None:
    (tmp_path / "world.yaml").write_text("")
    line = f"hosted-engine {words}{tmp_path}/wor"
    assert in_bash(written, line) == [f"{tmp_path}/world.yaml"]


def in_fish(written: Path, line: str) -> list[str]:
    script = f"source {written}/completion/{line.split(maxsplit=1)[0]}.fish; complete -C '{line}'"
    told = output_of("env", f"HOME={written}", "fish", "--no-config", "-c", script)
    return [one.split("\t")[0] for one in told.splitlines()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        *CASES,
        (
            "hosted-engine --set-maintenance --mode=",
            ["--mode=global", "--mode=local", "--mode=none"],
        ),
    ],
)
def test_fish(written: Path, line: str, expected: list[str]) -> None:
    need("fish")
    assert in_fish(written, line) == expected


class Zsh:
    """An interactive zsh on a terminal of its own: its completion works nowhere else."""

    def __init__(self, written: Path) -> None:
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.environ.update(TERM="dumb", HOME=str(written))
            os.execvp("zsh", ["zsh", "-f", "-i"])
        self.type(f"PS1=; fpath=({written}/completion $fpath); autoload -Uz compinit\n")
        self.type('compinit -u -D; LISTMAX=0; echo REA""DY\n')
        self.read_until("READY\r\n")

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def read_until(self, wanted: str) -> str:
        seen, deadline_s = "", time.monotonic() + scaled(SHELL_TIMEOUT_S)
        while wanted not in seen:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0 and select.select([self._terminal], [], [], left_s)[0], seen
            seen += os.read(self._terminal, 65536).decode()
        return seen

    def close(self) -> None:
        os.close(self._terminal)
        os.waitpid(self._pid, 0)


@pytest.fixture
def zsh(written: Path) -> Iterator[Zsh]:
    need("zsh")
    shell = Zsh(written)
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("line", "expected"),
    [*CASES, ("hosted-engine --set-maintenance --mode=g", ["--mode=global"])],
)
def test_zsh(zsh: Zsh, line: str, expected: list[str]) -> None:
    zsh.type(f"{line}\t")
    zsh.read_until(f"{expected[0]} ")


@pytest.mark.parametrize("words", FILE_CASES)
def test_zsh_offers_files_where_files_are_meant(zsh: Zsh, tmp_path: Path, words: str) -> None:
    (tmp_path / "world.yaml").write_text("")
    zsh.type(f"hosted-engine {words}{tmp_path}/wor\t")
    zsh.read_until("/world.yaml ")  # a narrow terminal shows no more of it
