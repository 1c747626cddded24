# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Snapshots and publications as JSON: full round trips, and refusals by name."""

from __future__ import annotations

import json
import re
from dataclasses import field, fields, is_dataclass, make_dataclass, replace
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_broker.api.json_codec import DataError, defaults_mark, to_lean_data
from ha_broker.api.snapshot import Publication, Snapshot
from ha_broker.api.snapshot_json import (
    parse_json,
    publication_from_data,
    publication_to_data,
    snapshot_from_data,
    snapshot_to_data,
)
from metadata.plain_text import printable_text
from metadata.records import EngineStatus, EngineVm, Health

PUBLICATION = Publication(3400, EngineStatus(EngineVm.UP, Health.GOOD, "Up"), "EngineUp")

_plain = {
    str: st.text(max_size=20).map(printable_text),
    int: st.integers(-(2**64), 2**64),
    float: st.floats(-(2.0**64), 2.0**64),
    bool: st.booleans(),
}
for kind, strategy in _plain.items():
    st.register_type_strategy(kind, strategy)


@settings(max_examples=60, deadline=None)
@given(st.from_type(Snapshot), st.floats(0, 1e9))
def test_a_snapshot_survives_the_journey(snapshot: Snapshot, now_s: float) -> None:
    text = json.dumps(snapshot_to_data(snapshot, now_s), allow_nan=False)
    back = snapshot_from_data(parse_json(text.encode()))
    assert back == snapshot
    _same_types(back, snapshot)


@settings(max_examples=60, deadline=None)
@given(st.from_type(Snapshot))
def test_without_its_defaults_it_says_the_same(snapshot: Snapshot) -> None:
    lean = json.dumps(to_lean_data(snapshot))
    back = snapshot_from_data(parse_json(lean.encode()))
    assert back == snapshot
    _same_types(back, snapshot)
    assert len(lean) <= len(json.dumps(snapshot_to_data(snapshot)))


def test_what_is_only_equal_to_a_default_is_told() -> None:
    found = to_lean_data(replace(snapshot(), global_maintenance=False, sequence=0))
    assert (found["global_maintenance"], found["sequence"]) == (False, 0)
    assert "local_maintenance" not in found and found["storage"] == {}


@pytest.mark.parametrize("stamp_s", [-(2.0**64), 2.0**64])
def test_a_stamp_at_the_bound_has_an_age_that_can_be_read(stamp_s: float) -> None:
    snapshot = Snapshot(1, stamp_s, 1, "h1", stamp_s, agent_published_at_s=stamp_s)
    text = json.dumps(snapshot_to_data(snapshot, 1e9))
    assert snapshot_from_data(parse_json(text.encode())) == snapshot


@settings(max_examples=60, deadline=None)
@given(st.from_type(Publication))
def test_a_publication_survives_the_journey(publication: Publication) -> None:
    text = json.dumps(publication_to_data(publication))
    back = publication_from_data(parse_json(text.encode()))
    assert back == publication
    _same_types(back, publication)


def _same_types(left: Any, right: Any) -> None:
    """Equality alone would take 1 for True, and overlooks fields that don't compare."""
    assert type(left) is type(right)
    if is_dataclass(left):
        for field in fields(left):
            _same_types(getattr(left, field.name), getattr(right, field.name))
            assert getattr(left, field.name) == getattr(right, field.name)
    elif isinstance(left, tuple):
        for one, other in zip(left, right):
            _same_types(one, other)


def snapshot() -> Snapshot:
    return Snapshot(sequence=1, taken_at_s=100.0, host_id=1, host_name="h1", started_at_s=40.0)


def test_ages_stand_beside_the_stamps() -> None:
    data = snapshot_to_data(snapshot(), now_s=103.5)
    assert (data["taken_at_s"], data["taken_age_s"]) == (100.0, 3.5)
    assert data["started_age_s"] == 63.5
    assert data["storage"]["busy_since_s"] is None
    assert "busy_age_s" not in data["storage"]


def test_a_newer_brokers_keys_are_ignored() -> None:
    data = snapshot_to_data(snapshot())
    data["fence"] = {"x": 1}
    data["storage"]["y"] = 2
    assert snapshot_from_data(data) == snapshot()


PENALTY = {"name": "network", "points": 320, "reason": "20% failed"}


def changed(**changes: Any) -> dict[str, Any]:
    return {**publication_to_data(PUBLICATION), **changes}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], ["body", "expected an object"]),
        ("x", ["body"]),
        ({}, ["score: missing", "engine_status: missing", "state: missing"]),
        (changed(colour="red"), ["colour: unknown key", "allowed: conf_on_shared_storage"]),
        (changed(score="3400"), ["score: expected an integer, got '3400'"]),
        (changed(score=True), ["score: expected an integer, got true"]),
        (changed(score=1.5), ["score"]),
        (changed(stopped="False"), ["stopped: expected true or false, got 'False'"]),
        (changed(stopped=0), ["stopped"]),
        (changed(state=None), ["state: expected a string"]),
        (changed(notes=[["a"]]), ["notes[0]: expected 2 items"]),
        (changed(notes=[["a", 1]]), ["notes[0][1]: expected a string"]),
        (changed(notes={}), ["notes: expected a list"]),
        (changed(engine_status={"vm": "flying"}), ["engine_status.vm", "'flying'", "up, down"]),
        (changed(engine_status={"vm": ["up"]}), ["engine_status.vm"]),
        (changed(engine_status={"x": 1}), ["engine_status.x: unknown key"]),
        (changed(penalties=[{"name": "network"}]), ["penalties[0].points: missing"]),
        (changed(penalties=[{**PENALTY, "points": "320"}]), ["penalties[0].points", "'320'"]),
        (changed(penalties=[{**PENALTY, "value": "20%"}]), ["penalties[0].value", "a number"]),
        (changed(penalties=[{**PENALTY, "ends_at_s": True}]), ["penalties[0].ends_at_s"]),
        (changed(penalties=[{**PENALTY, "colour": 1}]), ["penalties[0].colour: unknown key"]),
        (changed(penalties={}), ["penalties: expected a list"]),
        (changed(transitions=[{"number": 1.5}]), ["transitions[0].number: expected an integer"]),
        (changed(timeout_at_s="soon"), ["timeout_at_s: expected a number, got 'soon'"]),
        (changed(timeout_at_s=10**400), ["timeout_at_s: expected a number"]),
        (changed(timeout_at_s=10**5000), ["timeout_at_s: expected a number"]),
        (changed(timeout_at_s=float("inf")), ["timeout_at_s: expected a number, got inf"]),
        (changed(score=10**400), ["score: expected an integer"]),
        (changed(vm_conf_refresh_s=-(10**400)), ["vm_conf_refresh_s"]),
        (changed(penalties=[{**PENALTY, "value": 10**400}]), ["penalties[0].value"]),
    ],
)
def test_a_wrong_publication_is_refused_by_name(data: object, words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        publication_from_data(data)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[NaN]", b"Infinity", b"[" * 100_000])
def test_no_json_is_an_error(text: bytes) -> None:
    with pytest.raises(DataError, match="no valid JSON"):
        parse_json(text)


# --- which defaults ---------------------------------------------------------------------------


def _holder(inner: Any) -> Any:
    """A class that has `inner`'s values somewhere within."""
    kind = make_dataclass("Inner", [inner])
    return make_dataclass("Outer", [("many", Optional[tuple[kind, ...]])])  # type: ignore[valid-type]


def test_the_mark_of_the_defaults_follows_from_those_of_the_classes_within() -> None:
    inners: list[Any] = [
        ("inner", int, field(default=0)),
        ("inner", int, field(default=1)),
        ("inner", bool, field(default=False)),
        ("other", int, field(default=0)),
        ("inner", int),
    ]
    marks = [defaults_mark(_holder(inner)) for inner in inners]
    assert len(set(marks)) == len(marks)
    assert defaults_mark(_holder(inners[0])) == marks[0]
    assert re.fullmatch("[0-9a-f]{8}", defaults_mark(Snapshot))
