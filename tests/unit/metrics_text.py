# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Reading a scrape's text back, as Prometheus' own parser for Python does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from prometheus_client.core import Sample
from prometheus_client.parser import text_string_to_metric_families

from ha_broker.api.snapshot import Snapshot
from ha_broker.metrics.counters import Counters
from ha_broker.metrics.exporter import Exporter
from ha_broker.server.mailbox import Mailbox


class Scrape:
    """All samples of one text."""

    def __init__(self, text: bytes) -> None:
        families = list(text_string_to_metric_families(text.decode()))
        self.samples: list[Sample] = [one for family in families for one in family.samples]
        self.without_samples = [family.name for family in families if not family.samples]

    def value(self, name: str, **labels: str) -> Optional[float]:
        """The one sample with these labels; None: there is none."""
        found = self.values(name, **labels)
        assert len(found) <= 1, found
        return found[0] if found else None

    def values(self, name: str, **labels: str) -> list[float]:
        """All samples with these labels, whatever further ones they have."""
        wanted = labels.items()
        full = f"hosted_engine_{name}"
        return [
            one.value for one in self.samples if one.name == full and wanted <= one.labels.items()
        ]

    def labels(self) -> dict[str, set[str]]:
        """What labels each name has been seen with."""
        found: dict[str, set[str]] = {}
        for one in self.samples:
            found.setdefault(one.name, set()).update(one.labels)
        return found


def scrape(
    snapshot: Snapshot,
    *,
    now_s: Optional[float] = None,
    renewed_at_s: Optional[Mapping[int, float]] = None,
    counters: Optional[Counters] = None,
) -> Scrape:
    """What a scrape says of this snapshot, taken at the same moment unless told otherwise."""
    at_s = snapshot.taken_at_s if now_s is None else now_s
    renewals = renewed_at_s or {}
    exporter = Exporter(
        Mailbox(snapshot), counters or Counters(), lambda: renewals, monotonic_s=lambda: at_s
    )
    return Scrape(exporter.answer().body)
