# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Slot 0 is garbage when all brokers come up: what did the hosts last say of it?"""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest

from ha_broker.storage.slot_notes import global_maintenance_said, with_cluster_notes
from metadata.notes import GLOBAL_MAINTENANCE
from metadata.records import HostRecord, SlotDamaged
from tests.unit.broker_host import JOIN_S, TICK_S, Cluster, Host, record

GARBAGE = b"\xa5" * 4096


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def said(on: Optional[str]) -> tuple[tuple[str, str], ...]:
    return () if on is None else ((GLOBAL_MAINTENANCE, on),)


def comes_up(cluster: Cluster, tmp_path: Path, *others: Optional[str]) -> Host:
    """Host 1 boots; its own record and those of hosts 2, 3, ... are of before the power loss."""
    for host_id, word in enumerate(others, start=1):
        cluster.put_record(host_id, notes=said(word))
    cluster.put(0, GARBAGE)
    host = cluster.host(1, tmp_path)
    cluster.run(JOIN_S + 2 * TICK_S)
    return host


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (("False", "False", "False"), False),
        (("False", "True", "False"), True),
        (("False", None, "False"), None),  # one of an older program may know better
        ((None, None), None),
        (("False", "perhaps"), None),
    ],
)
def test_what_all_hosts_last_said_counts(
    cluster: Cluster, tmp_path: Path, words: tuple[Optional[str], ...], known: Optional[bool]
) -> None:
    host = comes_up(cluster, tmp_path, *words)
    assert host.snapshot.global_maintenance is known
    assert "slot 0" in host.snapshot.global_error


def test_a_damaged_slot_may_have_said_anything(cluster: Cluster, tmp_path: Path) -> None:
    cluster.put(2, GARBAGE)
    host = comes_up(cluster, tmp_path, "False")
    assert host.snapshot.global_maintenance is None


def test_a_good_slot_0_goes_before_what_was_said(cluster: Cluster, tmp_path: Path) -> None:
    host = comes_up(cluster, tmp_path, "False", "False")
    cluster.put(0, b"maintenance=1")
    cluster.run(2 * TICK_S)
    assert host.snapshot.global_maintenance is True
    assert host.snapshot.global_error == ""


def test_records_tell_what_is_known_of_it(cluster: Cluster, tmp_path: Path) -> None:
    host = cluster.host(1, tmp_path)
    cluster.run(JOIN_S)
    host.ask("global", True)
    cluster.run(1)
    host.publish()
    cluster.run(TICK_S)
    assert global_maintenance_said(cluster.stored(1)) is True


def test_what_was_said_before_is_said_again_until_more_is_known(
    cluster: Cluster, tmp_path: Path
) -> None:
    host = comes_up(cluster, tmp_path, "True", None)
    host.publish()
    cluster.run(TICK_S)
    assert host.snapshot.global_maintenance is None
    assert global_maintenance_said(cluster.stored(1)) is True


def test_the_notes_come_first_and_once() -> None:
    notes = (("why", "w"), (GLOBAL_MAINTENANCE, "old"))
    before = record(1, 5)
    assert isinstance(before, HostRecord)
    assert with_cluster_notes(notes, False, 3, before) == (
        (GLOBAL_MAINTENANCE, "False"),
        ("config-version", "3"),
        ("why", "w"),
    )
    assert with_cluster_notes((("why", "w"),), None, None, None) == (("why", "w"),)
    assert global_maintenance_said(SlotDamaged(2, "torn")) is None
