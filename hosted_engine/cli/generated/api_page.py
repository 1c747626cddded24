# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""docs/api.md: the broker's interface, from the catalogue of its resources and its values."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from enum import Enum
from typing import Any

from ha_broker.api.resources import RESOURCES, Resource
from ha_broker.api.snapshot import Snapshot
from ha_broker.api.trial import TrialResult
from hosted_engine.cli.wording import capital

_HEAD = """\
# The broker's API

Made from `ha_broker/api/resources.py` and the values in `ha_broker/api`; do not edit. New keys
may come: a reader passes over those that it does not know.

HTTP and JSON on the unix socket `/run/hosted-engine-ha/broker.sock`. Every answer comes from
memory; only `/v1/changes`, `/v1/sequence`, a record that asks for news, maintenance, a move and a
test notification wait, with a bound. An error is `{"error": "..."}` with a status that fits: 400
wrong in itself, 403 not allowed, 404 and 405 no such resource, 409 not as things are, 503 not known
yet, 504 not in time. Who may connect, and how others get the rights:
[security.md](security.md#who-can-do-what).

```
curl --unix-socket /run/hosted-engine-ha/broker.sock http://localhost/v1/status
```
"""
_VALUES = """\
## The values

Times are seconds. What ends with `_at_s` or `_since_s` counts from this machine's start
(CLOCK_MONOTONIC); an answer of `/v1/status` has the age, in `_age_s`, beside it. null is "not
known" or "not yet", never zero.
"""
_PLAIN: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    type(None): "null",
}


def api_page() -> str:
    """The whole page, in Markdown."""
    values = [part for kind in _values() for part in _value(kind)]
    resources = [part for one in RESOURCES for part in _resource(one)]
    return "\n".join([_HEAD, *_overview(), *resources, _VALUES, *values]).rstrip("\n") + "\n"


def _overview() -> list[str]:
    rows = [f"| `{one.method} {one.path}` | {one.what} | {one.right} |" for one in RESOURCES]
    return ["| | what | who may |", "|---|---|---|", *rows, ""]


def _resource(one: Resource) -> list[str]:
    title = f"## {one.method} {one.path}"
    sentence = f"{capital(one.what)}. For {one.right}."
    keys = [*_keys("in the query", one.query), *_keys("in the body", one.body)]
    return [title, "", sentence, "", *keys, f"Answer: {_linked(one.answer)}.", ""]


def _keys(where: str, pairs: tuple[tuple[str, str], ...]) -> list[str]:
    if not pairs:
        return []
    rows = [f"| {_code(key)} | {_linked(what)} |" for key, what in pairs]
    return [f"| {where} | |", "|---|---|", *rows, ""]


def _code(key: str) -> str:
    return f"`{key}`" if key else ""


def _linked(text: str) -> str:
    """The names of values lead to their sections."""
    names = {kind.__name__ for kind in _values()}
    words = [
        f"[{word}](#{word.lower()})" + rest if word in names else word + rest
        for word, rest in map(_split, text.split(" "))
    ]
    return " ".join(words)


def _split(word: str) -> tuple[str, str]:
    plain = word.rstrip(",;.:")
    return plain, word[len(plain) :]


def _values() -> list[Any]:
    """The dataclasses that answers are made of, each before those within it."""
    found: list[Any] = []
    for kind in (Snapshot, TrialResult):
        _collect(kind, found)
    return found


def _collect(kind: Any, found: list[Any]) -> None:
    if dataclasses.is_dataclass(kind):
        if kind in found:
            return
        found.append(kind)
        for hint in typing.get_type_hints(kind).values():
            _collect(hint, found)
    for part in typing.get_args(kind):
        _collect(part, found)


def _value(kind: Any) -> list[str]:
    hints = typing.get_type_hints(kind)
    rows = [f"| `{one.name}` | {_type(hints[one.name])} |" for one in dataclasses.fields(kind)]
    said = ["```text", inspect.getdoc(kind) or "", "```", ""]
    return [f"### {kind.__name__}", "", *said, "| key | value |", "|---|---|", *rows, ""]


def _type(hint: Any) -> str:
    if hint in _PLAIN:
        return _PLAIN[hint]
    if dataclasses.is_dataclass(hint):
        name = getattr(hint, "__name__", "")
        return f"[{name}](#{name.lower()})"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ", ".join(f"`{one.value}`" for one in hint)
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return f"a list of: {_of_list(parts)}"
    return " or ".join(_type(part) for part in parts)


def _of_list(parts: tuple[Any, ...]) -> str:
    """Any number of one type, or a fixed number of them."""
    kinds = [part for part in parts if part is not Ellipsis]
    return "; ".join(_type(part) for part in kinds)
