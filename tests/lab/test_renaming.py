# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host without the engine is renamed as docs/renaming.md says, and gets its name back."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.verbs import LabVerbs, scaled

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "renaming.md"
NEW = "renamed"
# A join, and a few ticks; less than the time for which a rival is watched.
KNOWN_WITHIN_S = 40.0
RIVAL = "also used"


def commands() -> list[str]:
    """Those of the document, without what is said of them."""
    (block,) = re.findall(r"```\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return [line.split("  #")[0].strip() for line in block.splitlines()]


def rename(lab: LabVerbs, host: str, name: str) -> None:
    for command in commands():
        if command.startswith("hostnamectl"):  # needs a service that the lab's hosts do without
            continue
        lab.on(host, "sh", "-ec", command.replace("NEW", name))


def shown(lab: LabVerbs, asked: str, host_id: str) -> dict[str, object]:
    return dict(json.loads(lab.on(asked, "hosted-engine", "--vm-status", "--json"))[host_id])


@pytest.fixture
def bystander(lab: LabVerbs) -> Iterator[str]:
    """A host without the engine, which has its own name again afterwards."""
    name = [host for host in lab.status()["hosts"] if host != lab.engine_host()][-1]
    yield name
    rename(lab, name, name)
    lab.wait_settled()


def test_a_renamed_host_is_one_host_under_its_new_name(lab: LabVerbs, bystander: str) -> None:
    before = lab.engine_identity()
    host_id = bystander.removeprefix("h")
    rename(lab, bystander, NEW)

    def is_known() -> bool:
        views = [shown(lab, asked, host_id) for asked in lab.status()["hosts"]]
        assert not [view for view in views if RIVAL in str(view.get("error", ""))]
        return all((view["hostname"], view["live-data"]) == (NEW, True) for view in views)

    lab.wait_until("all hosts know the new name", is_known, scaled(KNOWN_WITHIN_S))
    assert NEW in lab.on(bystander, "sanlock", "client", "status")
    explained = lab.on(bystander, "hosted-engine", "--explain")
    assert f"{NEW} (id {host_id}, this host)" in explained
    assert "Two hosts have one id" not in explained
    journal = lab.on(bystander, "journalctl", "-u", "ha-broker", "--no-pager")
    assert RIVAL not in journal
    assert lab.engine_identity() == before
