# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is told, logged or written down names no secret: a webhook by scheme and host everywhere."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from ha_broker.notifications.targets import targets_of
from hosted_engine.config.store import describe_change
from hosted_engine.deploy.answers import differing_keys, parse_answers
from metadata.errors import SettingsError
from metadata.secret_names import names_secret, without_paths
from metadata.settings.notifications import NotificationSettings, WebhookSettings
from metadata.settings.parse import ClusterSettings, parse_cluster_settings, parse_host_settings
from metadata.shared_config import SharedConfig
from simulation.world.notification_sender import REFUSES
from tests.unit.test_notifications import lone_host, switch
from world.network.notification_sender import NetNotificationSender
from world.ports.notifications import DeliveryError

SECRET = "T000-B000-Sternenstaub"


def hook(path: str = SECRET, host: str = "hooks.example.com:8443") -> WebhookSettings:
    return WebhookSettings(f"https://{host}/in/{path}?key={SECRET}")


def config(*hooks: WebhookSettings) -> SharedConfig:
    notifications = NotificationSettings(webhooks=hooks)
    return SharedConfig(1, replace(ClusterSettings(), notifications=notifications), "<domain/>")


def labels(*hooks: WebhookSettings) -> list[str]:
    return [target.label for target in targets_of(NotificationSettings(webhooks=hooks)).values()]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://h/x", "https://h"),
        ("http://h:80?x=1", "http://h:80"),
        ("a https://u:p@h/x b 'http://[::1]:8/y' c", "a https://h b 'http://[::1]:8' c"),
        ("https://h", "https://h"),
        ("no address", "no address"),
    ],
)
def test_an_address_by_scheme_and_host(text: str, shown: str) -> None:
    assert without_paths(text) == shown


def test_the_label_of_a_webhook() -> None:
    assert labels(hook()) == ["webhook https://hooks.example.com:8443"]
    assert labels(hook("a"), hook(host="x"), hook("b")) == [
        "webhook https://hooks.example.com:8443 (webhooks[0])",
        "webhook https://x",
        "webhook https://hooks.example.com:8443 (webhooks[2])",
    ]


def test_an_error_of_the_sender() -> None:
    with pytest.raises(DeliveryError) as caught:
        NetNotificationSender().post(hook(host="127.0.0.1:1"), b"{}")
    assert str(caught.value).startswith("can't post to https://127.0.0.1:1: ")
    assert SECRET not in str(caught.value)


def test_what_the_shared_history_is_told_of_a_change() -> None:
    one, other = hook(), hook("other")
    assert describe_change(config(), config(one)) == (
        "notifications.webhooks: [] -> ['https://hooks.example.com:8443']"
    )
    assert describe_change(config(one), config(other)) == (
        "notifications.webhooks: ['https://hooks.example.com:8443'], changed"
    )
    assert SECRET not in describe_change(config(one), config())


def test_what_deploy_says_of_a_difference() -> None:
    answers = {
        "storage": {"path": "/srv/leases"},
        "notifications": {"webhooks": [{"url": hook().url}]},
    }
    (text,) = differing_keys(parse_answers(answers, "answers.yaml"), ClusterSettings())
    assert text == (
        "notifications.webhooks: ['https://hooks.example.com:8443'] (the cluster has [])"
    )


def test_a_notification_that_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    host = lone_host(tmp_path, webhooks=(hook(),), queue_size=1)
    host.cluster.post_office.state = REFUSES
    with caplog.at_level(logging.INFO):
        for on in (True, False, True):
            switch(host, on)
    assert "a notification for https://hooks.example.com:8443 is given up" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "notifications",
    [
        {"webhooks": f"https://h/{SECRET}"},
        {"webhooks": [f"https://h/{SECRET}"]},
        {"webhooks": [{"url": f"https://h/{SECRET}\n"}]},
        {"webhooks": [{"url": f"https://u:{SECRET}@h/x"}]},
        {"webhooks": [{"url": "https://h/", "secret": SECRET}]},
        {"webhooks": {"url": f"https://h/{SECRET}"}},
        {"webhooks": {"a": [f"https://a-long-name-of-a-host.example.com/in/{SECRET}"]}},
        {"webhooks": [{"url": f"https://a-long-name-of-a-host.example.com/in/ä{SECRET}"}]},
        {"smtp": {"server": "m", "from": "a", "to": ["b"], "password": SECRET}},
        {"smtp": {"server": "m", "from": "a", "to": ["b"], "smtp_pass": [SECRET]}},
        {"token": SECRET},
    ],
)
def test_settings_that_are_refused(notifications: object) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_cluster_settings({"notifications": notifications}, "settings")
    assert "allowed: " in str(caught.value)
    assert SECRET[-6:] not in str(caught.value)


@pytest.mark.parametrize("key", ["password", "token", "api-key", "privateKey"])
def test_an_unknown_key_of_host_yaml(key: str) -> None:
    data = {"host_id": 1, "host_name": "h1", "storage": {"path": "/x"}, "metrics": {key: SECRET}}
    with pytest.raises(SettingsError, match=rf"metrics.{key}: unknown key") as caught:
        parse_host_settings(data, "host.yaml")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True), ("password_in", True), ("DB_PASS", True), ("secretKey", True),
        ("password_file", False), ("token_id", False), ("author", False), ("compass", False),
        ("key", False), ("vm_conf", False),
    ],
)  # fmt: skip
def test_which_names_stand_for_secrets(name: str, secret: bool) -> None:
    assert names_secret(name) is secret
