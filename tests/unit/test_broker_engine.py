"""Which page the engine monitor asks, and what the guest's own answer adds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metadata.settings import (
    ClusterSettings,
    EngineSettings,
    SettingsError,
    cluster_settings_to_data,
    parse_cluster_settings,
)
from tests.unit.broker_host import CONFIG, JOIN_S, Cluster, Host


def running(tmp_path: Path, engine: EngineSettings) -> tuple[Cluster, Host]:
    cluster = Cluster(config=replace(CONFIG, settings=ClusterSettings(engine=engine)))
    host = cluster.host(1, tmp_path)
    cluster.run(JOIN_S + 3)
    host.hypervisor.start("<domain/>")
    host.settle()
    return cluster, host


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
