# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is counted, in plain numbers: made into the library's metrics when somebody asks for them.

`prometheus_client` brings a web server, TLS and e-mail along, and takes a lock and a look at every
label for each count; most hosts count all day and are never scraped.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Labels = tuple[str, ...]
Row = tuple[str, dict[str, str], float]


class Tally:
    """One metric with its series, by the values of its labels; any thread may count."""

    kind = ""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self._name = name
        self._text = text
        self._labels = tuple(labels)
        self._lock = threading.Lock()

    def metric(self) -> Metric:
        """All of it, as the library's own metrics collect it."""
        from prometheus_client.core import Metric  # noqa: PLC0415  # see above

        found = Metric(self._name, self._text, self.kind)
        with self._lock:
            for suffix, labels, value in self._rows():
                found.add_sample(self._name + suffix, labels, value)
        return found

    def _rows(self) -> Iterator[Row]:
        raise NotImplementedError

    def _named(self, values: Labels) -> dict[str, str]:
        return dict(zip(self._labels, values))


class Count(Tally):
    """A number that only rises; ``_total`` is added to its name."""

    kind = "counter"

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, text, labels)
        self._values: dict[Labels, float] = {}

    def inc(self, *values: str, by: float = 1.0) -> None:
        """So many more of these labels; 0 makes the series begin."""
        with self._lock:
            self._values[values] = self._values.get(values, 0.0) + by

    def _rows(self) -> Iterator[Row]:
        for values, number in self._values.items():
            yield "_total", self._named(values), number


class Times(Tally):
    """How long something took: how often, and the sum of it."""

    kind = "summary"

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, text, labels)
        self._sums: dict[Labels, list[float]] = {}
        if not self._labels:
            self.begin()

    def begin(self, *values: str) -> None:
        """A series without anything in it yet."""
        with self._lock:
            self._series(values)

    def observe(self, took_s: float, *values: str) -> None:
        """It took so long."""
        with self._lock:
            series = self._series(values)
            series[0] += took_s
            series[self._place(took_s)] += 1

    def _series(self, values: Labels) -> list[float]:
        """The sum, then how often."""
        found = self._sums.get(values)
        if found is None:
            found = self._sums[values] = self._empty()
        return found

    def _empty(self) -> list[float]:
        return [0.0, 0.0]

    def _place(self, _took_s: float) -> int:
        return 1

    def _rows(self) -> Iterator[Row]:
        for values, (total_s, count) in self._sums.items():
            yield "_count", self._named(values), count
            yield "_sum", self._named(values), total_s


class Distribution(Times):
    """The same in buckets, each up to and with one of `bounds_s`, in order; the last has no end."""

    kind = "histogram"

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds_s: Sequence[float]
    ) -> None:
        self._bounds_s = (*map(float, bounds_s), inf)
        super().__init__(name, text, labels)

    def _empty(self) -> list[float]:
        return [0.0] * (1 + len(self._bounds_s))

    def _place(self, took_s: float) -> int:
        return 1 + bisect_left(self._bounds_s, took_s)

    def _rows(self) -> Iterator[Row]:
        from prometheus_client.utils import floatToGoString  # noqa: PLC0415  # see above

        shown: Callable[[float], str] = floatToGoString
        for values, (total_s, *counts) in self._sums.items():
            named, sum_of_counts = self._named(values), 0.0
            for bound_s, count in zip(self._bounds_s, counts):
                sum_of_counts += count
                yield "_bucket", {**named, "le": shown(bound_s)}, sum_of_counts
            yield "_count", named, sum_of_counts
            yield "_sum", named, total_s
