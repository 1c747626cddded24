# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a broker keeps of hosts from snapshot to snapshot, against working all of it out anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_broker.api.snapshot import HostView, Snapshot
from ha_broker.cycle.host_changes import HostChanges, HostVersions, says_the_same
from ha_broker.engine_words import words_on_the_engine
from ha_broker.events.cluster_state import picture_of
from ha_broker.lockspace.membership import _fire_times
from ha_broker.monitors.witness import next_in_line
from ha_broker.significant_changes import SignificantChanges, matters
from metadata.host_notes import FIRE_TIMEOUT, identity_in
from metadata.liveness import Liveness
from metadata.records import HostRecord, rewritten_record
from tests.unit.broker_host import DOWN, UP, record

OWN_ID = 1
many = settings(deadline=None, max_examples=150)

NOTES = [
    (),
    (("why", "because"),),
    ((FIRE_TIMEOUT, "60"),),
    ((FIRE_TIMEOUT, "30"), ("machine", "m1")),
    (("moving", "to h2, others wait 40 s"),),
    (("witness", "dark; engine on host 1; network good"),),
    (("cannot-start", "no network"), ("start-tries", "3")),
]


def views_of(host_id: int) -> st.SearchStrategy[HostView]:
    written = st.builds(
        record,
        st.just(host_id),
        st.integers(1, 3),
        score=st.sampled_from([0, 3400]),
        engine_status=st.sampled_from([UP, DOWN]),
        stopped=st.booleans(),
        maintenance=st.booleans(),
        notes=st.sampled_from(NOTES),
        crc32=st.sampled_from(["", "00000001"]),
    )
    return st.builds(
        HostView,
        st.just(host_id),
        st.sampled_from(list(Liveness)),
        st.integers(0, 1),
        st.one_of(st.none(), written),
        st.sampled_from(["", "", "torn"]),
        st.booleans(),
        st.sampled_from([None, 5.0, 10.0]),
        st.booleans(),
    )


def rewritten(view: HostView) -> HostView:
    """Its host has written it again, with nothing new."""
    if view.record is None:
        return view
    times: dict[str, Any] = {"wall_time": "later", "crc32": "00000002", "text": "later"}
    later = rewritten_record(view.record, timestamp_s=view.record.timestamp_s + 5, **times)
    changed_at_s = None if view.changed_at_s is None else view.changed_at_s + 5
    return replace(view, record=later, changed_at_s=changed_at_s)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[HostView, ...]]:
    """The views of up to five hosts, snapshot after snapshot."""
    ids = range(1, 6)
    shown: dict[int, HostView] = {}
    history = []
    for _ in range(draw(st.integers(1, 7))):
        for host_id in ids:
            kind = draw(st.sampled_from(["same", "same", "rewritten", "equal", "new", "gone"]))
            if kind == "new":
                shown[host_id] = draw(views_of(host_id))
            elif kind == "gone":
                shown.pop(host_id, None)
            elif host_id in shown and kind == "rewritten":
                shown[host_id] = rewritten(shown[host_id])
            elif host_id in shown and kind == "equal":
                shown[host_id] = replace(shown[host_id])
        history.append(tuple(shown[host_id] for host_id in sorted(shown)))
    return history


def snapshot(views: tuple[HostView, ...], **fields: Any) -> Snapshot:
    return Snapshot(1, 100.0, OWN_ID, "h1", 0.0, hosts=views, **fields)


@many
@given(histories(), st.lists(st.booleans(), min_size=8, max_size=8))
def test_news_is_what_comparing_all_of_it_finds(
    history: list[tuple[HostView, ...]], maintenance: list[bool]
) -> None:
    before = snapshot(())
    changes, significant = HostChanges(), SignificantChanges(before)
    for views, on in zip(history, maintenance):
        after = snapshot(views, local_maintenance=on)
        found = significant.found_in(after, changes.note(views))
        assert found is (matters(after) != matters(before))
        before = after


@many
@given(histories())
def test_what_follows_from_unchanged_hosts_is_unchanged(
    history: list[tuple[HostView, ...]],
) -> None:
    """All that is kept while no host is found changed."""
    changes = HostChanges()
    kept: Optional[tuple[HostVersions, list[Any]]] = None
    for views in history:
        changes.note(views)
        worked_out = [
            words_on_the_engine(views, OWN_ID),
            _fire_times(views, OWN_ID),
            [next_in_line(views, owner_id) for owner_id in (None, 1, 2)],
            {view.host_id: identity_in(view.record) for view in views if view.record},
        ]
        if kept is not None and kept[0] is changes.versions:
            assert worked_out == kept[1]
        kept = changes.versions, worked_out


@many
@given(histories(), st.integers(0, 6))
def test_what_has_changed_since_makes_the_old_views_the_new_ones(
    history: list[tuple[HostView, ...]], place: int
) -> None:
    """But for the time of records that were only written again."""
    changes = HostChanges()
    seen = []
    for views in history:
        changes.note(views)
        seen.append((changes.versions.latest, views))
    version, old = seen[min(place, len(seen) - 1)]
    changed = changes.versions.since(version)
    merged = {view.host_id: view for view in old if view.host_id not in changed}
    merged.update({view.host_id: view for view in history[-1] if view.host_id in changed})
    assert merged.keys() == {view.host_id for view in history[-1]}
    assert all(says_the_same(merged[view.host_id], view) for view in history[-1])


@many
@given(histories(), st.booleans(), st.booleans())
def test_a_picture_made_of_the_one_before_is_the_picture(
    history: list[tuple[HostView, ...]], sees: bool, on: bool
) -> None:
    before, changes, changed = None, HostChanges(), set[int]()
    for place, views in enumerate(history):
        fields: dict[str, Any] = {"local_maintenance": on and place % 2 == 0}
        seen = snapshot(views, **fields)
        changed |= changes.note(views)
        if place % 3 == 2:
            continue  # a look without a picture
        before, alone = picture_of(seen, before, changed), picture_of(seen)
        changed.clear()
        assert (before, before.wrote_s) == (alone, alone.wrote_s)
        assert [one.says_up for one in before.hosts] == [one.says_up for one in alone.hosts]


# --- case by case ----------------------------------------------------------------------------


def view(**fields: Any) -> HostView:
    return HostView(2, Liveness.LIVE, 1, record(2, 7), fresh=True, changed_at_s=10.0, **fields)


def test_a_record_that_was_written_again_says_the_same() -> None:
    assert says_the_same(view(), rewritten(view()))
    assert says_the_same(view(), replace(view(), record=record(2, 8), changed_at_s=15.0))


LASTING: dict[str, Any] = {
    "score": 1,
    "engine_status": UP,
    "hostname": "other",
    "maintenance": True,
    "stopped": True,
    "conf_on_shared_storage": False,
    "vm_conf_refresh_s": 3,
    "state": "EngineUp",
    "timeout_wall_time": "later",
    "vm_conf_refresh_wall_time": "later",
    "notes": (("why", "x"),),
    "trailing_fields": ("x",),
    "feature_version": 2,
    "host_id": 3,
}


def test_every_field_of_a_record_is_of_the_time_or_lasting() -> None:
    of_the_time = {"timestamp_s", "wall_time", "crc32", "text"}
    assert LASTING.keys() | of_the_time == HostRecord.__dataclass_fields__.keys()


@pytest.mark.parametrize("name", LASTING)
def test_anything_else_in_a_record_is_new(name: str) -> None:
    said = record(2, 7, **{name: LASTING[name]}) if name != "host_id" else record(3, 7)
    assert not says_the_same(view(), replace(view(), record=said))


@pytest.mark.parametrize(
    "fields",
    [
        {"liveness": Liveness.FAIL},
        {"generation": 2},
        {"error": "torn"},
        {"fresh": False},
        {"undecided": True},
        {"record": None},
        {"changed_at_s": None},
    ],
)
def test_anything_else_in_a_view_is_new(fields: dict[str, Any]) -> None:
    assert not says_the_same(view(), replace(view(), **fields))
    assert not says_the_same(replace(view(), **fields), view())


def test_each_record_of_a_host_that_moves_the_engine_is_new() -> None:
    """How long the others wait for it counts from its latest record."""
    moving = replace(view(), record=record(2, 7, notes=(("moving", "to h3, others wait 9 s"),)))
    assert not says_the_same(moving, replace(moving, changed_at_s=15.0))
