# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Frozen dataclasses to plain JSON data and back, by their type hints.

Known types: dataclasses, str, int, float, bool, string enums, Optional[X], tuple[X, ...]
and tuples of fixed length. Types are checked strictly: a bool is no int, "False" is no bool.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
import zlib
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Callable, Optional, TypeVar, Union

from metadata.error_words import shown
from metadata.plain_json import LARGEST, is_number
from metadata.plain_text import kept_in, printable_text

T = TypeVar("T")
Reader = Callable[[object, bool], Any]
_Names = tuple[tuple[str, str], ...]

_PLAIN = frozenset({str, int, float, bool, type(None)})
_READS = "objects within objects by their fields"
_STAMP_ENDINGS = ("_at_s", "_since_s")


class DataError(ValueError):
    """Data that does not fit; `problems` names each key, its value and what is allowed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _MisfitError(Exception):
    """What does not fit, each as (where, what); where is told from here down.

    Most data fits, and there is much of it: places are put together on the way up only.
    """

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__(problems)
        self.problems = problems

    def below(self, name: str) -> list[tuple[str, str]]:
        """The same as seen from the object or list that holds it as `name`."""
        return [(_join(name, where), what) for where, what in self.problems]


def to_data(value: object, now_s: Optional[float] = None) -> Any:
    """JSON-ready data of `value`.

    With `now_s` (monotonic seconds) every ``x_at_s`` and ``x_since_s`` gets an ``x_age_s``
    beside it, for readers without our clock.
    """
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, Enum):
        return value._value_  # as `value`, without the way through its property
    if isinstance(value, tuple):
        return [item if type(item) in _PLAIN else to_data(item, now_s) for item in value]
    names = _names(kind)
    return value if names is None else _fields_to_data(value, names, now_s)


def to_lean_data(value: object) -> Any:
    """As `to_data` without ages, and of objects without the fields that have their default.

    What `from_data` makes of both is equal where the defaults are: it is for readers whose
    `defaults_mark` of the classes is this program's.
    """
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, Enum):
        return value._value_
    if isinstance(value, tuple):
        return [item if type(item) in _PLAIN else to_lean_data(item) for item in value]
    defaults = _defaults(kind)
    return value if defaults is None else _lean_fields(value, defaults)


def _lean_fields(value: object, defaults: Mapping[str, object]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, default in defaults.items():
        item = getattr(value, name)
        # The very same object: 0 and False, which are equal, are not the same in JSON.
        if item is not default:
            data[name] = item if type(item) in _PLAIN else to_lean_data(item)
    return data


def to_news_data(before: object, value: object) -> Any:
    """What `updated` needs to make `value` of `before`: as `to_lean_data`, but of an object of the
    same class only the fields that are other objects."""
    kind: Any = type(value)
    if kind is not type(before) or not _has_fields(kind):
        return to_lean_data(value)
    was = vars(before)
    return {
        name: item if type(item) in _PLAIN else to_news_data(was[name], item)
        for name, item in vars(value).items()
        if item is not was[name]
    }


_has_fields: Callable[[Any], bool] = functools.cache(dataclasses.is_dataclass)


@functools.cache
def _defaults(kind: Any) -> Optional[Mapping[str, object]]:
    """By field; of one that has none, or makes it anew, something that no value is. None: no
    dataclass."""
    if not dataclasses.is_dataclass(kind):
        return None
    return {field.name: field.default for field in dataclasses.fields(kind)}


@functools.cache
def defaults_mark(kind: Any) -> str:
    """Eight hex digits that follow from the defaults of dataclass `kind`, and of those in it, and
    from what `updated` reads: nobody else is told less than all."""
    texts = "\n".join([_READS, *sorted(_default_texts(kind, set()))])
    return f"{zlib.crc32(texts.encode()):08x}"


def _default_texts(kind: Any, seen: set[Any]) -> Iterator[str]:
    defaults = _defaults(kind)
    if defaults is not None and kind not in seen:
        seen.add(kind)
        for name, default in defaults.items():
            if default is not dataclasses.MISSING:
                yield f"{kind.__name__}.{name}={json.dumps(to_data(default))}"
        for hint in typing.get_type_hints(kind).values():
            yield from _default_texts(hint, seen)
    for argument in typing.get_args(kind):
        yield from _default_texts(argument, seen)


def _fields_to_data(value: object, names: _Names, now_s: Optional[float]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, age_name in names:
        item = getattr(value, name)
        data[name] = item if type(item) in _PLAIN else to_data(item, now_s)
        if age_name and now_s is not None and isinstance(item, float):
            age_s = min(max(0.0, now_s - item), LARGEST)  # else no reader would take it
            data[age_name] = round(age_s, 3)
    return data


@functools.cache
def _names(kind: Any) -> Optional[_Names]:
    """Of each field, and of the age beside it; empty: it is no stamp. None: no dataclass."""
    if not dataclasses.is_dataclass(kind):
        return None
    names = [field.name for field in dataclasses.fields(kind)]
    return tuple((name, _age_name(name)) for name in names)


def _age_name(name: str) -> str:
    for ending in _STAMP_ENDINGS:
        if name.endswith(ending):
            return f"{name[: -len(ending)]}_age_s"
    return ""


def from_data(kind: type[T], data: object, *, refuse_unknown: bool = False) -> T:
    """The dataclass `kind` made from JSON data; raises DataError naming what does not fit.

    Missing keys take the field's default. Unknown keys are ignored (a newer program may
    have written them) unless `refuse_unknown`.
    """
    reader = _reader(typing.cast(Any, kind))
    try:
        return typing.cast(T, reader(data, refuse_unknown))
    except _MisfitError as error:
        problems = sorted(f"{where or 'body'}: {what}" for where, what in error.problems)
    raise DataError(problems)


def updated(value: T, data: Mapping[str, object]) -> T:
    """`value`, a dataclass, with those of its fields that the JSON object `data` has; raises
    DataError. Keys that are no field of it are ignored.

    Of an object that it has already `data` likewise tells some fields (`to_news_data`).
    """
    try:
        return _updated(value, data)
    except _MisfitError as error:
        problems = sorted(f"{where}: {what}" for where, what in error.problems)
    raise DataError(problems)


def _updated(value: T, data: Mapping[str, object]) -> T:
    readers = _field_readers(typing.cast(Any, type(value)))
    problems: list[tuple[str, str]] = []
    fresh: T = object.__new__(type(value))
    values = fresh.__dict__
    values.update(value.__dict__)
    for name, item in data.items():
        reader = readers.get(name)
        if reader is not None:
            before: Any = values[name]
            try:
                if type(item) is dict and _has_fields(type(before)):
                    values[name] = _updated(before, item)
                else:
                    values[name] = reader(item, False)
            except _MisfitError as error:
                problems += error.below(name)
    if problems:
        raise _MisfitError(problems)
    return fresh


@functools.cache
def _field_readers(kind: Any) -> Mapping[str, Reader]:
    hints = typing.get_type_hints(kind)
    return {field.name: _field_reader(field, hints) for field in dataclasses.fields(kind)}


@functools.cache
def _reader(kind: Any) -> Reader:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass_reader(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Union:
        return _optional_reader(arguments)
    if origin is tuple:
        return _tuple_reader(arguments)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum_reader(kind)
    return _plain_reader(kind)


def _dataclass_reader(kind: type) -> Reader:
    readers = _field_readers(kind)
    hints = typing.get_type_hints(kind)
    texts = frozenset(name for name, hint in hints.items() if hint is str)
    required = [field.name for field in dataclasses.fields(kind) if _is_required(field)]

    def read(data: object, refuse_unknown: bool) -> object:
        if not isinstance(data, dict):
            raise _misfit(f"expected an object, got {shown(data)}")
        problems = _unknown_keys(data, readers) if refuse_unknown else []
        values: dict[str, object] = {}
        for name, item in data.items():
            if name in texts and type(item) is str and item.isprintable():
                values[name] = item  # as its reader would
            elif name in readers:
                try:
                    values[name] = readers[name](item, refuse_unknown)
                except _MisfitError as error:
                    problems += error.below(name)
        problems += [(name, "missing") for name in required if name not in data]
        if problems:
            raise _MisfitError(problems)
        return kind(**values)

    return read


def _field_reader(field: dataclasses.Field[Any], hints: Mapping[str, Any]) -> Reader:
    kept = kept_in(field.metadata)
    return _plain_reader(hints[field.name], kept) if kept else _reader(hints[field.name])


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _unknown_keys(data: dict[Any, object], known: Mapping[str, object]) -> list[tuple[str, str]]:
    allowed = ", ".join(sorted(known))
    unknown = [printable_text(str(key)) for key in data if key not in known]
    return [(key, f"unknown key (allowed: {allowed})") for key in unknown]


def _optional_reader(arguments: tuple[Any, ...]) -> Reader:
    (inner,) = [item for item in arguments if item is not type(None)]
    read_inner = _reader(inner)

    def read(data: object, refuse_unknown: bool) -> object:
        return None if data is None else read_inner(data, refuse_unknown)

    return read


def _tuple_reader(arguments: tuple[Any, ...]) -> Reader:
    endless = arguments[-1] is Ellipsis
    readers = [_reader(item) for item in arguments if item is not Ellipsis]

    def read(data: object, refuse_unknown: bool) -> object:
        if not isinstance(data, (list, tuple)):
            raise _misfit(f"expected a list, got {shown(data)}")
        if not endless and len(data) != len(readers):
            raise _misfit(f"expected {len(readers)} items, got {shown(data)}")
        items: list[object] = []
        try:
            for one, item in zip(readers * len(data) if endless else readers, data):
                items.append(one(item, refuse_unknown))
        except _MisfitError as error:
            raise _MisfitError(error.below(f"[{len(items)}]")) from None
        return tuple(items)

    return read if endless or set(arguments) != {str} else _texts_reader(len(readers), read)


def _texts_reader(count: int, read_others: Reader) -> Reader:
    """So many texts, such as a note's key and value, of which records have many: usual ones are
    taken as they are, and everything else is read by `read_others`."""

    def read(data: object, refuse_unknown: bool) -> object:
        if type(data) is not list or len(data) != count:
            return read_others(data, refuse_unknown)
        for item in data:
            if type(item) is not str or not item.isprintable():
                return read_others(data, refuse_unknown)
        return tuple(data)

    return read


def _enum_reader(kind: type[Enum]) -> Reader:
    members = {member.value: member for member in kind}
    allowed = ", ".join(str(value) for value in members)

    def read(data: object, refuse_unknown: bool) -> object:
        if not isinstance(data, str) or data not in members:
            raise _misfit(f"{shown(data)} is not one of {allowed}")
        return members[data]

    return read


def _plain_reader(kind: Any, kept: str = "") -> Reader:
    return _text_reader(kept) if kind is str else _PLAIN_READERS[kind]


def _text_reader(kept: str) -> Reader:
    def read(data: object, _refuse_unknown: bool) -> object:
        if type(data) is not str:
            raise _misfit(f"expected a string, got {shown(data)}")
        return data if data.isprintable() else printable_text(data, kept)

    return read


def _read_flag(data: object, _refuse_unknown: bool) -> object:
    if type(data) is not bool:
        raise _misfit(f"expected true or false, got {shown(data)}")
    return data


def _read_whole(data: object, _refuse_unknown: bool) -> object:
    if type(data) is not int or not is_number(data):
        raise _misfit(f"expected an integer, got {shown(data)}")
    return data


def _read_number(data: object, _refuse_unknown: bool) -> object:
    if not is_number(data):
        raise _misfit(f"expected a number, got {shown(data)}")
    return float(data)  # type: ignore[arg-type]


_PLAIN_READERS: dict[Any, Reader] = {bool: _read_flag, int: _read_whole, float: _read_number}


def _misfit(what: str) -> _MisfitError:
    return _MisfitError([("", what)])


def _join(name: str, where: str) -> str:
    """``hosts`` and ``[3].record`` are ``hosts[3].record``."""
    return f"{name}{where}" if not where or where.startswith("[") else f"{name}.{where}"
