# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A shared configuration that is lost on the storage and known to hosts: written back, or not."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from hosted_engine.config import restore as command
from hosted_engine.errors import CommandError
from metadata.config_repair import is_whole, newest_begun, refusal
from metadata.layout import CONFIG_SIZE
from metadata.records import HostRecord
from metadata.settings import parse
from metadata.settings.parse import cluster_settings_to_data
from metadata.shared_config import (
    COPY_SIZE,
    SharedConfig,
    StoredConfig,
    copy_offset,
    decode_area,
    decode_copy,
    encode_copy,
    encode_stored,
)
from tests.unit import config_bench
from tests.unit.broker_host import CONFIG, JOIN_S, PARTS, TICK_S, Cluster, Host
from world.ports.errors import LeaseHeldError, StorageError
from world.ports.sanlock import Membership
from world.storage.config_restore import restore_config

GARBAGE = b"\xa5" * CONFIG_SIZE
NOTHING = bytes(CONFIG_SIZE)


def version(number: int) -> SharedConfig:
    return replace(CONFIG, sequence=number)


def area_of(*configs: SharedConfig, damaged: int = -1) -> bytes:
    area = bytearray(CONFIG_SIZE)
    for config in configs:
        copy = bytearray(encode_copy(config))
        if config.sequence == damaged:
            copy[100] ^= 0xFF
        place = copy_offset(config.sequence)
        area[place : place + len(copy)] = copy
    return bytes(area)


# --- what may be written over ---------------------------------------------------------------------


@pytest.mark.parametrize("area", [GARBAGE, NOTHING, area_of(version(4), damaged=4)])
def test_what_is_no_configuration_may_be_written_over(area: bytes) -> None:
    assert refusal(area, 4) == ""
    assert not is_whole(area, 4)


def test_the_damaged_newest_copy_beside_the_one_before_is_mended() -> None:
    assert refusal(area_of(version(3), version(4), damaged=4), 4) == ""


@pytest.mark.parametrize(
    ("area", "why"),
    [
        (area_of(version(5), damaged=5), "version 5 was begun"),
        (area_of(version(4), version(5), damaged=5), "version 5 was begun"),
        (area_of(version(5)), "version 5 was begun"),
        (area_of(version(1)), "version 1 stands there, whole"),
        (area_of(version(3)), "version 3 stands there, whole"),
        (area_of(version(2), version(1), damaged=1), "version 2 stands there, whole"),
    ],
)
def test_nothing_newer_and_nobodys_decision_is_written_over(area: bytes, why: str) -> None:
    assert why in refusal(area, 4)


def test_a_newer_programs_configuration_is_left_alone() -> None:
    area = bytearray(NOTHING)
    payload = b"{}"
    head = struct.Struct(">8sIIQQ")
    checksum = zlib.crc32(payload, zlib.crc32(head.pack(b"HEHACONF", 9, 0, 2, len(payload))))
    area[: head.size] = head.pack(b"HEHACONF", 9, checksum, 2, len(payload))
    area[head.size : head.size + len(payload)] = payload
    assert refusal(bytes(area), 4) == "a newer program wrote version 2"


def test_a_copy_is_read_back_as_it_was_made() -> None:
    stored = StoredConfig(version(7), {"engine": {"fqdn": "e"}}, "history")
    found = decode_copy(encode_stored(stored))
    assert isinstance(found, StoredConfig)
    assert (found.settings, found.history) == (stored.settings, "history")
    assert not isinstance(decode_copy(GARBAGE[:COPY_SIZE]), StoredConfig)
    assert newest_begun(area_of(version(3), version(4))) == 4


# --- under the lock -----------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> config_bench.Cluster:
    monkeypatch.setenv("HE_STATE_DIR", str(tmp_path))
    return config_bench.Cluster()


def spoil(bench: config_bench.Cluster, data: bytes = GARBAGE) -> None:
    bench.put(config_bench.PARTS.shared_config, data)


def restored(bench: config_bench.Cluster, held: StoredConfig, host_id: int = 1) -> bool:
    world = bench.world(host_id)
    place = config_bench.PARTS.shared_config
    return restore_config(world.store, world.lockspace, place, held)


def test_it_is_written_back_as_it_stood_and_the_lock_let_go(bench: config_bench.Cluster) -> None:
    held = bench.stored()
    spoil(bench)
    assert restored(bench, held)
    assert bench.stored() == held
    assert bench.san.config_lease is None
    assert restored(bench, held, 2) is False  # the second host finds it done


def test_it_is_not_written_past_another_writer(bench: config_bench.Cluster) -> None:
    held = bench.stored()
    spoil(bench)
    bench.lockspaces[1].take_config_lease()
    with pytest.raises(LeaseHeldError):
        restored(bench, held)
    bench.lockspaces[1].drop_config_lease()
    with pytest.raises(AssertionError):
        bench.stored()


def test_a_refusal_lets_the_lock_go(bench: config_bench.Cluster) -> None:
    held = bench.stored()
    spoil(bench, area_of(version(5), damaged=5))
    with pytest.raises(StorageError, match="version 5 was begun"):
        restored(bench, held)
    assert bench.san.config_lease is None


# --- by the brokers -----------------------------------------------------------------------------


@pytest.fixture
def hosts(tmp_path: Path) -> tuple[Cluster, Host, Host]:
    """Two brokers, members for long enough, whose records tell what they go by."""
    cluster = Cluster()
    made = []
    for host_id in (1, 2):
        directory = tmp_path / str(host_id)
        directory.mkdir()
        made.append(cluster.host(host_id, directory))
    cluster.run(JOIN_S + 70)
    speak(*made)
    cluster.run(2 * TICK_S)
    return cluster, made[0], made[1]


def speak(*hosts: Host) -> None:
    for host in hosts:
        host.publish()


def on_storage(cluster: Cluster) -> object:
    place = PARTS.shared_config
    volume = cluster.volumes[place.path]
    return decode_area(bytes(volume[place.offset : place.offset + CONFIG_SIZE]))


def run_on(cluster: Cluster, *hosts: Host, seconds: float = 100) -> None:
    """Their agents speak each tick."""
    for _ in range(int(seconds / TICK_S)):
        speak(*hosts)
        cluster.run(TICK_S)


@pytest.mark.parametrize("lost", [GARBAGE, NOTHING])
def test_a_broker_writes_back_what_it_goes_by(
    hosts: tuple[Cluster, Host, Host], lost: bytes
) -> None:
    cluster, first, second = hosts
    cluster.put_at(PARTS.shared_config, lost)
    run_on(cluster, first, second)
    assert on_storage(cluster) == CONFIG
    assert [host.snapshot.config.error for host in (first, second)] == ["", ""]


def test_records_tell_the_version_that_a_host_goes_by(hosts: tuple[Cluster, Host, Host]) -> None:
    cluster, _, _ = hosts
    assert ("config-version", str(CONFIG.sequence)) in cluster.stored(1).notes


def test_who_goes_by_an_older_version_leaves_it_to_the_newer_one(
    hosts: tuple[Cluster, Host, Host],
) -> None:
    cluster, first, second = hosts
    newer = version(CONFIG.sequence + 1)
    cluster.put_config(newer)
    second.broker.mailbox.ask_reread()
    second.settle()
    speak(second)
    cluster.run(1)
    assert (first.snapshot.config.sequence, second.snapshot.config.sequence) == (4, 5)
    cluster.put_at(PARTS.shared_config, GARBAGE)
    first.broker.mailbox.ask_reread()
    for _ in range(6):  # the second one does not look yet
        run_on(cluster, first, second, seconds=TICK_S)
        assert on_storage(cluster) != CONFIG
    assert "goes by version 5" in first.snapshot.config.error
    run_on(cluster, first, second)
    assert on_storage(cluster) == newer
    assert first.snapshot.config.sequence == 5


def test_a_host_of_an_older_program_may_know_more(hosts: tuple[Cluster, Host, Host]) -> None:
    cluster, first, second = hosts
    second.due_s = float("inf")
    cluster.hosts.remove(second)
    for timestamp_s in range(20):
        cluster.put_record(2, timestamp_s=1000 + timestamp_s)  # no word of its version
        if timestamp_s == 2:
            cluster.put_at(PARTS.shared_config, GARBAGE)
            first.broker.mailbox.ask_reread()
        run_on(cluster, first, seconds=TICK_S)
    assert "does not tell which version" in first.snapshot.config.error
    assert on_storage(cluster) != CONFIG


LATER_TIMES = ["watchdog_fire_timeout", "watchdog_fire_timeout_s", "a_later_s", "isolated_s"]


@pytest.mark.parametrize("key", LATER_TIMES)
def test_a_time_of_a_newer_program_is_refused_by_name_and_left_alone(
    hosts: tuple[Cluster, Host, Host], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Passed over, it would be another time on this host than on the others."""
    cluster, *older = hosts
    monkeypatch.delitem(parse._TIMING, key, raising=False)
    newer = version(CONFIG.sequence + 1)
    data = cluster_settings_to_data(newer.settings)
    data["timing"][key] = 70
    written = encode_stored(StoredConfig(newer, data))
    place = replace(PARTS.shared_config, offset=PARTS.shared_config.offset + copy_offset(5))
    assert newer.sequence == 5
    cluster.put_at(place, written)
    run_on(cluster, *older)
    for host in older:
        found = host.snapshot.config
        assert f"timing.{key}: unknown key (value 70)" in found.error
        assert (found.sequence, host.broker.mailbox.config()) == (CONFIG.sequence, CONFIG)
        assert host.snapshot.lockspace.membership == Membership.JOINED
    assert cluster.volumes[place.path][place.offset : place.offset + len(written)] == written


def test_the_watchdog_time_is_no_setting_of_the_cluster() -> None:
    """It is asked of each host's sanlock: what the configuration said could be untrue there."""
    data = cluster_settings_to_data(CONFIG.settings)
    assert not [key for section in data.values() for key in section if "fire" in key]


def test_who_was_out_of_the_lockspace_writes_nothing_back(
    hosts: tuple[Cluster, Host, Host],
) -> None:
    """The storage may be another cluster's by now."""
    cluster, first, second = hosts
    for host in (first, second):
        host.lockspace.kill_daemon()
    cluster.put_at(PARTS.shared_config, NOTHING)
    run_on(cluster, first, second, seconds=20)
    for host in (first, second):
        host.lockspace.start_daemon()
    run_on(cluster, first, second, seconds=JOIN_S + 100)
    assert "has not been in the lockspace all the time" in first.snapshot.config.error
    assert on_storage(cluster) != CONFIG


def test_an_older_version_on_the_storage_is_not_taken_up(
    hosts: tuple[Cluster, Host, Host],
) -> None:
    cluster, first, second = hosts
    cluster.put_at(PARTS.shared_config, area_of(version(2)))
    run_on(cluster, first, second)
    assert first.snapshot.config.sequence == 4
    assert "version 2" in first.snapshot.config.error
    assert on_storage(cluster) == version(2)


# --- by people -----------------------------------------------------------------------------


def test_people_write_back_what_was_cut_off_with_its_lock(bench: config_bench.Cluster) -> None:
    held = bench.stored()
    spoil(bench, NOTHING)
    bench.san.config_lease_formatted = False
    assert command.restore(bench.world(), held, force=False) == 1
    assert bench.stored() == held


def test_people_are_told_who_knows_a_newer_one(bench: config_bench.Cluster) -> None:
    held = bench.stored()
    spoil(bench)
    told(bench, 2, "6")
    with pytest.raises(CommandError, match=r"h2 goes by version 6; nothing was written"):
        command.restore(bench.world(), held, force=False)
    assert command.restore(bench.world(), held, force=True) == 7
    assert bench.stored().config == replace(held.config, sequence=7)


@pytest.mark.parametrize("number", ["\u00b2", "18446744073709551615", "-1", "1e9", "9" * 300])
def test_a_version_that_nobody_means_is_none(bench: config_bench.Cluster, number: str) -> None:
    held = bench.stored()
    spoil(bench)
    told(bench, 2, number)
    assert command.restore(bench.world(), held, force=False) == held.config.sequence


def told(bench: config_bench.Cluster, host_id: int, number: str) -> None:
    notes = (("config-version", number),)
    record = HostRecord(host_id, 9, 3400, config_bench.EngineStatus(), f"h{host_id}", notes=notes)
    address = config_bench.slot_address(config_bench.PARTS, host_id)
    bench.put(address, config_bench.wire.encode_host(record))


@pytest.mark.parametrize("force", [False, True])
def test_people_never_overwrite_a_whole_one(bench: config_bench.Cluster, force: bool) -> None:
    held = bench.stored()
    with pytest.raises(CommandError, match="whole"):
        command.restore(bench.world(), held, force)
    older = replace(held, config=replace(held.config, sequence=9))
    with pytest.raises(CommandError, match="whole"):
        command.restore(bench.world(), older, force)
    assert bench.stored() == held
