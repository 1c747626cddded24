# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One write of the own slot, and what stands there before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

import pytest

from ha_broker.storage import slot_io
from ha_broker.storage.slot_io import ForeignRecordError, OwnWrite, write_own_slot
from metadata.layout import SLOT_SIZE
from metadata.records import HostRecord, VolumeAddress
from metadata.wire import decode_slot, encode_host
from simulation.world import SimStore
from simulation.world.volume import SparseVolume
from tests.unit.agent_host import host_view

ADDRESS = VolumeAddress("/leases", SLOT_SIZE)
EMPTY = bytes(SLOT_SIZE)


def volume_with(data: bytes) -> SimStore:
    """One whose only record is this."""
    store = SimStore({ADDRESS.path: SparseVolume(2 * SLOT_SIZE)})
    store.volumes[ADDRESS.path][SLOT_SIZE : 2 * SLOT_SIZE] = data
    return store


def record(hostname: str, timestamp_s: int = 100) -> HostRecord:
    found = host_view(1).record
    assert found is not None
    return replace(found, hostname=hostname, timestamp_s=timestamp_s)


def decoded(one: HostRecord) -> HostRecord:
    found = decode_slot(1, encode_host(one))
    assert isinstance(found, HostRecord)
    return found


OWN, OLDER, OTHER = record("own", 105), record("own"), record("other")


def write(
    data: bytes, expected: Optional[bytes] = None, leftover: Optional[HostRecord] = None
) -> bool:
    store = volume_with(data)
    wanted = OwnWrite(OWN, encode_host(OWN), leftover, expected, read_back=True)
    lost = write_own_slot(store, ADDRESS, wanted)
    assert bytes(store.volumes[ADDRESS.path]) == bytes(SLOT_SIZE) + wanted.data
    assert store.writes == [(ADDRESS, SLOT_SIZE)]
    return lost


def test_what_this_process_wrote_last_is_not_read_field_by_field(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(slot_io, "decode_slot")
    assert not write(encode_host(OLDER), expected=encode_host(OLDER))


@pytest.mark.parametrize("expected", [None, encode_host(OLDER)])
def test_another_hosts_record_is_not_replaced(expected: Optional[bytes]) -> None:
    store = volume_with(encode_host(OTHER))
    for leftover in (None, decoded(OLDER), decoded(replace(OTHER, timestamp_s=7))):
        wanted = OwnWrite(OWN, encode_host(OWN), leftover, expected, read_back=False)
        with pytest.raises(ForeignRecordError) as caught:
            write_own_slot(store, ADDRESS, wanted)
        assert caught.value.found == decoded(OTHER)
    assert store.writes == []


@pytest.mark.parametrize(
    ("found", "expected", "is_lost"),
    [
        (encode_host(OLDER), None, False),
        (EMPTY, None, False),
        (EMPTY, encode_host(OLDER), False),  # cleaned by somebody
        (b"garbage".ljust(SLOT_SIZE, b"\0"), encode_host(OLDER), True),
        (encode_host(record("own", 99)), encode_host(OLDER), True),
    ],
)
def test_a_write_that_was_lost_is_told(
    found: bytes, expected: Optional[bytes], is_lost: bool
) -> None:
    assert write(found, expected) is is_lost


def test_a_leftover_is_replaced() -> None:
    write(encode_host(OTHER), leftover=decoded(OTHER))
