# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Changing what all hosts share: on real hosts, with real sanlock between them."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.lab.verbs import LabError, LabVerbs, scaled

SOCKET = "/run/hosted-engine-ha/broker.sock"
KEY = "network.probes"
EDITING, GO_ON = "/root/editing", "/root/go-on"
# Changes nothing that matters, says that it is at it, and waits to be let go on.
EDITOR = f"""#!/bin/sh
sed -i 's/<devices>/<devices><!-- edited -->/' "$1"
touch {EDITING}
for _ in $(seq 300); do [ -e {GO_ON} ] && exit 0; sleep 0.1; done
exit 1
"""


def history(lab: LabVerbs, host: str = "h1") -> list[dict[str, Any]]:
    shown = lab.on(host, "hosted-engine", "--shared-config-history", "--json")
    versions: list[dict[str, Any]] = json.loads(shown)["versions"]
    return versions


def version_in_use(lab: LabVerbs, host: str) -> int:
    """As the host's own broker has it."""
    found = lab.on(host, "curl", "-sS", "--unix-socket", SOCKET, "http://broker/v1/config")
    return int(json.loads(found)["sequence"])


def set_key(lab: LabVerbs, host: str, value: int) -> "CompletedProcess[str]":
    return lab.attempt("on", host, "hosted-engine", "--set-shared-config", KEY, str(value))


def get_key(lab: LabVerbs, host: str) -> int:
    return int(lab.on(host, "hosted-engine", "--get-shared-config", KEY))


@pytest.fixture(scope="module", autouse=True)
def restored(built_lab: LabVerbs) -> Iterator[None]:
    """Afterwards it says what it said before, under another number."""
    before = history(built_lab)[0]["version"]
    yield
    built_lab.on("h1", "hosted-engine", "--shared-config-rollback", str(before))


@pytest.fixture
def first_version(lab: LabVerbs) -> int:
    version: int = history(lab)[0]["version"]
    return version


def test_a_change_reaches_all_hosts_and_is_rolled_back(lab: LabVerbs, first_version: int) -> None:
    engine = lab.engine_identity()
    old = get_key(lab, "h1")
    told = lab.on("h1", "hosted-engine", "--set-shared-config", KEY, str(old + 1))
    assert f"{KEY}: {old} -> {old + 1}" in told
    assert "h1" in told
    assert get_key(lab, "h2") == old + 1
    for host in ("h2", "h3"):  # whose brokers look by themselves once a minute
        lab.on(host, "curl", "-sS", "-X", "PUT", "-d", "{}", "--unix-socket", SOCKET,
               "http://broker/v1/reread")  # fmt: skip
    wait_for_version(lab, first_version + 1)
    note = history(lab, "h2")[0]
    assert (note["user"], note["host"], note["version"]) == ("root", "h1", first_version + 1)
    assert note["changes"] == f"{KEY}: {old} -> {old + 1}"
    lab.on("h2", "hosted-engine", "--shared-config-rollback", str(first_version))
    assert get_key(lab, "h3") == old
    assert history(lab, "h3")[0]["changes"].startswith(f"back to version {first_version}: ")
    assert lab.engine_identity() == engine


def wait_for_version(lab: LabVerbs, version: int) -> None:
    deadline_s = time.monotonic() + scaled(20)
    while (found := [version_in_use(lab, host) for host in ("h1", "h2", "h3")]) != [version] * 3:
        if time.monotonic() > deadline_s:
            raise LabError(f"the hosts' brokers have the versions {found}, not {version}")
        time.sleep(0.2)


def test_of_writers_at_once_each_is_done_whole_or_told(lab: LabVerbs, first_version: int) -> None:
    values = {"h1": 11, "h2": 12, "h3": 13}
    with ThreadPoolExecutor(3) as pool:
        done = dict(zip(values, pool.map(lambda host: set_key(lab, host, values[host]), values)))
    written = [values[host] for host, one in done.items() if one.returncode == 0]
    told = [one.stderr for one in done.values() if one.returncode != 0]
    assert written, told
    assert all("nothing was written" in text and len(text.splitlines()) == 1 for text in told)
    new = [one for one in history(lab) if one["version"] > first_version]
    assert len(new) == len(written)
    assert sorted(int(one["changes"].rpartition(" ")[2]) for one in new) == written


def test_an_edit_that_was_overtaken_is_told_and_kept(lab: LabVerbs, first_version: int) -> None:
    with editing(lab, "h1") as pool:
        edit = pool.submit(
            lab.attempt, "on", "h1", "env", "EDITOR=/root/edit.sh",
            "hosted-engine", "--edit-vm-conf", "--yes",
        )  # fmt: skip
        lab.on("h1", "sh", "-c", f"until [ -e {EDITING} ]; do sleep 0.1; done")
        assert set_key(lab, "h2", 21).returncode == 0
        lab.on("h1", "touch", GO_ON)
        done = edit.result()
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert f"version {first_version + 1} of the shared configuration was written" in done.stderr
    assert "by root on h2" in done.stderr
    kept = done.stderr.partition("is kept in ")[2].split()[0]
    assert "<!-- edited -->" in lab.on("h1", "cat", kept)
    lab.on("h1", "hosted-engine", "--set-shared-config", "vm_conf", f"@{kept}")
    lab.on("h1", "rm", kept)
    assert "<!-- edited -->" in lab.on("h3", "hosted-engine", "--get-shared-config", "vm_conf")


@contextmanager
def editing(lab: LabVerbs, host: str) -> Iterator[ThreadPoolExecutor]:
    lab.on(host, "sh", "-c", f"cat > /root/edit.sh <<'EOF'\n{EDITOR}EOF\nchmod +x /root/edit.sh")
    try:
        with ThreadPoolExecutor(1) as pool:
            yield pool
    finally:
        lab.on(host, "rm", "-f", "/root/edit.sh", EDITING, GO_ON)


def test_what_could_harm_is_refused(lab: LabVerbs, first_version: int) -> None:
    for key, value, why in (
        ("timing.io_timeout_s", "20", "a second engine could start"),
        ("engine.health_url", "http://198.51.100.1:9/", "it is not good"),
        ("timing.tick_s", "60", "must be at least"),
    ):
        done = lab.attempt("on", "h1", "hosted-engine", "--set-shared-config", key, value)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert why in done.stderr
    assert history(lab)[0]["version"] == first_version
