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


def history(lab: LabVerbs, host: str, *words: str) -> list[dict[str, Any]]:
    """The changes that a host's files tell."""
    document = json.loads(lab.on(host, "hosted-engine", "--history", "--json", *words))
    found: list[dict[str, Any]] = document["changes"]
    return found


def states(changes: list[dict[str, Any]], host: str) -> list[str]:
    return [one["after"] for one in changes if (one["kind"], one["host"]) == ("state", host)]


def test_a_restart_of_the_engine_stands_in_the_history_of_all(lab: LabVerbs) -> None:
    where = lab.engine_host()
    other = next(name for name in lab.status()["hosts"] if name != where)
    before = {host: len(history(lab, host, "--last", "100000")) for host in (where, other)}
    lab("engine", "kill")
    lab.wait_healthy(BACK_S)
    lab.wait_for(
        "the engine's state, as the other host saw it",
        lambda _: (
            states(history(lab, other, "--last", "100000")[before[other] :], where)[-1:]
            == ["EngineUp"]
        ),
        SEEN_S,
    )
    own = history(lab, where, "--last", "100000")[before[where] :]
    assert states(own, where)[-2:] == ["EngineStarting", "EngineUp"]
    up = [one for one in own if one["after"] == "EngineUp"][-1]
    assert (up["exact"], up["score"]) == (True, 3400)
    assert up["lasted_s"] > 0
    # Without its agent it tells the same.
    lab.on(where, "systemctl", "kill", "--signal=SIGKILL", "ha-agent")
    assert history(lab, where, "--last", "100000")[before[where] :][: len(own)] == own


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
