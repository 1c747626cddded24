# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``docs/results/cost.md`` and its picture, made from what was measured."""

from __future__ import annotations

import math
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from hosted_engine.history.plot.shapes import Drawing, Line, Rect, Shape, Text
from hosted_engine.history.plot.svg import svg_bytes
from metadata.program import VERSION
from tests.bench.figures import SAMPLES, UPSTREAM, UPSTREAM_CYCLE_MS, Figure, number

TICKS_PER_YEAR = 365 * 24 * 3600 / 5
PICTURE = "cost.svg"


@dataclass(frozen=True)
class Year:
    """What one host pays: CPU of both daemons in a tick, and what its broker reads in a tick."""

    cpu_ms: float
    read_bytes: int


@dataclass(frozen=True)
class Growth:
    """Milliseconds of CPU for each tick, by the number of hosts."""

    ours: Mapping[int, float]
    floor: Mapping[int, float]


def write(
    path: Path, figures: Sequence[Figure], growth: Growth, years: Mapping[int, Year], load: float
) -> None:
    """Write the page, and its picture beside it; `load` is the machine's when the run began."""
    path.with_name(PICTURE).write_bytes(svg_bytes(picture(growth)))
    path.write_text(_page(figures, growth, years, load))


_TEXT = """# What it costs

Made by `python -m tests.bench.scale --write docs/results/cost.md`, which measures all of it anew;
`--help` tells what the parts are.

{machine}

CPU time of user and system, all threads; medians of {samples} samples or more. **Floor** is the
least that Python takes for the same work, with no check and no order of anything, in the same run
(`tests/bench/floors.py`). **Upstream** is {upstream}.

{table}

sanlock is a stand-in here: what its daemon and its library spend is not in these figures, nor is
what libvirt's daemon does. The engine runs on another host, and all hosts write their record in
each tick.

## From 3 hosts to 2000

CPU of one host for each tick of 5 s, with its jobs: broker, agent and what goes on between them,
while all hosts live and nothing that matters changes. Upstream's line is its agent's decision
cycle, which has the like of all three in it.

![CPU of a tick by the number of hosts, both axes logarithmic]({picture})

{growth}

## What a host pays in a year

Both daemons as real processes, and what the broker reads from the shared storage, with a tick each
5 s and no faults; sanlock's own reading is not in it.

| hosts | CPU seconds | of one core | read, TB | read, MB/s |
|---|---|---|---|---|
{years}
"""


def _page(figures: Sequence[Figure], growth: Growth, years: Mapping[int, Year], load: float) -> str:
    return _TEXT.format(
        machine="\n".join(_machine(load)),
        samples=SAMPLES,
        upstream=UPSTREAM,
        table="\n".join(_table(figures)),
        picture=PICTURE,
        growth="\n".join(_growth_table(growth)),
        years="\n".join(_year_row(hosts, year) for hosts, year in years.items()),
    )


def _machine(load: float) -> list[str]:
    kernel = ".".join(platform.release().split(".")[:2])
    return [
        f"- machine: {_processor()}, {os.cpu_count()} cores, Linux {kernel}",
        f"- Python {platform.python_version()} ({sys.implementation.name}), program {VERSION}",
        f"- date: {time.strftime('%Y-%m-%d')}; load when the run began: {load:.1f}",
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _table(figures: Sequence[Figure]) -> list[str]:
    lines = ["| what | | value | at most | floor | upstream |", "|---|---|---|---|---|---|"]
    for one in figures:
        value = f"**{number(one.value)}**" if one.is_over else number(one.value)
        cells = (
            one.what.strip(),
            one.unit,
            value,
            *map(_cell, (one.bound, one.floor, one.upstream)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    over = [one.what.strip() for one in figures if one.is_over]
    told = f"Over its bound (bold): {'; '.join(over)}." if over else "Nothing is over its bound."
    return [*lines, "", told]


def _cell(value: Optional[float]) -> str:
    return "" if value is None else number(value)


def _growth_table(growth: Growth) -> list[str]:
    return [
        "| hosts | ms | floor | upstream |",
        "|---|---|---|---|",
        *(
            f"| {hosts} | {number(ms)} | {number(growth.floor[hosts])} | "
            f"{_cell(UPSTREAM_CYCLE_MS.get(hosts))} |"
            for hosts, ms in growth.ours.items()
        ),
    ]


def _year_row(hosts: int, year: Year) -> str:
    cpu_s = year.cpu_ms / 1000 * TICKS_PER_YEAR
    share = year.cpu_ms / 5000
    read_tb = year.read_bytes * TICKS_PER_YEAR / 1e12
    rate = year.read_bytes / 5 / 1e6
    return f"| {hosts} | {cpu_s:,.0f} | {share:.2%} | {read_tb:.3g} | {rate:.3g} |"


# --- the picture -------------------------------------------------------------------------------

_WIDTH, _HEIGHT = 760.0, 460.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 80.0, 190.0, 40.0, 60.0
_GREY, _DARK = "#d9d9d9", "#444444"
_HOSTS = (1.0, 3000.0)


@dataclass(frozen=True)
class _Series:
    name: str
    colour: str
    points: Mapping[int, float]


class _Axes:
    """From hosts and milliseconds to places in the picture; both logarithmic."""

    def __init__(self, series: Sequence[_Series]) -> None:
        values = [value for one in series for value in one.points.values()]
        self.low = math.floor(math.log10(min(values)))
        self.high = math.ceil(math.log10(max(values)))

    def x(self, hosts: float) -> float:
        low, high = map(math.log10, _HOSTS)
        return _LEFT + (math.log10(hosts) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, ms: float) -> float:
        share = (math.log10(ms) - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def picture(growth: Growth) -> Drawing:
    """Cost by the number of hosts."""
    series = (
        _Series("ovirt-hosted-engine-ha 2.5.2", "#b35806", UPSTREAM_CYCLE_MS),
        _Series("ours", "#1f6fb4", growth.ours),
        _Series("floor in Python", "#7a7a7a", growth.floor),
    )
    axes = _Axes(series)
    shapes: list[Shape] = [*_grid(axes)]
    for one in series:
        shapes += _curve(axes, one)
    title = "CPU of one host for each tick of 5 s"
    shapes.append(Text(_LEFT, _TOP - 16, title, size=14, bold=True, colour=_DARK))
    return Drawing(_WIDTH, _HEIGHT, tuple(shapes))


def _grid(axes: _Axes) -> list[Shape]:
    shapes: list[Shape] = []
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for power in range(axes.low, axes.high + 1):
        y = axes.y(10.0**power)
        shapes.append(Line(_LEFT, y, right, y, colour=_GREY, width=1))
        label = f"{10.0**power:g} ms"
        shapes.append(Text(_LEFT - 8, y + 4, label, size=12, anchor="end", colour=_DARK))
    for hosts in (1, 3, 10, 30, 100, 300, 1000, 3000):
        x = axes.x(hosts)
        shapes.append(Line(x, _TOP, x, bottom, colour=_GREY, width=1))
        shapes.append(Text(x, bottom + 18, str(hosts), size=12, anchor="middle", colour=_DARK))
    middle = (_LEFT + right) / 2
    shapes.append(Text(middle, bottom + 40, "hosts", size=12, anchor="middle", colour=_DARK))
    return shapes


def _curve(axes: _Axes, one: _Series) -> list[Shape]:
    places = [(axes.x(hosts), axes.y(ms)) for hosts, ms in sorted(one.points.items())]
    shapes: list[Shape] = [
        Line(*start, *end, colour=one.colour, width=2) for start, end in zip(places, places[1:])
    ]
    for (x, y), (hosts, ms) in zip(places, sorted(one.points.items())):
        title = f"{one.name}: {hosts} hosts, {number(ms)} ms"
        shapes.append(Rect(x - 3, y - 3, 6, 6, fill=one.colour, title=title))
    x, y = places[-1]
    shapes.append(Text(_WIDTH - _RIGHT + 8, y + 4, one.name, size=12, colour=one.colour))
    return shapes
