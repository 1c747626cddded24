# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The command itself on two hosts: real storage, real sanlock, no brokers and no libvirt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from metadata.domain_xml import lease_element
from metadata.layout import required_sizes, storage_parts
from metadata.settings.parse import ClusterSettings, HostSettings, Timing, host_settings_to_data
from metadata.shared_config import SharedConfig, copy_offset, encode_copy
from tests.contract.places import TIME_FACTOR, direct_io_directory
from tests.contract.sanlock_hosts import SanlockHost, need_sanlock
from tests.integration.broker_process import ROOT, wait_for

IO_TIMEOUT_S = 1
SETTINGS = ClusterSettings(timing=Timing(io_timeout_s=IO_TIMEOUT_S))
KEY = "network.probes"

Done = "subprocess.CompletedProcess[str]"


class Hosts:
    """h1 and h2, joined; a cluster from before there was a lock of writers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.volume = directory / "leases"
        self.parts = storage_parts(str(self.volume))
        self.make_volume()
        self.sanlocks: list[SanlockHost] = []

    def make_volume(self) -> None:
        with self.volume.open("wb") as file:
            file.truncate(required_sizes(self.parts, config_lease=False)[str(self.volume)])
            file.seek(self.parts.shared_config.offset + copy_offset(1))
            xml = f"<domain><name>HostedEngine</name><devices>{lease_element(self.parts)}"
            config = SharedConfig(1, SETTINGS, f"{xml}</devices></domain>")
            file.write(encode_copy(config))

    def start(self) -> None:
        for number in (1, 2):
            self.sanlocks.append(SanlockHost(self.place(number), f"h{number}", self.parts))
            settings = HostSettings(number, f"h{number}", self.parts)
            file = self.directory / f"h{number}.yaml"
            file.write_text(yaml.safe_dump(host_settings_to_data(settings)))
        self.sanlocks[0].call("format_lockspace", IO_TIMEOUT_S)
        self.sanlocks[0].call("format_lease")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self._join, (1, 2)))
        for sanlock in self.sanlocks:
            wait_for("all are known to live", lambda sanlock=sanlock: _living(sanlock) == [1, 2])

    def _join(self, number: int) -> None:
        self.sanlocks[number - 1].call("join", number, IO_TIMEOUT_S)

    def close(self) -> None:
        for sanlock in self.sanlocks:
            sanlock.close()

    def place(self, number: int) -> Path:
        return self.directory / f"h{number}"

    def run(self, number: int, *words: str) -> Done:
        return self.python(number, "-m", "hosted_engine.main", *words)

    def python(self, number: int, *words: str) -> Done:
        environment = {
            **os.environ,
            "SANLOCK_RUN_DIR": str(self.place(number)),
            "HE_SETTINGS": str(self.directory / f"h{number}.yaml"),
            "HE_STATE_DIR": str(self.place(number)),
            "HE_BROKER_SOCKET": str(self.directory / "no-broker"),
        }
        environment.pop("SUDO_USER", None)
        return subprocess.run(
            [sys.executable, *words],
            env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
            timeout=60 * TIME_FACTOR,
        )  # fmt: skip

    def set(self, number: int, value: int) -> Done:
        return self.run(number, "--set-shared-config", KEY, str(value))

    def history(self) -> list[dict[str, Any]]:
        done = self.run(1, "--shared-config-history", "--json")
        versions: list[dict[str, Any]] = json.loads(done.stdout)["versions"]
        return versions

    def make_room(self) -> None:
        with self.volume.open("r+b") as file:
            file.truncate(required_sizes(self.parts)[str(self.volume)])


def _living(sanlock: SanlockHost) -> list[int]:
    return [host.host_id for host in sanlock.call("hosts") if host.liveness == "live"]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    need_sanlock()
    with direct_io_directory() as directory:
        hosts = Hosts(directory)
        try:
            hosts.start()
            yield hosts
        finally:
            hosts.close()


def refused(done: Done) -> str:
    assert done.returncode == 1, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "nothing was written" in done.stderr
    return done.stderr


def test_a_cluster_from_before_the_lock_is_told_what_to_do_and_gets_it(hosts: Hosts) -> None:
    """The volume ends where the lock should lie; once it does not, one host makes it."""
    assert f"enlarge it: truncate -s 12M {hosts.volume}" in refused(hosts.set(1, 6))
    hosts.make_room()
    assert "the living host with the lowest id" in refused(hosts.set(2, 6))
    done = hosts.set(1, 6)
    assert done.returncode == 0, done.stderr
    assert f"Version 2 of the shared configuration is written: {KEY}: 5 -> 6." in done.stdout
    assert hosts.set(2, 7).returncode == 0
    assert [(one["version"], one["host"]) for one in hosts.history()] == [
        (3, "h2"),
        (2, "h1"),
        (1, None),
    ]


AS_SETUP = """
import sys
sys.path.append("compat")
from ovirt_hosted_engine_ha.client import client
ha_cli = client.HAClient()
method, *words = sys.argv[1:]
print(getattr(ha_cli, method)(*words))
"""


def test_the_client_s_settings_are_the_commands(hosts: Hosts) -> None:
    """What is written by the older tool's names on one host is read by ours on the other."""
    hosts.make_room()
    for key, value, kind in (
        ("network_test", "dns", "he_shared"),
        ("email.smtp-server", "mail.example.org", "broker"),
        ("notify.state_transition", "start|stop", "broker"),
        ("engine.health_timeout_s", "7", "he_shared"),
    ):
        done = hosts.python(1, "-c", AS_SETUP, "set_shared_config", key, value, kind)
        assert (done.returncode, done.stdout, done.stderr) == (0, "None\n", "")
        done = hosts.python(2, "-c", AS_SETUP, "get_shared_config", key, kind)
        shown = "7.0" if value == "7" else value
        assert (done.stdout, done.stderr) == (f"{[shown, kind]}\n", "")
    assert hosts.run(2, "--get-shared-config", "network.test").stdout == "dns\n"
    rules = json.loads(hosts.run(2, "--get-shared-config", "notifications", "--json").stdout)
    assert rules["value"]["rules"] == ["state_transition=start|stop"]
    hosts.sanlocks[1].call("take_config_lease")
    done = hosts.python(1, "-c", AS_SETUP, "set_shared_config", "network_test", "ping")
    hosts.sanlocks[1].call("drop_config_lease")
    assert "CommandError: host id 2 is writing the shared configuration just now" in done.stderr


def test_who_writes_is_named_to_who_would_write_too(hosts: Hosts) -> None:
    hosts.make_room()
    hosts.set(1, 8)
    hosts.sanlocks[1].call("take_config_lease")
    assert "host id 2 is writing the shared configuration just now" in refused(hosts.set(1, 9))
    assert "somebody on this host is writing" in refused(hosts.set(2, 9))
    hosts.sanlocks[1].call("drop_config_lease")
    assert hosts.set(1, 9).returncode == 0


def test_of_many_writers_at_once_each_is_done_whole_or_told(hosts: Hosts) -> None:
    hosts.make_room()
    hosts.set(1, 10)
    first = hosts.history()[0]["version"]
    jobs = [(number, 20 + 2 * one + number) for one in range(4) for number in (1, 2)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda job: hosts.set(*job), jobs))
    written = [value for (_, value), done in zip(jobs, results) if done.returncode == 0]
    for done in results:
        if done.returncode != 0:
            refused(done)
    new = [one for one in hosts.history() if one["version"] > first]
    changes = [one["changes"].split() for one in reversed(new)]
    assert sorted(int(change[-1]) for change in changes) == sorted(written)
    assert [change[1] for change in changes] == ["10", *(change[-1] for change in changes[:-1])]
    assert written


def test_no_member_of_the_lockspace_writes(hosts: Hosts) -> None:
    hosts.make_room()
    hosts.set(1, 40)
    hosts.sanlocks[1].call("leave_if_unused", 2)
    try:
        assert "has not joined the lockspace" in refused(hosts.set(2, 41))
        assert hosts.run(2, "--get-shared-config", KEY).stdout == "40\n"
    finally:
        hosts.sanlocks[1].call("join", 2, IO_TIMEOUT_S)
