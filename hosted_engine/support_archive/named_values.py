# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Values with names that stand for secrets, found in texts of any kind. Pure.

Settings, logs, JSON within JSON, XML, environments, command lines: what they have in common is a
name, something between and the value. A regular expression finds the names in one pass; where the
value ends is told by how it begins. In doubt more is hidden rather than less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Optional

from metadata.secret_names import names_secret

HIDDEN = "***"
_MOST_NESTED = 20_000
_MOST_BEFORE = 1000
# Begins where a word begins: a text of one long word must not be tried at each of its letters.
# Nothing behind a '/': a path's last name may say what is in the file.
_NAMED = re.compile(
    r"(?<![\w./-])-{0,2}(?P<name>[A-Za-z_][\w.-]*)(?P<close>\\*[\"'])?"
    r"(?P<between>[ \t]*(?:=>|:=|[:=])[ \t]*)"
)
_OPTION = re.compile(
    r"(?<![\w./-])(?P<quote>\\*[\"'])?--?(?P<name>[A-Za-z][\w-]*)"
    r"(?P<between>(?(quote)(?P=quote)\s*,\s*|[ \t]+))(?=[^\s-])"
)
_QUOTE = re.compile(r"(\\*)([\"'])")
_BLOCK = re.compile(r"[|>][-+0-9]*[ \t]*(?:#.*)?$", re.MULTILINE)
_LINE_START = re.compile(r"[ \t]*(?:-[ \t]+)*(?:export[ \t]+|set[ \t]+|\"|')?$")
_IN_LIST = re.compile(r"[^\s\"']*?(?=[\s\"']|[,&;][\w.-]+=|$)")
_IN_FLOW = re.compile(r"[^\n,}\"']*")
_MARK = re.compile(r"\\.")
_CLOSING = {"[": "]", "{": "}"}
_NO_TEXT = re.compile(r"-?[0-9][0-9.eE+-]*|true|false|null")


class _Found(NamedTuple):
    """What stands from `start` to `end` is to become `by`."""

    start: int
    end: int
    by: str


def without_named_values(text: str) -> str:
    """`text` with `HIDDEN` in the place of each such value."""
    text = _replaced(text, _named(text))
    return _replaced(text, _options(text))


def _replaced(text: str, found: Iterator[_Found]) -> str:
    pieces, at = [], 0
    for one in found:
        if one.start < at:  # within one that is hidden already
            continue
        pieces += [text[at : one.start], one.by]
        at = one.end
    return "".join([*pieces, text[at:]])


def _named(text: str) -> Iterator[_Found]:
    at = 0
    while True:
        match = _NAMED.search(text, at)
        if match is None:
            return
        at = match.end()
        if names_secret(match["name"]):
            found = _value(text, match)
            if found is not None:
                yield found
                at = max(at, found.end)


def _options(text: str) -> Iterator[_Found]:
    """``--password X``, also as two words of a list."""
    for match in _OPTION.finditer(text):
        if not names_secret(match["name"]):
            continue
        start = match.end()
        quoted = _quoted(text, start)
        yield quoted or _Found(start, _word_end(text, start), HIDDEN)


def _value(text: str, match: re.Match[str]) -> Optional[_Found]:
    """Where the value of this name stands; None: there is none, or one that tells nothing."""
    start = match.end()
    quoted = _quoted(text, start)
    if quoted is not None:
        return quoted
    if text[start : start + 1] in _CLOSING:
        return _nested(text, start, match["close"] or "")
    return _bare(text, start, match["close"]) if match["close"] else _unquoted(text, match)


def _bare(text: str, start: int, quote: str) -> Optional[_Found]:
    """Of JSON, whose names are quoted and whose texts are: a number may be a secret, too."""
    plain = _NO_TEXT.match(text, start)
    if plain is None:
        return _Found(start, _line_end(text, start), HIDDEN)
    is_word = plain[0].isalpha()
    return None if is_word else _Found(start, plain.end(), f"{quote}{HIDDEN}{quote}")


def _unquoted(text: str, match: re.Match[str]) -> Optional[_Found]:
    start, line_end = match.end(), _line_end(text, match.end())
    around = _around(text, match.start())
    if around is not None:
        return _Found(start, max(start, around.end), HIDDEN)
    before = _before(text, match.start())
    at_line_start = _LINE_START.match(before) is not None
    is_block = match["between"].strip() == ":" and _BLOCK.match(text, start) is not None
    if start == line_end or is_block:
        return _block(text, start, line_end, len(before)) if at_line_start else None
    if at_line_start:
        return _Found(start, _plain_line_end(text, match, line_end), HIDDEN)
    return _Found(start, _inline_end(text, match, before, line_end), HIDDEN)


def _before(text: str, start: int) -> str:
    """What stands before it on its line, as far as it matters."""
    furthest = max(0, start - _MOST_BEFORE)
    found = text.rfind("\n", furthest, start)
    return text[max(furthest, found + 1) : start]


def _around(text: str, start: int) -> Optional[_Found]:
    """The quotes that have all of ``name=value`` in them and begin right before the name."""
    if start == 0 or text[start - 1] not in "\"'":
        return None
    begin = start - 1
    while begin > 0 and text[begin - 1] == "\\":
        begin -= 1
    return _quoted(text, begin)


def _plain_line_end(text: str, match: re.Match[str], line_end: int) -> int:
    """Of ``name: value`` and ``name = value`` all of the line, of ``NAME=value`` a word."""
    return _word_end(text, match.end()) if match["between"] == "=" else line_end


def _inline_end(text: str, match: re.Match[str], before: str, line_end: int) -> int:
    """Within a line: in a flow mapping up to the next key, in a list of options to the next one."""
    start = match.end()
    if _MARK.sub("", before).count('"') % 2:  # within a text of JSON, which must stay one
        line_end = _unescaped_mark(text, start, line_end)
    if ":" not in match["between"]:
        found = _IN_LIST.match(text, start)
        return found.end() if found else line_end
    if "{" in before:
        inner = _IN_FLOW.match(text, start, line_end)
        return inner.end() if inner else line_end
    if match["between"].endswith((" ", "\t")):
        return line_end
    return min(line_end, _word_end(text, start))


def _unescaped_mark(text: str, start: int, line_end: int) -> int:
    for mark in _QUOTE.finditer(text, start, line_end):
        if mark[2] == '"' and len(mark[1]) % 2 == 0:
            return mark.end() - 1
    return line_end


def _quoted(text: str, start: int) -> Optional[_Found]:
    """The inside of the quotes that begin at `start`; they may be within quotes themselves.

    Each level of quoting turns n backslashes before a quotation mark into 2n + 1. One that does
    not end on its line goes on with the lines that are indented, as in YAML.
    """
    opening = _QUOTE.match(text, start)
    if opening is None:
        return None
    level, mark = len(opening[1]), opening[2]
    line_end = _line_end(text, start)
    for closing in _QUOTE.finditer(text, opening.end(), line_end):
        if closing[2] == mark and len(closing[1]) % (2 * level + 2) == level:
            return _Found(opening.end(), closing.end() - 1 - level, HIDDEN)
    end = line_end
    while text[end : end + 2] in ("\n ", "\n\t") and mark not in text[opening.end() : end]:
        end = _line_end(text, end + 1)
    return _Found(opening.end(), end, HIDDEN)


def _nested(text: str, start: int, quote: str) -> _Found:
    """A list or mapping, whatever is in it; its like with one hidden text takes its place."""
    opening, depth, at = text[start], 0, start
    most = min(len(text), start + _MOST_NESTED)
    for at in range(start, most):
        if text[at] == opening:
            depth += 1
        elif text[at] == _CLOSING[opening]:
            depth -= 1
            if depth == 0:
                break
    else:
        return _Found(start, most, HIDDEN)
    hidden = f"{quote}{HIDDEN}{quote}"
    return _Found(start, at + 1, f"[{hidden}]" if opening == "[" else f"{{{hidden}: {hidden}}}")


def _block(text: str, start: int, line_end: int, indented: int) -> Optional[_Found]:
    """The lines below that are indented more (or are items of a list); None: there are none."""
    end = line_end
    while end < len(text):
        line = text[end + 1 : _line_end(text, end + 1)]
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth <= indented and not line[depth:].startswith("- "):
            break
        if line.strip() and depth < indented:
            break
        end = _line_end(text, end + 1)
    inside = text[line_end:end]
    if not inside.strip():
        return None
    return _Found(start, end, f" {HIDDEN}" if start == line_end else HIDDEN)


def _line_end(text: str, start: int) -> int:
    found = text.find("\n", start)
    return len(text) if found < 0 else found


def _word_end(text: str, start: int) -> int:
    found = re.compile(r"\s").search(text, start)
    return found.start() if found else len(text)
