# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --vm-status --watch``: the picture, and again with each change, until Ctrl-C.

The broker's long poll tells of a change at once. It does not tell of all: this host's own record
is no news to the broker, and ages only grow. So a poll lasts a moment only. A broker that goes
away, to be restarted or updated, is waited for.
"""

from __future__ import annotations

import sys
import time
from typing import NoReturn, Optional, Protocol

from ha_broker.api.client import BrokerClient, BrokerError
from ha_broker.api.snapshot import HostView, Snapshot
from hosted_engine.cli.terminal import Terminal, terminal_of
from hosted_engine.cluster.cluster_status import ClusterStatus, error_json, status_json
from hosted_engine.cluster.from_broker import cluster_status, unanswered
from hosted_engine.errors import EXIT_OK, CommandError, say_error
from hosted_engine.status.table import status_table
from hosted_engine.status.text import status_text

POLL_S = 1.0
REST_S = 0.2
"""Between two pictures: a burst of changes is one, and a broker that stops is not pestered."""

_HOME, _CLEAR, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[2J", "\x1b[K", "\x1b[J"
_LINES_AROUND_HOSTS = 10  # the summary, notes, the table's head and what stands below it


class Screen(Protocol):
    """Where the pictures go."""

    def show(self, status: ClusterStatus) -> None:
        """The latest picture, changed or not."""

    def lose(self, why: str) -> None:
        """There is no newer one, for the broker does not answer."""


def watch(as_json: bool, timeout_s: float) -> int:
    """Show picture after picture; returns after Ctrl-C. Raises CommandError without a first one."""
    client = BrokerClient(timeout_s=timeout_s)
    try:
        _follow(client, _screen(as_json))
    except KeyboardInterrupt:
        return EXIT_OK
    finally:
        client.close()


def _screen(as_json: bool) -> Screen:
    terminal = terminal_of(sys.stdout)
    if as_json:
        return JsonLines()
    return Pages() if terminal is None or terminal.plain else LiveTable()


def _follow(client: BrokerClient, screen: Screen) -> NoReturn:
    try:
        snapshot = client.status()
    except BrokerError as error:
        raise CommandError(unanswered(error)) from error
    while True:
        screen.show(cluster_status(snapshot, time.monotonic()))
        time.sleep(REST_S)
        snapshot = _next(client, snapshot, screen)


def _next(client: BrokerClient, snapshot: Snapshot, screen: Screen) -> Snapshot:
    while True:
        try:
            return client.wait_for_change(snapshot.sequence, POLL_S)
        except BrokerError as error:
            screen.lose(unanswered(error))
            time.sleep(POLL_S)


# --- the screens ----------------------------------------------------------------------------


class Pages:
    """The text form whenever something changed, for pipes, files and simple terminals."""

    def __init__(self) -> None:
        self._last: Optional[object] = None

    def show(self, status: ClusterStatus) -> None:
        """Print it when it tells anything new."""
        latest = essence(status)
        if latest != self._last:
            self._print(status)
        self._last = latest

    def lose(self, why: str) -> None:
        """Once; the picture after it is a new one in any case."""
        if self._last is not None:
            self._complain(why)
        self._last = None

    def _print(self, status: ClusterStatus) -> None:
        print(f"== {time.strftime('%Y-%m-%d %H:%M:%S')} ==\n\n{status_text(status)}", flush=True)

    def _complain(self, why: str) -> None:
        say_error(CommandError(why).message)


class JsonLines(Pages):
    """A line of JSON for each change."""

    def _print(self, status: ClusterStatus) -> None:
        print(status_json(status), flush=True)

    def _complain(self, why: str) -> None:
        print(error_json(CommandError(why).message), flush=True)


class LiveTable:
    """The table, drawn again in its place."""

    def __init__(self) -> None:
        self._latest: Optional[ClusterStatus] = None
        print(_CLEAR, end="")

    def show(self, status: ClusterStatus) -> None:
        """Draw it, with the ages as they are now."""
        self._latest = status
        self._draw("Changes are shown as they come; Ctrl-C ends.")

    def lose(self, why: str) -> None:
        """Keep the last picture, and say that it is old."""
        self._draw(f"No news since the last picture: {CommandError(why).message}")

    def _draw(self, below: str) -> None:
        terminal = terminal_of(sys.stdout) or Terminal(80, 24)  # its size may have changed
        lines = screen_lines(self._latest, terminal, below) if self._latest else [below]
        drawn = "".join(f"{line}{_REST_OF_LINE}\n" for line in lines)
        print(_HOME + drawn + _REST_OF_SCREEN, end="", flush=True)


def screen_lines(status: ClusterStatus, terminal: Terminal, below: str) -> list[str]:
    """What fits the terminal: the most notable hosts where not all do."""
    most_hosts = max(1, terminal.rows - _LINES_AROUND_HOSTS - len(status.notes))
    clock = time.strftime("%H:%M:%S")
    table = status_table(status, terminal.columns, terminal.colour, most_hosts)
    return [*table, "", f"{clock}  {below}"[: terminal.columns]][: terminal.rows - 1]


def essence(status: ClusterStatus) -> object:
    """All of a printed picture that is news; never ages, stamps or texts with them."""
    hosts = tuple(_host_essence(host) for host in status.hosts)
    return (hosts, status.global_maintenance, len(status.notes))


def _host_essence(host: HostView) -> object:
    if host.record is None:
        return (host.host_id, host.error)
    record = host.record
    return (
        (host.host_id, host.is_current, host.undecided, host.error, record.hostname, record.score),
        (record.state, record.engine_status, record.maintenance, record.stopped),
    )
