# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Checking plain data (as YAML or JSON give it) against rules, all problems at once.

A `Rule` says which values a key may have and what to tell people when it has another one.
`Reader` walks nested mappings, collects the problems under their dotted keys and returns the
values that are fine. Types are strict: True is no number, "5" is no number, 5.0 is no integer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from metadata.error_words import shown
from metadata.plain_text import steers
from metadata.secret_names import names_secret, without_paths
from metadata.value_class import value_class

# What YAML 1.1 takes for numbers of other bases: ``010``, ``0x10``, ``0b11``, ``1:30``.
_NO_DECIMAL = re.compile(
    r"[-+]?(?:0[0-9_]+|0[xob][0-9A-Fa-f_]+|[0-9_]+(?::[0-9]{1,2})+(?:\.[0-9_]*)?)"
)


def _unchanged(value: Any) -> Any:
    return value


@value_class(frozen=True)
class Rule:
    """What one key may be: `accepts` decides, `allowed` tells people, `convert` types it.

    `is_number`: people may have written a number in a way that is none here.
    """

    allowed: str
    accepts: Callable[[Any], bool]
    convert: Callable[[Any], Any] = _unchanged
    is_number: bool = False

    def allowed_for(self, value: object) -> str:
        """What is allowed instead of `value`."""
        if self.is_number and isinstance(value, str) and _NO_DECIMAL.fullmatch(value):
            return f"{self.allowed}, decimal and without leading zeros"
        return self.allowed


def number(low: float, high: float) -> Rule:
    """A finite number (integers too) from `low` to `high`, read as float."""

    def accepts(value: Any) -> bool:
        return type(value) in (int, float) and low <= value <= high

    return Rule(f"a number from {low:g} to {high:g}", accepts, float, is_number=True)


def integer(low: int, high: int) -> Rule:
    """An integer from `low` to `high`."""
    return Rule(
        f"an integer from {low} to {high}",
        lambda value: type(value) is int and low <= value <= high,
        is_number=True,
    )


def one_of(*values: int) -> Rule:
    """One of a few integers."""
    return Rule(
        " or ".join(str(value) for value in values),
        lambda value: type(value) is int and value in values,
        is_number=True,
    )


def text(pattern: str, allowed: str, max_bytes: int = 4096) -> Rule:
    """A string of at most `max_bytes` in UTF-8 that `pattern` matches from end to end.

    Characters that steer a terminal are refused whatever the pattern, so that a setting can be
    shown as it is. Of line ends and tabs the pattern decides.
    """
    compiled = re.compile(pattern)

    def accepts(value: Any) -> bool:
        if not isinstance(value, str) or not compiled.fullmatch(value) or steers(value):
            return False
        return len(value.encode("utf-8", "surrogatepass")) <= max_bytes

    return Rule(allowed, accepts)


def without_empty(data: Mapping[Any, Any], sections: Iterable[str]) -> Mapping[Any, Any]:
    """`data` without those of its `sections` behind which nothing stands (``network:``).

    A section is a mapping or a list. People leave its key when they take out all that it held, so
    one that is empty is as if it were not there. Of single values this is not said: one of
    them that is empty may have been forgotten.
    """
    empty = {name for name in sections if name in data and data[name] is None}
    return {name: value for name, value in data.items() if name not in empty} if empty else data


def told(key: str, value: object) -> str:
    """As `shown`, but nothing of a value whose key says that it is a secret, and of a webhook's
    address scheme and host alone: messages go to logs."""
    if names_secret(key.rpartition(".")[2]):
        return "what it holds (not shown)"
    return shown(_without_paths(value) if "webhooks" in key else value)


def _without_paths(value: Any) -> Any:
    """Before anything is shortened, which would leave the end of an address and not its host."""
    if isinstance(value, str):
        return without_paths(value)
    if isinstance(value, Mapping):
        return {name: _without_paths(one) for name, one in value.items()}
    return [_without_paths(one) for one in value] if isinstance(value, (list, tuple)) else value


@dataclass
class Reader:
    """Collects problems while sections are read; `source` (a file's name) stands before each."""

    source: str
    problems: list[str] = field(default_factory=list)

    def problem(self, key: str, why: str) -> None:
        """Note one problem with `key` (dotted; empty: the whole document)."""
        self.problems.append(": ".join(part for part in (self.source, key, why) if part))

    def mapping(self, data: object, key: str) -> Optional[Mapping[Any, Any]]:
        """`data` if it is a mapping, else None and a problem."""
        if isinstance(data, Mapping):
            return data
        self.problem(key, f"{told(key, data)} is refused; allowed: a mapping of keys to values")
        return None

    def unknown_keys(self, data: Mapping[Any, Any], known: list[str], key: str = "") -> None:
        """A problem for each key of `data` that is not in `known`."""
        for name, value in data.items():
            if name not in known:
                self.problem(
                    _dotted(key, name),
                    f"unknown key (value {told(str(name), value)}); allowed: {', '.join(known)}",
                )

    def value(self, rule: Rule, raw: object, key: str) -> Any:
        """`raw` converted by `rule`, or None and a problem."""
        if rule.accepts(raw):
            return rule.convert(raw)
        self.problem(key, f"{told(key, raw)} is refused; allowed: {rule.allowed_for(raw)}")
        return None

    def items(self, rule: Rule, data: object, key: str, *, most: int, least: int = 0) -> list[Any]:
        """The accepted values of a list of `least` to `most`, and a problem for each other one."""
        if not isinstance(data, (list, tuple)) or not least <= len(data) <= most:
            allowed = f"a list of {least} to {most}, each {rule.allowed}"
            self.problem(key, f"{told(key, data)} is refused; allowed: {allowed}")
            return []
        values = [self.value(rule, item, f"{key}[{place}]") for place, item in enumerate(data)]
        return [value for value in values if value is not None]

    def fields(
        self, data: Mapping[Any, Any], rules: Mapping[str, Rule], key: str = ""
    ) -> dict[str, Any]:
        """The accepted values among the keys of `rules` that `data` has."""
        found = {
            name: self.value(rule, data[name], _dotted(key, name))
            for name, rule in rules.items()
            if name in data
        }
        return {name: value for name, value in found.items() if value is not None}

    def section(self, data: object, rules: Mapping[str, Rule], key: str) -> dict[str, Any]:
        """A mapping all of whose keys are optional and stand in `rules`."""
        checked = self.mapping(data, key)
        if checked is None:
            return {}
        self.unknown_keys(checked, list(rules), key)
        return self.fields(checked, rules, key)

    def required(self, data: Mapping[Any, Any], rules: Mapping[str, Rule], key: str = "") -> None:
        """A problem for each key of `rules` that `data` lacks."""
        for name, rule in rules.items():
            if name not in data:
                self.problem(_dotted(key, name), f"is missing; allowed: {rule.allowed}")


def _dotted(key: str, name: object) -> str:
    shown_name = name if isinstance(name, str) and name.isprintable() else shown(name)
    return f"{key}.{shown_name}" if key else str(shown_name)
