"""``hosted-engine --vm-status``."""

from __future__ import annotations

import argparse
import time
from typing import Optional

from ha_agent.command.deployed import check_deployed
from ha_agent.command.errors import EXIT_OK
from ha_agent.command.status import ClusterStatus, status_json

BROKER_TIMEOUT_S = 5.0


def run_command(options: argparse.Namespace) -> int:
    """`run` with the options of the command line."""
    return run(options.json, options.metadata, options.timeout)


def run(as_json: bool, metadata: Optional[str], timeout_s: Optional[float]) -> int:
    """Print the picture of the cluster; raises CommandError when there is none."""
    status = _from_volume(metadata, timeout_s) if metadata else _from_broker(timeout_s)
    print(status_json(status) if as_json else _text(status), end="\n" if as_json else "")
    return EXIT_OK


def _from_volume(metadata: str, timeout_s: Optional[float]) -> ClusterStatus:
    from ha_agent.command.volume_status import DEFAULT_WATCH_S, read_from_volume
    from ha_broker.world.clock import SystemClock

    watch_s = DEFAULT_WATCH_S if timeout_s is None else timeout_s
    return read_from_volume(metadata, watch_s, SystemClock(), time.sleep)


def _from_broker(timeout_s: Optional[float]) -> ClusterStatus:
    # Imported here, so that reading a volume loads no HTTP client.
    from ha_agent.command.broker_status import read_from_broker

    check_deployed()
    return read_from_broker(BROKER_TIMEOUT_S if timeout_s is None else timeout_s)


def _text(status: ClusterStatus) -> str:
    from ha_agent.command.status_text import status_text

    return status_text(status)
