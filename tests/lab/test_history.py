# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What real hosts remember, and what one hands to somebody who helps."""

import base64
import io
import json
import tarfile
from typing import Any
from xml.etree import ElementTree

from tests.lab.verbs import LabVerbs

ARCHIVE = "/tmp/history-test.tar.gz"
PICTURE = "/tmp/history-test.svg"
BACK_S = 60.0
SEEN_S = 20.0


def history(lab: LabVerbs, host: str) -> list[dict[str, Any]]:
    """The changes that a host's files tell."""
    document = json.loads(lab.on(host, "hosted-engine", "--history", "--json", "--last", "100000"))
    found: list[dict[str, Any]] = document["changes"]
    return found


def states(changes: list[dict[str, Any]], host: str) -> list[str]:
    return [one["after"] for one in changes if (one["kind"], one["host"]) == ("state", host)]


def test_a_restart_of_the_engine_is_told_exactly_also_without_the_agent(lab: LabVerbs) -> None:
    where = lab.engine_host()
    before = len(history(lab, where))
    lab("engine", "kill")
    lab.wait_healthy(BACK_S)
    lab.wait_for(
        "the engine's state in its host's files",
        lambda _: states(history(lab, where)[before:], where)[-1:] == ["EngineUp"],
        SEEN_S,
    )
    own = history(lab, where)[before:]
    assert states(own, where) == ["EngineDown", "EngineStart", "EngineStarting", "EngineUp"]
    up = next(one for one in own if one["after"] == "EngineUp")
    assert (up["exact"], up["score"]) == (True, 3400)
    assert up["lasted_s"] > 0
    lab.on(where, "systemctl", "kill", "--signal=SIGKILL", "ha-agent")
    assert history(lab, where)[before:][: len(own)] == own


def test_a_host_tells_of_another_one(lab: LabVerbs) -> None:
    where = lab.engine_host()
    other = next(name for name in lab.status()["hosts"] if name != where)
    before = len(history(lab, where))
    lab.on(other, "systemctl", "stop", "ha-agent")
    try:
        lab.wait_for(
            "the other host's stopped agent in this one's files",
            lambda _: states(history(lab, where)[before:], other) == ["AgentStopped"],
            SEEN_S,
        )
    finally:
        lab.on(other, "systemctl", "start", "ha-agent")
    lab.wait_for(
        "the other host's present state in this one's files",
        lambda _: states(history(lab, where)[before:], other)[-1:] == ["EngineDown"],
        SEEN_S,
    )
    assert not any(one["exact"] for one in history(lab, where)[before:] if one["host"] == other)


def test_a_host_draws_what_it_knows_of_all(lab: LabVerbs) -> None:
    hosts = list(lab.status()["hosts"])
    done = lab.on(hosts[0], "hosted-engine", "--history", "--plot", PICTURE)
    try:
        assert f"{PICTURE}: {len(hosts)} hosts" in done
        root = ElementTree.fromstring(lab.on(hosts[0], "cat", PICTURE))
    finally:
        lab.on(hosts[0], "rm", "-f", PICTURE)
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [name for name in [*hosts, "lease", "EngineUp"] if name not in texts] == []


def test_an_archive_has_what_the_real_daemons_say(lab: LabVerbs) -> None:
    where = lab.engine_host()
    try:
        lab.on(where, "hosted-engine", "--export-status", ARCHIVE)
        assert lab.on(where, "stat", "-c", "%a", ARCHIVE) == "600\n"
        encoded = lab.on(where, "base64", ARCHIVE)
    finally:
        lab.on(where, "rm", "-f", ARCHIVE)
    files = _files(encoded)
    manifest = json.loads(files["manifest.json"])["pieces"]
    missing = {one["name"]: one["why"] for one in manifest if not one["ok"]}
    wanted = ("status/", "settings/host", "settings/shared", "logs/journal-ha", "sanlock/status")
    assert {name: why for name, why in missing.items() if name.startswith(wanted)} == {}
    assert b"EngineUp" in files["status/vm-status.txt"]
    assert b"EngineUp" in files["logs/journal-ha-agent.txt"]
    assert b"hosted-engine" in files["sanlock/status.txt"]
    assert b"cmd_status" in files["sanlock/log-dump.txt"]  # its exit code is 1 all the same
    assert b"<lease>" in files["libvirt/domain.xml"]
    assert b'"kind": "transition"' in files["history/history.jsonl"]


def _files(encoded: str) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(encoded))) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.partition("/")[2]] = file.read()
    return found
