"""The engine's page as one of its users sees it: how long it does not answer."""

from __future__ import annotations

import time
from dataclasses import dataclass

from lab import lan

# Asked so often; each question is given up after so long, and the next one begins.
EVERY_S = 0.05
PATIENCE_S = 0.5


@dataclass
class Watch:
    """What was seen: `longest_gap_s` is the time between two answers that were furthest apart.

    It includes the pause between two questions. A page that never answered has the whole time.
    """

    asked: int = 0
    answered: int = 0
    longest_gap_s: float = 0.0


def watch(seconds: float) -> Watch:
    """Ask the page again and again, for so long."""
    seen = Watch()
    begin_s = last_s = time.monotonic()
    while time.monotonic() - begin_s < seconds:
        asked_s = time.monotonic()
        well = lan.engine_is_healthy(PATIENCE_S)
        now_s = time.monotonic()
        seen.asked += 1
        seen.answered += well
        # What has not been answered until now is a gap already.
        seen.longest_gap_s = max(seen.longest_gap_s, now_s - last_s)
        last_s = now_s if well else last_s
        time.sleep(max(0.0, EVERY_S - (now_s - asked_s)))
    return seen
