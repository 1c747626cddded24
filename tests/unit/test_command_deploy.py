# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--deploy: the answers, the survey of the storage, the plan, and the small helpers."""

from __future__ import annotations

import errno
import stat
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml

from hosted_engine.cluster.storage_survey import AreaKind, Survey, survey
from hosted_engine.deploy.answers import (
    Answers,
    created_settings,
    differing_keys,
    parse_answers,
    read_data,
    storage_parts,
)
from hosted_engine.deploy.plan import (
    Create,
    Deployed,
    Join,
    NewEngine,
    Plan,
    Refused,
    ThisHost,
    plan,
)
from hosted_engine.errors import CommandError
from hosted_engine.host.probes import default_gateway
from hosted_engine.host.settings_file import write_host_settings, write_settings_text
from metadata import layout
from metadata.records import EngineStatus, HostRecord, VolumeAddress
from metadata.sanlock_disk import HOST_ID_MAGIC, LEASE_MAGIC, LeaderRecord
from metadata.settings.metrics import MetricsSettings
from metadata.settings.parse import HostSettings, NetworkSettings
from metadata.shared_config import SharedConfig, copy_offset, encode_copy
from metadata.wire import encode_host
from simulation.world import SimStore
from tests.unit.disk_areas import EXT2
from tests.unit.test_command_volume import leader
from world.host_file import read_host_settings

PATH = "/shared/leases"
PARTS = layout.storage_parts(PATH)
XML = "<domain/>"
ENGINE = NewEngine("HostedEngine", XML)

JOINING = {"storage": {"path": PATH}}
CREATING = {
    "storage": {"path": PATH},
    "host": {"bridge": "ovirtmgmt", "gateway": "198.51.100.1"},
    "engine": {"domain_xml_file": "/root/engine.xml", "health_url": "http://engine/health"},
    "sanlock": {"io_timeout_s": 2},
}


def answers(data: object) -> Answers:
    return parse_answers(data, "answers.yaml")


def read_answers(path: str) -> Answers:
    return parse_answers(read_data(path), path)


def refusal(data: object) -> str:
    with pytest.raises(CommandError) as caught:
        answers(data)
    assert "\n" not in caught.value.message
    return caught.value.message


# --- answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([], "answers.yaml: [] is refused"),
        ({}, "storage: is missing"),
        ({"storage": {}}, "storage.path: is missing"),
        ({"storage": {"path": "leases"}}, "storage.path: 'leases' is refused"),
        ({"storage": {"path": PATH, "colour": "red"}}, "storage.colour: unknown key"),
        ({**JOINING, "hots": {}}, "hots: unknown key"),
        ({**JOINING, "host": {"host_id": "1"}}, "host_id: '1' is refused"),
        ({**JOINING, "host": {"host_id": 2001}}, "host_id: 2001 is refused"),
        ({**JOINING, "host": {"storage": {}}}, "host.storage: unknown key"),
        ({**JOINING, "host": {"host_name": "a|b"}}, "host_name: 'a|b' is refused"),
        ({**JOINING, "engine": {}}, "engine.domain_xml_file: is missing"),
        ({**JOINING, "engine": {"domain_name": "x"}}, "engine.domain_name: unknown key"),
        ({**JOINING, "sanlock": {"io_timeout_s": 0}}, "sanlock.io_timeout_s: 0 is refused"),
        ({**JOINING, "sanlock": {"io_timeout_s": True}}, "io_timeout_s: true is refused"),
        ({**CREATING, "timing": {"tick_s": "5"}}, "timing.tick_s: '5' is refused"),
        ({**CREATING, "timing": {"tick": 5}}, "timing.tick: unknown key"),
        ({**CREATING, "score": {"base": -1}}, "score.base: -1 is refused"),
        ({**CREATING, "timing": {"io_timeout_s": 3}}, "differs from sanlock.io_timeout_s"),
        ({**CREATING, "network": {"test": "tcp"}}, "network.target: '' is refused"),
        ({**CREATING, "network": {"tset": "dns"}}, "network.tset: unknown key"),
        ({**CREATING, "monitors": {"interval_s": 0}}, "monitors.interval_s: 0 is refused"),
    ],
)
def test_answers_that_can_not_be_are_refused_by_key_and_value(data: object, expected: str) -> None:
    assert expected in refusal(data)


def test_impossible_timing_is_refused() -> None:
    assert "timing: " in refusal({**CREATING, "timing": {"tick_s": 60, "alive_s": 1}})


def test_every_problem_is_named_at_once() -> None:
    message = refusal({"storage": {}, "host": {"host_id": 0}, "colour": 1})
    for part in ("colour", "host_id: 0", "storage.path"):
        assert part in message


def test_answers_without_engine_join_and_with_it_create() -> None:
    assert not answers(JOINING).creates
    assert answers(CREATING).creates


def test_created_settings_take_what_the_answers_say() -> None:
    settings = created_settings(answers(CREATING), "HostedEngine", "198.51.100.1")
    assert settings.engine.domain_name == "HostedEngine"
    assert settings.engine.health_url == "http://engine/health"
    assert settings.timing.io_timeout_s == 2
    assert settings.network.bridge == "ovirtmgmt"
    assert settings.network.gateway == "198.51.100.1"


def test_created_settings_take_the_clusters_sections_too() -> None:
    data = {
        **CREATING,
        "engine": {
            "domain_xml_file": "/root/engine.xml",
            "fqdn": "engine.example.org",
            "guest_agent": True,
        },
        "network": {"test": "dns", "target": "198.51.100.53"},
        "monitors": {"plugins": {"raid": {"points": 100}}},
    }
    settings = created_settings(answers(data), "HostedEngine", "198.51.100.1")
    assert settings.engine.page_url == "http://engine.example.org/ovirt-engine/services/health"
    assert settings.engine.guest_agent is True
    assert settings.network == NetworkSettings(
        "ovirtmgmt", "198.51.100.1", test="dns", target="198.51.100.53"
    )
    assert [plugin.name for plugin in settings.monitors.plugins] == ["raid"]


def test_sector_size_of_the_answers_goes_before_the_one_found() -> None:
    given = answers({"storage": {"path": PATH, "sector_size": 4096}})
    assert storage_parts(given, 512) == layout.storage_parts(PATH, 4096)
    assert storage_parts(answers(JOINING), 4096) == layout.storage_parts(PATH, 4096)


def test_parts_of_the_storage_can_be_put_elsewhere() -> None:
    data = {"storage": {"path": PATH, "metadata": {"path": "/dev/other", "offset": 4096}}}
    assert storage_parts(answers(data), 512).metadata == VolumeAddress("/dev/other", 4096)


def test_answers_file_that_is_missing_or_no_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.yaml"
    with pytest.raises(CommandError, match=r"answers\.yaml: can't be read"):
        read_answers(str(path))
    path.write_text("storage: {path: [\n")
    with pytest.raises(CommandError, match=r"answers\.yaml: no valid YAML"):
        read_answers(str(path))
    path.write_text(yaml.safe_dump(CREATING))
    assert read_answers(str(path)).path == PATH


# --- survey -----------------------------------------------------------------------------------


def store(**areas: bytes) -> SimStore:
    """A volume with the given bytes at the beginning of the named parts."""
    volume = SimStore()
    volume.add(PATH, layout.required_size(PARTS))
    for name, data in areas.items():
        put(volume, getattr(PARTS, name).offset, data)
    return volume


def put(volume: SimStore, offset: int, data: bytes) -> None:
    volume.volumes[PATH][offset : offset + len(data)] = data


def cluster_store(config: Optional[SharedConfig] = None) -> SimStore:
    volume = store(lockspace=leader(timestamp=5), lease=leader(LEASE_MAGIC))
    wanted = config or CONFIG
    place = PARTS.shared_config.offset + copy_offset(wanted.sequence)
    put(volume, place, encode_copy(wanted))
    put(volume, layout.slot_address(PARTS, 1).offset, encode_host(record(1)))
    return volume


def record(host_id: int, name: str = "") -> HostRecord:
    return HostRecord(host_id, 5, 3400, EngineStatus(), name or f"h{host_id}")


SETTINGS = created_settings(answers(CREATING), "HostedEngine", "198.51.100.1")
CONFIG = SharedConfig(1, SETTINGS, XML)


def test_zeros_are_blank() -> None:
    assert survey(store(), PARTS).kind is AreaKind.BLANK


def test_cluster_is_described_with_its_hosts_and_the_lease() -> None:
    volume = cluster_store()
    put(volume, layout.slot_address(PARTS, 2).offset, encode_host(record(2)))
    put(volume, PARTS.lease.offset, leader(LEASE_MAGIC, timestamp=5))
    found = survey(volume, PARTS)
    assert found.kind is AreaKind.CLUSTER
    assert found.config == CONFIG
    assert found.found == (
        "a hosted-engine cluster with hosts h1 (id 1), h2 (id 2), engine lease held by h1"
    )


def test_cluster_made_before_there_was_a_lock_of_writers_is_one() -> None:
    volume = cluster_store()
    del volume.volumes[PATH][layout.config_lease_address(PARTS).offset :]
    found = survey(volume, PARTS)
    assert (found.kind, found.config) == (AreaKind.CLUSTER, CONFIG)
    put(volume, 0, bytes(8192))
    assert survey(volume, PARTS).kind is AreaKind.FOREIGN


def test_something_in_the_place_of_the_lock_of_writers_is_named() -> None:
    volume = store()
    put(volume, layout.config_lease_address(PARTS).offset, EXT2)
    assert survey(volume, PARTS).found == f"a file system (ext2) at {PATH}:11534336"


def test_lockspace_without_anything_else_is_half_made() -> None:
    assert survey(store(lockspace=leader(), lease=leader(LEASE_MAGIC)), PARTS).kind is (
        AreaKind.HALF_MADE
    )


def test_cluster_with_a_damaged_configuration_is_never_half_made() -> None:
    volume = cluster_store()
    put(volume, PARTS.shared_config.offset, bytes(layout.CONFIG_SIZE))
    assert survey(volume, PARTS).kind is AreaKind.BROKEN_CLUSTER
    put(volume, PARTS.shared_config.offset, b"rubbish")
    found = survey(volume, PARTS)
    assert found.kind is AreaKind.BROKEN_CLUSTER
    assert "shared configuration is damaged" in found.found


def test_damaged_slot_does_not_hide_the_cluster() -> None:
    volume = cluster_store()
    put(volume, layout.slot_address(PARTS, 9).offset, b"\xff" * 512)
    found = survey(volume, PARTS)
    assert found.kind is AreaKind.CLUSTER
    assert isinstance(found.slots[9], str)


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        (store(lockspace=EXT2), "a file system (ext2)"),
        (store(lockspace=b"QFI\xfb"), "a qcow2 image"),
        (store(lockspace=b"\x07rubbish"), "data of an unknown kind (first at byte 0)"),
        (store(metadata=bytes(9) + b"x"), f"(first at byte 9) at {PATH}:2097152"),
        (
            store(lockspace=leader().replace(b"hosted-engine", b"other-cluster")),
            "the sanlock lockspace 'other-cluster'",
        ),
        (store(lockspace=leader(LEASE_MAGIC)), "the sanlock lease 'h1'"),
        (store(metadata=bytes(4096) + encode_host(record(1))), "status records of the hosts h1"),
        (store(shared_config=bytes(layout.CONFIG_SIZE // 2) + encode_copy(CONFIG)), "shared conf"),
    ],
)
def test_what_is_not_ours_is_named(volume: SimStore, expected: str) -> None:
    found = survey(volume, PARTS)
    assert found.kind is AreaKind.FOREIGN
    assert expected in found.found


# --- plan -------------------------------------------------------------------------------------


def owner(name: str, timestamp: int = 5, io_timeout_s: int = 2) -> LeaderRecord:
    return LeaderRecord(HOST_ID_MAGIC, 512, 1, 1, "hosted-engine", name, timestamp, io_timeout_s)


def found_cluster(
    hosts: Mapping[int, str],
    ids_in_use: Optional[Mapping[int, LeaderRecord]] = None,
    lease_of: int = 0,
) -> Survey:
    lease = replace(owner(""), magic=LEASE_MAGIC, owner_id=lease_of) if lease_of else None
    slots = {host_id: record(host_id, name) for host_id, name in hosts.items()}
    return Survey(AreaKind.CLUSTER, PARTS, "a cluster", CONFIG, slots, ids_in_use or {}, lease)


BLANK = Survey(AreaKind.BLANK, PARTS)
NEW = ThisHost("h9", "h9", gateway="192.0.2.254")


def planned(
    data: Mapping[str, Any], found: Survey, host: ThisHost = NEW, force: bool = False
) -> Plan:
    given = answers(data)
    return plan(given, found, host, ENGINE if given.creates else None, force)


def joining(found: Survey, host: ThisHost = NEW, **given: Any) -> Plan:
    return planned({**JOINING, "host": given}, found, host)


def why(chosen: Plan) -> str:
    assert isinstance(chosen, Refused)
    return chosen.why


def test_blank_storage_and_an_engine_create() -> None:
    chosen = planned(CREATING, BLANK)
    assert isinstance(chosen, Create)
    assert (chosen.host_id, chosen.host_name, chosen.lost) == (1, "h9", "")
    assert chosen.settings == SETTINGS
    assert chosen.watch.host_ids == ()


def test_gateway_of_the_default_route_is_taken_where_none_is_named() -> None:
    chosen = planned({**CREATING, "host": {}}, BLANK)
    assert isinstance(chosen, Create)
    assert chosen.settings.network.gateway == "192.0.2.254"


@pytest.mark.parametrize("name", ["h" * 49, "h\u00f6st", "(none)", "a b", "-h", ""])
@pytest.mark.parametrize(
    ("data", "found"), [({**CREATING, "host": {}}, BLANK), (JOINING, found_cluster({1: "h1"}))]
)
def test_machine_s_name_that_no_host_may_have_is_refused_before_anything_is_done(
    name: str, data: Mapping[str, Any], found: Survey
) -> None:
    with pytest.raises(CommandError) as caught:
        planned(data, found, ThisHost(name, "h9"))
    assert ascii(name) in caught.value.message
    assert "host.host_name" in caught.value.message


def test_name_in_the_answers_goes_before_the_machine_s() -> None:
    data = {**CREATING, "host": {"host_name": "h1"}}
    chosen = planned(data, BLANK, ThisHost("(none)", "h9"))
    assert isinstance(chosen, Create)
    assert chosen.host_name == "h1"


@pytest.mark.parametrize("force", [False, True])
def test_domain_too_large_for_the_storage_is_refused_before_it_is_formatted(force: bool) -> None:
    engine = NewEngine("HostedEngine", XML + "<!--" + "x" * 600_000 + "-->")
    chosen = plan(answers(CREATING), BLANK, NEW, engine, force)
    assert "takes" in why(chosen)
    assert "/root/engine.xml" in why(chosen)


def test_blank_storage_without_an_engine_is_refused() -> None:
    assert "engine.domain_xml_file" in why(planned(JOINING, BLANK))


@pytest.mark.parametrize("kind", [AreaKind.FOREIGN, AreaKind.BROKEN_CLUSTER])
@pytest.mark.parametrize("data", [CREATING, JOINING], ids=["creating", "joining"])
def test_what_is_there_is_named_and_kept(kind: AreaKind, data: Mapping[str, Any]) -> None:
    found = Survey(kind, PARTS, "a file system (xfs)")
    assert "a file system (xfs)" in why(planned(data, found))


def test_used_storage_is_not_created_anew() -> None:
    text = why(planned(CREATING, found_cluster({1: "h1"})))
    assert "a cluster" in text
    assert "--force" in text


@pytest.mark.parametrize(
    ("kind", "joinable"), [(AreaKind.CLUSTER, True), (AreaKind.FOREIGN, False)]
)
def test_joining_is_advised_only_where_there_is_a_cluster(kind: AreaKind, joinable: bool) -> None:
    text = why(planned(CREATING, replace(found_cluster({1: "h1"}), kind=kind)))
    assert ("leave `engine` out" in text) is joinable
    assert "--force" in text


def test_empty_storage_is_said_to_hold_nothing() -> None:
    assert why(planned(JOINING, BLANK)).startswith(f"{PATH} holds nothing, so no cluster to join")


def test_force_creates_and_says_what_is_lost() -> None:
    chosen = planned(CREATING, found_cluster({1: "h1"}), force=True)
    assert isinstance(chosen, Create)
    assert chosen.lost == "a cluster"


def test_force_without_an_engine_formats_nothing() -> None:
    assert isinstance(planned(JOINING, found_cluster({1: "h1"}), force=True), Join)
    assert isinstance(planned(JOINING, Survey(AreaKind.FOREIGN, PARTS, "XFS"), force=True), Refused)


def test_force_watches_every_other_host_for_two_renewals() -> None:
    ids = {1: owner("h1", io_timeout_s=2), 2: owner("h2", io_timeout_s=10), 9: owner("h9")}
    host = replace(NEW, joined_id=9)
    chosen = planned(CREATING, found_cluster({1: "h1", 2: "h2"}, ids), host, force=True)
    assert isinstance(chosen, Create)
    assert chosen.watch.host_ids == (1, 2)
    assert chosen.watch.wait_s == 41


def test_force_gives_the_lease_s_owner_sanlock_s_whole_time_to_be_dead() -> None:
    found = found_cluster({1: "h1"}, {1: owner("h1", io_timeout_s=2)}, lease_of=1)
    chosen = planned(CREATING, found, force=True)
    assert isinstance(chosen, Create)
    assert chosen.watch.wait_s == 8 * 2 + 60


def test_half_made_storage_is_created_without_force() -> None:
    found = Survey(AreaKind.HALF_MADE, PARTS, "half", ids_in_use={1: owner("other")})
    chosen = planned(CREATING, found)
    assert isinstance(chosen, Create)
    assert chosen.watch.host_ids == (1,)


@pytest.mark.parametrize("hosts", [{}, {1: "h9"}])
def test_creation_that_was_cut_off_after_the_storage_is_joined(hosts: Mapping[int, str]) -> None:
    chosen = planned(CREATING, found_cluster(hosts))
    assert isinstance(chosen, Join)
    assert chosen.candidates[0] == 1


def test_join_takes_the_lowest_free_id_and_the_cluster_s_network() -> None:
    chosen = joining(found_cluster({1: "h1", 3: "h3"}, {2: owner("h2")}))
    assert isinstance(chosen, Join)
    assert chosen.candidates[:2] == (4, 5)
    assert (chosen.bridge, chosen.gateway) == ("ovirtmgmt", "198.51.100.1")


def test_join_takes_its_own_network_from_the_answers() -> None:
    chosen = joining(found_cluster({1: "h1"}), bridge="br0", gateway="10.0.0.1")
    assert isinstance(chosen, Join)
    assert (chosen.bridge, chosen.gateway) == ("br0", "10.0.0.1")


def test_damaged_slot_is_nobody_s_to_take() -> None:
    found = found_cluster({1: "h1"})
    found = replace(found, slots={**found.slots, 2: "slot 2: torn"})
    chosen = joining(found)
    assert isinstance(chosen, Join)
    assert chosen.candidates[0] == 3


def test_known_host_takes_its_former_id() -> None:
    chosen = joining(found_cluster({1: "h1", 5: "h9"}))
    assert isinstance(chosen, Join)
    assert chosen.candidates == (5,)


def test_former_id_in_use_is_watched_first() -> None:
    chosen = joining(found_cluster({5: "h9"}, {5: owner("h9")}))
    assert isinstance(chosen, Join)
    assert (chosen.watch.host_ids, chosen.watch.wait_s) == ((5,), 9)


def test_own_membership_is_not_watched() -> None:
    chosen = joining(found_cluster({5: "h9"}, {5: owner("h9")}), replace(NEW, joined_id=5))
    assert isinstance(chosen, Join)
    assert chosen.watch.host_ids == ()


def test_other_machine_with_our_sanlock_name_is_watched() -> None:
    chosen = joining(found_cluster({1: "h1"}, {1: owner("h9")}))
    assert isinstance(chosen, Join)
    assert chosen.watch.host_ids == (1,)


def test_id_joined_by_a_run_that_was_cut_off_is_kept() -> None:
    found = found_cluster({1: "h1"}, {7: owner("h9")})
    chosen = joining(found, replace(NEW, joined_id=7))
    assert isinstance(chosen, Join)
    assert chosen.candidates == (7,)


def test_wanted_id_of_another_host_is_refused_by_its_name() -> None:
    assert "belongs to h1 (id 1)" in why(joining(found_cluster({1: "h1"}), host_id=1))
    found = found_cluster({1: "h1"}, {2: owner("h2")})
    assert "belongs to h2 (id 2)" in why(joining(found, host_id=2))


def test_wanted_id_that_is_free_is_taken() -> None:
    chosen = joining(found_cluster({1: "h1"}), host_id=7)
    assert isinstance(chosen, Join)
    assert chosen.candidates == (7,)


def test_host_does_not_get_a_second_id() -> None:
    assert "host h9 has the id 5" in why(joining(found_cluster({5: "h9"}), host_id=7))


def test_full_cluster_is_refused() -> None:
    everybody = {host_id: f"x{host_id}" for host_id in range(1, 2001)}
    assert "all 2000 host ids" in why(joining(found_cluster(everybody)))


def test_join_that_would_change_the_cluster_is_refused_by_key() -> None:
    data = {**JOINING, "sanlock": {"io_timeout_s": 5}, "score": {"base": 3400}}
    text = why(planned(data, found_cluster({1: "h1"})))
    assert "sanlock.io_timeout_s: 5 (the cluster has 2)" in text
    assert "score" not in text


def test_join_with_the_cluster_s_own_values_is_fine() -> None:
    data = {**JOINING, "sanlock": {"io_timeout_s": 2}}
    assert isinstance(planned(data, found_cluster({1: "h1"})), Join)
    assert differing_keys(answers(data), SETTINGS) == []


# --- a host that is deployed already ----------------------------------------------------------

HOME = HostSettings(9, "h9", PARTS, bridge="br0")
DEPLOYED = replace(NEW, deployed=HOME)


@pytest.mark.parametrize("data", [CREATING, JOINING], ids=["creating", "joining"])
def test_same_deploy_again_changes_nothing(data: Mapping[str, Any]) -> None:
    again = {**data, "host": {"bridge": "br0"}}
    assert planned(again, found_cluster({9: "h9"}), DEPLOYED) == Deployed(HOME)


def renamed(stopped: bool) -> Survey:
    found = found_cluster({9: "former"})
    record = found.slots[9]
    assert isinstance(record, HostRecord)
    return replace(found, slots={9: replace(record, stopped=stopped)})


def test_a_host_that_was_renamed_is_deployed_already() -> None:
    """Its sanlock has the id, and the record under the former name has stopped."""
    member = replace(DEPLOYED, joined_id=9)
    assert planned(JOINING, renamed(stopped=True), member) == Deployed(HOME)
    told = why(planned(JOINING, renamed(stopped=False), member))
    assert "id 9, which belongs to former now; remove this host's host.yaml" in told


@pytest.mark.parametrize("joined_id", [None, 8])
def test_a_host_that_may_have_been_renamed_is_told_what_to_do(joined_id: Optional[int]) -> None:
    told = why(planned(JOINING, renamed(stopped=True), replace(DEPLOYED, joined_id=joined_id)))
    assert "deployed as h9 with id 9, whose record is that of former, which has stopped" in told
    assert "'systemctl start ha-broker ha-agent' replaces it" in told


def test_metrics_are_compared_by_what_they_mean() -> None:
    listening = replace(HOME, metrics=MetricsSettings("127.0.0.1:9177"))
    host = replace(NEW, deployed=listening)
    same = {**JOINING, "host": {"metrics": {"listen": "127.0.0.1:9177", "user": ""}}}
    other = {**JOINING, "host": {"metrics": {"listen": "127.0.0.1:9178"}}}
    found = found_cluster({9: "h9"})
    assert planned(same, found, host) == Deployed(listening)
    refusal = why(planned(other, found, host))
    assert "host.metrics.listen: '127.0.0.1:9178' (host.yaml has '127.0.0.1:9177')" in refusal, (
        refusal
    )
    assert "MetricsSettings" not in refusal
    assert refusal.count("host.metrics") == 1  # what is alike is not told


def test_impossible_metrics_are_refused() -> None:
    data = {**JOINING, "host": {"metrics": {"listen": "9177"}}}
    with pytest.raises(CommandError, match=r"host: metrics\.listen: '9177' is refused; allowed: "):
        answers(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({**JOINING, "host": {"host_id": 3}}, "host.host_id: 3 (host.yaml has 9)"),
        ({**JOINING, "host": {"bridge": "br7"}}, "host.bridge: 'br7' (host.yaml has 'br0')"),
        ({**JOINING, "sanlock": {"io_timeout_s": 7}}, "sanlock.io_timeout_s: 7"),
    ],
)
def test_deploy_again_with_other_answers_is_refused(data: Mapping[str, Any], expected: str) -> None:
    assert expected in why(planned(data, found_cluster({9: "h9"}), DEPLOYED))


OTHER_PLACES = {
    "path": {"path": "/shared/leasse"},
    "sectors": {"path": PATH, "sector_size": 4096},
    "a part of its own": {"path": PATH, "lease": {"path": "/shared/other"}},
    "an offset": {"path": PATH, "shared_config": {"offset": 64 << 20}},
}


@pytest.mark.parametrize("place", OTHER_PLACES.values(), ids=OTHER_PLACES)
@pytest.mark.parametrize("kind", list(AreaKind))
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("data", [CREATING, JOINING], ids=["creating", "joining"])
def test_deployed_host_stays_on_its_storage(
    data: Mapping[str, Any], force: bool, kind: AreaKind, place: Mapping[str, Any]
) -> None:
    """Whatever the other place holds, and whatever was asked for."""
    given = answers({**data, "storage": place})
    there = storage_parts(given, 512)
    config = CONFIG if kind is AreaKind.CLUSTER else None
    found = Survey(kind, there, "something" if kind is not AreaKind.BLANK else "", config)
    engine = ENGINE if given.creates else None
    refusal = why(plan(given, found, DEPLOYED, engine, force))
    assert refusal.startswith("this host is deployed already, as h9 (id 9) on /shared/leases, and")
    assert "hosted-engine-cleanup" in refusal
    (key,) = set(place) - {"path"} or {"path"}
    assert f"storage.{key}: " in refusal


def test_deployed_host_whose_own_storage_was_wiped_can_create_its_cluster_anew() -> None:
    assert isinstance(planned(CREATING, BLANK, DEPLOYED), Create)


def test_storage_that_was_exchanged_at_the_same_path_is_not_taken_for_the_old_one() -> None:
    found = replace(found_cluster({9: "h9"}), parts=layout.storage_parts(PATH, 4096))
    refusal = why(planned(JOINING, found, DEPLOYED))
    assert "storage.sector_size: 4096 (host.yaml has 512)" in refusal


def test_deploy_again_with_another_domain_is_refused() -> None:
    given = answers({**CREATING, "host": {}})
    changed = NewEngine("HostedEngine", "<domain>other</domain>")
    chosen = plan(given, found_cluster({9: "h9"}), DEPLOYED, changed)
    assert "engine.domain_xml_file" in why(chosen)


def test_id_that_was_given_to_another_host_meanwhile_is_refused() -> None:
    assert "belongs to h2 now" in why(planned(JOINING, found_cluster({9: "h2"}), DEPLOYED))


def test_damaged_slot_of_its_own_gives_the_id_to_nobody_else() -> None:
    slots = {9: "slot 9: parse_version: 'x' is refused"}
    found = replace(found_cluster({}, {9: owner("a-name-of-sanlock-s")}), slots=slots)
    assert planned(JOINING, found, DEPLOYED) == Deployed(HOME)


# --- helpers ----------------------------------------------------------------------------------


def test_host_settings_are_written_whole_and_readable_by_all(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "host.yaml"
    write_host_settings(str(path), HOME)
    assert read_host_settings(str(path)) == HOME
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == ["host.yaml"]


def test_file_that_can_not_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "host.yaml"
    path.write_text("before")

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_settings_text(path, "after")
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["host.yaml"]


ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


def test_default_gateway_is_read_from_the_routes() -> None:
    assert default_gateway(ROUTES) == "10.0.0.1"
    assert default_gateway(ROUTES.replace("0100000A", "00000000")) == ""
    assert default_gateway("") == ""


def route_6(gateway: str, metric: int = 0x400, flags: int = 0x3, device: str = "br0") -> str:
    zero, hop = "0" * 32, IPv6Address(gateway).packed.hex()
    return f"{zero} 00 {zero} 00 {hop} {metric:08x} 00000001 00000000 {flags:08x} {device}\n"


ROUTES_6 = f"""\
20010db8{"0" * 24} 40 {"0" * 32} 00 {"0" * 32} 00000100 00000001 00000000 00000001 br0
{"0" * 32} 00 {"0" * 32} 00 {"0" * 32} ffffffff 00000001 00000000 00200200 lo
"""


@pytest.mark.parametrize(
    ("routes", "gateway"),
    [
        (route_6("2001:db8::1"), "2001:db8::1"),
        (route_6("fe80::1"), "fe80::1%br0"),
        (route_6("2001:db8::1", 0x400) + route_6("2001:db8::2", 0x64), "2001:db8::2"),
        (route_6("2001:db8::1", flags=0x2), ""),  # not up
        (route_6("2001:db8::1", flags=0x203), ""),  # rejects
        ("", ""),
        ("nonsense\n\n", ""),
    ],
)
def test_host_without_ipv4_has_a_gateway_too(routes: str, gateway: str) -> None:
    assert default_gateway("", ROUTES_6 + routes) == gateway
    assert default_gateway(ROUTES, ROUTES_6 + routes) == "10.0.0.1"


@pytest.mark.parametrize(
    ("gateway", "shared"), [("2001:db8::1", "2001:db8::1"), ("fe80::1%br0", ""), ("", "")]
)
def test_gateway_behind_a_device_stays_with_its_host(gateway: str, shared: str) -> None:
    found = created_settings(answers({**CREATING, "host": {}}), "HostedEngine", gateway)
    assert found.network.gateway == shared
