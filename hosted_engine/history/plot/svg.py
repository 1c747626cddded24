# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A drawing as SVG, by the standard library alone."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from hosted_engine.history.plot.shapes import Drawing, Line, Rect, Text
from metadata.plain_text import printable_text

_FONT = "DejaVu Sans, Verdana, Arial, sans-serif"


def svg_bytes(drawing: Drawing) -> bytes:
    """The whole file."""
    width, height = _number(drawing.width), _number(drawing.height)
    root = Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
    )
    root.set("font-family", _FONT)
    SubElement(root, "rect", width="100%", height="100%", fill="#ffffff")
    for shape in drawing.shapes:
        if isinstance(shape, Rect):
            _add_rect(root, shape)
        elif isinstance(shape, Line):
            _add_line(root, shape)
        else:
            _add_text(root, shape)
    ElementTree.indent(root, " ")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root) + b"\n"


def _add_rect(root: Element, rect: Rect) -> None:
    element = SubElement(
        root,
        "rect",
        x=_number(rect.x),
        y=_number(rect.y),
        width=_number(rect.width),
        height=_number(rect.height),
        fill=rect.fill,
    )
    _add_title(element, rect.title)


def _add_line(root: Element, line: Line) -> None:
    element = SubElement(
        root,
        "line",
        x1=_number(line.x1),
        y1=_number(line.y1),
        x2=_number(line.x2),
        y2=_number(line.y2),
        stroke=line.colour,
    )
    element.set("stroke-width", _number(line.width))
    if line.dashed:
        element.set("stroke-dasharray", "4 3")


def _add_text(root: Element, text: Text) -> None:
    element = SubElement(root, "text", x=_number(text.x), y=_number(text.y), fill=text.colour)
    element.set("font-size", _number(text.size))
    if text.anchor != "start":
        element.set("text-anchor", text.anchor)
    if text.bold:
        element.set("font-weight", "bold")
    element.text = printable_text(text.text)
    if text.title and text.title != text.text:
        _add_title(element, text.title)


def _add_title(element: Element, title: str) -> None:
    if title:
        SubElement(element, "title").text = printable_text(title)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
