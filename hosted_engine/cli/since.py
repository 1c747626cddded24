# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Moments as people type them: ``2h`` ago, ``14:30``, ``2026-11-21 14:30``. Pure.

Local time has hours that come twice and hours that never come, and days of 23 and 25 hours. A day
is a date here and never 24 hours; of an hour that came twice a time alone means the later one that
is past, a date with it the first one; a time that never came is the moment at which the clocks
went forward.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Callable, Optional

from metadata.error_words import shown

UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
ALLOWED = "30m, 2h or 3d (ago), HH:MM[:SS], YYYY-MM-DD or 'YYYY-MM-DD HH:MM[:SS]', in local time"

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
        at_s = _first_second(day, text)
        return lambda _now_s: at_s
    clock = _parsed(text, _TIME_FORMATS)
    if clock is None:
        raise _refused(text)
    return lambda now_s: _latest(clock, now_s)


def _refused(text: str) -> ValueError:
    return ValueError(f"{shown(text)} is refused; allowed: {ALLOWED}")


def _parsed(text: str, formats: tuple[str, ...]) -> Optional[datetime]:
    for one in formats:
        try:
            return datetime.strptime(text, one)
        except ValueError:
            continue
    return None


def _first_second(local: datetime, text: str) -> float:
    try:
        return _seconds(local)[0]
    except (OverflowError, OSError, ValueError):  # beyond what the system's clock can show
        raise _refused(text) from None


def _latest(clock: datetime, now_s: float) -> float:
    """Today at that time or, where that is still to come, yesterday."""
    today = datetime.fromtimestamp(now_s).date()
    yesterday = today - timedelta(days=1)
    days = [datetime.combine(day, clock.time()) for day in (yesterday, today)]
    return max(at_s for day in days for at_s in _seconds(day) if at_s <= now_s)


def _seconds(local: datetime) -> list[float]:
    """When the clocks on the wall show `local`: at one second since the epoch, or two."""
    seconds = sorted({local.replace(fold=fold).timestamp() for fold in (0, 1)})
    if datetime.fromtimestamp(seconds[0]) == local:
        return seconds
    return [_clocks_went_forward(int(seconds[0]), int(seconds[1]))]


def _clocks_went_forward(before_s: int, after_s: int) -> float:
    """The first second with the local time's distance to UTC of `after_s`."""
    distance = _distance_to_utc(after_s)
    while after_s - before_s > 1:
        middle_s = (before_s + after_s) // 2
        if _distance_to_utc(middle_s) == distance:
            after_s = middle_s
        else:
            before_s = middle_s
    return float(after_s)


def _distance_to_utc(at_s: int) -> Optional[timedelta]:
    return datetime.fromtimestamp(at_s).astimezone().utcoffset()
