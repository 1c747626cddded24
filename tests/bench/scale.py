# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Prints what each part costs, from 3 hosts to 2000, beside its bound::

    python -m tests.bench.scale [--json] [GROUP ...]

decode     one slot's bytes become a record: seen for the first time; the same record with a new
           timestamp, once and again and again; the same bytes
ticks      host 1 of so many, in virtual time: all that its broker and its agent spend in the 5 s of
           a tick, with their jobs, and what goes on between the two
daemons    the same as real processes, in real time (a minute and a half)
command    one run of ``hosted-engine``, beside a broker that knows so many hosts
scrape     the text for Prometheus

Without GROUP all of them, about four minutes on an idle machine; ``--write docs/results/cost.md``
makes the page anew. Needs neither sanlock (a stand-in answers, see
`tests.bench.stub_sanlock`) nor root, but a directory on which direct I/O is possible.

Each figure is CPU time (user's and system's, all threads) and the median of `SAMPLES` samples. The
floor is the least that Python takes for the same work (`tests.bench.floors`), on this machine in
this run. Upstream's are of another run: see `UPSTREAM`.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import logging
import os
import socket
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable

from ha_broker.api.client import BrokerClient
from ha_broker.api.snapshot_json import snapshot_to_data
from ha_broker.metrics.exporter import SHORTEST_PAUSE_S, Exporter
from ha_broker.server.mailbox import Mailbox
from metadata.layout import SLOT_SIZE, slot_address
from metadata.records import HostRecord
from metadata.slot_decoder import SlotDecoder
from metadata.wire import decode_slot
from tests.bench import floors, scale_page
from tests.bench.figures import (
    SAMPLES,
    UPSTREAM_COMMAND_MS,
    UPSTREAM_CYCLE_MS,
    UPSTREAM_DECODE_US,
    UPSTREAM_EXCHANGE_2000_MS,
    Figure,
    median_ms,
    table,
)
from tests.bench.scale_page import Growth, Year
from tests.bench.scale_processes import (
    DaemonCost,
    bare_python_ms,
    command_ms,
    daemon_costs,
    status_server,
    status_snapshot,
)
from tests.bench.scale_world import Cost, ScaleHost, scale_host, slot_bytes
from tests.contract.places import direct_io_directory
from tests.unit.monitoring_files import whole_tallies

DECODED_HOSTS = 500
SIZES = (3, 250, 2000)
DRAWN_SIZES = (3, 7, 20, 70, 250, 700, 2000)
MIB = "MiB"


class Run:
    """One run; what several lines or the page need is measured once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @functools.cache  # noqa: B019  # it lives as long as the program
    def ticks(self, hosts: int) -> TickCosts:
        """Of a cluster of that size."""
        return tick_costs(self.directory, hosts)

    @functools.cache  # noqa: B019
    def daemons(self) -> dict[int, DaemonCost]:
        """Of the processes, by the number of hosts."""
        return daemon_costs(self.directory, SIZES)


Group = Callable[[Run], Iterable[Figure]]


def main(arguments: Sequence[str]) -> None:
    """Measure what is named and print or write it."""
    options = _options(arguments)
    logging.disable(logging.CRITICAL)
    load = os.getloadavg()[0]
    figures: list[Figure] = []
    with direct_io_directory() as directory:
        run = Run(directory)
        for name in options.groups or GROUPS:
            figures += GROUPS[name](run)
        if options.write:
            scale_page.write(options.write, figures, _growth(run), _years(run), load)
    if options.json:
        print(json.dumps({one.key: round(one.value, 4) for one in figures if one.key}))
    else:
        print("\n".join(table(figures)))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one object, by the figures' keys")
    parser.add_argument("--write", type=Path, metavar="PAGE.md", help="the page and its picture")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.groups) - GROUPS.keys())
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such group; there are {', '.join(GROUPS)}")
    if options.write and options.groups:
        parser.error("--write is for all groups: name none")
    return options


def _growth(run: Run) -> Growth:
    costs = {hosts: run.ticks(hosts) for hosts in DRAWN_SIZES}
    return Growth(
        {hosts: cost.alive.all_ms for hosts, cost in costs.items()},
        {hosts: cost.floor_ms for hosts, cost in costs.items()},
    )


def _years(run: Run) -> dict[int, Year]:
    return {
        hosts: Year(cost.broker_ms + cost.agent_ms, run.ticks(hosts).bytes_read)
        for hosts, cost in run.daemons().items()
    }


# --- decode ------------------------------------------------------------------------------------


def decode(_run: Run) -> Iterable[Figure]:
    """Microseconds of one slot, the mean over many hosts; the floors look at the same slots."""
    ids = range(1, DECODED_HOSTS + 1)
    first, second, third = (
        [(host_id, slot_bytes(host_id, timestamp_s)) for host_id in ids]
        for timestamp_s in (1000, 1005, 1010)
    )
    # Read anew: equal bytes, but never the same object.
    again = [(host_id, bytes(bytearray(data))) for host_id, data in third]
    records = {host_id: _record_in(host_id, data) for host_id, data in second}
    former = {host_id: (data, records[host_id]) for host_id, data in second}
    known = {host_id: (data, records[host_id]) for host_id, data in third}
    statuses: dict[bytes, object] = {data.split(b"|")[5]: data for _, data in first}

    def floor_first(_host_id: int, data: bytes) -> object:
        return floors.decode_first(data, statuses)

    def floor_same(host_id: int, data: bytes) -> object:
        return floors.decode_same(data, *former[host_id])

    def floor_unchanged(host_id: int, data: bytes) -> object:
        return floors.decode_unchanged(host_id, data, known)

    samples_us: dict[str, list[float]] = {}
    for _ in range(SAMPLES):
        decoder = SlotDecoder()
        for sight, decode_one, looks in (
            ("first", decoder.decode, first),
            ("second", decoder.decode, second),
            ("same", decoder.decode, third),
            ("unchanged", decoder.decode, again),
            ("floor first", floor_first, first),
            ("floor same", floor_same, third),
            ("floor unchanged", floor_unchanged, again),
        ):
            samples_us.setdefault(sight, []).append(_looks_s(decode_one, looks) / len(ids) * 1e6)
    us = {sight: statistics.median(samples) for sight, samples in samples_us.items()}
    return [
        Figure("decode a slot, first sight", us["first"], "us", "decode_first_us",
               12, us["floor first"], UPSTREAM_DECODE_US),
        Figure("decode a slot, its first new timestamp", us["second"], "us",
               floor=us["floor same"], upstream=UPSTREAM_DECODE_US),
        Figure("decode a slot, a new timestamp", us["same"], "us", "decode_same_us",
               5, us["floor same"], UPSTREAM_DECODE_US),
        Figure("decode a slot, unchanged bytes", us["unchanged"], "us", "decode_unchanged_us",
               0.5, us["floor unchanged"], UPSTREAM_DECODE_US),
    ]  # fmt: skip


def _looks_s(
    decode_one: Callable[[int, bytes], object], looks: Sequence[tuple[int, bytes]]
) -> float:
    begun_s = time.process_time()
    for host_id, data in looks:
        decode_one(host_id, data)
    return time.process_time() - begun_s


# --- ticks -------------------------------------------------------------------------------------

BROKER_KEYS = {hosts: f"broker_tick_{hosts}_ms" for hosts in SIZES}


@dataclass(frozen=True)
class TickCosts:
    """Medians of one size of cluster, and the floors of the same work."""

    alive: Cost
    share: Cost
    all_matter: Cost
    broker_floor_ms: float
    share_floor_ms: float
    agent_floor_ms: float
    agent_quiet_floor_ms: float
    exchange_floor_ms: float
    bytes_read: int

    @property
    def floor_ms(self) -> float:
        """Of all that a tick is, while all live and nothing matters."""
        return self.broker_floor_ms + self.exchange_floor_ms + self.agent_quiet_floor_ms


def tick_costs(directory: Path, hosts: int) -> TickCosts:
    """Measure one size."""
    with scale_host(directory / f"ticks-{hosts}", hosts) as host:
        read_before = host.store.bytes_read
        alive = _median_cost(host, lambda _tick: host.write_all())
        bytes_read = (host.store.bytes_read - read_before) // SAMPLES
        share = _median_cost(host, host.write_share)
        matter = _median_cost(host, lambda tick: host.write_all(3400 - tick % 2))
        return TickCosts(alive, share, matter, *_tick_floors(host), bytes_read)


def _median_cost(host: ScaleHost, others: Callable[[int], None]) -> Cost:
    costs = []
    for tick in range(SAMPLES):
        gc.collect()
        costs.append(host.cost_of_a_tick(lambda: others(tick)))  # noqa: B023
    return Cost(
        statistics.median(cost.broker_ms for cost in costs),
        statistics.median(cost.exchange_ms for cost in costs),
        statistics.median(cost.agent_ms for cost in costs),
    )


def _tick_floors(host: ScaleHost) -> list[float]:
    hosts = host.volume.hosts
    ids = range(1, hosts + 1)
    records = [_record(host_id) for host_id in ids]
    address = slot_address(host.volume.parts, 1)
    host.write_all()

    def read() -> bytes:
        return host.store.read(address, hosts * SLOT_SIZE)

    data = read()
    pieces = [data[place * SLOT_SIZE : (place + 1) * SLOT_SIZE] for place in range(hosts)]
    old = {host_id: (slot_bytes(host_id, 1), records[host_id - 1]) for host_id in ids}
    few = {
        host_id: (pieces[host_id - 1] if host_id % 20 else old[host_id][0], records[host_id - 1])
        for host_id in ids
    }
    scores = [record.score for record in records]
    pair = socket.socketpair()
    small = snapshot_to_data(replace(status_snapshot(1), hosts=()), 1000.0)
    try:
        return [
            median_ms(lambda: floors.broker_tick(read, old)),
            median_ms(lambda: floors.broker_tick(read, few)),
            median_ms(lambda: floors.agent_tick(records)),
            median_ms(lambda: floors.agent_tick_quiet(scores)),
            median_ms(lambda: floors.exchange(pair, small)),
        ]
    finally:
        for end in pair:
            end.close()


def _record(host_id: int) -> HostRecord:
    return _record_in(host_id, slot_bytes(host_id, 1))


def _record_in(host_id: int, data: bytes) -> HostRecord:
    record = decode_slot(host_id, data)
    assert isinstance(record, HostRecord)
    return record


def ticks(run: Run) -> Iterable[Figure]:
    """Broker, agent and what is between them, at each size."""
    costs = {hosts: run.ticks(hosts) for hosts in SIZES}
    bounds = {2000: 60.0}
    figures = [
        Figure(f"broker's tick, {hosts} hosts, all alive", cost.alive.broker_ms,
               key=BROKER_KEYS[hosts], bound=bounds.get(hosts), floor=cost.broker_floor_ms)
        for hosts, cost in costs.items()
    ]  # fmt: skip
    most = costs[2000]
    figures += [
        Figure("broker's tick, 2000 hosts, 5 % changed", most.share.broker_ms,
               key="broker_tick_2000_5pct_ms", bound=20, floor=most.share_floor_ms),
        Figure("agent's tick, 2000 hosts, nothing that matters", most.alive.agent_ms,
               key="agent_tick_2000_quiet_ms", bound=3, floor=most.agent_quiet_floor_ms),
        Figure("agent's tick, 2000 hosts, all changed", most.all_matter.agent_ms,
               key="agent_tick_2000_ms", bound=15, floor=most.agent_floor_ms),
        Figure("between the daemons, 2000 hosts, nothing that matters", most.alive.exchange_ms,
               key="exchange_quiet_ms", bound=0.3, floor=most.exchange_floor_ms,
               upstream=UPSTREAM_EXCHANGE_2000_MS),
        Figure("between the daemons, 2000 hosts, all changed", most.all_matter.exchange_ms,
               upstream=UPSTREAM_EXCHANGE_2000_MS),
    ]  # fmt: skip
    for hosts, cost in costs.items():
        figures.append(
            Figure(f"broker, agent and between them, {hosts} hosts", cost.alive.all_ms,
                   floor=cost.floor_ms, upstream=UPSTREAM_CYCLE_MS[hosts])
        )  # fmt: skip
    return figures


# --- daemons -----------------------------------------------------------------------------------


def daemons(run: Run) -> Iterable[Figure]:
    """Real processes."""
    figures = []
    for hosts, cost in run.daemons().items():
        key, bound = ("daemons_tick_3_ms", 5.0) if hosts == 3 else ("", None)
        most_mib = 40.0 if hosts == 3 else None
        figures += [
            Figure(f"both daemons' processes, {hosts} hosts", cost.broker_ms + cost.agent_ms,
                   key=key, bound=bound),
            Figure("  ha-broker", cost.broker_ms),
            Figure("  ha-agent", cost.agent_ms),
            Figure("  ha-broker, resident", cost.broker_mib, MIB, bound=most_mib),
            Figure("  ha-agent, resident", cost.agent_mib, MIB, bound=most_mib),
        ]  # fmt: skip
    return figures


# --- the command -------------------------------------------------------------------------------


def command(run: Run) -> Iterable[Figure]:
    """Programs' runs."""
    bare_ms = _median_run(bare_python_ms)
    version_ms = _status_run(run, 3, "--version")
    figures = [
        Figure("python -c pass", bare_ms),
        Figure("hosted-engine --version", version_ms, key="version_ms", bound=40, floor=bare_ms,
               upstream=UPSTREAM_COMMAND_MS),
    ]  # fmt: skip
    for hosts, bound in ((3, 70.0), (2000, 150.0)):
        answer = _answer(hosts)
        figures.append(
            Figure(f"hosted-engine --vm-status --json, {hosts} hosts",
                   _status_run(run, hosts, "--vm-status", "--json"),
                   key=f"status_json_{hosts}_ms", bound=bound,
                   floor=bare_ms + median_ms(lambda: floors.status_json(answer)),  # noqa: B023
                   upstream=UPSTREAM_COMMAND_MS if hosts == 3 else None)
        )  # fmt: skip
    answer = _answer(200)
    figures.append(
        Figure("hosted-engine --vm-status, 200 hosts", _status_run(run, 200, "--vm-status"),
               key="status_text_200_ms", bound=120,
               floor=bare_ms + median_ms(lambda: floors.status_text(answer)))
    )  # fmt: skip
    return figures


def _answer(hosts: int) -> bytes:
    return json.dumps(snapshot_to_data(status_snapshot(hosts), 1000.0)).encode()


def _status_run(run: Run, hosts: int, *arguments: str) -> float:
    place = run.directory / f"command-{len(list(run.directory.iterdir()))}"
    with status_server(place, status_snapshot(hosts)) as env:
        assert len(BrokerClient(env["HE_BROKER_SOCKET"]).status().hosts) == hosts
        return _median_run(lambda: command_ms(env, *arguments))


def _median_run(once: Callable[[], float]) -> float:
    once()  # writes the compiled modules
    return statistics.median(once() for _ in range(SAMPLES))


# --- scrape ------------------------------------------------------------------------------------


def scrape(_run: Run) -> Iterable[Figure]:
    """The text only: sending it is the same whatever it says."""
    snapshot = status_snapshot(200)
    renewed_at_s = {host.host_id: 90.0 for host in snapshot.hosts}
    now_s = [1000.0]

    def clock() -> float:
        now_s[0] += SHORTEST_PAUSE_S
        return now_s[0]

    exporter = Exporter(Mailbox(snapshot), whole_tallies(), lambda: renewed_at_s, clock)
    samples = _samples_in(exporter.answer().body.decode())
    return [
        Figure("a scrape, 200 hosts", median_ms(exporter.answer), key="scrape_200_ms", bound=5,
               floor=median_ms(lambda: floors.scrape(samples)))
    ]  # fmt: skip


def _samples_in(text: str) -> list[tuple[str, float]]:
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return [(name, float(number)) for name, _, number in lines]


GROUPS: dict[str, Group] = {
    "decode": decode,
    "ticks": ticks,
    "daemons": daemons,
    "command": command,
    "scrape": scrape,
}


if __name__ == "__main__":
    main(sys.argv[1:])
