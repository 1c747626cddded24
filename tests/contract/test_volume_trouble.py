# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A volume that ends before its parts, or may only be read, is told as such by whoever uses it."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable

import pytest

from metadata.layout import required_size, required_sizes, slot_address, storage_parts
from metadata.records import VolumeAddress
from tests.contract.places import direct_io_directory
from tests.contract.sanlock_hosts import Binding, SanlockHost, need_sanlock
from world.ports.errors import LockspaceError, StorageError, WorldError
from world.storage.direct_store import DirectStore
from world.storage.volume_trouble import volume_trouble

IO_TIMEOUT_S = 1
WHOLE = required_size(storage_parts("/x"))
TOO_SHORT = "the volume ends before its parts: "


@pytest.fixture
def volume() -> Iterator[Path]:
    with direct_io_directory() as directory:
        path = directory / "leases"
        path.write_bytes(bytes(WHOLE))
        yield path


@contextmanager
def mounted_read_only(path: Path) -> Iterator[None]:
    """As after an error of the file system, or where the export is so."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    done = subprocess.run(["mount", "--bind", path, path], check=False)
    if done.returncode != 0:
        pytest.skip("this machine allows no bind mounts")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def told(kind: type[WorldError], function: Callable[[], Any]) -> str:
    with pytest.raises(kind) as caught:
        function()
    return caught.value.why


def store_of(path: Path, read_only: bool = False) -> DirectStore:
    return DirectStore(read_only, required_sizes(storage_parts(str(path))))


# --- the broker's own I/O -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1000, 4096, 2**21, 2**21 + 4096 * 3 + 512])
@pytest.mark.parametrize("read_only", [True, False])
def test_what_ends_too_early_is_told_with_the_size_that_is_needed(
    volume: Path, size: int, read_only: bool
) -> None:
    """Not the end of what was just read: whoever enlarges it to that is told of the next part."""
    os.truncate(volume, size)
    place = slot_address(storage_parts(str(volume)), 3)
    why = f"{TOO_SHORT}{volume} has {size} bytes, {WHOLE} (12 MiB) are needed"
    store = store_of(volume, read_only)
    assert told(StorageError, lambda: store.read(place, 4096)) == why
    if not read_only:
        assert told(StorageError, lambda: store.write(place, bytes(4096))) == why
        assert told(StorageError, lambda: store.zero(place, 4096)) == why
    assert volume.stat().st_size == size


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO, errno.ENXIO])
def test_a_device_that_refuses_what_lies_behind_its_end_is_measured(
    volume: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network block devices and FUSE say "Invalid argument" there, and read no shorter."""

    def refuse(*_arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    store = store_of(volume)
    monkeypatch.setattr(os, "preadv", refuse)
    assert told(StorageError, lambda: store.read(VolumeAddress(str(volume), 0), 4096)) == (
        os.strerror(number)
    )
    os.truncate(volume, 8192)
    far = VolumeAddress(str(volume), 8192)
    assert told(StorageError, lambda: store.read(far, 4096)).startswith(TOO_SHORT)


def test_a_volume_that_may_only_be_read_is_said_to_be_so(volume: Path) -> None:
    store, place = store_of(volume), VolumeAddress(str(volume), 0)
    with mounted_read_only(volume):
        for call in (lambda: store.read(place, 4096), lambda: store.write(place, bytes(4096))):
            why = told(StorageError, call)
            assert why.startswith(f"the volume is read-only: {volume} can be read and not written")
        assert store_of(volume, read_only=True).read(place, 4096) == bytes(4096)


def test_a_volume_that_becomes_read_only_under_an_open_descriptor(
    volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, place = store_of(volume), VolumeAddress(str(volume), 0)
    store.write(place, bytes(4096))

    def refuse(*_arguments: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "pwritev", refuse)
    assert "the volume is read-only" in told(StorageError, lambda: store.write(place, bytes(4096)))


def test_a_store_for_reading_only_says_so(volume: Path) -> None:
    store, place = store_of(volume, read_only=True), VolumeAddress(str(volume), 0)
    assert "for reading only" in told(StorageError, lambda: store.write(place, bytes(4096)))


# --- the look at the volumes ----------------------------------------------------------------------


def test_nothing_is_said_of_a_whole_volume(volume: Path) -> None:
    assert volume_trouble({str(volume): WHOLE}) == ""


def test_what_is_missing_or_no_volume_is_named(volume: Path) -> None:
    missing = volume.with_name("missing")
    assert volume_trouble({str(missing): 1}) == (
        f"{missing} can't be opened (No such file or directory)"
    )
    pipe = volume.with_name("pipe")
    os.mkfifo(pipe)
    assert "can't be measured" in volume_trouble({str(pipe): 1}), "and nobody waits for its writer"
    assert str(pipe) in volume_trouble({str(volume): WHOLE, str(pipe): 1})


# --- sanlock ----------------------------------------------------------------------------------


@pytest.fixture(params=Binding, ids=lambda one: one.name.lower())
def host(request: pytest.FixtureRequest, volume: Path, tmp_path: Path) -> Iterator[SanlockHost]:
    need_sanlock(request.param)
    parts = storage_parts(str(volume))
    host = SanlockHost(tmp_path / "h1", "h1", parts, binding=request.param)
    with suppress(LockspaceError):
        host.call("format_lockspace", IO_TIMEOUT_S)
        host.call("format_lease")
        host.call("format_config_lease")
    yield host
    host.close()


READS = ("read_lockspace", "lease_owner", "lease_version", "read_lease", "has_config_lease")


def test_sanlocks_message_too_long_is_told_as_what_it_means(
    host: SanlockHost, volume: Path
) -> None:
    os.truncate(volume, 0)
    calls = [(name,) for name in READS]
    for call in (*calls, ("config_lease_owner",), ("join", 1, IO_TIMEOUT_S)):
        why = told(LockspaceError, lambda asked=call: host.call(*asked))
        assert f"{TOO_SHORT}{volume} has 0 bytes, {WHOLE} (12 MiB) are needed" in why, call


def test_a_cluster_without_room_for_the_lock_of_writers_is_told_so_for_that_lock_alone(
    host: SanlockHost, volume: Path
) -> None:
    os.truncate(volume, WHOLE - 2**20)
    assert host.call("lease_owner") is None
    host.call("join", 1, IO_TIMEOUT_S)
    with pytest.raises(LockspaceError) as caught:
        host.call("join", 2, IO_TIMEOUT_S)
    assert caught.value.errno == errno.EINVAL
    assert TOO_SHORT not in caught.value.why, "it has joined as host 1, that is all"
    assert TOO_SHORT in told(LockspaceError, lambda: host.call("has_config_lease"))


def test_a_read_only_volume_is_no_missing_device(host: SanlockHost, volume: Path) -> None:
    with mounted_read_only(volume):
        for call in (("read_lockspace",), ("lease_version",), ("join", 1, IO_TIMEOUT_S)):
            why = told(LockspaceError, lambda asked=call: host.call(*asked))
            assert why.startswith(f"the volume is read-only: {volume}"), call
