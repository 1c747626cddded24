# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Settings by the names that they have in oVirt's own tools: read, set, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosted_engine.config.key_types import HE_LOCAL, HE_SHARED, TYPES, check_name
from hosted_engine.config.keys import MISSING, check_key
from hosted_engine.config.older_keys import OLDER_KEYS
from hosted_engine.errors import UsageError
from hosted_engine.main import main
from metadata.settings.notifications import NotificationSettings, SmtpSettings
from metadata.settings.parse import (
    ClusterSettings,
    EngineSettings,
    NetworkSettings,
    cluster_settings_to_data,
)
from tests.unit.command_broker import HOST_YAML, FakeBroker, undeployed
from tests.unit.config_bench import CONFIG, Cluster
from tests.unit.test_config_commands import own_files, refused, set_plain

__all__ = ["own_files"]

SETTINGS = ClusterSettings(
    engine=EngineSettings(fqdn="engine.example.org"),
    network=NetworkSettings("ovirtmgmt", "192.0.2.1", "tcp", "192.0.2.9:8006"),
    notifications=NotificationSettings(
        smtp=SmtpSettings("mail.example.org", "a@example.org", ("b@example.org", "root"), port=26),
        rules=("stopped", "state_transition=start|stop"),
    ),
)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


# --- reading ------------------------------------------------------------------------------------

VALUES = {
    "fqdn": "engine.example.org",
    "gateway": "192.0.2.1",
    "bridge": "ovirtmgmt",
    "network_test": "tcp",
    "tcp_t_address": "192.0.2.9",
    "tcp_t_port": "8006",
    "smtp-server": "mail.example.org",
    "smtp-port": 26,
    "smtp-timeout": 30.0,
    "source-email": "a@example.org",
    "destination-emails": "b@example.org,root",
    "state_transition": "start|stop",
}


@pytest.mark.parametrize("name", OLDER_KEYS)
def test_each_name_reads_the_setting_that_takes_its_place(name: str) -> None:
    data = cluster_settings_to_data(SETTINGS)
    assert OLDER_KEYS[name].read(data) == VALUES[name.rpartition(".")[2]]
    assert check_key(".".join(OLDER_KEYS[name].path)) == OLDER_KEYS[name].path


@pytest.mark.parametrize("name", OLDER_KEYS)
def test_each_name_belongs_to_its_type_and_to_the_shared_settings(name: str) -> None:
    for kind in TYPES:
        if kind in (HE_SHARED, OLDER_KEYS[name].kind):
            check_name(name, kind)
        elif kind == HE_LOCAL and name in ("gateway", "bridge"):
            check_name(name, kind)  # host.yaml's own
        else:
            with pytest.raises(UsageError):
                check_name(name, kind)


@pytest.mark.parametrize("name", ["smtp-server", "destination-emails", "state_transition"])
def test_what_is_not_set_has_no_value(name: str) -> None:
    assert OLDER_KEYS[name].read(cluster_settings_to_data(ClusterSettings())) is MISSING


@pytest.mark.parametrize(
    "network", [NetworkSettings(), NetworkSettings(test="ping", target="192.0.2.9")]
)
def test_an_address_of_another_test_is_none_of_tcps(network: NetworkSettings) -> None:
    data = cluster_settings_to_data(ClusterSettings(network=network))
    assert OLDER_KEYS["tcp_t_address"].read(data) is OLDER_KEYS["tcp_t_port"].read(data) is MISSING


# --- setting ------------------------------------------------------------------------------------


def test_mails_are_set_one_by_one_as_there(cluster: Cluster) -> None:
    """From what goes there while nothing is set: without TLS, from root and to root."""
    for name, text in (
        ("email.smtp-server", "mail.example.org"),
        ("email.smtp-port", "26"),
        ("smtp-timeout", "10"),
        ("email.source-email", "ha@example.org"),
        ("email.destination-emails", " admin@example.org , root@localhost"),
        ("notify.state_transition", "maintenance|start|stop|up|down"),
    ):
        set_plain(cluster, name, text, "broker")
        told = cluster.stored().config.settings.notifications
        assert told.smtp is not None
        assert told.smtp.security == "none"
    assert told == NotificationSettings(
        smtp=SmtpSettings(
            "mail.example.org",
            "ha@example.org",
            ("admin@example.org", "root@localhost"),
            port=26,
            security="none",
            timeout_s=10.0,
        ),
        rules=("state_transition=maintenance|start|stop|up|down",),
    )


def test_a_mail_server_that_is_set_keeps_the_rest_of_it(cluster: Cluster) -> None:
    set_plain(cluster, "smtp", "{server: a, from: b@c, to: [d@e], security: tls}", "broker")
    set_plain(cluster, "smtp-server", "mail.example.org")
    smtp = cluster.stored().config.settings.notifications.smtp
    assert smtp == SmtpSettings("mail.example.org", "b@c", ("d@e",), security="tls")


def test_transitions_take_the_place_of_those_before_and_leave_other_rules(
    cluster: Cluster,
) -> None:
    set_plain(cluster, "rules", "[stopped, all, 'state_transition=up']", "broker")
    set_plain(cluster, "notify.state_transition", "start|stop", "broker")
    assert cluster.stored().config.settings.notifications.rules == (
        "stopped",
        "state_transition=start|stop",
    )


def test_the_network_s_test(cluster: Cluster) -> None:
    set_plain(cluster, "network", '{test: tcp, target: "192.0.2.9:80"}')
    set_plain(cluster, "tcp_t_port", "8006")
    assert cluster.stored().config.settings.network.target == "192.0.2.9:8006"
    set_plain(cluster, "tcp_t_address", "2001:db8::1")
    assert cluster.stored().config.settings.network.target == "[2001:db8::1]:8006"
    set_plain(cluster, "network", "{test: dns, target: ''}")
    set_plain(cluster, "network_test", "ping")
    assert cluster.stored().config.settings.network == NetworkSettings()


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("smtp-port", "many", "notifications.smtp.port: 'many' is refused; allowed: an in"),
        ("destination-emails", "", "notifications.smtp.to[0]: '' is refused; allowed: a mail"),
        ("destination-emails", "a@b,,c@d", "notifications.smtp.to[1]: '' is refused"),
        ("source-email", "root at localhost", "notifications.smtp.from: 'root at localhost'"),
        ("state_transition", "(a+)+", "notifications.rules[0]: 'state_transition=(a+)+'"),
        ("state_transition", "", "notifications.rules[0]: 'state_transition=' is refused"),
        ("network_test", "arp", "network.test: 'arp' is refused; allowed: "),
        ("network_test", "tcp", "network.target: "),
        ("tcp_t_port", "80", "one setting here, and set together with it: --set-shared-config"),
        ("tcp_t_address", "192.0.2.9", "network '{test: tcp, target: \"HOST:PORT\"}'"),
        ("fqdn", "a b", "engine.fqdn: 'a b' is refused"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_our_key(
    cluster: Cluster, name: str, text: str, named: str
) -> None:
    assert named in refused(lambda: set_plain(cluster, name, text))
    assert cluster.stored().config == CONFIG


@pytest.mark.parametrize("text", ["x", "70000", "", "80:81"])
def test_a_port_that_is_none_is_refused(cluster: Cluster, text: str) -> None:
    set_plain(cluster, "network", '{test: tcp, target: "192.0.2.9:80"}')
    assert "network.target: " in refused(lambda: set_plain(cluster, "tcp_t_port", text))
    assert cluster.stored().config.settings.network.target == "192.0.2.9:80"


# --- how it is shown ------------------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBroker]:
    undeployed(tmp_path, monkeypatch).write_text(HOST_YAML)
    server = FakeBroker(str(tmp_path / "broker.sock"))
    server.answers["/v1/config"] = lambda: {
        "sequence": 3,
        "settings": cluster_settings_to_data(SETTINGS),
        "domain_xml": "<domain/>\n",
    }
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["timing.tick_s"], "5.0\n"),
        (["timing.tick_s", "--type=ha"], "timing.tick_s : 5.0, type : ha\n"),
        (["fqdn", "--type", "he_shared"], "fqdn : engine.example.org, type : he_shared\n"),
        (
            ["email.destination-emails", "--type=broker"],
            "email.destination-emails : b@example.org,root, type : broker\n",
        ),
        (["host_id", "--type=he_local"], "host_id : 1, type : he_local\n"),
        (["engine.guest_agent", "--type=he_shared"], "engine.guest_agent : false, type : "),
        # What is more than one value, and is read as a file of its own, is as it was.
        (["rules", "--type=broker"], "- stopped\n- state_transition=start|stop\n"),
        (["vm_conf", "--type=vm_conf"], "<domain/>\n"),
    ],
)
def test_with_a_type_the_value_is_shown_as_scripts_cut_it(
    broker: FakeBroker, words: list[str], out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--get-shared-config", *words]) == 0
    assert capsys.readouterr().out.startswith(out)


def test_json_is_the_same_with_a_type(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--get-shared-config", "smtp-port", "--type=broker", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"key": "smtp-port", "type": "broker", "value": 26}
