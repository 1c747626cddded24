# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is measured, as one line each, and what upstream's program was measured with."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional

SAMPLES = 9
LEAST_SAMPLE_S = 0.02

UPSTREAM = (
    "ovirt-hosted-engine-ha 2.5.2, measured once on another, busy machine with its host daemon "
    "stubbed, and not in this run"
)
# Its agent's decision cycle, which contains what ours does in broker, agent and between them.
UPSTREAM_CYCLE_MS = {3: 3.8, 7: 9.2, 250: 387.0, 2000: 3798.0}
UPSTREAM_DECODE_US = 20.1
UPSTREAM_EXCHANGE_2000_MS = 249.0
UPSTREAM_COMMAND_MS = 323.0


@dataclass(frozen=True)
class Figure:
    """One line of the table; `key` is its name in the JSON object (empty: not in there).

    `bound`, `floor` and `upstream` are in the unit of the value; None: there is none.
    """

    what: str
    value: float
    unit: str = "ms"
    key: str = ""
    bound: Optional[float] = None
    floor: Optional[float] = None
    upstream: Optional[float] = None

    @property
    def is_over(self) -> bool:
        """Is there a bound, and is it broken?"""
        return self.bound is not None and self.value > self.bound


def table(figures: Sequence[Figure]) -> list[str]:
    """Lines for a terminal."""
    heads = ("value", "at most", "floor", "upstream")
    lines = [f"{'CPU, medians':56} " + " ".join(f"{head:>9}" for head in heads)]
    for one in figures:
        numbers = (one.value, one.bound, one.floor, one.upstream)
        cells = " ".join(f"{'-' if value is None else number(value):>9}" for value in numbers)
        lines.append(f"{one.what:52} {one.unit:>3} {cells}{' (over)' if one.is_over else ''}")
    return [*lines, "", f"upstream: {UPSTREAM}"]


def number(value: float) -> str:
    """Three digits of it."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def median_ms(work: Callable[[], object]) -> float:
    """CPU milliseconds of one `work`, in samples that are long enough for the clock."""
    work()
    often = 1
    while (took_s := _sample_s(work, often)) < LEAST_SAMPLE_S:
        often = max(2 * often, int(often * LEAST_SAMPLE_S / max(took_s, 1e-9)))
    return statistics.median(_sample_s(work, often) for _ in range(SAMPLES)) / often * 1000


def _sample_s(work: Callable[[], object], often: int) -> float:
    gc.collect()
    begun_s = time.process_time()
    for _ in range(often):
        work()
    return time.process_time() - begun_s
