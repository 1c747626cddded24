# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Volumes that oVirt's own tools use are recognised, and no cluster is made on them."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from hosted_engine.cluster.storage_survey import AreaKind, survey
from hosted_engine.deploy.plan import Create, Refused, plan
from metadata.sanlock_disk import HOST_ID_MAGIC, LEASE_MAGIC, was_joined
from simulation.world import SimStore
from tests.unit.test_command_deploy import CREATING, ENGINE, NEW, PARTS, PATH, answers, put, store
from tests.unit.test_command_volume import leader
from tests.unit.test_metadata_former_writers import TEXTS, padded_by_bytes, record_text


def left(count: int = 1) -> bytes:
    """The places of a lockspace that hosts were in and left: a number, and no timestamp."""
    place = bytearray(leader())
    struct.pack_into("<QQ", place, 32, 1, 1)
    return bytes(place) * count


def chosen(volume: SimStore, force: bool) -> Any:
    return plan(answers(CREATING), survey(volume, PARTS), NEW, ENGINE, force)


@pytest.mark.parametrize("fields", [7, 8, 10, 12])
@pytest.mark.parametrize("offset", [0, PARTS.metadata.offset])
@pytest.mark.parametrize("force", [False, True])
def test_status_records_of_each_former_writer(fields: int, offset: int, force: bool) -> None:
    volume = store()
    put(volume, offset, b"maintenance=False\n")
    put(volume, offset + 4096, padded_by_bytes(record_text(fields), TEXTS[fields]))
    found = survey(volume, PARTS)
    assert found.kind is AreaKind.FOREIGN and found.others
    refused = chosen(volume, force)
    assert isinstance(refused, Refused)
    assert f"{PATH} is in use: it holds status records of the hosts h1" in refused.why
    assert "with --force neither" in refused.why


def test_records_beside_a_part_of_ours_are_formatted_when_forced() -> None:
    volume = store(lease=leader(LEASE_MAGIC))
    put(volume, PARTS.metadata.offset + 4096, padded_by_bytes(record_text(12), TEXTS[12]))
    assert not survey(volume, PARTS).others
    assert isinstance(chosen(volume, force=True), Create)


@pytest.mark.parametrize("area", [leader(timestamp=5), left(), leader() + left()])
@pytest.mark.parametrize("force", [False, True])
def test_a_lockspace_of_the_same_name_that_hosts_have_been_in(area: bytes, force: bool) -> None:
    found = survey(store(lockspace=area), PARTS)
    assert found.kind is AreaKind.FOREIGN
    assert set(found.ids_in_use) == ({1} if area == leader(timestamp=5) else set())
    refused = chosen(store(lockspace=area), force)
    assert isinstance(refused, Refused)
    assert "oVirt's own tools have a lockspace of this name" in refused.why
    assert "with --force neither" in refused.why


def test_our_own_creation_that_was_cut_off_goes_on() -> None:
    for volume in (
        store(lockspace=leader()),  # nobody was in it yet
        store(lockspace=leader(timestamp=5), lease=leader(LEASE_MAGIC)),
        store(lockspace=left(), lease=leader(LEASE_MAGIC)),
    ):
        assert survey(volume, PARTS).kind is AreaKind.HALF_MADE
        assert isinstance(chosen(volume, force=False), Create)


def test_who_was_in_a_lockspace() -> None:
    assert not was_joined(leader() * 8, 512)
    assert was_joined(leader() * 8 + left(), 512)
    assert not was_joined(leader(LEASE_MAGIC), 512)
    assert not was_joined(left(), 3)
    assert leader()[:4] == struct.pack("<I", HOST_ID_MAGIC)
