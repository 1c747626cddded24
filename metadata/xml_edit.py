# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Changes of single texts and attributes in an XML document that leave all else as it stands. Pure.

Writing a parsed document anew loses its comments and changes its quotes and line ends: people
who look at the difference would not find what was changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Optional
from xml.parsers import expat
from xml.sax.saxutils import escape

from metadata.error_words import shown
from metadata.errors import DomainXmlError

_VALUE = r"\s*=\s*(?:\"[^\"]*\"|'[^']*')"
_OPENING = re.compile(rf"<[^\s/>]+(?:\s+[^\s=/>]+{_VALUE})*\s*/?>")


@dataclass
class Span:
    """An element: where its tags are in the document, in characters."""

    tag: str
    attributes: dict[str, str]
    begin: int
    opened: int = 0
    closing: int = 0
    children: list[Span] = field(default_factory=list)

    def all(self, path: str) -> list[Span]:
        """The elements at ``a/b/c`` below this one."""
        found = [self]
        for tag in path.split("/"):
            found = [child for span in found for child in span.children if child.tag == tag]
        return found

    def only(self, path: str) -> Optional[Span]:
        """The one element at that path; None: there is none, or more than one."""
        found = self.all(path)
        return found[0] if len(found) == 1 else None


class XmlText:
    """A document and the changes that are to be made in it."""

    def __init__(self, text: str) -> None:
        """Raises DomainXmlError for what is no well-formed document without a document type."""
        self._text = text
        self._changes: list[tuple[int, int, str]] = []
        self.root = _spans(text)

    def text_of(self, span: Span) -> str:
        """What stands between its tags, as it stands there."""
        return self._text[span.opened : span.closing]

    def set_text(self, span: Span, text: str) -> None:
        """Put `text` between the tags of an element without children."""
        if self._text[span.opened - 2] == "/":  # <tag/>
            self._changes.append((span.opened - 2, span.opened, f">{escape(text)}</{span.tag}>"))
            return
        self._changes.append((span.opened, span.closing, escape(text)))

    def set_attribute(self, span: Span, name: str, value: str) -> None:
        """Give the attribute that value, in the quotes that it has, or add it."""
        opening = self._text[span.begin : span.opened]
        quoted = escape(value, {'"': "&quot;", "'": "&apos;"})
        match = re.search(rf"\s{re.escape(name)}\s*=\s*(\"[^\"]*\"|'[^']*')", opening)
        if match is None:
            place = span.begin + 1 + len(span.tag)
            self._changes.append((place, place, f" {name}='{quoted}'"))
            return
        start, end = match.span(1)
        self._changes.append((span.begin + start + 1, span.begin + end - 1, quoted))

    def add_first(self, span: Span, element: str) -> None:
        """Put the text of an element behind the opening tag of one that has content."""
        self._changes.append((span.opened, span.opened, f"\n{element}"))

    def changed(self) -> str:
        """The document with all changes."""
        text = self._text
        for start, end, new in sorted(self._changes, reverse=True):
            text = text[:start] + new + text[end:]
        return text


def _spans(text: str) -> Span:
    data = text.encode("utf-8", "surrogatepass")
    parser = expat.ParserCreate("utf-8")
    roots: list[Span] = []
    open_spans: list[Span] = []

    def place() -> int:
        if len(data) == len(text):
            return parser.CurrentByteIndex
        return len(data[: parser.CurrentByteIndex].decode("utf-8", "surrogatepass"))

    def start(tag: str, attributes: dict[str, str]) -> None:
        span = Span(tag, attributes, place())
        match = _OPENING.match(text, span.begin)
        assert match is not None, text[span.begin : span.begin + 80]
        span.opened = match.end()
        (open_spans[-1].children if open_spans else roots).append(span)
        open_spans.append(span)

    def end(_tag: str) -> None:
        span = open_spans.pop()
        span.closing = max(place(), span.opened)

    def refuse(name: str, *_rest: object) -> None:
        raise DomainXmlError(f"the domain XML has a document type ({shown(name)}): remove it")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise DomainXmlError(f"the domain XML can't be read: {error}") from error
    return roots[0]
