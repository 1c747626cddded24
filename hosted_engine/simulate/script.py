# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What happens to a simulated world, and when: ``script.yaml``.

A list in the order of time, seconds counted from the world's second 0::

    - {at: 10, do: "power-off h1"}     # what one would type after ./lab/lab
    - {at: 20, do: "on h2 hosted-engine --set-maintenance --mode=global"}
    - {until: 300}                     # where it ends
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from hosted_engine.simulate.grammar import CommandRefusedError, ParsedCommand, parse_command
from metadata.error_words import shown
from metadata.settings.schema import Reader, number
from simulation.errors import InputError
from simulation.yaml_reader import Document, parse_document, read_document
from world.plain_yaml import yaml_text

_AT = number(0, 1_000_000)
_ALLOWED = '{at: SECONDS, do: "COMMAND"}, and at the end {until: SECONDS}'


@dataclass(frozen=True)
class ScriptLine:
    """One command at its time; `line` is where the script has it (0: nowhere)."""

    at_s: float
    command: ParsedCommand
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Script:
    """The events, in the order of time, and the second at which the story ends."""

    events: tuple[ScriptLine, ...]
    until_s: float


def load_script(path: str, hosts: Sequence[str]) -> Script:
    """Read ``script.yaml`` for a world with these hosts; raises InputError."""
    return _ScriptReader(read_document(path), hosts).script()


def parse_script(text: str, hosts: Sequence[str], source: str = "script.yaml") -> Script:
    """The same from a text; `source` names it in messages. Raises InputError."""
    return _ScriptReader(parse_document(text, source), hosts).script()


def dump_script(events: Iterable[ScriptLine], until_s: float) -> str:
    """YAML that `parse_script` reads back to the same script."""
    lines = [_line(at=_plain(event.at_s), do=event.command.text) for event in events]
    return "".join([*lines, _line(until=_plain(until_s))])


def _line(**item: Union[float, str]) -> str:
    line: str = yaml_text([item], default_flow_style=None, width=1000)
    return line


def _plain(seconds: float) -> float:
    return int(seconds) if seconds == int(seconds) else seconds


class _ScriptReader:
    """One document being read; collects every problem with its line."""

    def __init__(self, document: Document, hosts: Sequence[str]) -> None:
        self._document = document
        self._hosts = hosts
        self._problems: list[tuple[int, str]] = []

    def script(self) -> Script:
        items = self._document.data
        if not isinstance(items, list) or not items:
            self._problem((), f"{shown(items)} is refused; allowed: a list of {_ALLOWED}")
            raise self._refusal()
        events = [self._event(number, item) for number, item in enumerate(items[:-1])]
        until_s = self._until(len(items) - 1, items[-1])
        self._check_order([at_s for at_s, _ in events], until_s)
        if self._problems or until_s is None:
            raise self._refusal()
        return Script(tuple(event for _, event in events if event is not None), until_s)

    def _event(self, number: int, item: object) -> tuple[Optional[float], Optional[ScriptLine]]:
        data = self._mapping(number, item, ["at", "do"])
        if data is None:
            return None, None
        at_s = self._seconds(number, data, "at")
        command = self._command(number, data)
        if at_s is None or command is None:
            return at_s, None
        return at_s, ScriptLine(at_s, command, self._document.lines.get((number, "do"), 0))

    def _until(self, number: int, item: object) -> Optional[float]:
        if isinstance(item, Mapping) and "until" not in item:
            self._event(number, item)  # its own mistakes count too
            self._problem(
                (number,), "the last item must say when it ends; allowed: {until: SECONDS}"
            )
            return None
        data = self._mapping(number, item, ["until"])
        return None if data is None else self._seconds(number, data, "until")

    def _mapping(self, number: int, item: object, keys: list[str]) -> Optional[Mapping[Any, Any]]:
        if not isinstance(item, Mapping):
            self._problem((number,), f"{shown(item)} is refused; allowed: {_ALLOWED}")
            return None
        if "until" in item and "until" not in keys:
            self._problem((number, "until"), "until is the last item; allowed: nothing behind it")
            return None
        missing = [key for key in keys if key not in item]
        for key in missing:
            self._problem((number,), f"{key} is missing; allowed: {_ALLOWED}")
        for key in item:
            if key not in keys:
                allowed = ", ".join(keys)
                self._problem((number, key), f"unknown key {shown(key)}; allowed: {allowed}")
        return None if missing else item

    def _seconds(self, number: int, data: Mapping[Any, Any], key: str) -> Optional[float]:
        reader = Reader("")
        value: Optional[float] = reader.value(_AT, data[key], key)
        for problem in reader.problems:
            self._problem((number, key), problem)
        return value

    def _command(self, number: int, data: Mapping[Any, Any]) -> Optional[ParsedCommand]:
        text = data["do"]
        if not isinstance(text, str):
            self._problem((number, "do"), f"do: {shown(text)} is refused; allowed: a command")
            return None
        try:
            return parse_command(text, self._hosts)
        except CommandRefusedError as error:
            self._problem((number, "do"), str(error))
            return None

    def _check_order(self, times_s: Sequence[Optional[float]], until_s: Optional[float]) -> None:
        latest_s = 0.0
        for item, at_s in enumerate([*times_s, until_s]):
            if at_s is None:
                continue
            if at_s < latest_s:
                key = "at" if item < len(times_s) else "until"
                why = f"{key}: {at_s:g} goes back in time; allowed: {latest_s:g} or later"
                self._problem((item, key), why)
            latest_s = max(latest_s, at_s)

    def _problem(self, place: tuple[Any, ...], why: str) -> None:
        line = self._document.lines.get(place) or self._document.lines.get(place[:1], 0)
        self._problems.append((line, f"{self._document.place(*place)}: {why}"))

    def _refusal(self) -> InputError:
        return InputError([text for _, text in sorted(self._problems, key=lambda item: item[0])])
