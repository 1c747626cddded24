# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One scrape: all metrics of this moment, in Prometheus' format. Loaded with the first one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from ha_broker.api.snapshot import Snapshot
from ha_broker.metrics.cluster_families import cluster_families
from ha_broker.metrics.counters import Counters
from ha_broker.metrics.families import gauges
from ha_broker.metrics.host_families import host_families
from ha_broker.metrics.text_format import text_of
from metadata.program import VERSION

CONTENT_TYPE = CONTENT_TYPE_LATEST

_process = ProcessCollector(registry=CollectorRegistry(auto_describe=False))


def scrape(
    snapshot: Snapshot, counters: Counters, renewed_at_s: Mapping[int, float], now_s: float
) -> bytes:
    """The text."""
    return text_of(_all(snapshot, counters, renewed_at_s, now_s))


def _all(
    snapshot: Snapshot, counters: Counters, renewed_at_s: Mapping[int, float], now_s: float
) -> Iterator[Metric]:
    yield gauges("build_info", "The program.", ("version",), [((VERSION,), 1.0)])
    yield from host_families(snapshot, now_s)
    yield from cluster_families(snapshot, renewed_at_s, now_s)
    yield from counters.collect()
    yield from _process.collect()
