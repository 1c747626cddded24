"""YAML that people wrote, as plain data, and back; stricter than the parser alone.

A key that stands twice in one mapping is refused: the parser would take the last and say
nothing. So are aliases and merges, with which a few hundred bytes stand for as much data as one
likes, integers that no float holds, and long texts. Whatever else the parser can't use, one
error says so: it raises its own errors for bad syntax, but lets ValueError, KeyError and more
escape for values such as ``2024-13-45``.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Optional

import yaml

from metadata.plain_json import is_number
from metadata.plain_text import one_line
from metadata.settings.schema import shown
from world.decimal_yaml import DecimalLoader

MOST_BYTES = 256 * 1024
"""Of a text, in UTF-8: the parser takes seconds for that much."""

_MOST_DIGITS = 80  # with underscores; read is only what is no longer


class PlainYamlError(ValueError):
    """A text that can't be used; the message is one line that says where and why."""


def parse_yaml(text: str) -> Any:
    """The mappings, lists, texts, numbers ... in `text`; raises PlainYamlError."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise PlainYamlError(f"{size} bytes are refused; allowed: at most {MOST_BYTES}")
    try:
        return yaml.load(text, _StrictLoader)  # a SafeLoader
    except RecursionError as error:
        raise PlainYamlError("nested too deep") from error
    except Exception as error:  # nothing but the parser runs here
        raise PlainYamlError(one_line(str(error))) from error


def yaml_text(data: Any, **options: Any) -> str:
    """Plain data as `parse_yaml` takes it; `options` are the library's own."""
    return str(yaml.dump(data, Dumper=_PlainDumper, sort_keys=False, **options))


class _StrictLoader(DecimalLoader):
    def compose_node(self, parent: Optional[yaml.Node], index: Any) -> Optional[yaml.Node]:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise _error(f"the alias *{event.anchor} is refused; write the value", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.tag == "tag:yaml.org,2002:merge":
                raise _error(f"the merge {key.value!r} is refused; write the keys", key.start_mark)
            if key.value in seen:
                raise _error(
                    f"the key {key.value!r} stands here for the second time", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) <= _MOST_DIGITS:
            value: int = super().construct_yaml_int(node)
            if is_number(value):
                return value
        raise _error(
            f"{shown(node.value)} is refused; allowed: numbers from -2^64 to 2^64",
            node.start_mark,
        )


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_yaml_int)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Two of a kind are written out twice."""
        return True


def _error(why: str, where: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, why, where)
