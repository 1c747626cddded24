# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How the engine is moved alive: the section `migration`, and where a host's libvirt is reached."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from metadata.layout import storage_parts
from metadata.settings.migration import address_on
from metadata.settings.parse import (
    ClusterSettings,
    HostSettings,
    MigrationSettings,
    SettingsError,
    Timing,
    cluster_settings_to_data,
    host_settings_to_data,
    parse_cluster_settings,
    parse_host_settings,
)
from metadata.takes_note import TakesNote, decode_takes, encode_takes

HOST: dict[str, Any] = {"host_id": 1, "host_name": "h1", "storage": {"path": "/leases"}}


def problems(data: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse_cluster_settings(data, "x")
    return caught.value.problems


def host(address: str) -> HostSettings:
    return parse_host_settings({**HOST, "migration_address": address}, "host.yaml")


def test_what_is_given_counts() -> None:
    given = {
        "uri": "qemu+tcp://{address}:16509/system",
        "bandwidth_mib_s": 100,
        "downtime_ms": 50,
        "limit_s": 30,
        "auto_converge": False,
        "post_copy": True,
        "encrypt": True,
        "tries": 1,
        "better_points": 1000,
        "better_s": 600,
        "better_per_day": 1,
        "out_of_reach_s": 0,
    }
    found = parse_cluster_settings({"migration": given}, "x")
    assert found.migration == MigrationSettings(**given)  # type: ignore[arg-type]
    assert parse_cluster_settings(cluster_settings_to_data(found), "again") == found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("better_points", -1),
        ("better_points", 1.5),
        ("better_s", 59),
        ("better_per_day", 0),
        ("better_per_day", 101),
        ("out_of_reach_s", -1),
        ("out_of_reach_s", 3601),
        ("uri", ""),
        ("uri", "qemu+tls://h2/system"),
        ("uri", "{address}"),
        ("uri", "qemu+tls://{address}{address}/system"),
        ("uri", "qemu+ssh://{address}/system?keyfile=/root/key"),
        ("uri", "qemu+tls://{address}/sys tem"),
        ("uri", "qemu+tls://{address}/" + "x" * 70),
        ("uri", None),
        ("bandwidth_mib_s", -1),
        ("bandwidth_mib_s", 1.5),
        ("downtime_ms", 0),
        ("downtime_ms", True),
        ("limit_s", 0),
        ("limit_s", float("nan")),
        ("limit_s", "120"),
        ("auto_converge", 1),
        ("post_copy", "yes"),
        ("encrypt", "tls"),
        ("encrypt", 1),
        ("tries", 0),
        ("tries", 101),
    ],
)
def test_what_can_not_be_is_refused_by_key_and_value(key: str, value: Any) -> None:
    (problem,) = problems({"migration": {key: value}})
    assert problem.startswith(f"x: migration.{key}: ")
    assert "is refused; allowed: " in problem


def test_an_unknown_key_is_named() -> None:
    (problem,) = problems({"migration": {"limit": 5}})
    assert problem.startswith("x: migration.limit: unknown key (value 5); allowed: uri, ")


@pytest.mark.parametrize("limit_s", [595.1, 600, 86_400])
def test_the_limit_ends_before_the_agents_own(limit_s: float) -> None:
    (problem,) = problems({"migration": {"limit_s": limit_s}})
    assert problem == (
        f"x: migration: limit_s + timing.tick_s ({limit_s:g} + 5 = {limit_s + 5:g}) must be at "
        "most timing.migration_s (600): libvirt must have been seen to break a migration off "
        "before the agent takes it for one that hangs"
    )


def test_the_longest_limit_is_taken() -> None:
    found = parse_cluster_settings({"migration": {"limit_s": 595}}, "x")
    assert found.migration.limit_s == 595.0


@pytest.mark.parametrize(
    ("tick_s", "migration_s", "limit_s"),
    [(5, 600, 120), (5, 124, 119), (5, 10, 5), (0.1, 1, 0.9)],
)
@pytest.mark.parametrize("migration", [None, {}, {"tries": 2}])
def test_settings_from_before_the_section_stay_good(
    tick_s: float, migration_s: float, limit_s: float, migration: Any
) -> None:
    data = {"timing": {"tick_s": tick_s, "migration_s": migration_s}, "migration": migration}
    found = parse_cluster_settings(data, "x")
    assert found.migration.limit_s == pytest.approx(limit_s)
    assert parse_cluster_settings(cluster_settings_to_data(found), "again") == found


def test_a_timing_that_is_refused_anyway_is_not_told_twice() -> None:
    (problem,) = problems({"timing": {"migration_s": 6}})
    assert problem.startswith("x: timing: migration_s (6) must be at least 2 × tick_s")


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("", "qemu+tls://h1/system"),
        ("h1.storage.example.org", "qemu+tls://h1.storage.example.org/system"),
        ("192.0.2.7", "qemu+tls://192.0.2.7/system"),
        ("2001:db8::7", "qemu+tls://[2001:db8::7]/system"),
        ("::1", "qemu+tls://[::1]/system"),
    ],
)
def test_where_a_host_is_reached(address: str, uri: str) -> None:
    settings = host(address)
    assert address_on(MigrationSettings().uri, settings.reached_at) == uri
    assert parse_host_settings(host_settings_to_data(settings), "again") == settings


@pytest.mark.parametrize(
    "address", ["h 1", "[::1]", "h1:16514", "h1/system", "fe80::1%eth0", "é", "h" * 201, "-h", 5]
)
def test_addresses_that_can_not_be(address: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        host(address)
    (problem,) = caught.value.problems
    assert problem.startswith("host.yaml: migration_address: ")


def test_the_longest_address_fits_into_the_record() -> None:
    uri = "qemu+tls://{address}/" + "x" * (90 - len("qemu+tls://{address}/"))
    longest = HostSettings(1, "h1", storage_parts("/leases"), migration_address="a:" * 100)
    assert host(longest.migration_address) == longest
    settings = replace(ClusterSettings(), migration=MigrationSettings(uri=uri))
    assert parse_cluster_settings(cluster_settings_to_data(settings), "x") == settings
    note = TakesNote(address=address_on(uri, longest.reached_at))
    assert decode_takes(encode_takes(note)) == note


def test_the_limit_goes_by_the_clusters_timing() -> None:
    timing = Timing(migration_s=60)
    found = parse_cluster_settings(
        {"timing": {"migration_s": timing.migration_s}, "migration": {"limit_s": 55}}, "x"
    )
    assert found.migration.limit_s == 55
