# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A YAML file that a person wrote for the simulator, with the line of each key.

Every problem names the file, the line and the thing: people mend it in an editor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

import yaml

from metadata.error_words import reason, shown
from simulation.errors import InputError
from world.plain_yaml import PlainYamlError, parse_yaml

Key = Union[str, int]
Place = tuple[Key, ...]

MOST_BYTES = 1 << 20
# Deeper than any key that is known; aliases could make a tree as wide as one likes below it.
_DEEPEST = 3


@dataclass(frozen=True)
class Document:
    """Plain data, and where each of its keys and list items stands (lines from 1)."""

    source: str
    data: Any
    lines: Mapping[Place, int] = field(default_factory=dict)

    def place(self, *keys: Key) -> str:
        """``file:line`` of the innermost of `keys` that stands in the text."""
        for length in range(len(keys), -1, -1):
            line = self.lines.get(keys[:length])
            if line is not None:
                return f"{self.source}:{line}"
        return self.source

    def located(self, problems: list[str]) -> list[str]:
        """Each of `problems` (they begin with a dotted key) with its place, in their order."""
        named = [(self._innermost(problem), problem) for problem in problems]
        named.sort(key=lambda item: self.lines.get(item[0], 0))
        return [f"{self.place(*place)}: {problem}" for place, problem in named]

    def _innermost(self, problem: str) -> Place:
        return max((place for place in self.lines if _names(problem, place)), key=len, default=())


def read_document(path: str) -> Document:
    """The file's content; raises InputError for one that can't be read or is no YAML."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError([f"{path}: too large; allowed: at most {MOST_BYTES} bytes"])
        return parse_document(content.decode("utf-8"), path)
    except OSError as error:
        raise InputError([f"{path}: can't be read: {reason(error)}"]) from error
    except UnicodeDecodeError as error:
        raise InputError([f"{path}: no text: byte {error.start} is not UTF-8"]) from error
    except ValueError as error:  # a path with a NUL in it
        if isinstance(error, InputError):
            raise
        raise InputError([f"{shown(path)}: can't be read: {error}"]) from error


def parse_document(text: str, source: str) -> Document:
    """`text` as plain data; `source` names it in messages. Raises InputError."""
    try:
        data = parse_yaml(text)
    except PlainYamlError as error:
        raise InputError([_yaml_problem(error, source)]) from error
    if data is None:
        raise InputError([f"{source}: empty"])
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    return Document(source, data, dict(_lines(node, ())) if node else {})


def _yaml_problem(error: PlainYamlError, source: str) -> str:
    if error.line is None:
        return f"{source}: {error.of_file}"
    return f"{source}:{error.line}: no valid YAML: {error.why}"


def _lines(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    yield place, node.start_mark.line + 1
    if len(place) >= _DEEPEST:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield from _lines(value, (*place, key.value))
                yield (*place, key.value), key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _lines(item, (*place, number))


def _names(problem: str, keys: Place) -> bool:
    """Does `problem` begin with the dotted form of `keys`?"""
    dotted = ".".join(str(key) for key in keys)
    return problem.startswith(dotted) and problem[len(dotted) :][:1] in ("", ".", ":")
