# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --vm-status``.

A terminal gets a table first, and below it the text that people and scripts have always read;
a pipe or a file gets that text alone, ``--json`` one line. ``--watch`` goes on with each change.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import TYPE_CHECKING, Optional

from hosted_engine.cluster.cluster_status import ClusterStatus, status_json
from hosted_engine.errors import EXIT_OK, UsageError
from hosted_engine.host.deployed import check_deployed

if TYPE_CHECKING:
    import argparse

    from hosted_engine.cli.terminal import Terminal

BROKER_TIMEOUT_S = 5.0
MOST_DETAILED_HOSTS = 10
"""Of more hosts than these the text would push the table off every terminal."""


def run_command(options: argparse.Namespace) -> int:
    """As the catalogue's entry says."""
    if options.watch and options.metadata is not None:
        raise UsageError("--watch asks the broker: it does not go with --metadata")
    return run(options.json, options.metadata, options.timeout, options.watch)


def run(
    as_json: bool, metadata: Optional[str], timeout_s: Optional[float], watching: bool = False
) -> int:
    """Print the picture of the cluster; raises CommandError when there is none."""
    broker_timeout_s = BROKER_TIMEOUT_S if timeout_s is None else timeout_s
    if watching:
        from hosted_engine.status.watch import watch

        check_deployed()
        return watch(as_json, broker_timeout_s)
    # All that is made here is needed until it is printed: among 2000 hosts' records the collector
    # would look for garbage again and again, and find none.
    gc.disable()
    try:
        status = _read(metadata, timeout_s, broker_timeout_s)
        print(status_json(status) if as_json else _text(status), end="\n" if as_json else "")
    finally:
        gc.enable()
    return EXIT_OK


def _read(
    metadata: Optional[str], timeout_s: Optional[float], broker_timeout_s: float
) -> ClusterStatus:
    # Each way is imported alone: reading a volume loads no HTTP client.
    if metadata:
        from hosted_engine.cluster.from_volume import DEFAULT_WATCH_S, read_from_volume
        from world.host.clock import SystemClock

        watch_s = DEFAULT_WATCH_S if timeout_s is None else timeout_s
        return read_from_volume(metadata, watch_s, SystemClock(), time.sleep)
    from hosted_engine.cluster.from_broker import read_from_broker

    check_deployed()
    return read_from_broker(broker_timeout_s)


def _text(status: ClusterStatus) -> str:
    from hosted_engine.cli.terminal import terminal_of
    from hosted_engine.status.text import status_text

    terminal = terminal_of(sys.stdout)
    return status_text(status) if terminal is None else for_terminal(status, terminal)


def for_terminal(status: ClusterStatus, terminal: Terminal) -> str:
    """The table, and below it the details of not too many hosts."""
    from hosted_engine.status.table import status_table
    from hosted_engine.status.text import status_text

    table = "\n".join(status_table(status, terminal.columns, terminal.colour)) + "\n\n"
    if len(status.hosts) > MOST_DETAILED_HOSTS:
        return table + "All that each host says of itself: hosted-engine --vm-status | less\n"
    return table + status_text(status)
