# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The journal of a real host, how its level changes, and the file in its place of docs/log.md."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.verbs import LabVerbs, scaled

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "log.md").read_text(encoding="utf-8")
EXAMPLES = DOCS / "examples" / "file-log"
FILES = ("/var/log/ha-agent.log", "/var/log/ha-broker.log")
DAEMONS = ("ha-broker", "ha-agent")


def bystander(lab: LabVerbs) -> str:
    found = lab.status()
    return str(next(name for name in found["hosts"] if name != found["engine"]["host"]))


def entries(lab: LabVerbs, host: str, *words: str) -> list[dict[str, str]]:
    told = lab.on(host, "journalctl", "--boot", "--no-pager", "--output=json", *words)
    return [json.loads(line) for line in told.splitlines()]


def test_the_start_of_the_engine_is_found_by_its_fields(lab: LabVerbs) -> None:
    host = lab.engine_host()
    started = entries(lab, host, "--identifier=ha-agent", "HE_STATE=EngineUp")
    change = next(one for one in reversed(started) if "HE_STATE_BEFORE" in one)
    own_id = host[1:]
    assert (change["HE_HOST_ID"], change["HE_LEASE"], change["HE_LEASE_OWNER"]) == (
        *(own_id, "held", own_id),
    )
    assert int(change["HE_LEASE_GENERATION"]) >= 1 and int(change["HE_CONFIG_SEQUENCE"]) >= 1
    assert change["HE_ROW"]
    # The journal's own word on who says it.
    assert change["_SYSTEMD_UNIT"] == "ha-agent.service"
    held = entries(lab, host, "--identifier=ha-broker", "HE_LEASE=held")
    assert held[-1]["HE_LEASE_OWNER"] == own_id


def signals() -> list[str]:
    """The two commands of the page."""
    return re.findall(r"^(systemctl kill .*)$", PAGE, re.MULTILINE)


def test_the_level_changes_while_they_run(lab: LabVerbs) -> None:
    host = bystander(lab)
    pids = lab.on(host, "systemctl", "show", "--value", "--property=MainPID", *DAEMONS)
    more, as_before = signals()
    lab.on(host, *more.split())

    def is_told() -> bool:
        found = entries(lab, host, "--priority=debug..debug")
        return {one["SYSLOG_IDENTIFIER"] for one in found} >= set(DAEMONS)

    lab.wait_until("lines of level debug", is_told, scaled(30))
    lab.on(host, *as_before.split())

    def is_quiet() -> bool:
        told = entries(lab, host, "--priority=info..info", "--since=-1min")
        said = {one["SYSLOG_IDENTIFIER"] for one in told if "level info now" in one["MESSAGE"]}
        return said >= set(DAEMONS)

    lab.wait_until("they are told to be quiet", is_quiet, scaled(30))
    assert lab.on(host, "systemctl", "show", "--value", "--property=MainPID", *DAEMONS) == pids


@pytest.fixture
def logs_to_files(lab: LabVerbs) -> Iterator[str]:
    """A host with the drop-ins of the page, put there by its commands."""
    host = bystander(lab)
    folder = "/root/file-log"
    lab.on(host, "mkdir", "-p", folder)
    for file in EXAMPLES.iterdir():
        text = file.read_text(encoding="utf-8")
        lab.on(host, "sh", "-c", f"cat > {folder}/{file.name} <<'END'\n{text}END\n")
    (commands,) = re.findall(r"^```\n(install -D.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    lab.on(host, "sh", "-ec", f"cd {folder}\n{commands}")
    yield host
    for daemon in DAEMONS:
        lab.on(host, "rm", f"/etc/systemd/system/{daemon}.service.d/file-log.conf")
    lab.on(host, "rm", "-r", folder, "/etc/logrotate.d/hosted-engine-ha")
    lab.on(host, "sh", "-ec", "systemctl daemon-reload; systemctl restart ha-broker ha-agent")
    lab.on(host, "rm", *FILES)
    lab.wait_settled()


def test_a_file_in_place_of_the_journal(lab: LabVerbs, logs_to_files: str) -> None:
    host = logs_to_files
    for daemon, file in zip(("ha-agent", "ha-broker"), FILES):
        lab.wait_until(
            f"{daemon} works",
            lambda file=file: "\n" in lab.on(host, "cat", file),  # type: ignore[misc]
            scaled(30),
        )
        first = lab.on(host, "cat", file).splitlines()[0]
        assert re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d+ INFO ", first), first
        pid = lab.on(host, "systemctl", "show", "--value", "--property=MainPID", daemon).strip()
        assert entries(lab, host, f"_PID={pid}") == []
