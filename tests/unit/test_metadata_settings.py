# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The settings: what is accepted, and how a refusal names the key, the value and the rule."""

from __future__ import annotations

import datetime
import json
from dataclasses import fields, replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from metadata.error_words import shown
from metadata.layout import storage_parts
from metadata.records import VolumeAddress
from metadata.settings.parse import (
    ClusterSettings,
    EngineSettings,
    HostSettings,
    NetworkSettings,
    ScoreWeights,
    SettingsError,
    Timing,
    cluster_settings_to_data,
    host_settings_to_data,
    parse_cluster_settings,
    parse_host_settings,
)

MIB = 1024 * 1024
HOST = {"host_id": 1, "host_name": "h1", "storage": {"path": "/leases"}}


def host_problems(**changes) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse_host_settings({**HOST, **changes}, "host.yaml")
    return caught.value.problems


def cluster_problems(data) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse_cluster_settings(data, "answers.yaml")
    return caught.value.problems


# --- the host's settings --------------------------------------------------------------


def test_the_least_a_host_needs():
    found = parse_host_settings(HOST, "host.yaml")
    assert found == HostSettings(1, "h1", storage_parts("/leases"))


def test_a_whole_host_yaml():
    text = """
        host_id: 2000
        host_name: Node-2.example_org
        bridge: ovirtmgmt
        gateway: 2001:db8::1
        libvirt_uri: qemu+tcp://localhost/system
        storage:
          path: /dev/leases
          sector_size: 4096
          metadata: {path: /dev/other}
          shared_config: {offset: 33554432}
    """
    found = parse_host_settings(yaml.safe_load(text), "host.yaml")
    usual = storage_parts("/dev/leases", 4096)
    assert found.storage == replace(
        usual,
        metadata=VolumeAddress("/dev/other", 0),
        shared_config=VolumeAddress("/dev/leases", 32 * MIB),
    )
    assert (found.host_id, found.bridge, found.gateway) == (2000, "ovirtmgmt", "2001:db8::1")
    assert parse_host_settings(host_settings_to_data(found), "again") == found


def test_the_dump_of_a_usual_host_is_short_and_plain():
    data = host_settings_to_data(parse_host_settings(HOST, "host.yaml"))
    assert data["storage"] == {"path": "/leases", "sector_size": 512}
    assert yaml.safe_load(yaml.safe_dump(data)) == data


@pytest.mark.parametrize(
    "part", ["lockspace", "lease", "metadata", "shared_config", "config_lease"]
)
def test_each_part_elsewhere_comes_back(part):
    place = VolumeAddress("/other", 8 * MIB)
    moved = HostSettings(1, "h1", replace(storage_parts("/leases"), **{part: place}))
    assert parse_host_settings(host_settings_to_data(moved), "again") == moved


@pytest.mark.parametrize("data", [None, [], "host_id: 1", 5])
def test_a_document_that_is_no_mapping(data):
    with pytest.raises(SettingsError, match=r"host\.yaml: .* is refused; allowed: a mapping"):
        parse_host_settings(data, "host.yaml")


def test_everything_missing_is_named_at_once():
    with pytest.raises(SettingsError) as caught:
        parse_host_settings({}, "host.yaml")
    keys = [problem.split(": ")[1] for problem in caught.value.problems]
    assert keys == ["host_id", "host_name", "storage"]


@pytest.mark.parametrize("value", [0, 2001, -1, True, 1.0, "1", None])
def test_host_id(value):
    assert host_problems(host_id=value) == [
        f"host.yaml: host_id: {shown(value)} is refused; allowed: an integer from 1 to 2000"
    ]


@pytest.mark.parametrize(
    "value", ["", "a b", "a|b", "a:b", "a\n", "-a", ".a", "é", "a=b", "n" * 49, 5, None]
)
def test_host_name(value):
    (problem,) = host_problems(host_name=value)
    assert problem.startswith("host.yaml: host_name: ")
    assert "1 to 48 of the characters" in problem


def test_the_longest_host_name():
    found = parse_host_settings({**HOST, "host_name": "n" * 48}, "host.yaml")
    assert len(found.host_name) == 48


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bridge", "a/b"),
        ("bridge", ".."),
        ("bridge", "b" * 16),
        ("bridge", None),
        ("gateway", "-f"),
        ("gateway", "10.0.0.1 "),
        ("libvirt_uri", "qemu"),
        ("libvirt_uri", ""),
    ],
)
def test_other_texts(key, value):
    (problem,) = host_problems(**{key: value})
    assert problem.startswith(f"host.yaml: {key}: {shown(value)} is refused; allowed: ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "an empty value"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (datetime.datetime(2020, 1, 2, 3, 4), "2020-01-02 03:04:00"),
        ([False, "no"], "[false, 'no']"),
        ("True", "'True'"),
        (b"x", "'x'"),
        (b"x\xff", "2 bytes (hex 78 ff)"),
        (b"\0", "1 byte (hex 00)"),
        (bytearray(range(20)), "20 bytes (hex 00 01 02 03 04 05 06 07 ...)"),
        ([b"\xff", None], "[1 byte (hex ff), an empty value]"),
        (1.5, "1.5"),
        (object(), "a value of kind object"),
    ],
)
def test_values_are_told_in_the_words_of_the_file(value, text):
    assert shown(value) == text


def test_unknown_keys_are_named_with_those_that_exist():
    assert host_problems(hostid=3) == [
        "host.yaml: hostid: unknown key (value 3); allowed: "
        "host_id, host_name, storage, bridge, gateway, libvirt_uri, "
        "socket_group, migration_address, command_users, metrics"
    ]


@pytest.mark.parametrize(
    ("storage", "named"),
    [
        ({}, "storage.path: is missing"),
        ({"path": "leases"}, "storage.path: 'leases'"),
        ({"path": "/a\nb"}, r"storage.path: '/a\nb'"),
        ({"path": "/" + "p" * 1023}, "storage.path: "),
        ({"path": "/" + "é" * 512}, "storage.path: "),
        ({"path": "/l", "sector_size": 1024}, "storage.sector_size: 1024"),
        ({"path": "/l", "sector_size": True}, "storage.sector_size: true"),
        ({"path": "/l", "sise": 1}, "storage.sise: unknown key"),
        ({"path": "/l", "lease": 5}, "storage.lease: 5 is refused; allowed: a mapping"),
        ({"path": "/l", "lease": {"offset": "1"}}, "storage.lease.offset: '1'"),
        ({"path": "/l", "lease": {"offset": -MIB}}, f"storage.lease.offset: {-MIB}"),
        ({"path": "/l", "lease": {"path": "x"}}, "storage.lease.path: 'x'"),
        ({"path": "/l", "lease": {"size": 1}}, "storage.lease.size: unknown key"),
        ({"path": "/l", "lease": {"path": "/x", "offset": 512}}, "storage.lease.offset: 512"),
        ({"path": "/l", "lease": {"offset": 2 * MIB}}, "storage.metadata.offset: 2097152"),
        ("/leases", "storage: '/leases' is refused; allowed: a mapping"),
    ],
)
def test_storage_refusals(storage, named):
    problems = host_problems(storage=storage)
    assert len(problems) == 1
    assert problems[0].startswith(f"host.yaml: {named}")


# --- the cluster's settings -----------------------------------------------------------


def test_everything_has_a_default():
    assert parse_cluster_settings({}, "answers.yaml") == ClusterSettings()


def test_what_is_given_counts_and_has_its_type():
    found = parse_cluster_settings(
        {
            "engine": {"domain_name": "Engine", "health_url": "http://10.0.0.5/x"},
            "timing": {"tick_s": 2, "io_timeout_s": 2},
            "score": {"network": 0},
            "network": {"bridge": "br0", "gateway": "10.0.0.1"},
        },
        "answers.yaml",
    )
    assert found.engine == EngineSettings("Engine", health_url="http://10.0.0.5/x")
    assert found.timing == Timing(tick_s=2.0, io_timeout_s=2)
    assert type(found.timing.tick_s) is float
    assert found.score == ScoreWeights(network=0)
    assert found.network == NetworkSettings("br0", "10.0.0.1")


def test_the_defaults_survive_json_and_yaml():
    data = cluster_settings_to_data(ClusterSettings())
    for copy in (json.loads(json.dumps(data)), yaml.safe_load(yaml.safe_dump(data))):
        assert parse_cluster_settings(copy, "again") == ClusterSettings()


@pytest.mark.parametrize(
    "kind", [EngineSettings, Timing, ScoreWeights, NetworkSettings], ids=lambda kind: kind.__name__
)
def test_every_setting_is_checked(kind):
    section = {
        EngineSettings: "engine",
        Timing: "timing",
        ScoreWeights: "score",
        NetworkSettings: "network",
    }[kind]
    names = [item.name for item in fields(kind)]
    problems = cluster_problems({section: {name: ["wrong"] for name in names}})
    assert [problem.split(" ")[1] for problem in problems] == [
        f"{section}.{name}:" for name in names
    ]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("timing", "tick_s", True),
        ("timing", "tick_s", "5"),
        ("timing", "tick_s", 0),
        ("timing", "tick_s", -5),
        ("timing", "tick_s", float("nan")),
        ("timing", "tick_s", float("inf")),
        ("timing", "alive_s", 10**400),
        pytest.param("timing", "alive_s", 10**5000, id="unprintable"),
        ("timing", "io_timeout_s", 2.0),
        ("timing", "io_timeout_s", 0),
        ("timing", "tick_s", None),
        ("score", "base", 0),
        ("score", "base", 3400.0),
        ("score", "network", -1),
        ("score", "cpu_load_from", 1.5),
        ("score", "failed_starts_to_zero", 0),
        ("engine", "domain_name", ""),
        ("engine", "domain_name", "a/b"),
        ("engine", "health_url", "file:///etc/passwd"),
        ("engine", "health_url", "http://a b"),
        ("engine", "health_url", "http://"),
        ("engine", "health_url", "http:///health"),
        ("engine", "health_url", "http://engine:\u0663/health"),
        ("engine", "health_url", "http://\u00fcser@engine/health"),
        ("engine", "health_url", "http://engine:http/health"),
        ("engine", "health_url", "http://engine:65536/health"),
        ("engine", "health_url", "http://engine:0/health"),
        ("engine", "health_url", "http://[::1/health"),
        ("engine", "health_url", "http://[zz]/health"),
        ("engine", "health_url", "http://engine..example.org/health"),
        ("engine", "health_url", "http://" + "e" * 64 + "/health"),
        ("engine", "health_timeout_s", 0),
        ("engine", "health_text", 5),
        ("network", "gateway", "a b"),
    ],
)
def test_wrong_values_are_named(section, key, value):
    (problem,) = cluster_problems({section: {key: value}})
    assert problem.startswith(f"answers.yaml: {section}.{key}: ")
    assert " is refused; allowed: " in problem or "too long to print" in problem


def test_all_problems_come_at_once_and_no_timing_is_judged_on_top():
    problems = cluster_problems(
        {"timing": {"tik_s": 1, "alive_s": "60", "tick_s": 60}, "scores": {}, "engine": []}
    )
    assert [problem.split(": ")[1] for problem in problems] == [
        "scores",
        "engine",
        "timing.tik_s",
        "timing.alive_s",
    ]


def test_keys_that_are_no_text_are_named():
    (problem,) = cluster_problems({5: 1})
    assert problem.startswith("answers.yaml: 5: unknown key (value 1); allowed: engine, ")


def test_impossible_timings_are_refused():
    (problem,) = cluster_problems({"timing": {"turn_s": 10, "io_timeout_s": 2}})
    assert problem.startswith(
        "answers.yaml: timing: turn_s (10) must be at least 3 × tick_s (3 × 5 = 15): "
    )


def test_the_failed_starts_of_the_score_count_for_the_timing():
    (problem,) = cluster_problems({"score": {"failed_starts_to_zero": 100}})
    assert "retry_window_s (600)" in problem


def test_the_cpu_penalty_must_rise():
    assert cluster_problems({"score": {"cpu_load_from": 0.9}}) == [
        "answers.yaml: score: cpu_load_from (0.9) must be below cpu_load_full (0.9)"
    ]


# --- any data -------------------------------------------------------------------------

_HOST_KEYS = ["host_id", "host_name", "storage", "path", "lease", "offset", "sector_size"]
_CLUSTER_KEYS = ["engine", "timing", "score", "network", "tick_s", "base", "gateway"]
_KEYS = st.sampled_from([*_HOST_KEYS, *_CLUSTER_KEYS])
_DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_KEYS | st.text(max_size=3) | st.integers(), inner, max_size=6)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(_DATA)
def test_any_data_gives_settings_or_problems_in_words(data):
    for parse in (parse_host_settings, parse_cluster_settings):
        try:
            parse(data, "any")
        except SettingsError as error:
            assert error.problems
            assert all(problem.startswith("any: ") for problem in error.problems)


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 2000),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}", fullmatch=True),
    st.sampled_from([512, 4096]),
    st.from_regex(r"/[a-z0-9 é:/]{1,30}", fullmatch=True),
)
def test_host_settings_come_back_as_they_were(host_id, name, sector_size, path):
    original = HostSettings(host_id, name, storage_parts(path, sector_size))
    assert parse_host_settings(host_settings_to_data(original), "again") == original


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://e",
        "https://engine-1.example.org./ovirt-engine/services/health",
        "http://engine:8080?x#y",
        "https://engine:65535/",
        "http://user:a:b@192.0.2.1:80/health",
        "http://[2001:db8::1]:443/health",
        "http://[fe80::1%eth0]/",
        "http://[::ffff:192.0.2.1]/",
        "http://engine_1/~x/%20?q=[1]&r=@:",
    ],
)
def test_health_url_that_can_be_asked_is_taken(url):
    settings = parse_cluster_settings({"engine": {"health_url": url}}, "x")
    assert settings.engine.health_url == url
