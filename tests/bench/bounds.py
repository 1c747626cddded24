# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Prints what watching and telling cost, beside their bounds::

    python -m tests.bench.bounds [monitors] [scrapes] [calls]

monitors   CPU of one round of all monitors, by the real adapters: this machine's kernel, a
           sanlock daemon, libvirt's driver for tests, servers on loopback. Bound: 15 ms.
scrapes    CPU of one scrape with 2, 9 and 200 hosts. Bound: 10 ms.
calls      time of calls to a real broker process over its socket, with no monitor hung and with
           one that hangs for ever. Bound: 99 of 100 within 20 ms.

CPU counts all threads and the programs that were run. Times of calls depend on what else the
machine does; rounds of both kinds take turns, so both suffer alike.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import logging
import os
import resource
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Callable

from ha_broker.adapters import BrokerAdapters
from ha_broker.cycle.part import BrokerPorts, Settings
from ha_broker.metrics import exporter
from ha_broker.metrics.exporter import Exporter
from ha_broker.monitors.base import Monitor
from ha_broker.monitors.bridge import BridgeMonitor
from ha_broker.monitors.cpu_load import CpuLoadMonitor
from ha_broker.monitors.memory import MemoryMonitor
from ha_broker.monitors.network import NetworkMonitor
from ha_broker.monitors.storage import RenewalMonitor, SpaceMonitor
from ha_broker.server.mailbox import Mailbox
from metadata.domain_xml import lease_element
from metadata.layout import required_size, storage_parts
from metadata.settings.monitors import MonitorSettings
from metadata.settings.parse import (
    ClusterSettings,
    EngineSettings,
    HostSettings,
    NetworkSettings,
    StorageParts,
    Timing,
)
from metadata.shared_config import SharedConfig
from tests.contract.places import direct_io_directory
from tests.contract.sanlock_hosts import SanlockHost
from tests.integration.broker_process import Site, wait_for
from tests.unit.monitoring_files import whole_snapshot, whole_tallies

Look = Callable[[], str]

ROUND_MS, SCRAPE_MS, CALL_MS = 15.0, 10.0, 20.0
ROUNDS = 200
SCRAPES = 200
CALLS = 1000
TURNS = 4


def main(arguments: list[str]) -> None:
    """Run the named measurements, all without a name."""
    logging.disable(logging.CRITICAL)
    known = {"monitors": monitors, "scrapes": scrapes, "calls": calls}
    unknown = sorted(set(arguments) - known.keys())
    if unknown:
        raise SystemExit(f"{', '.join(unknown)}: no such measurement; there are {', '.join(known)}")
    for name in arguments or known:
        known[name]()


def line(what: str, value_ms: float, bound_ms: float, how: str) -> None:
    ratio = value_ms / bound_ms
    print(f"  {what:28} {value_ms:8.3f} ms, {ratio:5.0%} of {bound_ms:g} ms; {how}")


def cpu_s() -> float:
    """CPU of this process and of the programs that it has run and waited for."""
    ours, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF,
                                                         resource.RUSAGE_CHILDREN))  # fmt: skip
    return ours.ru_utime + ours.ru_stime + theirs.ru_utime + theirs.ru_stime


# --- monitors ------------------------------------------------------------------------------------


def monitors() -> None:
    """One round is one measurement of each; what can't be measured here is said."""
    print(f"CPU of one round of all monitors, each the mean of {ROUNDS}")
    with real_looks() as looks:
        measured = [_measured(name, look) for name, look in looks.items()]
    for one in sorted(measured, key=lambda one: -one.mean_ms):
        print(f"  {one.name:28} {one.mean_ms:8.3f} ms {one.note}")
    total_ms = sum(one.mean_ms for one in measured)
    line("all", total_ms, ROUND_MS, f"{len(measured)} looks")


@dataclass(frozen=True)
class Measured:
    """CPU of one kind of look; `note` is said of looks that gave no value."""

    name: str
    mean_ms: float
    note: str


def _measured(name: str, look: Look) -> Measured:
    notes: Counter[str] = Counter()
    begun_s = cpu_s()
    for _ in range(ROUNDS):
        try:
            notes[look()] += 1
        except Exception as error:
            notes[str(error)] += 1
    used_ms = (cpu_s() - begun_s) * 1000 / ROUNDS
    without = [f"{count} x {note}" for note, count in notes.items() if note]
    return Measured(name, used_ms, f"({'; '.join(without)})"[:100] if without else "")


@contextlib.contextmanager
def real_looks() -> Iterator[dict[str, Look]]:
    """All that the broker looks at on its host again and again, by name."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(direct_io_directory())
        url = stack.enter_context(page_server())
        parts = storage_parts(str(directory / "leases"))
        with Path(parts.lockspace.path).open("wb") as file:
            file.truncate(required_size(parts))
        host = HostSettings(
            1, "h1", parts, bridge="lo", gateway="127.0.0.1", libvirt_uri="test:///default"
        )
        world = stack.enter_context(_real_world(directory, host))
        settings = Settings(host)
        settings.use(SharedConfig(1, _cluster_settings(url), _xml(parts)))
        yield _looks(world, settings)


def _looks(world: BrokerPorts, settings: Settings) -> dict[str, Look]:
    engine = settings.cluster.engine
    hypervisor = world.hypervisor(engine.domain_name)
    found: list[Monitor] = [
        NetworkMonitor(world, settings),
        BridgeMonitor(world, settings),
        MemoryMonitor(world, settings),
        CpuLoadMonitor(world, settings, lambda: hypervisor),
        RenewalMonitor(world, settings, lambda: True),
        SpaceMonitor(world, settings),
    ]
    looks = {monitor.name: partial(_look, monitor) for monitor in found}
    looks["engine's domain"] = lambda: "" if hypervisor.domain() else "nothing"
    looks["engine's page"] = lambda: (
        "" if world.health_page.check(engine.page_url, "DB Up", 5.0, "").good else "not good"
    )
    return looks


def _look(monitor: Monitor) -> str:
    """One measurement; why it gave no value, or nothing."""
    job = monitor.job()
    if job is None:
        return "not configured"
    reading = monitor.read(job(), time.monotonic())
    return "" if reading.value is not None else reading.detail


@contextlib.contextmanager
def _real_world(directory: Path, host: HostSettings) -> Iterator[BrokerPorts]:
    """With a sanlock daemon of its own, whose lockspace this host has joined."""
    os.environ["SANLOCK_RUN_DIR"] = str(directory / "sanlock")
    sanlock = SanlockHost(directory / "sanlock", "h1", host.storage)
    try:
        sanlock.call("format_lockspace", 1)
        sanlock.call("join", 1, 1)
        yield BrokerAdapters().world(host, lambda: None)
    finally:
        sanlock.close()


def _cluster_settings(url: str) -> ClusterSettings:
    return ClusterSettings(
        engine=EngineSettings(health_url=url, domain_name="test"),
        timing=Timing(io_timeout_s=1),
        network=NetworkSettings(test="ping"),
    )


def _xml(parts: StorageParts) -> str:
    memory = "<memory unit='MiB'>2048</memory>"
    return f"<domain><name>test</name>{memory}{lease_element(parts)}</domain>"


@contextlib.contextmanager
def page_server() -> Iterator[str]:
    """A health page on loopback."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"DB Up")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/health"
    server.shutdown()
    server.server_close()


# --- scrapes -------------------------------------------------------------------------------------


def scrapes() -> None:
    """Only the making of the text: sending it is the same whatever it says."""
    print(f"CPU of one scrape, mean of {SCRAPES}")
    counters = whole_tallies()
    for count in (2, 9, 200):
        snapshot = whole_snapshot(count)
        renewed_at_s = {host.host_id: 90.0 for host in snapshot.hosts}
        ticks = itertools.count(100.0, exporter.SHORTEST_PAUSE_S)
        made = Exporter(Mailbox(snapshot), counters, lambda: renewed_at_s, ticks.__next__)  # noqa: B023
        size = len(made.answer().body)
        begun_s = time.process_time()
        for _ in range(SCRAPES):
            made.answer()
        used_ms = (time.process_time() - begun_s) * 1000 / SCRAPES
        line(f"{count} hosts", used_ms, SCRAPE_MS, f"{size} bytes")


# --- calls ---------------------------------------------------------------------------------------


def calls() -> None:
    """Two brokers side by side, of which one has a monitor that never ends."""
    print(f"GET /v1/status, {TURNS} turns of {CALLS} calls each to two broker processes")
    with broker("ha_broker.main") as sound, broker("tests.bench.hung_broker") as hung:
        wait_for("a monitor that hangs", partial(_hangs, hung))
        times: dict[str, list[float]] = {"no monitor hung": [], "one hung for ever": []}
        for _ in range(TURNS):
            for kind, site in zip(times, (sound, hung)):
                times[kind] += _timed_calls(str(site.socket))
        assert _hangs(hung) and not _hangs(sound)
    for kind, taken_ms in times.items():
        p99_ms = statistics.quantiles(taken_ms, n=100)[98]
        how = f"median {statistics.median(taken_ms):.2f}, longest {max(taken_ms):.1f} ms"
        line(f"{kind}: 99 of 100", p99_ms, CALL_MS, how)


@contextlib.contextmanager
def broker(module: str) -> Iterator[Site]:
    """A broker process that serves, without sanlock."""
    with direct_io_directory() as directory:
        site = Site(directory)
        site.module = module
        site.make_volume(ClusterSettings(monitors=MonitorSettings(interval_s=0.5, timeout_s=0.5)))
        site.deploy(bridge="lo", gateway="127.0.0.1")
        try:
            site.start()
            site.serving()
            yield site
        finally:
            site.close()


def _hangs(site: Site) -> bool:
    views = site.client().status().monitors
    return any(view.name == "bridge" and "no result" in view.trouble for view in views)


def _timed_calls(path: str) -> list[float]:
    """Milliseconds of each, over one connection, as the agent makes them."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    taken_ms = []
    with contextlib.closing(connection):
        connection.sock.connect(path)
        for _ in range(CALLS):
            begun_s = time.perf_counter()
            connection.request("GET", "/v1/status")
            connection.getresponse().read()
            taken_ms.append((time.perf_counter() - begun_s) * 1000)
    return taken_ms


if __name__ == "__main__":
    main(sys.argv[1:])
