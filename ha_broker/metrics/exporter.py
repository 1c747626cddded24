"""The text that a scrape gets."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Callable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from ha_broker.metrics.cluster_families import cluster_families
from ha_broker.metrics.counters import Counters
from ha_broker.metrics.families import gauges
from ha_broker.metrics.host_families import host_families
from ha_broker.metrics.text_format import text_of
from ha_broker.server.http_server import TextAnswer
from ha_broker.server.mailbox import Mailbox
from metadata.program import VERSION

SHORTEST_PAUSE_S = 0.5


class Exporter:
    """Makes the text from the latest snapshot and from what was counted.

    Any thread may ask. Who asks more often than every `SHORTEST_PAUSE_S` gets the same text
    again, so that no client can keep the broker's processor busy with it.
    """

    def __init__(
        self,
        desk: Mailbox,
        tallies: Counters,
        renewed_at_s: Callable[[], Mapping[int, float]],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._desk = desk
        self._tallies = tallies
        self._renewed_at_s = renewed_at_s
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._text = b""
        self._made_at_s = float("-inf")
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def answer(self) -> TextAnswer:
        """The text in Prometheus' format."""
        return TextAnswer(self._latest_text(), CONTENT_TYPE_LATEST)

    def _latest_text(self) -> bytes:
        with self._lock:
            now_s = self._monotonic_s()
            if now_s - self._made_at_s >= SHORTEST_PAUSE_S:
                self._text, self._made_at_s = text_of(self._registry.collect()), now_s
            return self._text

    def collect(self) -> Iterator[Metric]:
        """As the library's collectors."""
        now_s = self._monotonic_s()
        snapshot = self._desk.snapshot()
        yield gauges("build_info", "The program.", ("version",), [((VERSION,), 1.0)])
        yield from host_families(snapshot, now_s)
        yield from cluster_families(snapshot, self._renewed_at_s(), now_s)
        for metric in self._tallies.registry.collect():
            yield _without_creation(metric)


def _without_creation(metric: Metric) -> Metric:
    """When a series began, Prometheus sees by itself; each would be another series."""
    metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
    return metric
