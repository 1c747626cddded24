# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The storage cycle: what is read, what damaged slots do, and storage that hangs or fails."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_broker.storage.config_reader import INTERVAL_S as CONFIG_INTERVAL_S
from ha_broker.storage.slot_io import SlotBytes, read_slots
from ha_broker.storage.slot_reader import REREAD_AFTER_S, SCAN_INTERVAL_S
from ha_broker.storage.slot_table import SlotTable
from metadata.layout import SLOT_SIZE, slot_address
from metadata.liveness import Liveness
from metadata.records import HostRecord, VolumeAddress
from metadata.wire import encode_host
from simulation.world import SimStore
from tests.unit.broker_host import (
    ALIVE_S,
    IO_TIMEOUT_S,
    JOIN_S,
    PARTS,
    TICK_S,
    VOLUME,
    Cluster,
    Host,
    record,
)
from world.ports.errors import StorageError
from world.ports.sanlock import LockspaceHost

GARBAGE = b"\xff\x00garbage|" * 30


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def host(cluster: Cluster, tmp_path: Path) -> Host:
    return cluster.host(1, tmp_path)


def joined(cluster: Cluster) -> None:
    cluster.run(JOIN_S + 3)


# --- what is read --------------------------------------------------------------------------


def test_the_first_scan_finds_every_host(cluster: Cluster, host: Host) -> None:
    for host_id in (2, 64, 2000):
        cluster.put_record(host_id)
    cluster.run(1)
    assert [view.host_id for view in host.snapshot.hosts] == [1, 2, 64, 2000]


def test_a_cycle_reads_the_known_slots_and_slot_0_and_no_byte_more(
    cluster: Cluster, host: Host
) -> None:
    for host_id in (2, 3, 9):
        cluster.put_record(host_id)
    joined(cluster)
    before, config_before = host.read_bytes(), host.runner.submitted.count("config")
    cluster.run(10 * TICK_S)
    config_reads = host.runner.submitted.count("config") - config_before
    assert host.read_bytes() - before == 10 * SLOT_SIZE * (4 + 1) + config_reads * 2 * SLOT_SIZE


def test_adjacent_slots_are_one_read(cluster: Cluster, host: Host) -> None:
    for host_id in (2, 3, 9):
        cluster.put_record(host_id)
    cluster.run(1)
    del host.store.reads[:]
    cluster.run(TICK_S)
    assert host.store.reads == [
        (slot_address(PARTS, 0), 4 * SLOT_SIZE),
        (slot_address(PARTS, 9), SLOT_SIZE),
    ]


def test_a_host_that_sanlock_sees_living_is_added_at_once(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    peer = cluster.peer(7)
    cluster.put_record(7)
    while not any(each.host_id == 7 and each.liveness == Liveness.LIVE for each in _known(host)):
        cluster.run(0.5)
    cluster.run(1)
    assert peer is not None
    assert host.view(7).record == record(7, crc32=host.view(7).record.crc32)  # type: ignore[union-attr]


def _known(host: Host) -> list[object]:
    return list(host.broker._lockspace.hosts.values())


def test_a_living_host_without_a_record_is_shown(cluster: Cluster, host: Host) -> None:
    cluster.peer(7)
    cluster.run(JOIN_S + 4 * IO_TIMEOUT_S)
    assert (host.view(7).liveness, host.view(7).record) == (Liveness.LIVE, None)


def test_a_removed_host_vanishes(cluster: Cluster, host: Host) -> None:
    cluster.put_record(5)
    cluster.run(1)
    assert host.view(5).record
    cluster.put(5, b"")
    cluster.run(TICK_S)
    assert [view.host_id for view in host.snapshot.hosts] == [1]


def test_a_record_that_sanlock_does_not_know_is_found_by_a_later_scan(
    cluster: Cluster, host: Host
) -> None:
    cluster.run(1)
    cluster.put_record(5)
    cluster.run(SCAN_INTERVAL_S - 10)
    assert [view.host_id for view in host.snapshot.hosts] == [1]
    cluster.run(20)
    assert host.view(5).record


def test_a_scan_can_be_asked_for(cluster: Cluster, host: Host) -> None:
    cluster.run(1)
    cluster.put_record(5)
    host.broker.mailbox.ask_reread()
    cluster.run(1)
    assert host.view(5).record


# --- damaged slots ---------------------------------------------------------------------------


def test_a_damaged_slot_keeps_the_last_good_record_with_its_age(
    cluster: Cluster, host: Host
) -> None:
    cluster.put_record(2, timestamp_s=1)
    cluster.run(1)
    cluster.put_record(2, timestamp_s=2)
    cluster.run(TICK_S)
    changed_at_s = host.view(2).changed_at_s
    cluster.put(2, GARBAGE)
    cluster.run(2 * TICK_S)
    damaged = host.view(2)
    assert damaged.record is not None
    assert damaged.record.timestamp_s == 2
    assert damaged.changed_at_s == changed_at_s
    assert damaged.error.startswith("slot 2: ")


def test_garbage_hides_no_other_slot(cluster: Cluster, host: Host) -> None:
    for host_id in (2, 4):
        cluster.put_record(host_id)
    cluster.put(3, GARBAGE)
    cluster.run(1)
    assert [bool(view.error) for view in host.snapshot.hosts] == [False, False, True, False]
    assert host.view(4).record


def test_a_torn_record_is_read_again_soon(cluster: Cluster, host: Host) -> None:
    cluster.put_record(2)
    cluster.run(TICK_S - 1)
    whole = encode_host(record(2, timestamp_s=9))
    cluster.put(2, whole[:40] + b"\0" * 10 + whole[50:])
    cluster.run(1.1)
    assert host.view(2).error
    cluster.put(2, whole)
    cluster.run(REREAD_AFTER_S)
    assert host.view(2).error == ""
    assert host.view(2).record.timestamp_s == 9  # type: ignore[union-attr]


def test_a_look_at_a_torn_record_is_none_at_all_hosts(cluster: Cluster, host: Host) -> None:
    """What the others answer to a line of ours stands in any slot."""
    cluster.put_record(2)
    cluster.run(TICK_S - 1)
    storage = host.broker._storage
    whole = encode_host(record(2, timestamp_s=9))
    cluster.put(2, whole[:40] + b"\0" * 10 + whole[50:])
    cluster.run(1.1)
    round_at_s, read_at_s = storage.last_round_at_s, storage.last_read_at_s
    assert round_at_s is not None and round_at_s == read_at_s
    cluster.run(REREAD_AFTER_S + 0.1)
    assert storage.last_read_at_s is not None and storage.last_read_at_s > read_at_s
    assert storage.last_round_at_s == round_at_s
    cluster.run(TICK_S)
    assert storage.last_round_at_s > round_at_s


def test_a_torn_record_that_is_whole_before_its_second_look_leaves_nothing_due(
    cluster: Cluster, host: Host
) -> None:
    cluster.put(1, GARBAGE)
    cluster.run(REREAD_AFTER_S / 2)
    assert host.view(1).error
    host.publish()  # the agent's record replaces what stood there
    cluster.run(1)
    assert host.view(1).error == ""
    assert host.due_s > cluster.clock.monotonic_s(), "a job that is for ever due: a busy loop"


def test_garbage_is_not_read_again_and_again(cluster: Cluster, host: Host) -> None:
    cluster.put(3, GARBAGE)
    cluster.run(3 * TICK_S)
    del host.store.reads[:]
    cluster.run(TICK_S)
    assert [size for _address, size in host.store.reads] == [2 * SLOT_SIZE]


def test_a_volume_full_of_garbage_is_no_crowd_to_read(cluster: Cluster, host: Host) -> None:
    for slot in range(3, 2001):
        cluster.put(slot, GARBAGE)
    cluster.run(3 * TICK_S)
    before = host.read_bytes()
    cluster.run(5 * TICK_S)
    assert host.read_bytes() - before == 5 * 2 * SLOT_SIZE


def test_a_newer_hosts_slot_is_named_and_ignored(cluster: Cluster, host: Host) -> None:
    whole = encode_host(record(2))
    cluster.put(2, b"9" + whole[1:])
    cluster.run(1)
    assert host.view(2).record is None
    assert "newer version" in host.view(2).error


# --- freshness ---------------------------------------------------------------------------------


def test_fresh_as_long_as_the_timestamp_changes(cluster: Cluster, host: Host) -> None:
    for timestamp_s in range(20):
        cluster.put_record(2, timestamp_s=1000 - timestamp_s)  # its clock is not ours
        cluster.run(TICK_S)
    assert host.view(2).fresh
    cluster.run(ALIVE_S - TICK_S)
    assert host.view(2).fresh
    cluster.run(TICK_S + 1)
    assert not host.view(2).fresh


def test_after_a_start_sanlocks_word_counts(cluster: Cluster, host: Host) -> None:
    cluster.put_record(2)
    cluster.put_record(3)
    cluster.peer(2)
    cluster.run(200)
    host.start()
    cluster.run(1)
    assert host.view(2).fresh
    assert not host.view(3).fresh
    cluster.run(ALIVE_S + TICK_S)
    assert not host.view(2).fresh


def test_after_a_boot_nobody_can_know_yet_who_lives(cluster: Cluster, host: Host) -> None:
    """Sanlock has no word, and no record had time to change: neither live nor stale."""
    cluster.put_record(2)
    cluster.put_record(3)
    cluster.peer(2)
    host.lockspace.hang_storage()  # it does not get into the lockspace
    cluster.run(1)
    for host_id in (2, 3):
        view = host.view(host_id)
        assert (view.liveness, view.fresh, view.undecided) == (Liveness.UNKNOWN, False, True)
    cluster.put_record(2, timestamp_s=8)
    cluster.run(TICK_S + 1)
    assert (host.view(2).fresh, host.view(2).undecided) == (True, False)
    assert (host.view(3).fresh, host.view(3).undecided) == (False, True)
    cluster.run(ALIVE_S)
    assert (host.view(3).fresh, host.view(3).undecided) == (False, False), "it had its time"


@pytest.mark.parametrize("liveness", list(Liveness))
@pytest.mark.parametrize("listed", [True, False], ids=["listed", "not listed"])
@pytest.mark.parametrize("others", [True, False], ids=["others listed", "no others"])
def test_undecided_is_what_sanlock_does_not_know_yet(
    liveness: Liveness, listed: bool, others: bool
) -> None:
    """Who is not in a list with hosts has left, or never was there."""
    table = SlotTable(own_id=1)
    table.note(2, record(2, 7), 100.0)
    hosts = {2: LockspaceHost(2, 1, 1, liveness)} if listed else {}
    if others:
        hosts[1] = LockspaceHost(1, 1, 1, Liveness.LIVE)
    for now_s in (100.0, 160.0, 160.5, 900.0):
        (view,) = [one for one in table.views(hosts, now_s, 60.0) if one.host_id == 2]
        unknown = liveness is Liveness.UNKNOWN if listed else not others
        assert view.undecided is (unknown and now_s <= 160.0), now_s
        assert not (view.undecided and view.fresh)
    table.note(2, record(2, 8), 900.0)
    (view,) = [one for one in table.views(hosts, 900.0, 60.0) if one.host_id == 2]
    assert (view.fresh, view.undecided) == (True, False)


def test_a_first_record_is_a_change(cluster: Cluster, host: Host) -> None:
    cluster.peer(2)
    cluster.run(100)
    assert not host.view(2).fresh
    cluster.put_record(2)
    cluster.run(TICK_S)
    assert host.view(2).fresh
    assert host.view(2).changed_at_s is not None


def test_the_wall_clock_does_not_matter(cluster: Cluster, host: Host) -> None:
    cluster.put_record(2, timestamp_s=1)
    cluster.run(TICK_S)
    cluster.put_record(2, timestamp_s=2)
    cluster.run(TICK_S)
    cluster.clock.shift_wall(-1e6)
    cluster.run(TICK_S)
    assert host.view(2).fresh


# --- trouble -------------------------------------------------------------------------------------


def test_storage_that_hangs_is_an_error_after_the_deadline(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    last_read_at_s = host.snapshot.storage.last_read_at_s
    host.store.hang()
    while host.snapshot.storage.busy_since_s is None:
        cluster.run(0.5)
    cluster.run(IO_TIMEOUT_S - 1)
    assert host.snapshot.storage.error == ""
    cluster.run(2)
    assert "has not ended since" in host.snapshot.storage.error
    assert host.snapshot.storage.last_read_at_s is not None
    assert last_read_at_s is not None
    assert host.snapshot.storage.last_read_at_s - last_read_at_s <= TICK_S
    assert "has not ended since" in host.services.status_text


def test_everything_else_goes_on_while_storage_hangs(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    host.store.hang()
    cluster.run(100)
    taken_at_s, calls = host.snapshot.taken_at_s, len(host.network.calls)
    host.hypervisor.crash()
    cluster.run(20)
    assert host.snapshot.taken_at_s > taken_at_s
    assert len(host.network.calls) >= calls + 3
    assert host.services.calls.count("WATCHDOG=1") >= 20


def test_storage_that_comes_back_is_noticed(cluster: Cluster, host: Host) -> None:
    cluster.put_record(2)
    joined(cluster)
    host.store.hang()
    cluster.run(100)
    cluster.put_record(2, timestamp_s=99)
    host.store.heal()
    cluster.run(TICK_S)
    assert host.snapshot.storage.error == ""
    assert host.view(2).record.timestamp_s == 99  # type: ignore[union-attr]


def test_failing_storage_is_an_error_and_heals(
    cluster: Cluster, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.put_record(2)
    joined(cluster)
    with caplog.at_level(logging.INFO):
        host.store.fail(errno.EIO)
        cluster.run(20 * TICK_S)
        assert "Input/output error" in host.snapshot.storage.error
        assert host.view(2).record
        host.store.heal()
        cluster.run(TICK_S)
    assert host.snapshot.storage.error == ""
    lines = [line for line in caplog.messages if line.startswith("storage: ")]
    assert len(lines) == 2, lines  # it failed, it is well again: no flood


def test_a_truncated_volume_hides_only_what_is_cut_off(cluster: Cluster, host: Host) -> None:
    cluster.put_record(2)
    cluster.put_record(3)
    cluster.run(1)
    end = slot_address(PARTS, 3).offset
    del cluster.volumes[VOLUME][end:]
    cluster.run(TICK_S)
    assert "slot 3: " in host.view(3).error
    assert f"{end} bytes" in host.view(3).error
    assert host.snapshot.storage.error == "", "another host's slot must not keep us from starting"
    cluster.put_record(2, timestamp_s=50)
    cluster.run(TICK_S)
    assert host.view(2).record.timestamp_s == 50  # type: ignore[union-attr]


def test_a_slot_that_could_not_be_read_is_well_again(
    cluster: Cluster, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cluster.put_record(3)
    cluster.run(1)
    end = slot_address(PARTS, 3).offset
    cut_off = cluster.volumes[VOLUME][end:]
    del cluster.volumes[VOLUME][end:]
    cluster.run(3 * TICK_S)
    cluster.volumes[VOLUME].extend(cut_off)
    cluster.run(TICK_S)
    assert host.view(3).error == ""
    lines = [line for line in caplog.messages if line.startswith("slot 3: ")]
    assert len(lines) == 2, lines


def test_slot_0_that_can_not_be_read_is_an_error_of_the_storage(
    cluster: Cluster, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = host.store.read

    def bad_sector(address: VolumeAddress, size: int) -> bytes:
        if address == slot_address(PARTS, 0):
            raise StorageError("read slot 0", "Input/output error", 5)
        return read(address, size)

    monkeypatch.setattr(host.store, "read", bad_sector)
    cluster.run(2 * TICK_S)
    assert "slot 0: " in host.snapshot.storage.error


def test_a_volume_that_ends_before_the_metadata(cluster: Cluster, host: Host) -> None:
    del cluster.volumes[VOLUME][4096:]
    cluster.run(3 * TICK_S)
    assert "4096 bytes" in host.snapshot.storage.error
    assert host.store.writes == []


def test_a_missing_volume(cluster: Cluster, host: Host) -> None:
    cluster.volumes.clear()
    cluster.run(3 * TICK_S)
    assert "No such file" in host.snapshot.storage.error
    assert "No such file" in host.snapshot.config.error


# --- the shared configuration ------------------------------------------------------------------


def test_a_new_configuration_is_used_within_a_minute(cluster: Cluster, host: Host) -> None:
    from dataclasses import replace

    from tests.unit.broker_host import CONFIG

    cluster.run(1)
    assert host.snapshot.config.sequence == 4
    cluster.put_config(replace(CONFIG, sequence=5))
    cluster.run(CONFIG_INTERVAL_S + 1)
    assert host.snapshot.config.sequence == 5
    assert host.broker.mailbox.config() == replace(CONFIG, sequence=5)


def test_an_unchanged_configuration_costs_8_kib(cluster: Cluster, host: Host) -> None:
    cluster.run(1)
    del host.store.reads[:]
    cluster.run(CONFIG_INTERVAL_S)
    sizes = [
        size for address, size in host.store.reads if address.offset >= PARTS.shared_config.offset
    ]
    assert sizes == [4096, 4096]


def test_a_damaged_configuration_is_an_error_and_the_last_good_one_stays(
    cluster: Cluster, host: Host
) -> None:
    cluster.run(1)
    cluster.put_at(PARTS.shared_config, GARBAGE)
    host.broker.mailbox.ask_reread()
    cluster.run(1)
    assert "damaged" in host.snapshot.config.error or host.snapshot.config.error
    assert host.snapshot.config.sequence == 4
    assert host.broker.mailbox.config() is not None


def test_without_a_configuration_the_broker_waits_and_does_not_join(tmp_path: Path) -> None:
    cluster = Cluster(config=None)
    host = cluster.host(1, tmp_path)
    cluster.put_record(2)
    cluster.run(60)
    assert host.snapshot.config.error == "there is no shared configuration yet"
    assert "waits for the shared configuration" in host.snapshot.lockspace.error
    assert "join" not in host.runner.submitted
    assert host.view(2).record
    from tests.unit.broker_host import CONFIG

    cluster.put_config(CONFIG)
    cluster.run(15)
    assert "join" in host.runner.submitted


def test_every_slot_is_a_record_or_a_reason(cluster: Cluster, host: Host) -> None:
    for slot in range(2, 50):
        cluster.put(slot, bytes([slot * 5 % 255 + 1]) * (slot * 80))
    cluster.run(TICK_S)
    for view in host.snapshot.hosts[1:]:
        assert isinstance(view.record, HostRecord) or view.error


# --- which slots are read at once ----------------------------------------------------------


class CountingStore(SimStore):
    """Some slots of it can't be read."""

    bad: frozenset[int] = frozenset()

    def read(self, address: VolumeAddress, size: int) -> bytes:
        first = (address.offset - PARTS.metadata.offset) // SLOT_SIZE
        if self.bad & set(range(first, first + size // SLOT_SIZE)):
            self.reads.append((address, size))
            raise StorageError("read", "bad sector", errno.EIO)
        return super().read(address, size)


def runs_read(store: CountingStore) -> list[tuple[int, int]]:
    first = PARTS.metadata.offset
    return [((at.offset - first) // SLOT_SIZE, size // SLOT_SIZE) for at, size in store.reads]


@settings(deadline=None, max_examples=60)
@given(
    st.sets(st.integers(0, 400), max_size=60),
    st.booleans(),
    st.frozensets(st.integers(0, 400), max_size=4),
)
def test_slots_near_each_other_are_read_at_once_and_say_what_each_alone_says(
    some: set[int], many: bool, bad: frozenset[int]
) -> None:
    ids = some | (set(range(0, 400, 3)) if many else set())
    cluster = Cluster()
    for host_id in range(1, 401, 7):
        cluster.put_record(host_id)
    store = CountingStore(cluster.volumes)
    store.bad = bad
    found = read_slots(store, PARTS, ids)
    alone = SlotBytes()
    for host_id in ids:
        one = read_slots(store, PARTS, [host_id])
        alone.slots.update(one.slots)
        alone.failed.update(one.failed)
    assert (found.slots, found.failed) == (alone.slots, alone.failed)
    assert found.failed.keys() == ids & bad


def test_many_scattered_slots_are_few_reads() -> None:
    store = CountingStore(Cluster().volumes)
    read_slots(store, PARTS, range(1, 2000, 2))
    assert runs_read(store) == [(first, min(255, 2000 - first)) for first in range(1, 2000, 256)]
    del store.reads[:]
    read_slots(store, PARTS, [*range(1, 200), 204, 210])
    assert runs_read(store) == [(1, 204), (210, 1)]
    del store.reads[:]
    read_slots(store, PARTS, [0, 2, 3])
    assert runs_read(store) == [(0, 1), (2, 2)]
