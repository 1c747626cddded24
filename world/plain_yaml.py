# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""YAML that people wrote, as plain data, and back; stricter than the parser alone.

A key that stands twice in one mapping is refused: the parser would take the last and say
nothing. So are aliases and merges, with which a few hundred bytes stand for as much data as one
likes, integers that no float holds, and long texts. Whatever else the parser can't use, one
error says so: it raises its own errors for bad syntax, with the lines around the place, passwords
and all, and lets ValueError, KeyError and more escape for values such as ``2024-13-45``.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any, Optional

import yaml

from metadata.error_words import shown
from metadata.older_files import older_file
from metadata.plain_json import is_number
from metadata.plain_text import one_line
from metadata.secret_names import names_secret, without_paths
from world.decimal_yaml import DecimalLoader

MOST_BYTES = 256 * 1024
"""Of a text, in UTF-8: the parser takes seconds for that much."""

_MOST_DIGITS = 80  # with underscores; read is only what is no longer


_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_SHOWN = re.compile(r".(?:<[a-z ]+>|.|\\.|)?.")  # kinds of tokens, and single characters
_HIDDEN = "what it holds (not shown)"


class PlainYamlError(ValueError):
    """A text that can't be used; the message is one line that says where and why.

    It has nothing of the text but keys and values that are no secrets by their keys. `why` is the
    message without the place, `line` the line (from 1), None where there is none.
    """

    def __init__(self, why: str, where: Optional[yaml.Mark] = None) -> None:
        self.why = one_line(without_paths(why))
        self.line = None if where is None else where.line + 1
        place = "" if where is None else f" (line {where.line + 1}, column {where.column + 1})"
        super().__init__(f"{self.why}{place}")

    @property
    def of_file(self) -> str:
        """What is to be said of the file that holds the text, behind its name."""
        return f"no valid YAML: {self}"


class OlderFileError(PlainYamlError):
    """The text is a file of oVirt's own tools; the message says which, and what to do."""

    @property
    def of_file(self) -> str:
        """The same: that it is no YAML either tells nobody anything."""
        return str(self)


def parse_yaml(text: str) -> Any:
    """The mappings, lists, texts, numbers ... in `text`; raises PlainYamlError."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise PlainYamlError(f"{size} bytes are refused; allowed: at most {MOST_BYTES}")
    older = older_file(text)
    if older:
        raise OlderFileError(older)
    try:
        return yaml.load(text, _StrictLoader)  # a SafeLoader
    except RecursionError:
        raise PlainYamlError("nested too deep") from None
    except _YamlRefusedError as error:
        raise PlainYamlError(str(error.problem), error.problem_mark) from None
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        raise PlainYamlError(_words(error), where) from None
    except yaml.reader.ReaderError as error:
        raise PlainYamlError(str(error)) from None  # it names one character
    except Exception as error:  # nothing but the parser runs here
        raise PlainYamlError(f"the parser can't read it ({type(error).__name__})") from None


def _words(error: yaml.MarkedYAMLError) -> str:
    """The parser's words without what it quotes of the text, be it a line, a name or a tag."""
    said = ": ".join(part for part in (error.context, error.problem) if part)
    return _QUOTED.sub(lambda found: found[0] if _SHOWN.fullmatch(found[0]) else "'...'", said)


def yaml_text(data: Any, **options: Any) -> str:
    """Plain data as `parse_yaml` takes it; `options` are the library's own."""
    return str(yaml.dump(data, Dumper=_PlainDumper, sort_keys=False, **options))


class _YamlRefusedError(yaml.constructor.ConstructorError):
    """Refused by the rules here, in words that may be shown."""


class _StrictLoader(DecimalLoader):
    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._is_secret = False
        self._secrets: set[int] = set()  # identities of nodes, which live as long as this does

    def compose_node(self, parent: Optional[yaml.Node], index: Any) -> Optional[yaml.Node]:
        """Notes which nodes lie below a key whose name says that it has a secret."""
        before = self._is_secret
        self._is_secret = before or (
            isinstance(index, yaml.ScalarNode) and names_secret(str(index.value))
        )
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            name = "of a secret" if self._is_secret else f"*{event.anchor}"
            raise _refused(f"the alias {name} is refused; write the value", event.start_mark)
        node = super().compose_node(parent, index)
        if self._is_secret:
            self._secrets.add(id(node))
        self._is_secret = before
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """What the parser lets escape becomes an error with a place."""
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as error:
            why = f": {error}" if isinstance(error, ValueError) and not self._hides(node) else ""
            raise _refused(f"{self.told(node)} is refused{why}", node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.tag == "tag:yaml.org,2002:merge":
                raise _refused("the merge '<<' is refused; write the keys", key.start_mark)
            if key.value in seen:
                name = _HIDDEN if self._hides(node) else shown(key.value)
                raise _refused(f"the key {name} stands here for the second time", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) <= _MOST_DIGITS:
            value: int = super().construct_yaml_int(node)
            if is_number(value):
                return value
        raise _refused(
            f"{self.told(node)} is refused; allowed: numbers from -2^64 to 2^64", node.start_mark
        )

    def refuse_tag(self, node: yaml.Node) -> Any:
        """A tag that the parser knows no meaning of."""
        name = "of a secret" if self._hides(node) else shown(node.tag)
        raise _refused(f"the tag {name} is refused; write plain values", node.start_mark)

    def refusal(self, node: yaml.Node, allowed: str) -> Exception:
        return _refused(f"{self.told(node)} is refused; allowed: {allowed}", node.start_mark)

    def told(self, node: yaml.Node) -> str:
        """The value as it may be shown."""
        return _HIDDEN if self._hides(node) else shown(node.value)

    def _hides(self, node: yaml.Node) -> bool:
        return id(node) in self._secrets


_StrictLoader.add_constructor(None, _StrictLoader.refuse_tag)
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_yaml_int)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Two of a kind are written out twice."""
        return True


def _refused(why: str, where: yaml.Mark) -> _YamlRefusedError:
    return _YamlRefusedError(None, None, why, where)
