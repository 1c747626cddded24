# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Short forms for the families that the collectors yield.

A value that is not known is left out: never 0, which would be an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ha_broker.metrics.prefix import PREFIX

Row = tuple[Sequence[str], Optional[float]]


def gauge(name: str, text: str, value: Optional[float]) -> Metric:
    """One number without labels."""
    return gauges(name, text, (), [((), value)])


def gauges(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    """One number for each row of label values."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in rows:
        if value is not None:
            family.add_metric(values, float(value))
    return family


def counter(name: str, text: str, value: int) -> Metric:
    """A number that only rises; ``_total`` is added to its name."""
    return CounterMetricFamily(PREFIX + name, text, value=value)


def one_hot(name: str, text: str, label: str, all_values: Iterable[str], value: str) -> Metric:
    """1 for the one that is so, 0 for all others, so that changes can be drawn."""
    rows = [((one,), float(one == value)) for one in all_values]
    return gauges(name, text, (label,), rows)


def age_s(stamp_s: Optional[float], now_s: float) -> Optional[float]:
    """Seconds since `stamp_s`; None: it has not happened yet."""
    return None if stamp_s is None else max(0.0, now_s - stamp_s)
