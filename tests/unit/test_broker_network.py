# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The network monitor: each test it can do, its window, and what happens when settings change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metadata.settings.parse import NetworkSettings
from metadata.shared_config import SharedConfig
from tests.unit.broker_host import CONFIG, SETTINGS, TICK_S, Cluster, Host
from world.ports.errors import WorldError

WINDOW = SETTINGS.network.probes


def config(sequence: int = 1, **network: Any) -> SharedConfig:
    settings = replace(SETTINGS, network=NetworkSettings(**network))
    return replace(CONFIG, sequence=sequence, settings=settings)


def host_with(tmp_path: Path, own_gateway: str = "gw", **network: Any) -> tuple[Cluster, Host]:
    cluster = Cluster(config=config(**network))
    host = cluster.host(1, tmp_path, gateway=own_gateway)
    cluster.run(2 * TICK_S)
    return cluster, host


@pytest.mark.parametrize(
    ("gateway", "network", "asked"),
    [
        ("gw", {}, "ping gw"),
        ("", {"gateway": "192.0.2.9"}, "ping 192.0.2.9"),
        ("gw", {"target": "192.0.2.3"}, "ping 192.0.2.3"),
        ("", {"test": "dns"}, "dns "),
        ("gw", {"test": "dns", "target": "192.0.2.53"}, "dns 192.0.2.53"),
        ("gw", {"test": "tcp", "target": "[2001:db8::1]:22"}, "tcp 2001:db8::1 22"),
    ],
)
def test_what_is_asked_of_whom(
    tmp_path: Path, gateway: str, network: dict[str, str], asked: str
) -> None:
    _cluster, host = host_with(tmp_path, gateway, **network)
    assert host.network.calls[-1] == asked
    assert host.monitor("network").value == 1


def test_none_tries_nothing(tmp_path: Path) -> None:
    cluster, host = host_with(tmp_path, test="none")
    tried = len(host.network.calls)  # with the defaults, before the configuration was read
    cluster.run(5 * TICK_S)
    assert len(host.network.calls) == tried
    assert host.monitor("network").value is None
    assert host.monitor("network").detail == "not configured"


def test_what_is_shown_names_test_and_target(tmp_path: Path) -> None:
    cluster, host = host_with(tmp_path, test="tcp", target="192.0.2.1:22")
    host.network.script = [False]
    cluster.run(TICK_S)
    assert host.monitor("network").detail == "1 of 5 probes unanswered: tcp to 192.0.2.1:22"


@pytest.mark.parametrize(
    ("target", "whom"), [("", "the name servers of resolv.conf"), ("192.0.2.53", "192.0.2.53")]
)
def test_what_is_shown_says_what_a_name_server_was_asked(
    tmp_path: Path, target: str, whom: str
) -> None:
    _cluster, host = host_with(tmp_path, test="dns", target=target)
    told = f"0 of 5 probes unanswered: DNS over TCP, question '. NS', to {whom}"
    assert host.monitor("network").detail == told


def test_what_is_shown_says_what_came_of_the_last_probe_that_was_lost(tmp_path: Path) -> None:
    cluster, host = host_with(tmp_path, test="tcp", target="gw:22")
    host.network.script, host.network.detail = [False], "192.0.2.1: Connection refused"
    cluster.run(TICK_S)
    host.network.detail = "192.0.2.2 accepts"
    cluster.run(TICK_S)
    told = "1 of 5 probes unanswered: tcp to gw:22 (192.0.2.1: Connection refused)"
    assert host.monitor("network").detail == told
    cluster.run(5 * TICK_S)
    assert host.monitor("network").detail == "0 of 5 probes unanswered: tcp to gw:22"


def test_the_first_probe_of_all_is_one_of_the_window_too(tmp_path: Path) -> None:
    cluster = Cluster(config=config())
    host = cluster.host(1, tmp_path)
    host.network.answers = False
    cluster.run(1)
    assert host.monitor("network").value == 1 - 1 / WINDOW


@pytest.mark.parametrize("probes", [1, 10])
def test_the_window_is_as_long_as_the_settings_say(tmp_path: Path, probes: int) -> None:
    cluster, host = host_with(tmp_path, probes=probes)
    host.network.script = [False]
    cluster.run(TICK_S)
    assert host.monitor("network").value == 1 - 1 / probes
    cluster.run((probes - 1) * TICK_S)
    assert host.monitor("network").value == 1 - 1 / probes
    cluster.run(TICK_S)
    assert host.monitor("network").value == 1


@pytest.mark.parametrize(
    "change", [{"test": "dns"}, {"target": "192.0.2.3"}, {"test": "tcp", "target": "192.0.2.3:22"}]
)
def test_another_question_begins_a_new_window(tmp_path: Path, change: dict[str, str]) -> None:
    cluster, host = host_with(tmp_path)
    host.network.answers = False
    cluster.run(WINDOW * TICK_S)
    assert host.monitor("network").value == 0
    host.network.answers = True
    host.broker._settings.use(config(2, **change))
    cluster.run(TICK_S)
    assert host.monitor("network").value == 1


def test_other_settings_that_change_keep_the_window(tmp_path: Path) -> None:
    cluster, host = host_with(tmp_path)
    host.network.answers = False
    cluster.run(2 * TICK_S)
    host.broker._settings.use(config(2, probe_timeout_s=2.0))
    host.network.answers = True
    cluster.run(TICK_S)
    assert host.monitor("network").value == 1 - 2 / WINDOW


def test_a_test_that_is_switched_off_and_on_begins_anew(tmp_path: Path) -> None:
    cluster, host = host_with(tmp_path)
    host.network.answers = False
    cluster.run(WINDOW * TICK_S)
    host.broker._settings.use(config(2, test="none"))
    cluster.run(2 * TICK_S)
    assert host.monitor("network").value is None
    host.network.answers = True
    host.broker._settings.use(config(3))
    cluster.run(2 * TICK_S)
    assert host.monitor("network").value == 1


def test_a_target_that_can_not_be_tried_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, host = host_with(tmp_path, test="tcp", target="nobody.example.org:22")

    def refuse(host: str, port: int, timeout_s: float) -> bool:
        raise WorldError(f"connect to {host} port {port}", "Name or service not known")

    monkeypatch.setattr(host.network, "tcp", refuse)
    cluster.run(TICK_S)
    network = host.monitor("network")
    assert network.value == 1
    assert (
        network.trouble == "can't connect to nobody.example.org port 22: Name or service not known"
    )
