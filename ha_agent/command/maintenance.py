"""``hosted-engine --set-maintenance --mode=global|local|none``.

global  the whole cluster: nobody starts, stops or moves the engine. Confirmed by read-back.
local   this host only; nothing global changes. Refused while the engine runs here.
none    ends both: this host's local maintenance and the global one.
"""

from __future__ import annotations

import argparse

from ha_agent.command.deployed import check_deployed
from ha_agent.command.errors import EXIT_OK, UsageError
from ha_agent.command.host import broker
from ha_broker.client import BrokerClient

CONFIRM_WITHIN_S = 60.0


def run_command(options: argparse.Namespace) -> int:
    """`run` with the options of the command line."""
    if options.mode is None:
        raise UsageError("--set-maintenance needs --mode=global, --mode=local or --mode=none")
    return run(options.mode)


def run(mode: str) -> int:
    """Set the mode; raises CommandError when the broker can't be asked or refuses."""
    check_deployed()
    with broker() as client:
        print(_SETTERS[mode](client))
    return EXIT_OK


def _set_global(client: BrokerClient) -> str:
    client.set_global_maintenance(True, CONFIRM_WITHIN_S)
    return "Global maintenance is on."


def _set_local(client: BrokerClient) -> str:
    client.set_local_maintenance(True)
    return "Local maintenance of this host is on."


def _set_none(client: BrokerClient) -> str:
    client.set_local_maintenance(False)
    client.set_global_maintenance(False, CONFIRM_WITHIN_S)
    return "Maintenance is off."


_SETTERS = {"global": _set_global, "local": _set_local, "none": _set_none}
