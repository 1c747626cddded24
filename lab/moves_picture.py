# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A round of maintenance as a picture (SVG): the page, and on each host state, VM and lease."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from lab.page import Question

WIDTH, LEFT, RIGHT, GAP = 1000, 64, 16, 34
PAGE_HEIGHT, STATE_HEIGHT, VM_HEIGHT, LEASE_HEIGHT, HOST_HEIGHT = 28, 22, 9, 8, 56
HEAD, AXIS, LEGEND = 38, 24, 44
# What is shown closely: from so long before an order until so long after it was carried out.
BEFORE_S, AFTER_S = 0.8, 1.2
LETTER = 6.3  # width of one, in the units of the picture
STATES = {
    "EngineUp": "#b9e2b0",
    "EngineDown": "#e7e7e7",
    "LocalMaintenance": "#d2c8ee",
    "EngineMigratingAway": "#ffdf80",
    "LocalMaintenanceMigrateVm": "#ffdf80",
    "EngineMaybeAway": "#ffcfa3",
    "EngineStarting": "#bfe3f2",
}
OTHER_STATE = "#ffffff"
ANSWERED, SILENT, GAP_COLOUR = "#2e8b3d", "#d11f1f", "#f9c9c9"
PROCESS, LEASE, ORDER = "#9dbbea", "#e07b00", "#7a3db8"
LEGEND_ITEMS = (
    (ANSWERED, "page answers"),
    (GAP_COLOUR, "longest gap of each move"),
    (SILENT, "no answer"),
    (PROCESS, "qemu process is there, paused without the lease"),
    (LEASE, "holds the lease on the storage"),
    (ORDER, "local maintenance is ordered"),
)

# Two moments.
Span = tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """A span of time, drawn across the picture from `top` on; seconds of the machine's clock."""

    begin_s: float
    end_s: float
    top: float

    def x(self, at_s: float) -> float:
        """Where a moment is; those outside are at the edge."""
        inside = min(max(at_s, self.begin_s), self.end_s)
        share = (inside - self.begin_s) / (self.end_s - self.begin_s)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def shows(self, begin_s: float, end_s: float) -> bool:
        """Is any of it in here?"""
        return end_s > self.begin_s and begin_s < self.end_s


def draw(found: dict[str, Any]) -> str:
    """The first round of what `lab maintenance-rounds --record` has written."""
    seen, moves, hosts = found["recorded"], found["rounds"][0], found["hosts"]
    height = HEAD + PAGE_HEIGHT + len(hosts) * HOST_HEIGHT + AXIS
    first = moves[0]
    whole = Panel(seen["begin_s"], seen["end_s"], 0)
    closely = Panel(
        first["ordered_s"] - BEFORE_S,
        first["ordered_s"] + first["reached_s"] + AFTER_S,
        height + GAP,
    )
    names = " > ".join([first["source"], *(move["target"] for move in moves)])
    titles = (
        f"One round of local maintenance: {names}",
        f"The first move of it: {first['source']} > {first['target']}",
    )
    parts: list[str] = []
    for panel, title in zip((whole, closely), titles):
        parts += _panel(panel, title, seen, moves, hosts)
    legend_top = 2 * height + GAP + 6
    parts += _legend(legend_top)
    return _document(legend_top + LEGEND, parts)


def _panel(
    panel: Panel, title: str, seen: dict[str, Any], moves: list[dict[str, Any]], hosts: list[str]
) -> Iterator[str]:
    yield _text(LEFT, panel.top + 16, title, "title")
    top = panel.top + HEAD
    yield from _page(panel, top, [Question(**one) for one in seen["page"]], moves)
    for number, name in enumerate(hosts):
        yield from _host(panel, top + PAGE_HEIGHT + number * HOST_HEIGHT, name, seen)
    height = PAGE_HEIGHT + len(hosts) * HOST_HEIGHT
    for move in moves:
        if panel.shows(move["ordered_s"], move["ordered_s"] + 1e-9):
            yield _tick(panel, top, height, move["ordered_s"], ORDER)
    yield from _axis(panel, top, top + height)


def _page(
    panel: Panel, top: float, questions: list[Question], moves: list[dict[str, Any]]
) -> Iterator[str]:
    yield _text(LEFT - 8, top + 14, "page", "name")
    for begin_s, end_s in _gaps(questions, moves):
        if panel.shows(begin_s, end_s):
            yield _bar(panel, top, PAGE_HEIGHT - 8, (begin_s, end_s), GAP_COLOUR)
    for one in questions:
        if panel.shows(one.ended_s, one.ended_s + 1e-9):
            colour = ANSWERED if one.well else SILENT
            yield _tick(panel, top + 3, PAGE_HEIGHT - 14, one.ended_s, colour)
    for begin_s, end_s in _gaps(questions, moves):
        if panel.shows(begin_s, end_s):
            middle = (panel.x(begin_s) + panel.x(end_s)) / 2
            yield _text(middle, top - 2, f"{end_s - begin_s:.2f} s", "gap")


def _gaps(questions: list[Question], moves: list[dict[str, Any]]) -> Iterator[tuple[float, float]]:
    """The longest of each move."""
    well_s = [one.ended_s for one in questions if one.well]
    orders = [*(move["ordered_s"] for move in moves), float("inf")]
    for begin_s, next_s in zip(orders, orders[1:]):
        spans = [span for span in zip(well_s, well_s[1:]) if begin_s <= span[1] < next_s]
        if spans:
            yield max(spans, key=lambda span: span[1] - span[0])


def _host(panel: Panel, top: float, name: str, seen: dict[str, Any]) -> Iterator[str]:
    yield _text(LEFT - 8, top + 15, name, "name")
    for begin_s, end_s, state in _spans(seen["states"][name], panel.end_s):
        if panel.shows(begin_s, end_s):
            colour = STATES.get(state, OTHER_STATE)
            yield _bar(panel, top, STATE_HEIGHT, (begin_s, end_s), colour)
            yield from _label(panel, top, begin_s, end_s, state)
    vm_top = top + STATE_HEIGHT + 2
    for begin_s, end_s, there in _spans(seen["processes"], panel.end_s):
        if name in there and panel.shows(begin_s, end_s):
            yield _bar(panel, vm_top, VM_HEIGHT, (begin_s, end_s), PROCESS)
    lease_top = vm_top + VM_HEIGHT
    for begin_s, end_s, owner in _spans(seen["lease"], panel.end_s):
        if owner == name and panel.shows(begin_s, end_s):
            yield _bar(panel, lease_top, LEASE_HEIGHT, (begin_s, end_s), LEASE)


def _label(panel: Panel, top: float, begin_s: float, end_s: float, state: str) -> Iterator[str]:
    left, right = panel.x(begin_s), panel.x(end_s)
    if right - left > len(state) * LETTER:
        yield _text((left + right) / 2, top + 15, state, "state")


def _axis(panel: Panel, top: float, bottom: float) -> Iterator[str]:
    length_s = panel.end_s - panel.begin_s
    step_s = next(step for step in (0.5, 1, 2, 5, 10, 30, 60, 600) if length_s / step <= 16)
    count = int(length_s / step_s)
    for number in range(count + 1):
        at_s = panel.begin_s + number * step_s
        x = panel.x(at_s)
        yield f'<path class="grid" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>'
        yield _text(x, bottom + 14, f"{number * step_s:g} s", "time")


def _legend(top: float) -> Iterator[str]:
    x, y = float(LEFT), top + 12
    for colour, words in LEGEND_ITEMS:
        width = 20 + len(words) * LETTER + 16
        if x + width > WIDTH:
            x, y = float(LEFT), y + 20
        yield f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="12" height="11" fill="{colour}"/>'
        yield _text(x + 17, y, words, "legend")
        x += width


def _spans(changes: Sequence[Sequence[Any]], end_s: float) -> Iterator[tuple[float, float, Any]]:
    """From when until when each of them was so."""
    ends = [*(change[0] for change in changes[1:]), end_s]
    for (begin_s, what), until_s in zip(changes, ends):
        yield begin_s, until_s, what


def _bar(panel: Panel, top: float, height: float, span: Span, colour: str) -> str:
    left, right = (panel.x(at_s) for at_s in span)
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 0.5):.1f}" '
        f'height="{height}" fill="{colour}"/>'
    )


def _tick(panel: Panel, top: float, height: float, at_s: float, colour: str) -> str:
    x = panel.x(at_s)
    return f'<path stroke="{colour}" d="M{x:.1f} {top:.1f}v{height}"/>'


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


_STYLE = """text{font:11px sans-serif;fill:#222}.title{font-size:14px;font-weight:bold}
.name{text-anchor:end;font-weight:bold}.state,.time,.gap{text-anchor:middle}
.time{fill:#666}.gap{font-size:10px;fill:#a01010}.grid{stroke:#0001;fill:none}"""


def _document(height: float, parts: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}">'
    )
    background = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#fff"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", background, *parts, "</svg>", ""])
