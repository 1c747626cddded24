# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""docs/api.md and docs/settings.md: the catalogues that they are made from leave nothing out."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, cast

import pytest

from ha_broker.api.resources import COMMANDERS, READERS, RESOURCES, ROOT, paths_for
from ha_broker.server import reach, routes
from ha_broker.server.mailbox import Mailbox
from hosted_engine.cli.generated.api_page import api_page
from hosted_engine.cli.generated.setting_keys import (
    Key,
    cluster_keys,
    connection_keys,
    host_keys,
)
from hosted_engine.cli.generated.setting_meanings import CLUSTER, CONNECTION, HOST
from hosted_engine.cli.generated.settings_page import settings_page
from hosted_engine.config.keys import leaves
from metadata.settings.parse import (
    ClusterSettings,
    HostSettings,
    cluster_settings_to_data,
    host_settings_to_data,
    parse_cluster_settings,
    parse_host_settings,
)


def keys_of(name: str) -> dict[str, str]:
    """The body's keys of one resource, with what they may be."""
    (found,) = [one for one in RESOURCES if one.path == name]
    return dict(found.body)


# --- the API ----------------------------------------------------------------------------------


def test_the_catalogue_has_what_is_answered_and_nothing_else() -> None:
    api = routes.Api(cast(Mailbox, None), lambda: 0.0)
    assert sorted(api._routes) == sorted((one.method, one.path) for one in RESOURCES)


def test_each_right_is_one_of_three_and_reading_is_never_a_command() -> None:
    assert {one.right for one in RESOURCES} == {READERS, COMMANDERS, ROOT}
    assert {one.method for one in RESOURCES if one.right == READERS} == {"GET"}
    assert {one.method for one in RESOURCES if one.right == COMMANDERS} == {"PUT"}


def test_rights_are_what_they_were_when_they_stood_in_the_routes() -> None:
    assert paths_for(READERS) == (
        "/v1/status",
        "/v1/changes",
        "/v1/sequence",
        "/v1/config",
        "/metrics",
    )
    assert paths_for(ROOT) == ("/v1/config/copy", "/v1/record", "/v1/reach")
    assert paths_for(COMMANDERS) == (
        *("/v1/maintenance", "/v1/move", "/v1/reread", "/v1/test-notification"),
    )


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/maintenance", routes.MaintenanceRequest),
        ("/v1/move", routes.MoveBody),
        ("/v1/reach", reach.ReachBody),
        ("/v1/reread", routes.Nothing),
        ("/v1/test-notification", routes.Nothing),
    ],
)
def test_bodies_have_the_keys_that_are_read(path: str, kind: Any) -> None:
    assert list(keys_of(path)) == [field.name for field in dataclasses.fields(kind)]


def test_bounds_are_those_of_the_code() -> None:
    (changes,) = [one for one in RESOURCES if one.path == "/v1/changes"]
    assert f"0 to {routes.MAX_WAIT_S:g} " in dict(changes.query)["wait_s"]
    timeout = keys_of("/v1/maintenance")["timeout_s"]
    assert f"0 to {routes.MAX_CONFIRM_S:g} " in timeout
    assert f"default {routes.MaintenanceRequest('local', True).timeout_s:g}" in timeout
    timeout = keys_of("/v1/reach")["timeout_s"]
    assert f"{reach.SHORTEST_S:g} to {reach.LONGEST_S:g} " in timeout
    assert f"default {reach.ReachBody('').timeout_s:g}" in timeout


def test_each_value_says_in_words_what_it_is() -> None:
    """Python makes a text of its own for a dataclass without one."""
    said = re.findall(r"### (\w+)\n\n```text\n(.*)", api_page())
    assert len(said) > 15
    assert [name for name, text in said if not text or text.startswith(f"{name}(")] == []


# --- the settings -----------------------------------------------------------------------------


def every_key() -> list[Key]:
    connections = [key for keys in connection_keys().values() for key in keys]
    return [*cluster_keys(), *host_keys(), *connections]


def test_each_setting_has_a_meaning_and_each_meaning_a_setting() -> None:
    assert {key.name for key in cluster_keys()} == set(CLUSTER)
    assert {key.name for key in host_keys()} == set(HOST)
    assert {key.name for keys in connection_keys().values() for key in keys} == set(CONNECTION)


def test_no_setting_is_left_out() -> None:
    """As the settings themselves are written, whatever the readers say."""
    cluster = {key.name for key in cluster_keys()}
    told = set(leaves(cluster_settings_to_data(ClusterSettings())))
    sections = {"monitors.plugins", "notifications.smtp"}
    assert told - sections <= cluster
    host = parse_host_settings({"host_id": 1, "host_name": "h1", "storage": {"path": "/x"}}, "")
    assert isinstance(host, HostSettings)
    assert set(leaves(host_settings_to_data(host))) <= {key.name for key in host_keys()}


def test_defaults_are_those_of_the_settings() -> None:
    found = {key.name: key.default for key in cluster_keys()}
    usual = parse_cluster_settings({}, "")
    assert found["timing.tick_s"] == usual.timing.tick_s
    assert found["score.base"] == usual.score.base
    assert found["notifications.webhooks"] == []
    assert found["migration.at_shutdown"] == usual.migration.at_shutdown


def test_what_must_be_given_is_told() -> None:
    must = {key.name for key in every_key() if key.must}
    assert must >= {
        *("host_id", "host_name", "storage.path", "notifications.smtp.server"),
        *("notifications.smtp.from", "notifications.smtp.to", "notifications.webhooks[0].url"),
        *("storage.connection.portal", "storage.connection.target"),
    }
    assert not any(name.startswith(("timing.", "score.", "network.", "engine.")) for name in must)


def test_each_row_has_four_cells_and_no_example_for_a_default() -> None:
    rows = [line for line in settings_page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(every_key())
    assert [row for row in rows if len(re.split(r" \| ", row)) != 4] == []
    assert [row for row in rows if "example.org`" in row.split(" | ")[1]] == []
