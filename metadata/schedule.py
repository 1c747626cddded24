# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""When periodic work is due, so that work of one interval falls into step again and again.

Each disturbance (an event, a retry) begins some of it early. Counted on from there it would stay
apart for good and wake its daemon apart; the multiples of the interval are common to all.
"""

from __future__ import annotations

# Looks that are quicker than a tick are so by a share of it: a cluster that ticks slowly, on a slow
# storage perhaps, is not asked every second either.
QUICK_SHARE = 0.2
QUICKEST_SHARE = 0.1
RARE_S = 60.0  # what is done as seldom may as well be counted on from its latest time


def in_step_s(now_s: float, interval_s: float, rare_s: float = RARE_S) -> float:
    """When something done now is due again: later than now, and at most an interval later.

    `now_s` are seconds of any clock, as long as it is the same one.
    """
    if not 0 < interval_s < rare_s:
        return now_s + interval_s
    due_s = (now_s + interval_s) // interval_s * interval_s
    return due_s if due_s > now_s else now_s + interval_s


def with_ticks_s(tick_s: float, longest_s: float) -> float:
    """An interval of at most `longest_s` whose multiples meet those of the tick.

    As many whole ticks as fit, or an equal share of a tick that is longer.
    """
    if tick_s > longest_s:
        return tick_s / -(-tick_s // longest_s)
    return longest_s // tick_s * tick_s


def quick_s(tick_s: float) -> float:
    """The interval of what is looked at quickly: a fifth of a tick, 1 s at least if a tick is."""
    return min(tick_s, max(1.0, QUICK_SHARE * tick_s))


def quickest_s(tick_s: float) -> float:
    """The interval of what costs next to nothing: a tenth of a tick, half a second at least."""
    return min(tick_s, max(0.5, QUICKEST_SHARE * tick_s))
