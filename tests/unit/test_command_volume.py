# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--vm-status --metadata: reading a volume with no daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Optional

import pytest

from hosted_engine.cluster.cluster_status import ClusterStatus
from hosted_engine.cluster.from_volume import (
    open_reader_of,
    parse_address,
    read_from_volume,
    watch_volume,
)
from hosted_engine.errors import CommandError, UsageError
from hosted_engine.host import deadline
from metadata.layout import SLOT_SIZE, storage_parts
from metadata.records import EngineStatus, EngineVm, GlobalRecord, Health, HostRecord
from metadata.sanlock_disk import (
    HOST_ID_MAGIC,
    LEASE_MAGIC,
    host_ids_in_use,
    lease_owner,
    parse_record,
)
from metadata.wire import encode_global, encode_host
from simulation.world import VirtualClock, leader_record

MIB = 1024 * 1024
UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")


def leader(magic: int = HOST_ID_MAGIC, sector_size: int = 512, timestamp: int = 0) -> bytes:
    """One of sanlock's sectors; of a host that was never in the lockspace without a timestamp."""
    owner = 1, 1 if timestamp or magic == LEASE_MAGIC else 0, timestamp
    return leader_record(magic, *owner, "h1", io_timeout_s=2, sector_size=sector_size)


class Volume:
    """A file with a metadata area, and a clock whose sleep lets the hosts write."""

    def __init__(self, folder: Path, offset: int = 0, slots: int = 2001) -> None:
        self.path = folder / "volume"
        self.offset = offset
        self.clock = VirtualClock()
        self.sleeps: list[float] = []
        self.while_asleep: Callable[[], None] = lambda: None
        with self.path.open("wb") as file:
            file.truncate(offset + slots * SLOT_SIZE)

    def put(self, slot: int, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(self.offset + slot * SLOT_SIZE)
            file.write(data)

    def host(self, host_id: int, timestamp_s: int = 10, stopped: bool = False) -> None:
        name = f"h{host_id}"
        self.put(
            host_id,
            encode_host(HostRecord(host_id, timestamp_s, 3400, UP, name, stopped=stopped)),
        )

    def read(self, address: Optional[str] = None, watch_s: float = 0.0) -> ClusterStatus:
        text = address or str(self.path)
        return watch_volume(open_reader_of, text, watch_s, self.clock, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.clock.advance(seconds)
        self.while_asleep()


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


# --- where the area is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/dev/x", ("/dev/x", None)),
        ("/dev/x:0", ("/dev/x", 0)),
        ("/dev/x:2097152", ("/dev/x", 2 * MIB)),
        ("/dev/x:2M", ("/dev/x", 2 * MIB)),
        ("/dev/x:2MiB", ("/dev/x", 2 * MIB)),
        ("/dev/x:4k", ("/dev/x", 4096)),
        ("/dev/x:1G", ("/dev/x", 1024 * MIB)),
        ("/mnt/server:_export/leases", ("/mnt/server:_export/leases", None)),
    ],
)
def test_address(text: str, expected: tuple[str, Optional[int]]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize("offset", ["x", "-1", "2T", "1.5M", "", "512", "4097"])
def test_offset_that_is_none_is_refused_by_its_value(offset: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(f"/dev/x:{offset}")
    assert offset in caught.value.message
    assert "allowed" in caught.value.message


def test_file_whose_name_looks_like_an_offset_is_found(tmp_path: Path) -> None:
    odd = tmp_path / "disk:2M"
    odd.touch()
    assert parse_address(str(odd)) == (str(odd), None)


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_area_behind_a_lockspace_is_found(tmp_path: Path, sector_size: int) -> None:
    offset = storage_parts("/x", sector_size).metadata.offset
    volume = Volume(tmp_path, offset)
    with volume.path.open("r+b") as file:
        file.write(leader(sector_size=sector_size))
    volume.host(3)
    assert [host.host_id for host in volume.read().hosts] == [3]


def test_given_offset_is_taken(tmp_path: Path) -> None:
    volume = Volume(tmp_path, 3 * MIB)
    volume.host(2)
    assert [host.host_id for host in volume.read(f"{volume.path}:3M").hosts] == [2]


# --- what is shown --------------------------------------------------------------------------


def test_every_host_of_the_area_is_shown(volume: Volume) -> None:
    for host_id in (1, 64, 65, 2000):
        volume.host(host_id)
    assert [host.host_id for host in volume.read().hosts] == [1, 64, 65, 2000]


def test_one_slot_of_garbage_hides_no_other(volume: Volume) -> None:
    volume.host(1)
    volume.put(2, b"\xff\xfe" * 2048)
    volume.put(3, encode_host(HostRecord(3, 1, 1, UP, "h3")).replace(b"1|", b"9|", 1))
    volume.host(4)
    hosts = {host.host_id: host for host in volume.read().hosts}
    assert hosts[1].record is not None
    assert hosts[4].record is not None
    assert hosts[2].record is None
    assert hosts[2].error.startswith("slot 2: ")
    assert "newer version" in hosts[3].error


@pytest.mark.parametrize("on", [True, False])
def test_global_maintenance_is_read(volume: Volume, on: bool) -> None:
    volume.put(0, encode_global(GlobalRecord(on)))
    assert volume.read().global_maintenance is on


def test_slot_0_never_written_means_no_maintenance(volume: Volume) -> None:
    assert volume.read().global_maintenance is False


def test_damaged_slot_0_is_not_known_and_said_so(volume: Volume) -> None:
    volume.put(0, b"rubbish")
    picture = volume.read()
    assert picture.global_maintenance is None
    assert "slot 0" in picture.notes[0]


def test_volume_that_ends_early_shows_what_is_there(tmp_path: Path) -> None:
    volume = Volume(tmp_path, slots=5)
    volume.host(2)
    with volume.path.open("ab") as file:
        file.write(b"x" * 100)
    picture = volume.read()
    assert [host.host_id for host in picture.hosts] == [2, 5]
    assert picture.hosts[1].error == "slot 5: the volume ends inside it"
    assert picture.notes == (
        "The volume ends after slot 4 of 2000: hosts behind it can't be shown",
    )


def test_volume_without_room_for_any_slot_is_an_error(tmp_path: Path) -> None:
    volume = Volume(tmp_path, slots=1)
    with pytest.raises(CommandError, match=r"4096 bytes, 2101248 \(3 MiB\) are needed"):
        volume.read(f"{volume.path}:2M")


def test_volume_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="nowhere: can't be read: No such file"):
        read_from_volume(str(tmp_path / "nowhere"), 0, VirtualClock(), lambda _: None)


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be read"):
        read_from_volume(str(tmp_path), 0, VirtualClock(), lambda _: None)


# --- live or left behind ------------------------------------------------------------------------


def test_one_look_shows_everything_as_stale(volume: Volume) -> None:
    volume.host(1)
    assert [host.is_current for host in volume.read(watch_s=0).hosts] == [False]
    assert volume.sleeps == []


def test_record_that_changes_is_live_and_one_that_does_not_is_stale(volume: Volume) -> None:
    volume.host(1)
    volume.host(2)
    volume.while_asleep = lambda: volume.host(1, timestamp_s=15)
    picture = volume.read(watch_s=11)
    assert {host.host_id: host.is_current for host in picture.hosts} == {1: True, 2: False}
    assert sum(volume.sleeps) == 11


def test_watching_ends_as_soon_as_everybody_has_written(volume: Volume) -> None:
    volume.host(1)
    volume.host(2, stopped=True)
    volume.while_asleep = lambda: volume.host(1, timestamp_s=15)
    volume.read(watch_s=11)
    assert sum(volume.sleeps) == 1


def test_nobody_is_waited_for_on_an_empty_area(volume: Volume) -> None:
    volume.read(watch_s=11)
    assert volume.sleeps == []


def test_latest_record_is_shown(volume: Volume) -> None:
    volume.host(1)
    volume.while_asleep = lambda: volume.host(1, timestamp_s=15)
    record = volume.read(watch_s=11).hosts[0].record
    assert record is not None
    assert record.timestamp_s == 15


def test_reading_changes_nothing(volume: Volume) -> None:
    volume.host(1)
    before = volume.path.read_bytes()
    volume.path.chmod(0o444)
    volume.read()
    assert volume.path.read_bytes() == before


def test_storage_that_hangs_is_given_up() -> None:
    import threading

    forever = threading.Event()
    with pytest.raises(CommandError, match="the storage has not answered for 0 s"):
        deadline.within_deadline(forever.wait, "the storage", 0.05)
    forever.set()


def test_error_of_the_work_is_handed_on() -> None:
    def fail() -> None:
        raise CommandError("why")

    with pytest.raises(CommandError, match="why"):
        deadline.within_deadline(fail, "the storage", 5)


# --- sanlock's own sectors ----------------------------------------------------------------------


def test_host_ids_in_use_are_those_with_a_timestamp() -> None:
    area = leader() + leader(timestamp=77) + bytes(512) + b"\xff" * 512
    found = host_ids_in_use(area, 512)
    assert list(found) == [2]
    assert (found[2].resource, found[2].timestamp, found[2].io_timeout_s) == ("h1", 77, 2)


def test_free_lease_has_no_owner() -> None:
    assert lease_owner(leader(LEASE_MAGIC)) is None
    assert lease_owner(leader(HOST_ID_MAGIC, timestamp=5)) is None
    owner = lease_owner(leader(LEASE_MAGIC, timestamp=5))
    assert owner is not None
    assert owner.owner_id == 1


@pytest.mark.parametrize("data", [b"", b"\x10 !\x12", bytes(512), b"\xff" * 512])
def test_other_bytes_are_no_record(data: bytes) -> None:
    assert parse_record(data) is None


def test_a_volume_of_earlier_agents_is_shown_as_they_meant_it(volume: Volume) -> None:
    volume.put(0, b"maintenance=True\n")
    text = b"timestamp=42 (Thu)\nmaintenance=True\nstate=EngineUp\n"
    volume.put(1, b"1|1|42|1|3400|vm-up good-health-status|h1|2".ljust(512, b"\0") + text)
    volume.put(2, b"1|1|42|2|2400|None|h2")
    volume.host(3)
    found = volume.read()
    assert found.global_maintenance is True
    records = [host.record for host in found.hosts]
    assert [(host.host_id, host.error) for host in found.hosts] == [(1, ""), (2, ""), (3, "")]
    assert [record.hostname for record in records if record] == ["h1", "h2", "h3"]
    assert [record.maintenance for record in records if record] == [True, False, False]
    assert next(record.state for record in records if record) == "EngineUp"
