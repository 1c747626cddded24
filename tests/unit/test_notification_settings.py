# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The section ``notifications``: what it may say, and what is refused with which words."""

from __future__ import annotations

import re
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from ha_broker.api.event import EventKind
from ha_broker.events.transitions import StateChange
from ha_broker.notifications.rules import wants_change, wants_event
from metadata.settings.notifications import (
    EVENT_RULES,
    TEMPLATE_FIELDS,
    NotificationSettings,
    SmtpSettings,
    WebhookSettings,
    notifications_to_data,
)
from metadata.settings.parse import SettingsError, cluster_settings_to_data, parse_cluster_settings
from world.network.notification_sender import signatures
from world.plain_yaml import parse_yaml

SMTP = {"server": "mail.example.com", "from": "ha@example.com", "to": ["admin@example.com"]}


def parse(section: Any) -> NotificationSettings:
    return parse_cluster_settings({"notifications": section}, "shared").notifications


def problem(section: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(section)
    (found,) = caught.value.problems
    return found


def test_nobody_is_told_by_default() -> None:
    assert parse({}) == NotificationSettings()
    assert (parse({}).smtp, parse({}).webhooks) == (None, ())


@pytest.mark.parametrize("helo", ["ha.example.org", "h-1.example.org", "ha.bücher.example", ""])
def test_the_name_of_the_introduction(helo: str) -> None:
    found = parse({"smtp": {**SMTP, "helo": helo}})
    assert found.smtp is not None and found.smtp.helo == helo
    assert parse(notifications_to_data(found)) == found


@pytest.mark.parametrize(
    "helo",
    ["h1", "h1.", "a_b.example.org", "192.0.2.1", "h1.example.org\nx", "[192.0.2.1]", "é..x", 5],
)
def test_no_name_for_the_introduction(helo: object) -> None:
    assert "notifications.smtp.helo: " in problem({"smtp": {**SMTP, "helo": helo}})


def test_a_key_that_older_programs_do_not_know_is_written_when_it_is_set() -> None:
    assert "helo" not in notifications_to_data(parse({"smtp": SMTP}))["smtp"]
    chosen = {**SMTP, "helo": "ha.example.org"}
    assert notifications_to_data(parse({"smtp": chosen}))["smtp"]["helo"] == "ha.example.org"


@pytest.mark.parametrize("server", ["mail.bücher.example", "почта.example"])
def test_a_server_beyond_ascii(server: str) -> None:
    found = parse({"smtp": {**SMTP, "server": server}})
    assert found.smtp is not None and found.smtp.server == server


@pytest.mark.parametrize("server", ["mail.b\u202echer.example", "é" * 64, "é .example", "\udcff"])
def test_a_server_that_no_dns_has(server: str) -> None:
    assert "notifications.smtp.server: " in problem({"smtp": {**SMTP, "server": server}})


def test_a_whole_section_survives_the_journey() -> None:
    smtp = {**SMTP, "port": 2525, "security": "tls", "user": "ha", "password_file": "/etc/p"}
    section = {
        "smtp": {**smtp, "ca_file": "/etc/ca", "subject": "{kind}", "body": "{text} {{}}"},
        "webhooks": [{"url": "https://[::1]:8443/x?y=1", "secret_file": "/etc/s"}],
        "rules": ["taken-over", "state_transition=maintenance|start"],
        "daily_limit": 5,
        "hold_s": 0,
        "queue_size": 10,
    }
    settings = parse_cluster_settings({"notifications": section}, "shared")
    again = parse_cluster_settings(cluster_settings_to_data(settings), "again")
    assert again == settings
    assert again.notifications.webhooks == (
        WebhookSettings("https://[::1]:8443/x?y=1", secret_file="/etc/s"),
    )


@pytest.mark.parametrize(("security", "port"), [("none", 25), ("starttls", 587), ("tls", 465)])
def test_the_port_goes_with_the_security(security: str, port: int) -> None:
    smtp = parse({"smtp": {**SMTP, "security": security}}).smtp
    assert smtp is not None
    assert smtp.usual_port == port
    given = parse({"smtp": {**SMTP, "security": security, "port": 2}}).smtp
    assert given is not None
    assert given.usual_port == 2


def test_encrypted_unless_said_otherwise() -> None:
    smtp = parse({"smtp": SMTP}).smtp
    assert smtp is not None
    assert smtp.security == "starttls"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"mail": 1}, "notifications.mail: unknown key (value 1); allowed: smtp, webhooks, rules"),
        ({"smtp": {**SMTP, "security": "ssl"}}, "'ssl' is refused; allowed: none, starttls or tls"),
        ({"smtp": {**SMTP, "to": []}}, "notifications.smtp.to: [] is refused"),
        ({"smtp": {**SMTP, "to": "a@b"}}, "notifications.smtp.to: 'a@b' is refused"),
        ({"smtp": {**SMTP, "to": ["a@b", "x y"]}}, "notifications.smtp.to[1]: 'x y' is refused"),
        ({"smtp": {**SMTP, "from": "a@b\nBcc: c@d"}}, "notifications.smtp.from: "),
        ({"smtp": {**SMTP, "server": ""}}, "notifications.smtp.server: '' is refused"),
        ({"smtp": {**SMTP, "timeout_s": 1000}}, "1000 is refused; allowed: a number from 1 to 120"),
        ({"smtp": {**SMTP, "subject": "{nobody}"}}, "no other fields than {text}, {kind}"),
        ({"smtp": {**SMTP, "subject": "{text.__class__}"}}, "notifications.smtp.subject: "),
        ({"smtp": {**SMTP, "subject": "{text!r}"}}, "notifications.smtp.subject: "),
        ({"smtp": {**SMTP, "subject": "{text:>1000000000}"}}, "notifications.smtp.subject: "),
        ({"smtp": {**SMTP, "subject": "{"}}, "notifications.smtp.subject: '{' is refused"),
        ({"smtp": {**SMTP, "subject": "two\nlines"}}, "notifications.smtp.subject: "),
        ({"smtp": {**SMTP, "body": "{}"}}, "notifications.smtp.body: '{}' is refused"),
        ({"smtp": {**SMTP, "user": "u"}}, "notifications.smtp.password_file: is missing"),
        ({"smtp": {**SMTP, "password_file": "/p"}}, "notifications.smtp.user: is missing"),
        (
            {"smtp": {**SMTP, "security": "none", "user": "u", "password_file": "/p"}},
            "notifications.smtp.security: 'none' is refused together with user",
        ),
        ({"webhooks": {}}, "notifications.webhooks: {} is refused; allowed: a list of at most 8"),
        ({"webhooks": [{}]}, "notifications.webhooks[0].url: is missing"),
        ({"webhooks": [{"url": "ftp://x"}]}, "notifications.webhooks[0].url: 'ftp://x' is refused"),
        ({"webhooks": [{"url": "http://u:p@h/"}]}, "without a user and a password"),
        ({"webhooks": [{"url": "http://h:0/"}]}, "notifications.webhooks[0].url: "),
        ({"webhooks": [{"url": "http://h", "secret": "x"}]}, "notifications.webhooks[0].secret: "),
        ({"rules": "all"}, "notifications.rules: 'all' is refused; allowed: a list of 0 to 50"),
        ({"rules": ["start"]}, "notifications.rules[0]: 'start' is refused; allowed: started, "),
        ({"rules": ["state_transition="]}, "notifications.rules[0]: 'state_transition=' is ref"),
        ({"rules": ["state_transition=(a+)+b"]}, "a pattern of alternatives such as"),
        ({"daily_limit": 0}, "notifications.daily_limit: 0 is refused; allowed: an integer from 1"),
    ],
)
def test_what_is_wrong_is_named(section: Any, words: str) -> None:
    assert words in problem(section)


def test_what_lacks_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        parse({"smtp": {}})
    assert [found.split(" is missing")[0] for found in caught.value.problems] == [
        f"shared: notifications.smtp.{key}:" for key in ("server", "from", "to")
    ]


@pytest.mark.parametrize("kind", [NotificationSettings, SmtpSettings, WebhookSettings])
def test_every_key_is_checked(kind: Any) -> None:
    """A wrong type under any key is refused under that key."""
    for item in fields(kind):
        name = {"sender": "from"}.get(item.name, item.name)
        section: Any = {name: {"wrong": 1} if name in ("to", "webhooks", "rules") else ["wrong"]}
        if kind is SmtpSettings:
            section = {"smtp": {**SMTP, **section}}
        elif kind is WebhookSettings:
            section = {"webhooks": [{"url": "http://h", **section}]}
        with pytest.raises(SettingsError) as caught:
            parse(section)
        assert any(name in found for found in caught.value.problems)


# --- rules ---------------------------------------------------------------------------------------


def test_every_event_has_a_rule_and_every_rule_an_event() -> None:
    for kind in EventKind:
        assert wants_event(("all",), kind)
        (rule,) = [rule for rule in EVENT_RULES if wants_event((rule,), kind)]
        assert kind.value.startswith(rule)
        assert not wants_event((), kind)
    assert {rule for rule in EVENT_RULES for kind in EventKind if wants_event((rule,), kind)} == {
        *EVENT_RULES
    }


@pytest.mark.parametrize(
    ("pattern", "change", "wanted"),
    [
        ("maintenance", StateChange("EngineDown", "LocalMaintenance", ""), True),
        ("start", StateChange("EngineDown", "EngineStart", ""), True),
        ("up|down", StateChange("EngineStarting", "EngineUp", ""), True),
        ("stop", StateChange("EngineDown", "EngineStart", ""), False),
        ("EngineDown-EngineStart", StateChange("EngineDown", "EngineStart", ""), True),
        ("^GlobalMaintenance-", StateChange("EngineUp", "GlobalMaintenance", ""), False),
    ],
)
def test_a_pattern_is_searched_in_both_states(
    pattern: str, change: StateChange, wanted: bool
) -> None:
    rules = ("started", f"state_transition={pattern}")
    assert wants_change(rules, change) is wanted
    assert not wants_change(("all",), change)


# --- the page about it ---------------------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[2] / "docs" / "notifications.md"


def example(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_pages_settings_are_accepted_and_whole() -> None:
    section = parse_yaml(example("yaml"))["notifications"]
    settings = parse(section)
    assert settings.smtp is not None
    known = {*notifications_to_data(settings)["smtp"], *notifications_to_data(settings)}
    assert known - {*section["smtp"], *section} == {"body"}


def test_the_pages_check_of_a_signature_accepts_ours_and_no_other() -> None:
    names: dict[str, Any] = {}
    exec(example("python"), names)
    stamp, body = str(int(time.time())), b'{"a": 1}'
    headers = {"X-Hosted-Engine-Timestamp": stamp, **signatures(b"secret", body, stamp)}
    is_genuine = names["is_genuine"]
    assert is_genuine(b"secret", headers, body)
    assert not is_genuine(b"other", headers, body)
    assert not is_genuine(b"secret", headers, body + b" ")
    old = str(int(stamp) - 3600)
    assert not is_genuine(b"secret", {**headers, "X-Hosted-Engine-Timestamp": old}, body)


def test_the_page_names_every_rule_and_every_field() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [rule for rule in EVENT_RULES if f"`{rule}`" not in text] == []
    assert [name for name in TEMPLATE_FIELDS if f"{{{name}}}" not in text] == []
