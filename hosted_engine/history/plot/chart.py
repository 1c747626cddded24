# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The chart: a lane for each host, for the lease and for global maintenance. Pure.

A host's lane has a band for its state and below it a narrow one for the engine on it. Where nothing
was known there is a dashed line instead. What is too short to be seen is drawn a pixel wide, and a
number above it says how many such changes there were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Callable

from hosted_engine.cli.wording import span as length_text
from hosted_engine.history.plot import colours
from hosted_engine.history.plot.axis import ticks
from hosted_engine.history.plot.shapes import (
    Drawing,
    Line,
    Rect,
    Shape,
    Text,
    shortened,
    text_width,
)
from hosted_engine.history.text import moment_text, zone_text
from hosted_engine.history.timeline import FREE, HostPast, Past, TimeSpan

WIDTH = 1200.0
MARGIN = 20.0
TOP = 84.0
MOST_NAME = 220.0
LANE, STATE_BAND, ENGINE_BAND = 44.0, 18.0, 6.0
CLUSTER_LANE, CLUSTER_BAND = 30.0, 14.0
NAME_SIZE, LABEL_SIZE, SMALL_SIZE = 13.0, 11.0, 10.0
MOST_TICKS = 10
LEAST_RANGE_S = 60.0
# Narrower spans can't be told from their neighbours.
NARROW, LEAST_WIDTH = 3.0, 1.5

_Colour = Callable[[str], str]


def chart(past: Past) -> Drawing:
    """All of `past` from its first to its last second."""
    return _Chart(past).drawing()


def short_names(names: Sequence[str]) -> dict[str, str]:
    """From names to them without their domain, where all have the same one."""
    domains = {name.partition(".")[2] for name in names}
    if len(domains) == 1:
        return {name: name.partition(".")[0] for name in names}
    return {name: name for name in names}


@dataclass(frozen=True)
class _Scale:
    """From seconds to pixels."""

    from_s: float
    to_s: float
    left: float
    right: float

    def x(self, at_s: float) -> float:
        share = (at_s - self.from_s) / (self.to_s - self.from_s)
        return self.left + min(1.0, max(0.0, share)) * (self.right - self.left)


@dataclass(frozen=True)
class _Band:
    """Where spans are drawn."""

    y: float
    height: float

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


class _Chart:
    def __init__(self, past: Past) -> None:
        pad_s = max(0.0, LEAST_RANGE_S - (past.to_s - past.from_s)) / 2
        self._past = past
        self._names = tuple(host.name for host in past.hosts)
        self._short = short_names(self._names)
        widths = [text_width(name, NAME_SIZE, bold=True) for name in self._short.values()]
        gutter = min(MOST_NAME, max([110.0, *widths]))
        self._scale = _Scale(
            past.from_s - pad_s, past.to_s + pad_s, MARGIN + gutter + 14, WIDTH - MARGIN
        )
        self._gutter = gutter
        self._bottom = TOP + LANE * len(past.hosts) + CLUSTER_LANE
        self._bottom += CLUSTER_LANE if past.global_maintenance else 0

    def drawing(self) -> Drawing:
        legend, height = self._legend(self._bottom + 56)
        shapes = [*self._title(), *self._axis(), *self._lanes(), *legend]
        return Drawing(WIDTH, height, tuple(shapes))

    # --- around the lanes -----------------------------------------------------------------

    def _title(self) -> Iterator[Shape]:
        past = self._past
        title = f"Engine {past.engine}" if past.engine else "Engine"
        own = f"as {past.own_name} saw it" if past.own_name else ""
        times = f"{moment_text(past.from_s)} to {moment_text(past.to_s)}"
        lasted = length_text(past.to_s - past.from_s)
        room = WIDTH - 2 * MARGIN
        title = f"{title}, {own}" if own else title
        yield Text(MARGIN, 32, shortened(title, 18, room, True), 18, colours.INK, bold=True)
        line = f"{times}, {zone_text(past.to_s)}: {lasted}, {len(past.hosts)} hosts"
        yield Text(MARGIN, 54, shortened(line, 12, room), 12, colours.PALE_INK, title=line)

    def _axis(self) -> Iterator[Shape]:
        scale, bottom = self._scale, self._bottom + 4
        yield Line(scale.left, bottom, scale.right, bottom, colours.PALE_INK)
        days_end = 0.0
        for tick in ticks(scale.from_s, scale.to_s, MOST_TICKS):
            x = scale.x(tick.at_s)
            yield Line(x, TOP - 8, x, bottom + 4, colours.GRID)
            yield Text(x, bottom + 18, tick.label, LABEL_SIZE, colours.INK, "middle")
            if tick.day and x - text_width(tick.day, SMALL_SIZE) / 2 > days_end:
                yield Text(x, bottom + 32, tick.day, SMALL_SIZE, colours.PALE_INK, "middle")
                days_end = x + text_width(tick.day, SMALL_SIZE) / 2

    def _legend(self, top: float) -> tuple[list[Shape], float]:
        """The shapes, and where they end."""
        shapes: list[Shape] = []
        x, y = self._scale.left, top
        for colour, text in self._legend_items():
            width = 22 + text_width(text, LABEL_SIZE) + 16
            if x + width > WIDTH - MARGIN and x > self._scale.left:
                x, y = self._scale.left, y + 20
            shapes += _key(x, y, colour)
            shapes.append(Text(x + 20, y + 10, text, LABEL_SIZE, colours.INK))
            x += width
        return shapes, y + 30

    def _legend_items(self) -> list[tuple[str, str]]:
        """Only what occurs; an empty colour is the dashed line."""
        states = {one.value for host in self._past.hosts for one in host.states}
        known = [state for state in colours.STATES if state in states]
        items = [
            (colours.state_colour(state), state) for state in known + sorted(states - {*known})
        ]
        words = {one.value for host in self._past.hosts for one in host.engine}
        items += [
            (colours.ENGINE[word], f"engine {word}") for word in colours.ENGINE if word in words
        ]
        return [*items, ("", "nothing known")]

    # --- the lanes ------------------------------------------------------------------------

    def _lanes(self) -> Iterator[Shape]:
        y = TOP
        for host in self._past.hosts:
            yield from self._host(host, y)
            y += LANE
        yield from self._cluster_lane("lease", self._past.lease, y, self._owner_colour)
        if self._past.global_maintenance:
            spans = self._past.global_maintenance
            y += CLUSTER_LANE
            yield from self._cluster_lane(
                "global maintenance", spans, y, _maintenance_colour, False
            )

    def _host(self, host: HostPast, y: float) -> Iterator[Shape]:
        yield Line(MARGIN, y - 5, WIDTH - MARGIN, y - 5, colours.GRID)
        name = shortened(self._short[host.name], NAME_SIZE, self._gutter, bold=True)
        yield Text(MARGIN, y + 14, name, NAME_SIZE, colours.INK, bold=True, title=host.name)
        own = host.host_id == self._past.own_id
        note = f"id {host.host_id}{', told by itself' if own else ''}"
        yield Text(MARGIN, y + 28, note, SMALL_SIZE, colours.PALE_INK)
        band = _Band(y + 4, STATE_BAND)
        yield from self._gaps(host.states, band)
        yield from self._spans(host.name, host.states, band, colours.state_colour)
        below = _Band(y + 4 + STATE_BAND + 2, ENGINE_BAND)
        named = f"{host.name}: engine"
        yield from self._spans(named, host.engine, below, _engine_colour, labels=False)

    def _cluster_lane(
        self,
        name: str,
        spans: Sequence[TimeSpan[str]],
        y: float,
        colour_of: _Colour,
        gaps: bool = True,
    ) -> Iterator[Shape]:
        yield Line(MARGIN, y - 5, WIDTH - MARGIN, y - 5, colours.GRID)
        yield Text(MARGIN, y + 13, name, LABEL_SIZE, colours.INK)
        band = _Band(y + 2, CLUSTER_BAND)
        if gaps:
            yield from self._gaps(spans, band)
        yield from self._spans(name, spans, band, colour_of)

    def _owner_colour(self, name: str) -> str:
        return colours.owner_colour(name, self._names)

    # --- one band -------------------------------------------------------------------------

    def _spans(
        self,
        name: str,
        spans: Sequence[TimeSpan[str]],
        band: _Band,
        colour_of: _Colour,
        labels: bool = True,
    ) -> Iterator[Shape]:
        widths = [self._scale.x(one.to_s) - self._scale.x(one.from_s) for one in spans]
        # The narrow ones last, so that no neighbour hides them.
        for narrow in (False, True):
            for span, width in zip(spans, widths):
                if (width < NARROW) is narrow:
                    yield self._rect(name, span, band, max(LEAST_WIDTH, width), colour_of)
        for span in spans if labels else ():
            yield from self._label(span, band, colour_of(span.value))
        yield from self._counts(spans, band) if labels else ()

    def _rect(
        self, name: str, span: TimeSpan[str], band: _Band, width: float, colour_of: _Colour
    ) -> Rect:
        x = self._scale.x(span.from_s)
        value = "nobody" if span.value == FREE else span.value
        lasted, began = length_text(span.lasted_s), moment_text(span.from_s)
        title = f"{name}: {value} for {lasted}, from {began}"
        return Rect(x, band.y, width, band.height, colour_of(span.value), title)

    def _label(self, span: TimeSpan[str], band: _Band, colour: str) -> Iterator[Shape]:
        x1, x2 = self._scale.x(span.from_s), self._scale.x(span.to_s)
        ids = [str(host.host_id) for host in self._past.hosts if host.name == span.value]
        # Shorter ones for a host's name.
        shorter = [self._short[span.value], *ids] if ids else []
        for label in (span.value, *shorter):
            if text_width(label, SMALL_SIZE) + 8 <= x2 - x1:
                ink = colours.ink_on(colour)
                yield Text(x1 + 4, band.middle + 3.5, label, SMALL_SIZE, ink)
                return

    def _counts(self, spans: Sequence[TimeSpan[str]], band: _Band) -> Iterator[Shape]:
        """How many changes are too near to each other to be told apart."""
        places = [self._scale.x(span.from_s) for span in spans]
        ends = 0.0
        for start, count in _clusters(places):
            text = f"×{count}"
            x = max(start, ends)
            if x - start < 30:
                yield Line(start, band.y - 4, start, band.y, colours.INK)
                yield Text(x, band.y - 1.5, text, 8.0, colours.INK)
                ends = x + text_width(text, 8.0) + 2

    def _gaps(self, spans: Sequence[TimeSpan[str]], band: _Band) -> Iterator[Shape]:
        at_s = self._past.from_s
        for span in (*spans, TimeSpan(self._past.to_s, self._past.to_s, "")):
            x1, x2 = self._scale.x(at_s), self._scale.x(span.from_s)
            if x2 - x1 > 1:
                yield Line(x1, band.middle, x2, band.middle, colours.GAP, 1.5, dashed=True)
            at_s = max(at_s, span.to_s)


def _clusters(places: Sequence[float]) -> Iterator[tuple[float, int]]:
    """Where at least three begin within `NARROW` pixels of each other, and how many."""
    start, count, last = 0.0, 0, float("-inf")
    for place in (*places, float("inf")):
        if place - last <= NARROW:
            count += 1
        else:
            if count >= 3:
                yield start, count
            start, count = place, 1
        last = place


def _key(x: float, y: float, colour: str) -> list[Shape]:
    if not colour:
        return [Line(x, y + 6, x + 14, y + 6, colours.GAP, 1.5, dashed=True)]
    return [Rect(x, y, 14, 12, colour)]


def _engine_colour(word: str) -> str:
    return colours.ENGINE.get(word, colours.GAP)


def _maintenance_colour(_value: str) -> str:
    return colours.MAINTENANCE
