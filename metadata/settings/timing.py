# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The time budget: sanlock's times, and which settings together are safe and live.

sanlock's times follow from its I/O time-out *io* and from *fire*, the seconds after which the
watchdog resets a host that sanlock has given up (measured)::

    renewal_s       2 x io        a host renews its place in the lockspace
    renewal_fail_s  8 x io        no renewal for so long: sanlock kills the lease holders
    lease_floor_s   8 x io + fire the host counts as dead and its leases are free
    join_s          2.5 x io      joining the lockspace with a free host id

*fire* is 60, unless sanlock (from 3.9.0 on) is told otherwise by ``watchdog_fire_timeout`` in its
sanlock.conf, alike on all hosts: so it is asked of the daemon, never taken from our own settings.

The inequalities of `check_timing` (`T` = tick_s; one slow I/O takes up to `io`)::

    safe   3 T + 15 <= lease_floor_s - renewal_s
           When sanlock dies on the engine's host, nobody else kills qemu: the agent must see
           it (T), act (T) with a tick to spare, and libvirt's kill takes up to 15 s, before
           another host may take the lease. sanlock's last renewal may be renewal_s old.
    live   alive_s >= 3 T              written each tick, read each tick, one tick missed
    live   alive_s >= 2 T + 2 io       one slow write and one slow read
    live   alive_s + T <= lease_floor_s
           A dead host's record is stale, and the host out of the ranking, when its lease
           falls free: nobody waits for the turn of a dead host.
    live   turn_s >= 3 T               the host before sees the free lease (T), starts (T),
           and the next sees the lease's new owner (T)
    live   turn_s >= 2 io + T          two hosts see the same death up to a renewal apart, since
           each looks at the other's place in the lockspace when it renews its own
    live   start_s >= T + 4 io         taking a lease is four I/Os of sanlock (read the leader,
           write and read the ballots, write the leader)
    live   starting_s >= 2 T, stop_s >= 2 T
           A time-out is looked at once a tick: a shorter one fires before the first result.
    live   away_s >= 3 T + 2 io        the other host publishes (T, one slow write), we read it
           (T, one slow read), one tick to spare
    live   migration_s >= 2 T, save_s >= 2 T
           As above: libvirt's own doings must be seen to end.
    live   migration_s >= limit_s + T  (limit_s of the section ``migration``)
           A migration that we asked for and libvirt broke off must be seen to have ended before
           it counts as one that hangs.
    live   isolated_s >= 3 T + 2 io    a witness that reaches the engine again publishes it (T, one
           slow write), we read it (T, one slow read), one tick to spare
    live   bad_health_s >= renewal_fail_s + 2 T
           A storage hang that sanlock survives must not get the engine stopped.
    live   unexpected_down_s >= turn_s + start_s + T
           The next host has had its turn and its start before this one comes back.
    live   retry_window_s >= N x (start_s + T) + N x (N - 1) / 2 x turn_s
           N = failed_starts_to_zero. N starts that fail by time-out fit into the window, with
           the pauses between them (one turn after the first failure, two after the second,
           ...), or a broken host would never reach score 0 and try for ever.
"""

from __future__ import annotations

from metadata.sanlock_usual import USUAL_FIRE_TIMEOUT_S
from metadata.settings.values import Timing
from metadata.value_class import value_class

SHORTEST_FIRE_TIMEOUT_S = 10  # wdmd looks every 10 s: with less a sound host would be reset
KILL_S = 15


def renewal_s(io_timeout_s: float) -> float:
    """Seconds between two renewals of a host's place in the lockspace."""
    return 2 * io_timeout_s


def renewal_fail_s(io_timeout_s: float) -> float:
    """Seconds without a renewal after which sanlock kills the holders of its leases."""
    return 8 * io_timeout_s


def lease_floor_s(io_timeout_s: float, fire_timeout_s: float) -> float:
    """Seconds from a host's last renewal until another one can take its lease.

    No correct program takes over a crashed host's lease sooner.
    """
    return renewal_fail_s(io_timeout_s) + fire_timeout_s


def join_s(io_timeout_s: float) -> float:
    """Seconds that joining the lockspace takes when the host id is free."""
    return 2.5 * io_timeout_s


def renewal_shows_s(io_timeout_s: float) -> float:
    """How long to look at a place in the lockspace: a living host renews it twice in this time."""
    return 2 * renewal_s(io_timeout_s) + 1


def record_shows_s(tick_s: float) -> float:
    """How long to look at a record: an agent that works has it written twice in this time."""
    return 2 * tick_s + 1


def least_isolated_s(timing: Timing) -> float:
    """What `isolated_s` must be at the least."""
    return 3 * timing.tick_s + 2 * timing.io_timeout_s


def longest_migration_limit_s(timing: Timing) -> float:
    """What ``migration.limit_s`` may be at the most."""
    return timing.migration_s - timing.tick_s


def migration_limit_problem(timing: Timing, limit_s: float) -> str:
    """Why ``migration.limit_s`` does not fit to `timing`; empty: it does."""
    if not _above(limit_s + timing.tick_s, timing.migration_s):
        return ""
    return (
        f"limit_s + timing.tick_s ({limit_s:g} + {timing.tick_s:g} = {limit_s + timing.tick_s:g}) "
        f"must be at most timing.migration_s ({timing.migration_s:g}): libvirt must have been seen "
        f"to break a migration off before the agent takes it for one that hangs"
    )


def sanlock_silence_s(timing: Timing, fire_timeout_s: float) -> float:
    """How long the engine may go on here after sanlock fell silent.

    sanlock's last renewal may be renewal_s old by then, its silence is seen up to a tick late
    and judged up to a tick late, one tick is to spare, and libvirt's kill takes KILL_S: all of
    that before another host may take the lease. `check_timing` lets it be 0 at the least.
    """
    io_s = timing.io_timeout_s
    left_s = lease_floor_s(io_s, fire_timeout_s) - renewal_s(io_s) - 3 * timing.tick_s - KILL_S
    return max(0.0, min(renewal_fail_s(io_s), left_s))


@value_class(frozen=True)
class _AtLeast:
    """`key` must be at least `bound`, which is `formula` (with the numbers put in)."""

    key: str
    value: float
    formula: str
    numbers: str
    bound: float
    why: str

    def problem(self) -> str:
        return (
            f"{self.key} ({self.value:g}) must be at least {self.formula} "
            f"({self.numbers} = {self.bound:g}): {self.why}"
        )


def check_timing(
    timing: Timing,
    failed_starts_to_zero: int = 3,
    fire_timeout_s: float = USUAL_FIRE_TIMEOUT_S,
) -> list[str]:
    """The inequalities (see the module) that `timing` breaks, in words; empty: safe and live.

    Where no daemon can be asked its usual value counts; whoever joins asks again with its own.
    """
    rules = _own_rules(timing) + _derived_rules(timing, failed_starts_to_zero)
    problems = [rule.problem() for rule in rules if _above(rule.bound, rule.value)]
    return problems + floor_problems(timing, fire_timeout_s)


def _above(left: float, right: float) -> bool:
    return left > right + 1e-9  # 3 x 0.1 is a little more than 0.3 in floating point


def _own_rules(timing: Timing) -> list[_AtLeast]:
    tick, io = timing.tick_s, timing.io_timeout_s
    return [
        _AtLeast(
            "alive_s",
            timing.alive_s,
            "3 × tick_s",
            f"3 × {tick:g}",
            3 * tick,
            "a record is written each tick and read each tick, and one tick may be missed",
        ),
        _AtLeast(
            "alive_s",
            timing.alive_s,
            "2 × tick_s + 2 × io_timeout_s",
            f"2 × {tick:g} + 2 × {io:g}",
            2 * tick + 2 * io,
            "one slow write and one slow read must not make a living host look dead",
        ),
        _AtLeast(
            "turn_s",
            timing.turn_s,
            "3 × tick_s",
            f"3 × {tick:g}",
            3 * tick,
            "the host before must see the free lease and start, and the next must see that",
        ),
        _AtLeast(
            "turn_s",
            timing.turn_s,
            "2 × io_timeout_s + tick_s",
            f"2 × {io:g} + {tick:g}",
            renewal_s(io) + tick,
            "two hosts see the same death up to one sanlock renewal apart",
        ),
        _AtLeast(
            "start_s",
            timing.start_s,
            "tick_s + 4 × io_timeout_s",
            f"{tick:g} + 4 × {io:g}",
            tick + 4 * io,
            "taking the lease is four I/Os of sanlock",
        ),
        *_two_ticks("starting_s", timing.starting_s, tick),
        *_two_ticks("stop_s", timing.stop_s, tick),
        *_two_ticks("migration_s", timing.migration_s, tick),
        *_two_ticks("save_s", timing.save_s, tick),
    ]


def _two_ticks(key: str, value: float, tick_s: float) -> list[_AtLeast]:
    why = "a shorter time-out would fire before the first result is seen"
    return [_AtLeast(key, value, "2 × tick_s", f"2 × {tick_s:g}", 2 * tick_s, why)]


def _derived_rules(timing: Timing, failed_starts: int) -> list[_AtLeast]:
    tick, io = timing.tick_s, timing.io_timeout_s
    pauses = failed_starts * (failed_starts - 1) // 2
    return [
        _AtLeast(
            "away_s",
            timing.away_s,
            "3 × tick_s + 2 × io_timeout_s",
            f"3 × {tick:g} + 2 × {io:g}",
            3 * tick + 2 * io,
            "the host that has the engine now must publish it and this one must read it",
        ),
        _AtLeast(
            "isolated_s",
            timing.isolated_s,
            "3 × tick_s + 2 × io_timeout_s",
            f"3 × {tick:g} + 2 × {io:g}",
            least_isolated_s(timing),
            "a host that reaches the engine again must publish it, and that must be read",
        ),
        _AtLeast(
            "bad_health_s",
            timing.bad_health_s,
            "8 × io_timeout_s + 2 × tick_s",
            f"8 × {io:g} + 2 × {tick:g}",
            renewal_fail_s(io) + 2 * tick,
            "a storage hang that sanlock survives must not get the engine stopped",
        ),
        _AtLeast(
            "unexpected_down_s",
            timing.unexpected_down_s,
            "turn_s + start_s + tick_s",
            f"{timing.turn_s:g} + {timing.start_s:g} + {tick:g}",
            timing.turn_s + timing.start_s + tick,
            "another host must have had its turn and its start before this one comes back",
        ),
        _AtLeast(
            "retry_window_s",
            timing.retry_window_s,
            f"{failed_starts} × (start_s + tick_s) + {pauses} × turn_s",
            f"{failed_starts} × ({timing.start_s:g} + {tick:g}) + {pauses} × {timing.turn_s:g}",
            failed_starts * (timing.start_s + tick) + pauses * timing.turn_s,
            f"{failed_starts} starts that fail by time-out (failed_starts_to_zero) and the pauses "
            f"between them must fit in it, or a broken host tries for ever",
        ),
    ]


def floor_problems(timing: Timing, fire_timeout_s: float) -> list[str]:
    """Those of `check_timing` that sanlock's watchdog time decides, in words."""
    tick, io, fire = timing.tick_s, timing.io_timeout_s, fire_timeout_s
    floor = lease_floor_s(io, fire)
    problems = []
    if _above(3 * tick + KILL_S, floor - renewal_s(io)):
        problems.append(
            f"3 × tick_s + {KILL_S} (3 × {tick:g} + {KILL_S} = {3 * tick + KILL_S:g}) must be at "
            f"most 6 × io_timeout_s + {fire:g} (6 × {io:g} + {fire:g} = "
            f"{floor - renewal_s(io):g}): when sanlock dies, the agent must have switched the "
            f"engine off before another host can take its lease"
        )
    if _above(timing.alive_s + tick, floor):
        problems.append(
            f"alive_s + tick_s ({timing.alive_s:g} + {tick:g} = {timing.alive_s + tick:g}) must be "
            f"at most 8 × io_timeout_s + {fire:g} (8 × {io:g} + {fire:g} = {floor:g}): "
            f"nobody may wait for a dead host's turn when its lease falls free"
        )
    return problems
