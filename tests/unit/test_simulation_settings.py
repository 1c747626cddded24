# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Reading and writing the world of a simulation."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from metadata.settings.parse import ClusterSettings, Timing
from simulation.errors import InputError
from simulation.settings import (
    EngineTraits,
    HostTraits,
    WorldSettings,
    dump_world,
    load_world,
    parse_world,
)
from tests.unit.simulation_strategies import WORLDS

FULL = """\
hosts:
  h1: {}
  h2: {host_id: 12, watchdog: false, latency_s: 0.02, version: newer, boot_s: 40}
  h3: {gateway: false, clock_drift_ppm: -50}
cluster:
  timing: {tick_s: 2, io_timeout_s: 2}
engine: {boot_s: 7, shutdown_s: 1.5}
start: cold
seed: 42
"""


def refusal(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_world(text)
    return caught.value.problems


def test_world_with_everything() -> None:
    assert parse_world(FULL) == WorldSettings(
        hosts=(
            HostTraits("h1", 1),
            HostTraits(
                "h2", 12, watchdog=False, latency_s=0.02, version="newer", boot_s=40, gateway=True
            ),
            HostTraits("h3", 3, gateway=False, clock_drift_ppm=-50),
        ),
        cluster=ClusterSettings(timing=Timing(tick_s=2, io_timeout_s=2)),
        engine=EngineTraits(7, 1.5),
        start="cold",
        seed=42,
    )


def test_everything_may_be_left_out() -> None:
    assert parse_world("{}") == WorldSettings()
    assert [host.name for host in parse_world("hosts: 2").hosts] == ["h1", "h2"]
    assert parse_world("hosts: {h4: , h9: }").hosts == (HostTraits("h4", 4), HostTraits("h9", 9))


@given(WORLDS)
def test_what_is_written_is_read_back(world: WorldSettings) -> None:
    assert parse_world(dump_world(world)) == world


def test_only_what_differs_is_written() -> None:
    assert dump_world(WorldSettings(seed=3)) == (
        "hosts: 3\ncluster: {}\nengine: {}\nstart: running\nseed: 3\n"
    )


def test_every_problem_at_once_in_the_order_of_the_lines() -> None:
    problems = refusal(
        "hosts:\n"
        "  h1: {boot_s: soon}\n"
        "  h2: {host_id: 0}\n"
        "  hx: {}\n"
        "seed: -1\n"
        "cluster:\n"
        "  timing:\n"
        "    tick_s: 600\n"
        "    tack_s: 1\n"
        "start: warm\n"
    )
    assert [problem.split(" ")[:2] for problem in problems] == [
        ["world.yaml:2:", "hosts.h1.boot_s:"],
        ["world.yaml:3:", "hosts.h2.host_id:"],
        ["world.yaml:4:", "hosts.hx:"],
        ["world.yaml:5:", "seed:"],
        ["world.yaml:8:", "cluster.timing.tick_s:"],
        ["world.yaml:9:", "cluster.timing.tack_s:"],
        ["world.yaml:10:", "start:"],
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "world.yaml: empty"),
        ("- 1", "world.yaml:1: [1] is refused; allowed: a mapping of keys to values"),
        ("\nfoo: 1", "world.yaml:2: foo: unknown key (value 1); allowed: hosts, cluster, engine"),
        ("hosts: 0", "world.yaml:1: hosts: 0 is refused; allowed: a number of hosts from 1 to 9"),
        ("hosts: 10", "world.yaml:1: hosts: 10 is refused; allowed: a number of hosts from 1 to 9"),
        ("hosts: true", "world.yaml:1: hosts: true is refused"),
        ("hosts: {}", "world.yaml:1: hosts: {} is refused"),
        ("hosts: {h1: 5}", "world.yaml:1: hosts.h1: 5 is refused; allowed: a mapping"),
        (
            "hosts: {h1: {watchdog: 'False'}}",
            "world.yaml:1: hosts.h1.watchdog: 'False' is refused; allowed: true or false",
        ),
        (
            "hosts: {h1: {version: old}}",
            "hosts.h1.version: 'old' is refused; allowed: same or older or newer or too-new",
        ),
        ("hosts: {h1: {host_id: 2001}}", "allowed: an integer from 1 to 2000"),
        ("hosts: {h1: {latency_s: .inf}}", "hosts.h1.latency_s: inf is refused"),
        ("engine: {boot_s: -1}", "engine.boot_s: -1 is refused; allowed: a number from 0 to 3600"),
        ("seed: 1.5", "seed: 1.5 is refused; allowed: an integer"),
        (
            "cluster:\n  timing:\n    alive_s: 5",
            "world.yaml:2: cluster.timing: alive_s (5) must be at least 3 × tick_s",
        ),
        ("cluster: 5", "world.yaml:1: cluster: 5 is refused; allowed: a mapping, or deployed"),
        ("seed: 1\nseed: 2", "world.yaml:2: no valid YAML: the key 'seed' stands here for the"),
        ("hosts: [", "world.yaml:1: no valid YAML: "),
        ("a: &a [*a]", "world.yaml:1: no valid YAML: the alias *a is refused"),
        ("[" * 5000, "world.yaml: no valid YAML: nested too deep"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_is_allowed(text: str, expected: str) -> None:
    assert any(expected in problem for problem in refusal(text)), refusal(text)


# --- the settings that this host runs with ---------------------------------------------


def test_deployed_settings_are_taken_from_the_host() -> None:
    deployed = ClusterSettings(timing=Timing(tick_s=3))
    assert parse_world("cluster: deployed", deployed=lambda: deployed).cluster == deployed


def test_deployed_settings_that_cannot_be_had() -> None:
    def deployed() -> ClusterSettings:
        raise InputError(["this host is not deployed"])

    with pytest.raises(InputError) as caught:
        parse_world("\ncluster: deployed", deployed=deployed)
    assert caught.value.problems == ["world.yaml:2: cluster: deployed: this host is not deployed"]


# --- the file ------------------------------------------------------------------------------


def test_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    path.write_text(FULL)
    assert load_world(str(path)) == parse_world(FULL)


def load_refusal(path: str) -> str:
    with pytest.raises(InputError) as caught:
        load_world(path)
    (problem,) = caught.value.problems
    return problem


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    assert load_refusal(str(missing)) == f"{missing}: can't be read: No such file or directory"
    assert load_refusal(str(tmp_path)) == f"{tmp_path}: can't be read: Is a directory"
    assert "can't be read" in load_refusal("nul\0byte")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"seed: \xff\xfe")
    assert load_refusal(str(binary)) == f"{binary}: no text: byte 6 is not UTF-8"
    assert load_refusal("/dev/zero") == "/dev/zero: too large; allowed: at most 1048576 bytes"
