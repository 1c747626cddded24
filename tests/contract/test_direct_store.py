# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What only real files and block devices can show."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from metadata.records import VolumeAddress
from tests.contract.places import direct_io_directory
from world.ports.errors import StorageError
from world.storage.direct_store import DirectStore

CHUNK = 1024 * 1024  # how much is read at a time


@pytest.fixture
def volume() -> Iterator[Path]:
    with direct_io_directory() as directory:
        path = directory / "volume"
        path.write_bytes(bytes(65536))
        yield path


@pytest.fixture
def store() -> Iterator[DirectStore]:
    store = DirectStore()
    yield store
    store.close()


def open_descriptors(path: Path) -> list[int]:
    """This process's descriptors of `path`.

    Others may close between the listing and the reading: the listing's own does, and those that
    the garbage collector or a thread of an earlier test lets go.
    """
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            if str(fd.readlink()) == str(path):
                found.append(int(fd.name))
    return found


def test_io_is_direct_and_synchronous(store: DirectStore, volume: Path) -> None:
    store.read(VolumeAddress(str(volume)), 4096)
    (fd,) = open_descriptors(volume)
    info = Path(f"/proc/self/fdinfo/{fd}").read_text()
    (flags,) = [int(line.split()[1], 8) for line in info.splitlines() if line.startswith("flags")]
    assert flags & os.O_DIRECT
    assert flags & os.O_DSYNC == os.O_DSYNC
    assert flags & os.O_CLOEXEC


def test_one_descriptor_serves_many_calls(store: DirectStore, volume: Path) -> None:
    for number in range(20):
        store.write(VolumeAddress(str(volume)), bytes([number]) * 4096)
        store.read(VolumeAddress(str(volume), 4096), 4096)
    assert len(open_descriptors(volume)) == 1
    store.close()
    assert open_descriptors(volume) == []


def test_a_replaced_file_is_opened_anew(store: DirectStore, volume: Path) -> None:
    store.read(VolumeAddress(str(volume)), 4096)
    new = volume.with_name("new")
    new.write_bytes(b"n" * 8192)
    new.replace(volume)
    assert store.read(VolumeAddress(str(volume)), 4096) == b"n" * 4096
    assert store.size(str(volume)) == 8192
    assert len(open_descriptors(volume)) == 1


def test_after_an_error_everything_is_opened_anew(store: DirectStore, volume: Path) -> None:
    store.read(VolumeAddress(str(volume)), 4096)
    hidden = volume.rename(volume.with_name("hidden"))
    with pytest.raises(StorageError):
        store.read(VolumeAddress(str(volume)), 4096)
    assert open_descriptors(hidden) == []
    hidden.rename(volume)
    assert store.read(VolumeAddress(str(volume)), 4096) == bytes(4096)


def test_a_volume_that_may_only_be_read_can_be_read(volume: Path) -> None:
    store = DirectStore(read_only=True)
    assert store.read(VolumeAddress(str(volume)), 4096) == bytes(4096)
    with pytest.raises(StorageError) as caught:
        store.write(VolumeAddress(str(volume)), bytes(4096))
    assert caught.value.errno == errno.EBADF
    store.close()


def test_no_direct_io_is_told_in_words(store: DirectStore) -> None:
    with pytest.raises(StorageError) as caught:
        store.probe_direct_io("/dev/null")
    assert caught.value.errno == errno.EINVAL
    assert "does not support direct I/O" in caught.value.why


def test_a_directory_is_refused(store: DirectStore, volume: Path) -> None:
    with pytest.raises(StorageError) as caught:
        store.read(VolumeAddress(str(volume.parent)), 4096)
    assert caught.value.errno == errno.EISDIR


@pytest.fixture(params=[512, 4096])
def block_device(request: pytest.FixtureRequest, volume: Path) -> Iterator[str]:
    command = ["losetup", "--find", "--show", "--sector-size", str(request.param), str(volume)]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no command losetup")
    if made.returncode != 0:
        pytest.skip(f"no loop device: {made.stderr.strip()}")
    device = made.stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


def test_a_block_device_is_read_written_and_measured(store: DirectStore, block_device: str) -> None:
    assert store.size(block_device) == 65536
    store.write(VolumeAddress(block_device, 4096), b"b" * 4096)
    assert store.read(VolumeAddress(block_device, 4096), 8192) == b"b" * 4096 + bytes(4096)
    with pytest.raises(StorageError) as caught:
        store.read(VolumeAddress(block_device, 61440), 8192)
    assert caught.value.errno == errno.ENOSPC
    assert "65536" in caught.value.why
    store.close()


@pytest.mark.parametrize("size", [4096, CHUNK - 4096, CHUNK, CHUNK + 4096, 3 * CHUNK - 8192])
@pytest.mark.parametrize("most", [CHUNK, 4096 * 7, 4096 * 3 + 512])
def test_what_is_read_in_pieces_is_all_of_it(
    store: DirectStore, volume: Path, monkeypatch: pytest.MonkeyPatch, size: int, most: int
) -> None:
    """However much the system gives at a time: what is short of a sector is read again."""
    data = b"".join(number.to_bytes(4096, "big") for number in range(3 * CHUNK // 4096))
    volume.write_bytes(data)
    whole = os.preadv

    def some(fd: int, buffers: list[memoryview], offset: int) -> int:
        return min(most, whole(fd, buffers, offset))

    monkeypatch.setattr(os, "preadv", some)
    assert store.read(VolumeAddress(str(volume), 4096), size) == data[4096 : 4096 + size]


def test_an_end_within_a_later_piece_is_an_error(store: DirectStore, volume: Path) -> None:
    volume.write_bytes(bytes(CHUNK + 8192))
    with pytest.raises(StorageError, match=f"read {2 * CHUNK} bytes"):
        store.read(VolumeAddress(str(volume)), 2 * CHUNK)
