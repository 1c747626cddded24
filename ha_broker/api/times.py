"""Moments of the monotonic clock as people read them."""

from __future__ import annotations

import time

DAY_S = 86400.0


def moment_text(at_s: float, now_s: float, wall_s: float) -> str:
    """The local time of monotonic second `at_s`; with its date when that is a day away or more.

    `wall_s` is the wall clock at monotonic second `now_s`: a clock that was set meanwhile is
    right for the past, too.
    """
    local = time.localtime(round(wall_s + at_s - now_s))
    usual = "%H:%M:%S" if abs(at_s - now_s) < DAY_S else "%Y-%m-%d %H:%M"
    return time.strftime(usual, local)
