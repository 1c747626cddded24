# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The text of a scrape is the library's own, byte for byte."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    UntypedMetricFamily,
)
from prometheus_client.exposition import generate_latest

from ha_broker.metrics.cluster_families import cluster_families
from ha_broker.metrics.host_families import host_families
from ha_broker.metrics.text_format import text_of
from tests.unit.monitoring_files import whole_snapshot, whole_tallies


class Fixed(CollectorRegistry):
    """The same metrics at each look."""

    def __init__(self, *metrics: Metric) -> None:
        super().__init__(auto_describe=False)
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def same(*metrics: Metric) -> bool:
    return text_of(metrics) == generate_latest(Fixed(*metrics))


@pytest.mark.parametrize("hosts", [1, 2, 9, 70])
def test_all_that_is_told(hosts: int) -> None:
    snapshot = whole_snapshot(hosts)
    renewed_at_s = {host.host_id: 90.0 for host in snapshot.hosts}
    metrics = [
        *host_families(snapshot, 100.0),
        *cluster_families(snapshot, renewed_at_s, 100.0),
        *ProcessCollector(registry=None).collect(),
    ]
    assert len(metrics) > 30
    assert same(*metrics)


def test_what_is_counted() -> None:
    metrics = whole_tallies().collect()
    for metric in metrics:
        metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
    assert {metric.type for metric in metrics} >= {"counter", "histogram"}
    assert same(*metrics)


@given(
    texts=st.lists(st.text(), min_size=2, max_size=2),
    about=st.text(),
    value=st.one_of(st.floats(), st.integers(-(2**64), 2**64).map(float)),
)
def test_any_texts_and_numbers(texts: list[str], about: str, value: float) -> None:
    gauge = GaugeMetricFamily("a_gauge", about, labels=("z", "a"))
    gauge.add_metric(texts, value)
    gauge.add_metric(("x", 'back\\slash "quoted"\nline'), math.inf)
    counter = CounterMetricFamily("a_counter", about, labels=("b",))
    counter.add_metric(texts[:1], value)
    try:
        expected = generate_latest(Fixed(gauge, counter))
    except UnicodeEncodeError:  # half of a surrogate pair; `printable_text` lets none in
        with pytest.raises(UnicodeEncodeError):
            text_of([gauge, counter])
    else:
        assert text_of([gauge, counter]) == expected


def test_the_other_kinds() -> None:
    registry = CollectorRegistry(auto_describe=False)
    Counter("calls", "Calls.", ("what",), registry=registry).labels("a").inc(3)
    Histogram("took", "Time.", ("what",), registry=registry).labels("a").observe(0.2)
    metrics = list(registry.collect())
    for metric in metrics:
        metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
    info = InfoMetricFamily("build", "What.", value={"version": "1"})
    assert same(*metrics, info, UntypedMetricFamily("unknown", "No type.", value=1.0))


def test_nothing() -> None:
    assert text_of([]) == b""
    assert same(GaugeMetricFamily("empty", "No sample.", labels=("a",)))
