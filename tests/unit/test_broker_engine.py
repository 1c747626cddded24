# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which page the engine monitor asks, and what the guest's own answer adds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ha_broker.api.monitors import Unit
from metadata.records import Health
from metadata.settings.parse import (
    ClusterSettings,
    EngineSettings,
    SettingsError,
    cluster_settings_to_data,
    parse_cluster_settings,
)
from simulation.world.hypervisor import Guest
from tests.unit.broker_host import CONFIG, JOIN_S, TICK_S, Cluster, Host
from world.ports.errors import HypervisorError
from world.ports.libvirt import Domain, DomainState


def running(tmp_path: Path, engine: EngineSettings) -> tuple[Cluster, Host]:
    cluster = Cluster(config=replace(CONFIG, settings=ClusterSettings(engine=engine)))
    host = cluster.host(1, tmp_path)
    cluster.run(JOIN_S + 3)
    host.hypervisor.start("<domain/>")
    host.settle()
    return cluster, host


AGENT = EngineSettings(health_url="http://e/x", guest_agent=True)
GUEST_SILENT = "Connection refused; the guest does not answer either"
GUEST_ANSWERS = "Connection refused; the guest answers itself"


def test_the_guest_that_answers_is_told_with_a_page_that_fails(tmp_path: Path) -> None:
    cluster, host = running(tmp_path, AGENT)
    cluster.run(2 * TICK_S)
    assert host.snapshot.engine.health == Health.BAD
    assert host.snapshot.engine.detail == GUEST_ANSWERS
    agent = host.monitor("guest-agent")
    assert (agent.value, agent.unit, agent.detail) == (1, Unit.BOOLEAN, "it answers")


def test_a_guest_that_is_silent_too(tmp_path: Path) -> None:
    cluster, host = running(tmp_path, AGENT)
    guest(host).hangs = True
    cluster.run(4 * TICK_S)
    assert host.snapshot.engine.detail == GUEST_SILENT
    agent = host.monitor("guest-agent")
    assert (agent.value, agent.detail) == (0, "it does not answer")


def test_an_answer_from_before_the_page_failed_is_not_told(tmp_path: Path) -> None:
    cluster, host = running(tmp_path, AGENT)
    host.page.set(True)
    cluster.run(30)
    assert host.monitor("guest-agent").value == 1
    guest(host).hangs = True
    host.runner.hang("monitor:guest-agent")
    host.page.set(False, "timed out")
    cluster.run(2 * TICK_S)
    assert host.snapshot.engine.health == Health.BAD
    assert host.snapshot.engine.detail == "timed out"


def test_a_healthy_engines_guest_is_asked_as_often_as_the_host(tmp_path: Path) -> None:
    cluster, host = running(tmp_path, AGENT)
    host.page.set(True)
    cluster.run(30)
    asked = host.runner.submitted.count("monitor:guest-agent")
    cluster.run(100)
    assert host.runner.submitted.count("monitor:guest-agent") - asked == 10


def test_what_the_guest_says_decides_nothing(tmp_path: Path) -> None:
    cluster, host = running(tmp_path, AGENT)
    host.page.set(True)
    cluster.run(30)
    sequence = host.snapshot.sequence
    guest(host).hangs = True
    cluster.run(30)
    assert host.monitor("guest-agent").value == 0
    assert host.snapshot.engine.health == Health.GOOD
    assert host.snapshot.sequence == sequence


def test_a_guest_that_is_not_asked(tmp_path: Path) -> None:
    cluster, host = running(tmp_path, EngineSettings(health_url="http://e/x"))
    cluster.run(2 * TICK_S)
    assert host.snapshot.engine.detail == "Connection refused"
    agent = host.monitor("guest-agent")
    assert (agent.value, agent.detail) == (None, "not configured")


@pytest.mark.parametrize("domain", [Domain(DomainState.ABSENT), Domain(DomainState.PAUSED, pid=9)])
def test_no_guest_to_be_asked(tmp_path: Path, domain: Domain) -> None:
    cluster, host = running(tmp_path, AGENT)
    cluster.run(2 * TICK_S)
    host.hypervisor.set_domain(domain)
    cluster.run(2 * TICK_S)
    agent = host.monitor("guest-agent")
    assert (agent.value, agent.detail) == (None, "the engine does not run on this host")


def test_a_domain_without_an_agents_channel_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, host = running(tmp_path, AGENT)
    cluster.run(2 * TICK_S)

    def refuse(timeout_s: float) -> bool:
        raise HypervisorError("ask the guest agent", "QEMU guest agent is not configured")

    monkeypatch.setattr(host.hypervisor, "ping_guest", refuse)
    cluster.run(2 * TICK_S)
    agent = host.monitor("guest-agent")
    why = "can't ask the guest agent: QEMU guest agent is not configured"
    assert (agent.value, agent.detail, agent.trouble) == (None, why, why)
    assert host.snapshot.engine.detail == "Connection refused"


def guest(host: Host) -> Guest:
    found = host.hypervisor.guest
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("engine", "asked"),
    [
        (
            EngineSettings(fqdn="engine.example.org"),
            "http://engine.example.org/ovirt-engine/services/health",
        ),
        (EngineSettings(fqdn="engine.example.org", health_url="http://e/x"), "http://e/x"),
        (
            EngineSettings(health_url="https://e/x", health_ca_file="/etc/pki/ca.pem"),
            "https://e/x (/etc/pki/ca.pem)",
        ),
    ],
)
def test_the_page_that_is_asked(tmp_path: Path, engine: EngineSettings, asked: str) -> None:
    cluster, host = running(tmp_path, engine)
    cluster.run(2)
    assert set(host.page.calls) == {asked}


def test_an_authority_for_a_page_without_a_certificate_is_refused() -> None:
    engine = {"fqdn": "engine.example.org", "health_ca_file": "/etc/pki/ca.pem"}
    with pytest.raises(SettingsError) as caught:
        parse_cluster_settings({"engine": engine}, "x")
    assert caught.value.problems == [
        "x: engine.health_ca_file: '/etc/pki/ca.pem' is refused; "
        "allowed: with a health_url of https://"
    ]


def test_an_authority_for_a_page_over_https_is_taken() -> None:
    engine = {"health_url": "https://e/x", "health_ca_file": "/etc/pki/ca.pem"}
    settings = parse_cluster_settings({"engine": engine}, "x")
    assert parse_cluster_settings(cluster_settings_to_data(settings), "y") == settings
