"""Moments as people type them: ``2h`` ago, ``14:30``, ``2026-11-21 14:30``. Pure."""

from __future__ import annotations

import re
import time
from typing import Callable, Optional

UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
ALLOWED = "30m, 2h or 3d (ago), HH:MM[:SS], YYYY-MM-DD or 'YYYY-MM-DD HH:MM[:SS]', in local time"
DAY_S = 86400.0

_AGO = re.compile(r"(\d{1,6}) ?(s|m|min|h|d)", re.ASCII)
_DAY_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_TIME_FORMATS = ("%H:%M:%S", "%H:%M")


def moment(text: str) -> Callable[[float], float]:
    """From the present second since the epoch to the moment's; raises ValueError."""
    ago = _AGO.fullmatch(text)
    if ago:
        seconds = int(ago[1]) * UNITS_S[ago[2]]
        return lambda now_s: now_s - seconds
    day = _parsed(text.replace("T", " "), _DAY_FORMATS)
    if day is not None:
        at_s = _mktime(day, text)
        return lambda _now_s: at_s
    clock = _parsed(text, _TIME_FORMATS)
    if clock is None:
        raise ValueError(f"{text!r} is refused; allowed: {ALLOWED}")
    return lambda now_s: _latest(clock, now_s)


def _parsed(text: str, formats: tuple[str, ...]) -> Optional[time.struct_time]:
    for one in formats:
        try:
            return time.strptime(text, one)
        except ValueError:
            continue
    return None


def _mktime(moment: time.struct_time, text: str) -> float:
    try:
        return time.mktime(moment)
    except OverflowError:
        raise ValueError(f"{text!r} is refused; allowed: {ALLOWED}") from None


def _latest(clock: time.struct_time, now_s: float) -> float:
    """Today at that time or, where that is still to come, yesterday."""
    for days in (0, 1):
        day = time.localtime(now_s - days * DAY_S)
        at_s = time.mktime((*day[:3], *clock[3:6], 0, 0, -1))
        if at_s <= now_s:
            break
    return at_s
