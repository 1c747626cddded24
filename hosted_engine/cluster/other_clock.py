# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The local times in another host's record, as this host's clock shows them. Pure.

A record tells when it was written by its writer's local time, without a zone, and this host knows
when it saw that record appear: so far the two clocks are apart, and so much is added. Zones are
quarters of hours apart. Seeing a record takes a while, and clocks are never quite together; what
is near a quarter is taken for one, so that the same moment has the same second in both hosts' logs.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Optional

CTIME = "%a %b %d %H:%M:%S %Y"
NO_CLOCK = "by its own clock"

_QUARTER_S = 900
# A record is seen within a tick or two, and hosts that serve one cluster have their clocks set.
_NEAR_S = 60.0
_DAY = timedelta(days=1)
_TIME_ALONE = re.compile(r"\d{2}:\d{2}:\d{2}", re.ASCII)


class OtherClock:
    """The clock that says `wall_time` (a ``ctime``) where ours says `seen_wall_s`.

    Either may be missing: nothing can be converted then.
    """

    def __init__(self, wall_time: str, seen_wall_s: Optional[float]) -> None:
        self._said = _parsed(wall_time, CTIME)
        self._behind = _behind(self._said, seen_wall_s)

    def past(self, text: str) -> Optional[float]:
        """Our second since the epoch of a moment before the record; None: not known."""
        return self._second(text, -_DAY)

    def future(self, text: str) -> Optional[float]:
        """The same of a moment after the record."""
        return self._second(text, _DAY)

    def _second(self, text: str, way: timedelta) -> Optional[float]:
        if self._said is None or self._behind is None:
            return None
        try:
            local = _on_its_day(text, self._said, way)
            return None if local is None else (local + self._behind).timestamp()
        except (OverflowError, OSError, ValueError):  # a year that no clock shows
            return None


def _behind(said: Optional[datetime], seen_wall_s: Optional[float]) -> Optional[timedelta]:
    if said is None or seen_wall_s is None:
        return None
    apart_s = (datetime.fromtimestamp(seen_wall_s) - said).total_seconds()
    zones_s = round(apart_s / _QUARTER_S) * _QUARTER_S
    return timedelta(seconds=zones_s if abs(apart_s - zones_s) <= _NEAR_S else apart_s)


def _on_its_day(text: str, said: datetime, way: timedelta) -> Optional[datetime]:
    """A time without a date is less than a day away, in the direction of `way`."""
    if not _TIME_ALONE.fullmatch(text):
        return _parsed(text, "%Y-%m-%d %H:%M")
    clock = _parsed(text, "%H:%M:%S")
    if clock is None:
        return None
    local = datetime.combine(said.date(), clock.time())
    near = timedelta(seconds=_NEAR_S)
    wrong_side = local < said - near if way > timedelta(0) else local > said + near
    return local + way if wrong_side else local


def _parsed(text: str, form: str) -> Optional[datetime]:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None
