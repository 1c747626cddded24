# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What every `BlockStore` does, shown on the fake and on real files."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Union

import pytest

from metadata.records import VolumeAddress
from simulation.world import SimStore
from tests.contract.places import direct_io_directory
from world.ports.errors import StorageError
from world.storage.direct_store import DirectStore

SIZE = 1024 * 1024


@dataclass
class Bench:
    """A store, and a volume of 1 MiB full of zeros on it."""

    store: Union[DirectStore, SimStore]
    path: str
    shorten: Callable[[int], None]

    def at(self, offset: int) -> VolumeAddress:
        return VolumeAddress(self.path, offset)


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "fake":
        yield _fake_bench()
        return
    with direct_io_directory() as directory:
        yield from _real_bench(directory / "volume")


def _fake_bench() -> Bench:
    store = SimStore()
    store.add("/volume", SIZE)

    def shorten(size: int) -> None:
        del store.volumes["/volume"][size:]

    return Bench(store, "/volume", shorten)


def _real_bench(volume: Path) -> Iterator[Bench]:
    volume.write_bytes(bytes(SIZE))
    store = DirectStore()

    def shorten(size: int) -> None:
        with volume.open("r+b") as file:
            file.truncate(size)

    yield Bench(store, str(volume), shorten)
    store.close()


def refused(call: Callable[[], object]) -> StorageError:
    with pytest.raises(StorageError) as caught:
        call()
    return caught.value


def test_what_was_never_written_reads_as_zeros(bench: Bench) -> None:
    assert bench.store.read(bench.at(4096), 8192) == bytes(8192)


def test_reads_back_what_was_written_and_touches_nothing_else(bench: Bench) -> None:
    data = bytes(range(256)) * 32
    bench.store.write(bench.at(8192), data)
    assert bench.store.read(bench.at(8192), len(data)) == data
    assert bench.store.read(bench.at(4096), 4096) == bytes(4096)
    assert bench.store.read(bench.at(16384), 4096) == bytes(4096)


def test_reads_and_writes_up_to_the_last_byte(bench: Bench) -> None:
    bench.store.write(bench.at(SIZE - 4096), b"x" * 4096)
    assert bench.store.read(bench.at(SIZE - 8192), 8192) == bytes(4096) + b"x" * 4096


def test_zeroes_only_what_it_is_told(bench: Bench) -> None:
    bench.store.write(bench.at(0), b"x" * SIZE)
    bench.store.zero(bench.at(4096), SIZE - 8192)
    assert bench.store.read(bench.at(0), SIZE) == b"x" * 4096 + bytes(SIZE - 8192) + b"x" * 4096


@pytest.mark.parametrize(
    ("offset", "size"), [(512, 4096), (0, 512), (0, 0), (4095, 4096), (0, 4097), (-4096, 4096)]
)
def test_misaligned_places_and_sizes_are_refused(bench: Bench, offset: int, size: int) -> None:
    error = refused(lambda: bench.store.read(bench.at(offset), size))
    assert error.errno == errno.EINVAL
    assert "4096" in error.why
    assert bench.path in error.what
    if size > 0:
        error = refused(lambda: bench.store.write(bench.at(offset), b"x" * size))
        assert error.errno == errno.EINVAL


def test_a_truncated_volume_is_told_with_its_size_and_what_was_needed(bench: Bench) -> None:
    bench.store.read(bench.at(0), SIZE)
    bench.shorten(12288)
    error = refused(lambda: bench.store.read(bench.at(8192), 8192))
    assert error.errno == errno.ENOSPC
    assert "12288" in error.why
    assert "16384" in error.why
    assert bench.store.read(bench.at(8192), 4096) == bytes(4096)


def test_a_write_never_makes_a_volume_longer(bench: Bench) -> None:
    error = refused(lambda: bench.store.write(bench.at(SIZE - 4096), b"x" * 8192))
    assert error.errno == errno.ENOSPC
    assert bench.store.size(bench.path) == SIZE
    assert bench.store.read(bench.at(SIZE - 4096), 4096) == bytes(4096)
    assert refused(lambda: bench.store.zero(bench.at(SIZE), 4096)).errno == errno.ENOSPC


def test_knows_the_size(bench: Bench) -> None:
    assert bench.store.size(bench.path) == SIZE
    bench.shorten(SIZE - 4096)
    assert bench.store.size(bench.path) == SIZE - 4096


def test_a_missing_volume_is_named(bench: Bench) -> None:
    missing = VolumeAddress(bench.path + "-missing")
    for call in (
        lambda: bench.store.read(missing, 4096),
        lambda: bench.store.write(missing, bytes(4096)),
        lambda: bench.store.size(missing.path),
        lambda: bench.store.probe_direct_io(missing.path),
    ):
        error = refused(call)
        assert error.errno == errno.ENOENT
        assert missing.path in str(error)


def test_direct_io_is_found_to_work(bench: Bench) -> None:
    bench.store.probe_direct_io(bench.path)
