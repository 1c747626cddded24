# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The text that a scrape gets."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Callable

from ha_broker.metrics.counters import Counters
from ha_broker.server.http_server import TextAnswer
from ha_broker.server.mailbox import Mailbox

SHORTEST_PAUSE_S = 0.5


class Exporter:
    """Makes the text from the latest snapshot and from what was counted.

    Any thread may ask. Who asks more often than every `SHORTEST_PAUSE_S` gets the same text
    again, so that no client can keep the broker's processor busy with it.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        counters: Counters,
        renewed_at_s: Callable[[], Mapping[int, float]],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._mailbox = mailbox
        self.counters = counters
        self._renewed_at_s = renewed_at_s
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._text = b""
        self._made_at_s = float("-inf")

    def answer(self) -> TextAnswer:
        """The text in Prometheus' format."""
        from ha_broker.metrics.scrape import CONTENT_TYPE, scrape  # noqa: PLC0415  # much to load

        with self._lock:
            now_s = self._monotonic_s()
            if now_s - self._made_at_s >= SHORTEST_PAUSE_S:
                snapshot, renewed_at_s = self._mailbox.snapshot(), self._renewed_at_s()
                self._text = scrape(snapshot, self.counters, renewed_at_s, now_s)
                self._made_at_s = now_s
            return TextAnswer(self._text, CONTENT_TYPE)
