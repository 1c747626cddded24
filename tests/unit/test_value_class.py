# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Classes of `value_class` behave as frozen dataclasses do."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pickle
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fsm
import ha_agent
import ha_broker
import metadata
import world
from ha_broker.api import event, monitors, snapshot
from metadata import penalties, reach, records
from metadata.value_class import replaced, value_class

MODULES = (event, monitors, snapshot, penalties, reach, records)
CLASSES = sorted(
    {
        found
        for module in MODULES
        for found in vars(module).values()
        if isinstance(found, type)
        and dataclasses.is_dataclass(found)
        and found.__module__ == module.__name__
    },
    key=lambda one: one.__name__,
)

DAEMONS = (fsm, ha_agent, ha_broker, metadata, world)


def frozen_classes(package: ModuleType) -> Iterator[type]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(found.name)
        for kind in vars(module).values():
            is_ours = isinstance(kind, type) and kind.__module__ == module.__name__
            if is_ours and dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen:
                yield kind


class Ours:
    @value_class(frozen=True)
    class Pair:
        """As `Theirs.Pair`."""

        a: object
        b: object = None
        c: object = dataclasses.field(default=None, compare=False, repr=False)


class Theirs:
    @dataclasses.dataclass(frozen=True)
    class Pair:
        """The library's own."""

        a: object
        b: object = None
        c: object = dataclasses.field(default=None, compare=False, repr=False)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3),
    st.tuples(st.integers(0, 2)), st.lists(st.integers(0, 1), max_size=2),
)  # fmt: skip


def outcome(work: Any) -> object:
    try:
        return work()
    except TypeError:
        return TypeError


@given(VALUES, VALUES, VALUES, VALUES)
def test_equality_hash_and_text_are_the_librarys(a: Any, b: Any, c: Any, d: Any) -> None:
    one, other = Ours.Pair(a, b, c), Ours.Pair(c, d, a)
    their_one, their_other = Theirs.Pair(a, b, c), Theirs.Pair(c, d, a)
    assert (one == other) == (their_one == their_other)
    assert (one != other) == (their_one != their_other)
    assert outcome(lambda: hash(one)) == outcome(lambda: hash(their_one))
    assert repr(one) == repr(their_one).replace("Theirs.", "Ours.")
    assert one == Ours.Pair(a, b, d)
    assert one != their_one
    assert one != (a, b)


@pytest.mark.parametrize("kind", CLASSES)
def test_each_class_is_frozen_and_goes_by_the_fields_that_count(kind: Any) -> None:
    fields = dataclasses.fields(kind)
    assert all(one.hash is None for one in fields)
    value = kind(**{one.name: one.name for one in fields})
    assert value == pickle.loads(pickle.dumps(value)) and hash(value) == hash(
        dataclasses.replace(value)
    )
    for one in fields:
        other = dataclasses.replace(value, **{one.name: "another"})
        assert (other == value) == (not one.compare)
        assert (repr(other) == repr(value)) == (not one.repr)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, one.name, "another")
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(value, one.name)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_value_with_other_fields_is_what_the_library_makes_of_it(kind: Any) -> None:
    names = [one.name for one in dataclasses.fields(kind)]
    value = kind(**dict.fromkeys(names, 1))
    for name in names:
        ours = replaced(value, **{name: 2})
        assert ours == dataclasses.replace(value, **{name: 2}) and type(ours) is kind
        assert vars(ours) == {**dict.fromkeys(names, 1), name: 2}
    assert vars(value) == dict.fromkeys(names, 1)
    with pytest.raises(TypeError, match="no field"):
        replaced(value, unknown=1)


def test_all_values_of_the_daemons_are_such() -> None:
    kinds = [kind for package in DAEMONS for kind in frozen_classes(package)]
    assert len(kinds) > 100
    refuses = value_class(frozen=True)(type("Empty", (), {})).__setattr__
    assert [kind for kind in kinds if kind.__setattr__ is not refuses] == []


def test_a_class_without_fields_has_one_value() -> None:
    @value_class(frozen=True)
    class Nothing:
        """None at all."""

    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(Nothing())
    assert repr(Nothing()).endswith("Nothing()")
    with pytest.raises(dataclasses.FrozenInstanceError):
        Nothing().a = 1  # type: ignore[attr-defined]


def test_what_was_worked_out_of_the_value_before_is_not_taken_over() -> None:
    @dataclasses.dataclass(frozen=True)
    class Pair:
        a: int
        b: int

        @functools.cached_property
        def total(self) -> int:
            return self.a + self.b

    value = Pair(1, 2)
    assert value.total == 3
    assert replaced(value, a=5).total == 7
