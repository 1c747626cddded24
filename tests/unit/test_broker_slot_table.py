# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is known of each slot, and what follows from it: the table alone."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, Optional

import pytest

from ha_broker.api.snapshot import HostView
from ha_broker.storage.slot_table import QUICK_REREADS, SlotState, SlotTable
from metadata.liveness import Liveness
from metadata.records import HostRecord, SlotAbsent, SlotDamaged, SlotTooNew
from tests.unit.broker_host import record
from world.ports.sanlock import LockspaceHost

OWN_ID, ALIVE_S = 1, 60.0
DAMAGED, TOO_NEW, ABSENT = SlotDamaged(2, "CRC32"), SlotTooNew(2, 99), SlotAbsent(2)
DAMAGED_TEXT = "slot 2: CRC32"


def listed(**lives: Liveness) -> dict[int, LockspaceHost]:
    """What sanlock says of h2=..., h3=...; host 2 is in its 20th life, 3 in its 30th."""
    ids = {int(name[1:]): liveness for name, liveness in lives.items()}
    return {one: LockspaceHost(one, 10 * one, 77, liveness) for one, liveness in ids.items()}


NOBODY = listed()


@pytest.fixture
def table() -> SlotTable:
    return SlotTable(OWN_ID)


def good(timestamp_s: int = 1, host_id: int = 2, **fields: Any) -> HostRecord:
    return record(host_id, timestamp_s, **fields)


# --- one slot ---------------------------------------------------------------------------


def state(*looks: tuple[float, Any]) -> SlotState:
    found = SlotState(looks[0][1])
    for at_s, seen in looks:
        found.note(seen, at_s)
    return found


def test_a_first_record_is_no_change() -> None:
    found = state((10.0, good(1)))
    assert (found.record, found.seen) == (good(1), good(1))
    assert (found.first_seen_at_s, found.changed_at_s) == (10.0, None)
    assert (found.error, found.bad_looks) == ("", 0)


def test_a_record_changes_by_its_timestamp() -> None:
    found = state((10.0, good(1)), (15.0, good(1, score=7)))
    assert (found.first_seen_at_s, found.changed_at_s) == (10.0, None)
    assert found.record == good(1, score=7)
    found.note(good(2), 20.0)
    found.note(good(2), 25.0)
    assert (found.first_seen_at_s, found.changed_at_s) == (10.0, 20.0)


def test_a_damaged_slot_keeps_the_record_and_counts_the_looks() -> None:
    found = state((10.0, good(1)), (15.0, good(2)), (20.0, DAMAGED), (25.0, DAMAGED))
    assert (found.record, found.seen, found.error) == (good(2), DAMAGED, DAMAGED_TEXT)
    assert (found.first_seen_at_s, found.changed_at_s, found.bad_looks) == (10.0, 15.0, 2)
    found.note(good(2), 30.0)
    assert (found.error, found.bad_looks, found.changed_at_s) == ("", 0, 15.0)


def test_a_slot_of_a_newer_program_has_no_record_here() -> None:
    found = state((10.0, good(1)), (15.0, good(2)), (20.0, DAMAGED), (25.0, TOO_NEW))
    assert (found.record, found.first_seen_at_s, found.changed_at_s) == (None, None, None)
    assert "written by a newer version" in found.error
    assert (found.bad_looks, found.seen) == (0, TOO_NEW)
    found.note(ABSENT, 30.0)
    assert (found.record, found.error, found.bad_looks) == (None, "", 0)


@pytest.mark.parametrize(
    ("looks", "stale_at_s"),
    [
        (((10.0, DAMAGED),), inf),
        (((10.0, good(1)),), 70.0),
        (((10.0, good(1)), (15.0, good(2))), 75.0),
    ],
)
def test_when_a_record_gets_stale(looks: Any, stale_at_s: float) -> None:
    assert state(*looks).stale_at_s(ALIVE_S) == stale_at_s


# --- all slots --------------------------------------------------------------------------


def test_a_record_where_there_was_none_a_moment_ago_has_changed(table: SlotTable) -> None:
    table.note(2, ABSENT, 5.0)
    assert table.state(2) is None
    table.note(2, good(1), 10.0)
    found = table.state(2)
    assert found is not None
    assert (found.first_seen_at_s, found.changed_at_s) == (10.0, 10.0)
    table.note(3, good(1, 3), 10.0)
    found = table.state(3)
    assert found is not None
    assert found.changed_at_s is None, "nobody has looked there before"


def test_a_slot_that_is_emptied_is_forgotten(table: SlotTable) -> None:
    table.note(2, good(1), 10.0)
    table.note(3, good(1, 3), 10.0)
    table.note(2, ABSENT, 15.0)
    assert table.state(2) is None
    assert table.seen() == [good(1, 3)]
    table.note(2, ABSENT, 20.0)
    table.note(2, good(1), 25.0)
    found = table.state(2)
    assert found is not None
    assert found.changed_at_s == 25.0


def test_an_absence_is_remembered_for_one_record_only(table: SlotTable) -> None:
    table.note(2, ABSENT, 5.0)
    table.note(2, good(1), 10.0)
    table.forget_all_but(set())
    table.note(2, good(1), 15.0)
    found = table.state(2)
    assert found is not None
    assert found.changed_at_s is None


def test_what_is_not_in_use_is_forgotten(table: SlotTable) -> None:
    for host_id in (2, 3, 4):
        table.note(host_id, good(1, host_id), 10.0)
        table.note_unreadable(host_id, "EIO")
    assert [view.host_id for view in views(table)] == [1, 2, 3, 4]
    assert table.ids_to_read(NOBODY) == (1, 2, 3, 4)
    table.forget_all_but({3})
    assert table.seen() == [good(1, 3)]
    assert [view.host_id for view in views(table)] == [1, 3]
    assert table.ids_to_read(NOBODY) == (1, 3)
    assert [table.note_readable(host_id) for host_id in (2, 3, 4)] == [False, True, False]


# --- what is read -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("liveness", "is_read"),
    [
        (Liveness.LIVE, True),
        (Liveness.FAIL, True),
        (Liveness.UNKNOWN, True),
        (Liveness.DEAD, False),
        (Liveness.FREE, False),
    ],
)
def test_who_may_live_is_read(table: SlotTable, liveness: Liveness, is_read: bool) -> None:
    assert table.ids_to_read(listed(h2=liveness)) == ((1, 2) if is_read else (1,))


@pytest.mark.parametrize(("seen", "is_read"), [(good(), True), (TOO_NEW, True), (DAMAGED, False)])
def test_who_has_had_a_record_is_read(table: SlotTable, seen: Any, is_read: bool) -> None:
    assert table.ids_to_read(NOBODY) == (1,)
    table.note(2, seen, 10.0)
    assert table.ids_to_read(NOBODY) == ((1, 2) if is_read else (1,))
    table.note(2, DAMAGED, 15.0)
    assert table.ids_to_read(NOBODY) == ((1, 2) if seen == good() else (1,))
    table.note(2, ABSENT, 20.0)
    assert table.ids_to_read(NOBODY) == (1,)


def test_a_torn_slot_is_read_again_for_some_looks(table: SlotTable) -> None:
    hosts = listed(h2=Liveness.LIVE)
    assert table.torn_ids(hosts) == ()
    for look in range(QUICK_REREADS):
        table.note(2, DAMAGED, 10.0 + look)
        assert table.torn_ids(hosts) == (2,)
    table.note(2, DAMAGED, 20.0)
    assert table.torn_ids(hosts) == ()


def test_a_torn_slot_that_belongs_to_nobody_is_left_alone(table: SlotTable) -> None:
    table.note(2, DAMAGED, 10.0)
    assert table.torn_ids(listed(h2=Liveness.DEAD)) == ()
    assert table.torn_ids(listed(h2=Liveness.UNKNOWN)) == (2,)
    table.note(2, good(), 15.0)
    assert table.torn_ids(listed(h2=Liveness.LIVE)) == ()


def test_what_is_read_is_worked_out_once_for_each_change(table: SlotTable) -> None:
    """The cycle asks for it many times, and so the same answer is given."""
    hosts = listed(h3=Liveness.LIVE)
    table.note(2, good(), 10.0)
    first = table.ids_to_read(hosts)
    table.note(2, good(2), 15.0)
    assert table.ids_to_read(hosts) is first
    assert table.ids_to_read(listed(h3=Liveness.LIVE)) is not first
    assert table.ids_to_read(NOBODY) == (1, 2)


# --- what is shown ----------------------------------------------------------------------


def views(
    table: SlotTable, now_s: float = 20.0, hosts: Mapping[int, LockspaceHost] = NOBODY
) -> tuple[HostView, ...]:
    return table.views(hosts, now_s, ALIVE_S)


def view_of(table: SlotTable, host_id: int = 2, **rest: Any) -> Optional[HostView]:
    return next((view for view in views(table, **rest) if view.host_id == host_id), None)


def test_our_own_host_is_shown_without_a_slot(table: SlotTable) -> None:
    assert views(table) == (HostView(1, Liveness.UNKNOWN, 0),)


@pytest.mark.parametrize("liveness", list(Liveness))
def test_without_a_record_only_the_living_are_shown(table: SlotTable, liveness: Liveness) -> None:
    shown = view_of(table, hosts=listed(h2=liveness))
    lives = liveness in (Liveness.LIVE, Liveness.FAIL)
    assert shown == (HostView(2, liveness, 20) if lives else None)


def test_a_slot_is_shown_with_sanlocks_word(table: SlotTable) -> None:
    table.note(2, good(1), 10.0)
    table.note(2, good(2), 15.0)
    hosts = listed(h2=Liveness.FAIL)
    expected = HostView(2, Liveness.FAIL, 20, good(2), "", True, 15.0)
    assert view_of(table, hosts=hosts) == expected
    expected = HostView(2, Liveness.UNKNOWN, 0, good(2), "", True, 15.0)
    assert view_of(table) == expected


def test_a_slot_that_can_not_be_read_says_so(table: SlotTable) -> None:
    table.note_unreadable(3, "EIO")
    assert view_of(table, 3) == HostView(3, error="EIO")
    table.note(2, good(1), 10.0)
    table.note(2, DAMAGED, 15.0)
    shown = view_of(table)
    assert shown is not None
    assert (shown.error, shown.record) == (DAMAGED_TEXT, good(1))
    table.note_unreadable(2, "EIO")
    shown = view_of(table)
    assert shown is not None
    assert shown.error == "EIO", "what can't be read now goes before what was read"
    assert table.note_readable(2)
    assert not table.note_readable(2)
    shown = view_of(table)
    assert shown is not None
    assert shown.error == DAMAGED_TEXT


def test_the_same_views_are_given_until_something_changes(table: SlotTable) -> None:
    hosts = listed(h2=Liveness.LIVE)
    for host_id in (2, 3):
        table.note(host_id, good(1, host_id), 10.0)
    first = views(table, 20.0, hosts)
    assert views(table, 69.9, hosts) is first
    table.note(3, good(2, 3), 70.0)
    second = views(table, 69.9, hosts)
    assert [view.host_id for view in second] == [1, 2, 3]
    assert second[1] is first[1], "a host without news is not made anew"
    assert second[2] != first[2]
    assert views(table, 69.9, listed(h2=Liveness.FAIL))[1].liveness is Liveness.FAIL


def test_a_record_gets_stale_by_time_alone(table: SlotTable) -> None:
    hosts = listed(h2=Liveness.LIVE, h3=Liveness.LIVE)
    table.note(2, good(1), 10.0)
    table.note(3, good(1, 3), 30.0)
    fresh = [[view.fresh for view in views(table, now_s, hosts)] for now_s in (20.0, 70.1, 90.1)]
    assert fresh == [[False, True, True], [False, False, True], [False, False, False]]
    stale = views(table, 90.1, hosts)
    assert views(table, 9000.0, hosts) is stale


def test_another_window_is_looked_through_at_once(table: SlotTable) -> None:
    hosts = listed(h2=Liveness.LIVE)
    table.note(2, good(1), 10.0)
    assert table.views(hosts, 45.0, 60.0)[1].fresh
    assert not table.views(hosts, 45.0, 30.0)[1].fresh
    assert table.views(hosts, 45.0, 60.0)[1].fresh
