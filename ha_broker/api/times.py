# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Moments of the monotonic clock as people read them."""

from __future__ import annotations

import time

DAY_S = 86400.0


# What every calendar function takes, in every time zone: the years 2 to 9998.
_EARLIEST_S, _LATEST_S = -62104060800.0, 253370764799.0


def local_time(wall_s: float) -> time.struct_time:
    """As `time.localtime`, whatever the moment: the nearest one that a calendar has.

    Moments come from files, records and requests, and one that cannot be shown harms nothing else.
    """
    return time.localtime(max(_EARLIEST_S, min(wall_s, _LATEST_S)))


def is_wall_time(wall_s: float) -> bool:
    """Can it be what a clock showed, from 1970 on?"""
    return 0 <= wall_s <= _LATEST_S


def utc_time(wall_s: float) -> time.struct_time:
    """As `time.gmtime`, likewise."""
    return time.gmtime(max(_EARLIEST_S, min(wall_s, _LATEST_S)))


def moment_text(at_s: float, now_s: float, wall_s: float) -> str:
    """The local time of monotonic second `at_s`; with its date when that is a day away or more.

    `wall_s` is the wall clock at monotonic second `now_s`: a clock that was set meanwhile is
    right for the past, too.
    """
    local = local_time(round(wall_s + at_s - now_s))
    usual = "%H:%M:%S" if abs(at_s - now_s) < DAY_S else "%Y-%m-%d %H:%M"
    return time.strftime(usual, local)
