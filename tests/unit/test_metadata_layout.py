# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Where the parts lie."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metadata import layout
from metadata.records import VolumeAddress

MIB = 1024 * 1024


def test_512_byte_sectors():
    parts = layout.storage_parts("/leases")
    assert parts.sector_size == 512
    assert parts.lockspace == VolumeAddress("/leases", 0)
    assert parts.lease == VolumeAddress("/leases", 1 * MIB)
    assert parts.metadata == VolumeAddress("/leases", 2 * MIB)
    assert parts.shared_config == VolumeAddress("/leases", 10 * MIB)
    assert layout.config_lease_address(parts) == VolumeAddress("/leases", 11 * MIB)
    assert layout.required_size(parts) == 12 * MIB


def test_4096_byte_sectors():
    parts = layout.storage_parts("/leases", 4096)
    assert parts.sector_size == 4096
    offsets = [extent.address.offset for extent in layout.extents(parts)]
    assert offsets == [0, 8 * MIB, 16 * MIB, 24 * MIB, 32 * MIB]
    assert layout.required_size(parts) == 40 * MIB


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_the_usual_layout_has_no_problems_and_no_slack_of_an_alignment(sector_size):
    parts = layout.storage_parts("/leases", sector_size)
    assert layout.placement_problems(parts) == []
    extents = layout.extents(parts)
    for before, after in zip(extents, extents[1:]):
        assert 0 <= after.address.offset - before.end < max(MIB, after.align)


def test_the_slots_lie_one_behind_the_other():
    parts = layout.storage_parts("/leases")
    assert layout.slot_address(parts, 0) == parts.metadata
    assert layout.slot_address(parts, 1).offset == 2 * MIB + 4096
    last = layout.slot_address(parts, 2000)
    assert last.offset + layout.SLOT_SIZE <= parts.shared_config.offset


@pytest.mark.parametrize("host_id", [-1, 2001])
def test_there_are_no_other_slots(host_id):
    with pytest.raises(ValueError, match=f"host_id: {host_id} is refused"):
        layout.slot_address(layout.storage_parts("/leases"), host_id)


@pytest.mark.parametrize("sector_size", [0, 1024, 8192])
def test_other_sector_sizes_are_refused(sector_size):
    with pytest.raises(ValueError, match="allowed: 512 or 4096"):
        layout.storage_parts("/leases", sector_size)


def test_a_part_elsewhere_has_its_own_volume():
    usual = layout.storage_parts("/leases")
    parts = replace(usual, metadata=VolumeAddress("/other", 4096))
    assert layout.slot_address(parts, 1) == VolumeAddress("/other", 8192)
    assert layout.required_sizes(parts) == {"/leases": 12 * MIB, "/other": 4096 * 2002}
    assert layout.placement_problems(parts) == []


def test_misaligned_and_overlapping_parts_are_named():
    usual = layout.storage_parts("/leases")
    parts = replace(usual, lease=VolumeAddress("/leases", MIB + 512))
    misaligned, overlap = layout.placement_problems(parts)
    assert misaligned.startswith(f"lease.offset: {MIB + 512} is refused")
    assert overlap.startswith(f"metadata.offset: {2 * MIB} is refused; lease takes")


def test_the_order_of_the_parts_does_not_matter():
    usual = layout.storage_parts("/leases")
    parts = replace(usual, lockspace=VolumeAddress("/leases", 32 * MIB))
    assert layout.placement_problems(parts) == []
    assert layout.config_lease_address(parts) == VolumeAddress("/leases", 33 * MIB)
    assert layout.required_size(parts) == 34 * MIB


def test_the_same_offset_on_another_volume_is_no_overlap():
    usual = layout.storage_parts("/leases")
    parts = replace(usual, lease=VolumeAddress("/other", 0))
    assert layout.placement_problems(parts) == []


def test_a_cluster_from_before_the_lock_of_writers_needs_no_room_for_it():
    parts = layout.storage_parts("/leases")
    assert layout.required_sizes(parts, config_lease=False) == {"/leases": 11 * MIB}


@pytest.mark.parametrize("part", ["lease", "metadata", "shared_config"])
@pytest.mark.parametrize("offset", [11 * MIB, 12 * MIB, 16 * MIB])
def test_the_lock_of_writers_gives_way_to_a_part_that_was_put_there(part, offset):
    usual = layout.storage_parts("/leases")
    parts = replace(usual, **{part: VolumeAddress("/leases", offset)})
    assert layout.placement_problems(parts) == []
    assert layout.config_lease_address(parts).offset > offset


def test_the_lock_of_writers_can_be_put_elsewhere():
    usual = layout.storage_parts("/leases")
    parts = replace(usual, config_lease=VolumeAddress("/other", 5 * MIB))
    assert layout.required_sizes(parts) == {"/leases": 11 * MIB, "/other": 6 * MIB}
    overlapping = replace(usual, config_lease=VolumeAddress("/leases", 10 * MIB))
    (problem,) = layout.placement_problems(overlapping)
    assert problem.startswith(f"config_lease.offset: {10 * MIB} is refused; shared_config takes")
