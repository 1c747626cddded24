"""YAML that people wrote, as plain data; stricter than the parser alone.

A key that stands twice in one mapping is refused: the parser would take the last and say
nothing. Whatever else the parser can't use, one error says so: it raises its own errors for
bad syntax, but lets ValueError, KeyError and more escape for values such as ``2024-13-45``.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from metadata.plain_text import one_line
from world.decimal_yaml import DecimalLoader


class PlainYamlError(ValueError):
    """A text that can't be used; the message is one line that says where and why."""


def parse_yaml(text: str) -> Any:
    """The mappings, lists, texts, numbers ... in `text`; raises PlainYamlError."""
    try:
        return yaml.load(text, _StrictLoader)  # a SafeLoader
    except RecursionError as error:
        raise PlainYamlError("nested too deep") from error
    except Exception as error:  # nothing but the parser runs here
        raise PlainYamlError(one_line(str(error))) from error


class _StrictLoader(DecimalLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the key {key.value!r} stands here for the second time",
                    key.start_mark,
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)
