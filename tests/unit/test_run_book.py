# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""docs/run-book.md and docs/index.md: what they name is there, and nothing is forgotten."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from ha_broker.api.snapshot import HostView
from ha_broker.api.takers import not_chosen
from hosted_engine.cli.catalogue import COMMANDS
from hosted_engine.cli.catalogue.storage import CLEANUP
from hosted_engine.cli.parser import Asked, parse, parse_command
from hosted_engine.config.keys import check_key
from hosted_engine.errors import UsageError
from hosted_engine.host.libvirt_unit import MODULAR, MONOLITHIC
from metadata.liveness import Liveness
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from metadata.settings.values import ClusterSettings
from metadata.states import State
from metadata.takes_note import KEY as TAKES_KEY
from tests.unit.doc_pages import (
    DOCS,
    ROOT,
    anchor,
    anchors,
    codes,
    commands,
    links,
    pages,
    prose,
    sections,
)
from tests.unit.monitoring_files import rules

RUN_BOOK = (DOCS / "run-book.md").read_text(encoding="utf-8")
INDEX = (DOCS / "index.md").read_text(encoding="utf-8")
OURS = {file.stem for file in (ROOT / "systemd").glob("*.service")}
OTHERS = {"sanlock", "wdmd", "polkit", MODULAR, MONOLITHIC}
DOWN = EngineStatus(EngineVm.DOWN, Health.UNKNOWN, "Down")
RECORD = HostRecord(2, 7, 3400, DOWN, "h2")
TAKES = ((TAKES_KEY, "at h2"),)
PARTS = ("- *Means.* ", "- *Look.* ", "- *Do.* ")
EVERY_PAGE = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
BOTH = pytest.mark.parametrize("text", [RUN_BOOK, INDEX], ids=["run-book", "index"])
OPTIONS = {
    name
    for command in COMMANDS
    for name in (command.name, *(name for option in command.options for name in option.names))
}
PROGRAMS = (
    *("systemctl", "journalctl", "sanlock", "virsh", "multipath", "findmnt", "dmesg", "ip"),
    *("ping", "top", "openssl", "mount", "iscsiadm", "lsblk", "dd", "ss", "ssh", "nft"),
)
# Of oVirt's own command, in the page that leads from it; and help, which every command has.
FOREIGN = {"from-ovirt.md": {"--4", "--6", "--ansible-extra-vars", "--restore-from-file"}}
KNOWN = {*OPTIONS, *(name for option in CLEANUP.options for name in option.names), "--help"}


def titles_below(chapter: str) -> list[str]:
    """The sections of one chapter of the run book."""
    found: list[str] = []
    inside = False
    for section in sections(RUN_BOOK):
        if section.level == 2:
            inside = section.title == chapter
        elif inside:
            found.append(section.title)
    return found


# --- nothing is forgotten ---------------------------------------------------------------------


def test_each_alert_has_its_section_in_the_order_of_the_file() -> None:
    assert titles_below("Alerts") == [rule["alert"] for rule in rules()]


def test_each_state_has_its_section() -> None:
    titles = titles_below("States")
    assert sorted(titles) == sorted(state.value for state in State)


@pytest.mark.parametrize("title", titles_below("Alerts") + titles_below("States"))
def test_each_says_what_it_means_what_to_look_at_and_what_to_do(title: str) -> None:
    (text,) = [section.text for section in sections(RUN_BOOK) if section.title == title]
    starts = [line for line in text.strip().splitlines() if not line.startswith(" ")]
    assert [line[: line.find(".* ") + 3] for line in starts] == list(PARTS)
    look = text.partition(PARTS[1])[2].partition(PARTS[2])[0]
    assert "`" in look, "an exact command, or a file"


def test_every_page_is_reached_from_the_index() -> None:
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in links(INDEX)}
    missing = [
        page for page in pages() if page.resolve() not in listed and page != DOCS / "index.md"
    ]
    assert missing == []


def test_the_readme_leads_to_the_index() -> None:
    assert "docs/index.md" in links((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "view",
    [
        *(HostView(2, one, 1, RECORD, fresh=True) for one in Liveness if one is not Liveness.LIVE),
        HostView(2, Liveness.LIVE, 1),
        HostView(2, Liveness.LIVE, 1, RECORD),
        HostView(2, Liveness.LIVE, 1, replace(RECORD, stopped=True), fresh=True),
        HostView(2, Liveness.LIVE, 1, replace(RECORD, maintenance=True), fresh=True),
        HostView(2, Liveness.LIVE, 1, replace(RECORD, score=0, notes=TAKES), fresh=True),
        HostView(2, Liveness.LIVE, 1, RECORD, fresh=True),
    ],
)
def test_each_reason_against_a_move_stands_in_its_table(view: HostView) -> None:
    """The first words of it, but for the one who is meant."""
    (text,) = [one.text for one in sections(RUN_BOOK) if one.title == "A move that is refused"]
    reasons = " ".join(line.split(" | ")[0] for line in text.splitlines() if line[:1] == "|")
    words = re.sub("^sanlock ", "", not_chosen(view)).partition(" and ")[0]
    assert words
    assert words in reasons


# --- what is named is there -------------------------------------------------------------------


@BOTH
def test_each_command_can_be_typed(text: str) -> None:
    found = commands(text, "hosted-engine")
    for command in found:
        arguments = [re.sub(r"\bN$", "3", word) for word in shlex.split(command)[1:]]
        assert isinstance(parse(arguments), Asked), command
    assert len(found) > 6
    for command in commands(text, "hosted-engine-cleanup"):
        parse_command(CLEANUP, shlex.split(command)[1:])


@BOTH
def test_each_unit_is_one_of_ours_or_a_known_one(text: str) -> None:
    named = [words for words in map(units_of, codes(text)) if words]
    assert {unit for words in named for unit in words} <= OURS | OTHERS
    assert text is INDEX or len(named) > 30


def units_of(command: str) -> list[str]:
    """Those that a line for systemctl or journalctl names."""
    words = shlex.split(command, comments=True)
    if words[:1] == ["journalctl"]:
        return [unit for option, unit in zip(words, words[1:]) if option == "-u"]
    if words[:1] == ["systemctl"] and words[1:] not in ([], ["poweroff"]):
        assert words[1] in ("status", "start", "stop", "restart"), command
        return words[2:]
    return []


def test_no_command_restarts_what_must_not_be_restarted() -> None:
    for command in commands(RUN_BOOK, "systemctl"):
        words = command.split()
        assert not (words[1] in ("restart", "stop") and {"sanlock", "wdmd"} & set(words)), command


def test_each_setting_that_is_named_is_one() -> None:
    top = tuple(vars(ClusterSettings()))
    named = {
        code for code in codes(RUN_BOOK) if re.fullmatch(rf"(?:{'|'.join(top)})\.[a-z_.]+", code)
    }
    for key in named:
        check_key(key)
    assert len(named) > 10


def test_each_other_program_is_told_of_as_not_run_by_a_test() -> None:
    """And none is told of that is not used."""
    (listed,) = re.findall(r"\*\*Not run by a test\*\* are [^:]+: ([^.]+)\.", prose(RUN_BOOK))
    told = re.findall(r"`([^`]+)`", listed)
    typed = [code.split() for code in codes(RUN_BOOK)]
    assert {words[0] for words in typed if words[0] in PROGRAMS} == set(told)
    for program in told:
        assert sum(words[0] == program for words in typed) > 1, program


@EVERY_PAGE
def test_each_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    for link in links(page.read_text(encoding="utf-8")):
        name, _, heading = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), link
        if heading:
            assert heading in anchors(target.read_text(encoding="utf-8")), link


@EVERY_PAGE
def test_each_option_that_a_page_gives_the_command_is_in_the_catalogue(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    typed = commands(text, "hosted-engine") + commands(text, "hosted-engine-cleanup")
    given = {
        option for line in typed for option in re.findall(r"(?<!\S)--[a-z0-9][a-z0-9-]*", line)
    }
    assert given - FOREIGN.get(page.name, set()) <= KNOWN


# --- the readers of the pages -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "wanted"),
    [
        ("The engine does not start: what now", "the-engine-does-not-start-what-now"),
        ("A faster takeover: sanlock's watchdog time", "a-faster-takeover-sanlocks-watchdog-time"),
        ("world.yaml", "worldyaml"),
        ("--get-shared-config, --set-shared-config", "--get-shared-config---set-shared-config"),
    ],
)
def test_anchors_are_made_as_the_site_makes_them(title: str, wanted: str) -> None:
    assert anchor(title) == wanted


def test_commands_are_found_in_prose_and_blocks_without_remarks() -> None:
    text = "see `hosted-engine --explain`\n\n```\nhosted-engine --vm-status   # all\n```\n"
    assert commands(text, "hosted-engine") == [
        "hosted-engine --explain",
        "hosted-engine --vm-status",
    ]


@pytest.mark.parametrize("line", ["--vm-statsu", "--vm-migrate --too h2", "--explain --watch"])
def test_a_command_that_is_none_is_found(line: str) -> None:
    with pytest.raises(UsageError):
        parse(shlex.split(line))


def test_links_in_blocks_are_none() -> None:
    assert links("[a](b.md#c) and `x`\n```\n[d](e.md)\n```\n[f](https://g.example)") == ["b.md#c"]
