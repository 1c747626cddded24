# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Prints what the daemons' ticks cost in CPU, in quiet clusters::

    python -m tests.bench.cycles [HOSTS ...]

Times are the least of several rounds, since other work on the machine only adds to them;
counts of function calls do not depend on the machine. Jobs are not in them: in a real daemon
they run on threads of their own, and here they are mostly the simulated world's.
"""

from __future__ import annotations

import cProfile
import logging
import sys
import tempfile
from pathlib import Path
from typing import Callable

from tests.bench.cluster import TICK_S, BenchCluster, BenchHost, Meter

ROUNDS = 40
QUIET_TICKS = 50
MOMENT_S = 0.0001


def main(arguments: list[str]) -> None:
    logging.disable(logging.CRITICAL)
    for hosts in [int(text) for text in arguments] or [3, 9]:
        with tempfile.TemporaryDirectory() as directory:
            cluster = BenchCluster(Path(directory), hosts)
            cluster.settle_down()
            report(cluster)


def report(cluster: BenchCluster) -> None:
    print(f"{len(cluster.hosts)} hosts")
    for daemon in ("broker", "agent"):
        micros, calls = quiet_tick(cluster, daemon)
        print(f"  {daemon:6}  nothing due {micros:8.1f} us {calls:7.1f} calls per tick")
    for daemon in ("broker", "agent"):
        ticks, micros, calls = cycle(cluster, daemon)
        print(
            f"  {daemon:6}  each {TICK_S:g} s    {micros:8.1f} us {calls:7.1f} calls "
            f"in {ticks:.2f} ticks"
        )


def meter_of(host: BenchHost, daemon: str) -> Meter:
    return host.broker_meter if daemon == "broker" else host.agent_meter


def quiet_tick(cluster: BenchCluster, daemon: str) -> tuple[float, float]:
    """Microseconds and calls of a tick a moment after the latest, with nothing due or new."""
    host = cluster.hosts[-1]
    tick = host.tick_broker if daemon == "broker" else host.tick_agent
    meter = meter_of(host, daemon)

    def some_ticks() -> None:
        for _ in range(QUIET_TICKS):
            cluster.clock.advance(MOMENT_S)
            tick()

    def timed_ticks() -> float:
        cluster.run(TICK_S)
        return micros_in([meter], some_ticks) / QUIET_TICKS

    micros = min(timed_ticks() for _ in range(ROUNDS))
    return micros, calls_in([meter], some_ticks) / QUIET_TICKS


def cycle(cluster: BenchCluster, daemon: str) -> tuple[float, float, float]:
    """Ticks, microseconds and calls of one host's daemon in one cycle of `TICK_S`."""
    meters = [meter_of(host, daemon) for host in cluster.hosts]

    def one_cycle() -> None:
        cluster.run(TICK_S)

    def many_cycles() -> None:
        cluster.run(ROUNDS * TICK_S)

    micros = min(micros_in(meters, one_cycle) for _ in range(ROUNDS)) / len(meters)
    before = sum(meter.ticks for meter in meters)
    calls = calls_in(meters, many_cycles) / ROUNDS / len(meters)
    ticks = (sum(meter.ticks for meter in meters) - before) / ROUNDS / len(meters)
    return ticks, micros, calls


def micros_in(meters: list[Meter], work: Callable[[], None]) -> float:
    before_ns = sum(meter.tick_ns for meter in meters)
    work()
    return (sum(meter.tick_ns for meter in meters) - before_ns) / 1000


def calls_in(meters: list[Meter], work: Callable[[], None]) -> float:
    profile = cProfile.Profile()
    for meter in meters:
        meter.profile = profile
    work()
    for meter in meters:
        meter.profile = None
    return sum(entry.callcount for entry in profile.getstats())


if __name__ == "__main__":
    main(sys.argv[1:])
