# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Dotted keys: which there are, and what people type for their values."""

from __future__ import annotations

import pytest

from hosted_engine.config.keys import (
    MISSING,
    changed_keys,
    check_key,
    find,
    leaves,
    parse_value,
    split_key,
    with_value,
)
from hosted_engine.errors import UsageError
from metadata.settings.parse import ClusterSettings, cluster_settings_to_data

DATA = cluster_settings_to_data(ClusterSettings())


@pytest.mark.parametrize("key", leaves(DATA))
def test_every_setting_has_a_key(key):
    assert find(DATA, check_key(key)) is not MISSING


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("timing", ("timing",)),
        ("notifications.smtp.server", ("notifications", "smtp", "server")),
        ("monitors.plugins.raid", ("monitors", "plugins", "raid")),
        ("monitors.plugins.raid.md0", ("monitors", "plugins", "raid.md0")),
        ("monitors.plugins.raid.md0.points", ("monitors", "plugins", "raid.md0", "points")),
        ("monitors.plugins.a.options.b.c", ("monitors", "plugins", "a", "options", "b.c")),
    ],
)
def test_keys_of_peoples_own_names_and_sections(key, path):
    assert check_key(key) == split_key(key) == path


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("timing.tik_s", "timing.tick_s"),
        ("tick_s", "timing.tick_s"),
        ("Engine.fqdn", "engine.fqdn"),
        ("vmconf", "vm_conf"),
        ("timing.tick_s.x", "timing.tick_s"),
    ],
)
def test_near_keys_are_named_and_all_that_are_allowed(key, near):
    with pytest.raises(UsageError, match=f"'{key}' is no key; near ones: .*{near}") as caught:
        check_key(key)
    allowed = caught.value.message.partition("allowed: ")[2]
    assert all(name in allowed for name in ("engine.fqdn", "notifications.smtp.from", "vm_conf"))


@pytest.mark.parametrize("key", ["", ".", "timing.", "\n"])
def test_what_is_no_key_is_refused_in_one_line(key):
    with pytest.raises(UsageError) as caught:
        check_key(key)
    assert "\n" not in caught.value.message


def test_keys_of_other_sections_are_refused_where_some_are_asked_for():
    assert check_key("timing.tick_s", ("timing", "score"))
    with pytest.raises(UsageError) as caught:
        check_key("engine.fqdn", ("timing", "score"))
    assert "allowed: timing.tick_s, " in caught.value.message
    assert ", vm_conf," not in caught.value.message


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("timing.tick_s", "5", 5),
        ("timing.tick_s", "0.5", 0.5),
        ("engine.guest_agent", "true", True),
        ("engine.health_text", "DB Up", "DB Up"),
        ("engine.health_text", "5", "5"),
        ("engine.health_text", "yes", "yes"),
        ("engine.health_text", "2024-01-02", "2024-01-02"),
        ("engine.health_text", '"5"', "5"),
        ("engine.health_text", "[broken", "[broken"),
        ("engine.health_text", "", ""),
        ("engine.health_text", "null", None),
        ("network.gateway", "2001:db8::1", "2001:db8::1"),
        ("notifications.rules", "[stopped, taken-over]", ["stopped", "taken-over"]),
        ("notifications.webhooks", '[{"url": "http://x/"}]', [{"url": "http://x/"}]),
        ("network", "{test: dns}", {"test": "dns"}),
        ("monitors.plugins.raid.options.array", "0", "0"),
        ("monitors.plugins.raid.points", "200", 200),
    ],
)
def test_values_as_people_type_them(key, text, value):
    found = parse_value(text, split_key(key))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["[1, 2", "{a: 1, a: 2}", "\x00"])
def test_what_is_no_yaml_is_refused(text):
    with pytest.raises(UsageError, match="it is no YAML"):
        parse_value(text, ("timing", "tick_s"))


def test_a_value_is_set_in_a_copy():
    before = {"timing": {"tick_s": 5}, "network": None}
    after = with_value(before, ("timing", "alive_s"), 60)
    assert after == {"timing": {"tick_s": 5, "alive_s": 60}, "network": None}
    assert before == {"timing": {"tick_s": 5}, "network": None}
    assert with_value(before, ("network", "test"), "dns")["network"] == {"test": "dns"}
    assert with_value(before, ("timing", "tick_s"), None) == {"timing": {}, "network": None}


def test_changes_are_told_key_by_key():
    after = with_value(DATA, ("timing", "tick_s"), 6.0)
    after = with_value(after, ("notifications", "rules"), ["stopped"])
    assert changed_keys(DATA, after) == [
        "timing.tick_s: 5.0 -> 6.0",
        "notifications.rules: ['all'] -> ['stopped']",
    ]
    mail = with_value(DATA, ("notifications", "smtp"), {"server": "mail"})
    assert changed_keys(DATA, mail) == ["notifications.smtp.server: nothing -> 'mail'"]
    assert changed_keys(mail, DATA) == ["notifications.smtp.server: 'mail' -> nothing"]
    assert changed_keys(DATA, DATA) == []
