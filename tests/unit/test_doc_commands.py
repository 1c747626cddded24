# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Every command of every page is run by a test, or its page says that none does."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from hosted_engine.cli.catalogue.storage import CLEANUP as CLEANUP_COMMAND
from hosted_engine.cli.parser import Asked, parse, parse_command
from hosted_engine.config.apply import Telling
from hosted_engine.config.get_set import HE_SHARED, set_value
from hosted_engine.errors import UsageError
from hosted_engine.main import main
from hosted_engine.simulate.run import Story, tell
from hosted_engine.simulate.script import parse_script
from metadata.settings.parse import ClusterSettings
from simulation.settings import parse_world
from tests.unit.config_bench import Cluster
from tests.unit.doc_commands import (
    CLEANUP,
    COMMAND_BLOCKS,
    MARKED_BLOCKS,
    NOT_RUN,
    OTHER_BLOCKS,
    OURS,
    RULES,
    SPELLED,
    Typed,
    all_pages,
    block_kinds,
    inline,
    name_of,
    runner,
    starts,
    told_as_not_run,
    typed,
)
from tests.unit.doc_pages import ROOT
from tests.unit.history_entries import story as history_entries
from tests.unit.history_entries import write

EVERY_PAGE = pytest.mark.parametrize("page", all_pages(), ids=name_of)
EVERYTHING = [one for page in all_pages() for one in typed(page)]
# Stand for what one puts there.
PLACES = {"COMMAND": "--explain", "N": "3", "S": "30", "[--to": "--to", "H]": "h2"}


def not_run(page: Path) -> list[str]:
    """Of a page, where it does not say so at the place itself."""
    return [
        one.command
        for one in typed(page)
        if runner(one) == NOT_RUN and not (one.block and name_of(page) in MARKED_BLOCKS)
    ]


@EVERY_PAGE
def test_each_block_says_whether_it_is_to_be_typed(page: Path) -> None:
    """A picture, an answer, a file's content has its kind."""
    assert block_kinds(page.read_text(encoding="utf-8")) <= {*COMMAND_BLOCKS, *OTHER_BLOCKS}


@EVERY_PAGE
def test_of_each_command_it_is_known_who_runs_it(page: Path) -> None:
    assert [one.command for one in typed(page) if runner(one) is None] == []


@EVERY_PAGE
def test_a_page_tells_which_commands_no_test_runs(page: Path) -> None:
    told = told_as_not_run(page)
    commands = not_run(page)
    silent = [code for code in commands if not any(starts(code, start) for start in told)]
    assert silent == [], "add them to the page's sentence, or a rule with the test that runs them"
    # A program alone is only named, and may be told of, too.
    named = [*commands, *inline(page)]
    stale = [start for start in told if not any(starts(code, start) for code in named)]
    assert stale == [], "a test runs them, or the page has none"


@pytest.mark.parametrize("one", EVERYTHING, ids=lambda one: f"{name_of(one.page)}: {one.command}")
def test_each_command_of_ours_can_be_typed(one: Typed) -> None:
    words = [PLACES.get(word, word) for word in re.split("([ =])", one.command)]
    words = shlex.split("".join(words))
    if not one.block and len(words) == 2 and words[0] == "hosted-engine":
        # The command is named, not typed.
        assert words[1] in OURS
        return
    if words[0] == "hosted-engine":
        asked = parse(words[1:])
        assert isinstance(asked, Asked) or "--help" in words
    elif words[0] == "hosted-engine-cleanup":
        parse_command(CLEANUP_COMMAND, words[1:])


def test_a_command_that_is_none_is_found() -> None:
    with pytest.raises(UsageError):
        parse(["--vm-statsu"])


def where(by: str) -> Path:
    return (ROOT / "tests" / by).resolve()


@pytest.mark.parametrize(("option", "by"), OURS.items())
def test_the_test_that_runs_one_of_ours_names_it(option: str, by: str) -> None:
    assert SPELLED.get(option, option) in where(by).read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.page} {rule.start}")
def test_a_rule_is_needed_and_its_test_is_there(rule: object) -> None:
    assert rule in RULES
    start, by, page = rule  # type: ignore[misc]
    assert [
        one for one in EVERYTHING if starts(one.command, start) and page in ("", name_of(one.page))
    ], "no page has such a command"
    assert by == NOT_RUN or where(by).is_file()


def test_each_of_ours_is_needed() -> None:
    words = {word for one in EVERYTHING for word in one.command.split()}
    assert {*OURS} <= words
    assert where(CLEANUP).is_file()


# --- run here ---------------------------------------------------------------------------------


def of_page(name: str, start: str = "hosted-engine") -> list[str]:
    """The commands in the blocks of one page that begin so."""
    return [
        one.command
        for one in EVERYTHING
        if one.block and name_of(one.page) == name and starts(one.command, start)
    ]


def test_daily_work_is_done_on_simulated_hosts() -> None:
    """The lines of the index in their order on the first host; the simulator waits by itself."""
    lines = [one.replace(" --wait", "") for one in of_page("docs/index.md")]
    known = [line for line in lines if not line.startswith("hosted-engine --history")]
    assert len(known) == len(lines) - 1 == 6
    # Local maintenance took the engine away: it comes back, so that it can be moved by hand.
    back = ["hosted-engine --set-maintenance --mode=none", "hosted-engine --vm-migrate --to h1"]
    hosts = ["h1"] * 3 + ["h1", "h2"] + ["h1"] * 3
    commands = [*known[:3], *back, *known[3:]]
    events = [
        {"at": 10 + 60 * number, "do": f"on {host} {command}"}
        for number, (host, command) in enumerate(zip(hosts, commands))
    ]
    told = story([*events, {"until": 600}])
    assert [line for line in told.lines if "refused" in line] == []
    assert told.violations == ()


def story(events: Sequence[dict[str, Any]]) -> Story:
    """What becomes of them on three simulated hosts, of which h1 has the engine."""
    world = parse_world("hosts: 3\ncluster: {timing: {io_timeout_s: 2}}\n")
    return tell(world, parse_script(yaml.safe_dump([*events]), ["h1", "h2", "h3"]))


@pytest.mark.parametrize("command", of_page("docs/deploy.md", "install"))
def test_a_file_is_installed(command: str, tmp_path: Path) -> None:
    here = command.replace(" /etc/", f" {tmp_path}/etc/")
    subprocess.run(here, shell=True, cwd=ROOT, check=True)
    assert list(tmp_path.rglob("*.conf"))


@pytest.mark.parametrize("command", of_page("docs/notifications.md", "install"))
def test_a_password_is_installed(command: str, tmp_path: Path) -> None:
    """With this user's own name and group, which everybody may give."""
    own = command.replace("-o root -g hosted-engine-ha", f"-o {os.getuid()} -g {os.getgid()}")
    own = own.replace("/etc/hosted-engine-ha", str(tmp_path))
    assert own != command
    subprocess.run(own, shell=True, input=b"secret\n", check=True)
    file = tmp_path / "mail.password"
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"secret\n", 0o640)


@pytest.mark.parametrize("command", of_page("docs/history.md"))
def test_the_history_is_told(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HE_STATE_DIR", str(tmp_path))
    # It is about noon here, so that nothing of this happened before half past two.
    monkeypatch.setenv("TZ", f"HERE{time.gmtime().tm_hour - 12}")
    monkeypatch.setattr("tests.unit.history_entries.WALL_S", time.time() - 400)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "history", history_entries())
    assert main(shlex.split(command)[1:]) == 0
    told = capfd.readouterr().out
    assert "h1" in ((tmp_path / "night.svg").read_text() if "--plot" in command else told)


def test_the_simulations_example_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the page's own files, and the settings of a host that is deployed."""
    page = (ROOT / "docs/simulate.md").read_text(encoding="utf-8")
    monkeypatch.setattr("hosted_engine.simulate.command.deployed_settings", ClusterSettings)
    monkeypatch.chdir(tmp_path)
    for name in ("world.yaml", "script.yaml"):
        (content,) = re.findall(rf"```yaml\n(# {name}\n.*?)```", page, re.DOTALL)
        (tmp_path / name).write_text(content)
    (command,) = of_page("docs/simulate.md")
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("no rule was broken")


@pytest.mark.parametrize(
    "command", of_page("docs/shared-settings.md", "hosted-engine --set-shared-config network.test")
)
def test_a_shared_setting_is_changed(command: str) -> None:
    """On a cluster in memory."""
    cluster = Cluster(hosts=3)
    key, value = shlex.split(command)[2:]
    assert set_value(cluster.context(), key, HE_SHARED, value, Telling()) == 0
    assert cluster.stored().config.settings.network.test == value
