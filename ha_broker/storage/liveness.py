# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Is a host's record fresh? Pure; only our own monotonic clock counts."""

from __future__ import annotations

from typing import Optional

from metadata.liveness import Liveness


def is_fresh(
    first_seen_at_s: Optional[float],
    changed_at_s: Optional[float],
    liveness: Liveness,
    now_s: float,
    alive_s: float,
) -> bool:
    """Did the record's timestamp change within the last `alive_s` seconds?

    Just after the broker's start no change can have been seen. Then sanlock's word counts:
    the record of a LIVE host is taken for fresh until it had `alive_s` to change. (Else every
    healthy peer would look stale after each restart.)
    """
    if changed_at_s is not None:
        return now_s - changed_at_s <= alive_s
    if first_seen_at_s is None or liveness != Liveness.LIVE:
        return False
    return now_s - first_seen_at_s <= alive_s


def is_past_window(
    first_seen_at_s: Optional[float],
    changed_at_s: Optional[float],
    now_s: float,
    alive_s: float,
) -> bool:
    """Had the record all the time that one of a living host needs to change, or did it change?"""
    if changed_at_s is not None or first_seen_at_s is None:
        return True
    return now_s - first_seen_at_s > alive_s
