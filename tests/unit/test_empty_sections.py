# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A section with nothing behind it (``network:``) is as if it were not there, in every file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hosted_engine.deploy.answers import differing_keys, parse_answers, storage_parts
from hosted_engine.deploy.questions import ask_answers
from hosted_engine.errors import CommandError
from metadata.layout import storage_parts as usual_parts
from metadata.settings.monitors import MonitorSettings, PluginSettings
from metadata.settings.parse import (
    ClusterSettings,
    HostSettings,
    SettingsError,
    cluster_settings_to_data,
    host_settings_to_data,
    parse_cluster_settings,
    parse_host_settings,
)
from simulation.errors import InputError
from simulation.settings import WorldSettings, parse_world
from tests.unit.deploy_scene import Scene
from tests.unit.test_command_deploy import CREATING, cluster_store
from world.plain_yaml import parse_yaml

HOST: dict[str, Any] = {"host_id": 1, "host_name": "h1", "storage": {"path": "/srv/leases"}}
SMTP = {"server": "mail", "from": "ha@example.org", "to": ["a@example.org"]}
PARTS = ("lockspace", "lease", "metadata", "shared_config", "config_lease")


def with_empty(data: Any, path: tuple[Any, ...]) -> Any:
    """A copy with nothing behind the key at `path`."""
    first, *rest = path
    inner = data.get(first, {}) if isinstance(data, dict) else {}
    return {**data, first: with_empty(inner, tuple(rest)) if rest else None}


def sections(data: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places at which mappings or lists stand, and those that may have one (smtp)."""
    for name, value in data.items():
        if isinstance(value, (dict, list, tuple)) or name == "smtp":
            yield (*before, name)
        if isinstance(value, dict):
            yield from sections(value, (*before, name))


CLUSTER = cluster_settings_to_data(ClusterSettings())


@pytest.mark.parametrize("path", list(sections(CLUSTER)), ids=".".join)
def test_of_the_cluster_s_settings(path: tuple[str, ...]) -> None:
    assert parse_cluster_settings(with_empty({}, path), "x") == ClusterSettings()
    assert parse_cluster_settings(with_empty(CLUSTER, path), "x") == ClusterSettings()


def test_of_a_plug_in() -> None:
    data = parse_yaml("monitors:\n  plugins:\n    raid:\n    disk:\n      options:\n")
    plugins = (PluginSettings("disk"), PluginSettings("raid"))
    expected = ClusterSettings(monitors=MonitorSettings(plugins=plugins))
    assert parse_cluster_settings(data, "x") == expected


@pytest.mark.parametrize(
    "path",
    [("metrics",), ("storage", "connection"), *(("storage", part) for part in PARTS)],
    ids=".".join,
)
def test_of_a_host_s_own_settings(path: tuple[str, ...]) -> None:
    expected = HostSettings(1, "h1", usual_parts("/srv/leases"))
    assert parse_host_settings(with_empty(HOST, path), "x") == expected
    whole = host_settings_to_data(expected)
    assert parse_host_settings(with_empty(whole, path), "x") == expected


@pytest.mark.parametrize("text", ["metrics:\n", "storage:\n"])
def test_what_must_be_there_is_told_by_its_name(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_host_settings(parse_yaml(text), "host.yaml")
    id_, name, storage = caught.value.problems
    assert id_ == "host.yaml: host_id: is missing; allowed: an integer from 1 to 2000"
    assert name.startswith("host.yaml: host_name: is missing; allowed: 1 to 48")
    assert storage == "host.yaml: storage: is missing; allowed: a mapping with at least path"


@pytest.mark.parametrize("wrong", ["''", "[]", "0", "false", "text"])
@pytest.mark.parametrize("section", ["network", "monitors", "notifications", "engine"])
def test_anything_else_but_a_mapping_is_refused_still(section: str, wrong: str) -> None:
    with pytest.raises(SettingsError, match=f"x: {section}: .* is refused; allowed: a mapping"):
        parse_cluster_settings(parse_yaml(f"{section}: {wrong}"), "x")


@pytest.mark.parametrize("key", ["tick_s", "io_timeout_s"])
def test_a_single_value_is_no_section(key: str) -> None:
    """Who leaves a number out may have forgotten it."""
    with pytest.raises(SettingsError, match=f"timing.{key}: an empty value is refused; allowed: "):
        parse_cluster_settings({"timing": {key: None}}, "x")


# --- the answers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        *(("host",), ("sanlock",), ("timing",), ("score",), ("network",)),
        *(("monitors",), ("notifications",), ("host", "metrics"), ("notifications", "smtp")),
        *(("notifications", "rules"), ("notifications", "webhooks"), ("monitors", "plugins")),
        *(("storage", "connection"), ("storage", "lease")),
    ],
    ids=".".join,
)
def test_of_the_answers(path: tuple[str, ...]) -> None:
    base = {name: section for name, section in CREATING.items() if (name,) != path}
    empty, plain = parse_answers(with_empty(base, path), "x"), parse_answers(base, "x")
    assert storage_parts(empty, 512) == storage_parts(plain, 512)
    assert empty.creates
    settings = ClusterSettings(
        monitors=MonitorSettings(plugins=(PluginSettings("raid"),)),
        notifications=parse_cluster_settings(
            {"notifications": {"smtp": SMTP, "rules": ["stopped"]}}, ""
        ).notifications,
    )
    assert differing_keys(empty, settings) == differing_keys(plain, settings)


def test_an_empty_engine_creates_no_cluster() -> None:
    answers = parse_answers(parse_yaml("storage: {path: /srv/x}\nengine:\n"), "x")
    assert not answers.creates


@pytest.mark.parametrize("text", ["", "storage:\n", "host:\nstorage:\n"])
def test_an_empty_storage_is_missing(text: str) -> None:
    with pytest.raises(CommandError, match="x: storage: is missing; allowed: a mapping with at l"):
        parse_answers(parse_yaml(text), "x")


def test_an_empty_storage_is_asked_for_on_a_terminal(tmp_path: Any) -> None:
    class Typist:
        def ask(self, prompt: str) -> str:
            assert prompt.startswith("Shared storage")
            return str(CREATING["storage"]["path"])

        def agrees(self, _question: str) -> bool:
            raise AssertionError

    scene = Scene(tmp_path, cluster_store())
    answers, _ = ask_answers(scene.world(), {"storage": None, "host": None}, Typist(), "x")
    assert answers.path == CREATING["storage"]["path"]


# --- simulated worlds -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["hosts:\n", "cluster:\n", "engine:\n", "hosts:\ncluster:\n  timing:\n"],
)
def test_of_a_simulated_world(text: str) -> None:
    assert parse_world(text) == WorldSettings()


def test_hosts_with_nothing_special() -> None:
    assert parse_world("hosts: {h1: , h2: , h3: }") == WorldSettings()


@pytest.mark.parametrize("text", ["hosts: 0", "hosts: []", "hosts: {}", "cluster: []", "[]"])
def test_worlds_that_can_not_be(text: str) -> None:
    with pytest.raises(InputError):
        parse_world(text)
