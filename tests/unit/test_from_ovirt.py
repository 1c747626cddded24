# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""docs/from-ovirt.md: every key of oVirt's own tools is in it, and leads to a setting of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hosted_engine.cli.catalogue import COMMANDS
from hosted_engine.cli.catalogue.storage import CLEANUP
from hosted_engine.config.key_types import TYPES
from hosted_engine.config.keys import check_key
from hosted_engine.config.older_keys import OLDER_KEYS
from hosted_engine.deploy.answers import parse_answers
from hosted_engine.errors import CommandError, UsageError
from metadata.older_files import older_file
from tests.unit import older_key_names as names

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "from-ovirt.md").read_text()
MAP = GUIDE.partition("## Every key\n")[2].partition("\n## ")[0]
TAKEN = "--get-shared-config, --set-shared-config"
SECTIONS = {
    "hosted-engine.conf": names.HOSTED_ENGINE_CONF,
    "agent.conf": names.AGENT_CONF,
    "broker.conf": names.BROKER_CONF,
    "ha.conf": names.HA_CONF,
    "Answers of the set-up": names.ANSWERS,
    TAKEN: frozenset(OLDER_KEYS),
}
CODE = re.compile(r"`([^`]+)`")
KEY = re.compile(r"[a-z_]+(?:\.[a-z_]+)+")
FILES = ("host.yaml",)
CONNECTIONS = ("nfs", "nfs4", "glusterfs", "posix", "iscsi", "fc")


class Row(NamedTuple):
    section: str
    there: list[str]
    verdict: str
    here: str

    @property
    def keys(self) -> list[str]:
        """What it leads to."""
        found = [code for code in CODE.findall(self.here) if KEY.fullmatch(code)]
        return [key for key in found if key not in FILES]


def rows_of(section: str) -> list[Row]:
    text = MAP.partition(f"### {section}\n")[2].partition("\n### ")[0]
    cells = [re.split(r" (?<!\\)\| ", line[2:-2]) for line in text.splitlines() if line[:2] == "| "]
    return [Row(section, CODE.findall(there), how, here) for there, how, here in cells[1:]]


ROWS = [row for section in SECTIONS for row in rows_of(section)]


def is_known(key: str) -> bool:
    """Of the shared settings, or of the answers, whose host and storage host.yaml has then."""
    try:
        check_key(key)
    except UsageError:
        if not key.startswith(("host.", "storage.", "sanlock.", "engine.")):
            return False
        return any("unknown key" not in told for told in refusals(key))
    return True


def refusals(key: str) -> list[str]:
    """What the answers' reader says of a value of the wrong kind there."""
    found = []
    for kind in CONNECTIONS if key.startswith("storage.connection.") else ("",):
        data: dict[str, Any] = {"storage": {"path": "/x"}}
        if kind:
            data["storage"]["connection"] = {"type": kind}
        section, *path, last = data, *key.split(".")
        for name in path:
            section = section.setdefault(name, {})
        section.setdefault(last, {"of": ["the wrong kind"]})
        try:
            parse_answers(data, "answers")
            found.append("")
        except CommandError as error:
            found.append(error.message)
    return found


def test_a_key_that_there_is_none_of_is_seen() -> None:
    for key in (
        *("storage.connection.colour", "host.colour", "engine.colour", "host.metrics.colour"),
        *("sanlock.colour", "notifications.smtp.colour", "storage.colour", "colour.fqdn"),
    ):
        assert not is_known(key), key


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_there_once(section: str) -> None:
    listed = [name for row in rows_of(section) for name in row.there]
    assert sorted(listed) == sorted(SECTIONS[section])


def test_nothing_else_is_in_the_map() -> None:
    assert re.findall(r"^### (.+)$", MAP, re.MULTILINE) == list(SECTIONS)
    assert len(ROWS) > 80


@pytest.mark.parametrize("key", sorted({key for row in ROWS for key in row.keys}))
def test_what_it_leads_to_is_a_setting(key: str) -> None:
    assert is_known(key)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.there[0])
def test_each_row_says_how_and_where(row: Row) -> None:
    assert row.there
    assert row.here.strip()
    if row.section == TAKEN:
        assert row.verdict.strip("`") in TYPES
    else:
        assert row.verdict in ("same", "differs", "dropped")
    if row.verdict == "same":
        assert len(row.keys) >= len([name for name in row.there if "gateway-score" not in name])
    if row.verdict == "differs":
        assert row.keys or "hosted-engine --" in row.here or "`--deploy" in row.here


def test_what_is_taken_leads_where_the_map_says() -> None:
    for row in rows_of(TAKEN):
        for name in row.there:
            assert row.verdict == f"`{OLDER_KEYS[name].kind}`"
            assert ".".join(OLDER_KEYS[name].path) in row.keys


def test_options_that_it_names_are_ours_or_said_to_be_theirs() -> None:
    theirs = {"--restore-from-file", "--ansible-extra-vars", "--mode", "--now", "--4", "--6"}
    ours = {option for one in (*COMMANDS, CLEANUP) for each in one.options for option in each.names}
    ours |= {command.name for command in COMMANDS}
    assert set(re.findall(r"--[a-z0-9][a-z0-9-]*", GUIDE)) - ours <= theirs


def test_what_is_not_ours_is_said_with_what_to_use_instead() -> None:
    text = GUIDE.partition("## Not ours\n")[2].partition("\n## ")[0]
    cells = [line[2:-2].split(" | ") for line in text.splitlines() if line[:2] == "| "][1:]
    for word in ("appliance", "--restore-from-file", "deploying and undeploying hosts"):
        assert any(word in there for there, _ in cells), word
    assert all(instead.strip() for _, instead in cells)


def test_its_links_lead_to_headings_of_its_own() -> None:
    headings = {
        title.lower().replace(" ", "-").replace("'", "")
        for title in re.findall(r"^#+ (.+)$", GUIDE, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", GUIDE)) <= headings


@pytest.mark.parametrize("key", sorted(names.AGENT_CONF | names.BROKER_CONF))
def test_a_file_with_any_one_of_these_keys_is_recognised(key: str) -> None:
    assert "oVirt's " in older_file(f"{key}=1\n")
