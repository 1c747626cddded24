# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs one ``--deploy`` or ``leave`` as one host, in a process of its own.

sanlock's library reads SANLOCK_RUN_DIR once, so each host needs its own process. Everything
is real but libvirt (a host without domains), systemd (there is none) and the network.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib import import_module
from typing import Any, Optional

from hosted_engine.cli.parser import Asked, parse
from hosted_engine.deploy.command import deploy, request_of
from hosted_engine.deploy.questions import real_terminal
from hosted_engine.errors import CommandError
from hosted_engine.host.environment import real_environment
from hosted_engine.host.probes import HostProbes
from hosted_engine.host.units import SystemdUnits
from metadata.layout import storage_parts
from world.ports.host import BridgeLook
from world.ports.libvirt import Domain, DomainState
from world.ports.network import ProbeReading
from world.storage.sanlock_lockspace import SanlockLockspace


class NoDomains:
    """libvirt with no domain."""

    def __init__(self, _uri: str, _name: str) -> None:
        pass

    def domain(self) -> Domain:
        return Domain(DomainState.ABSENT)

    def check_xml(self, _domain_xml: str) -> None:
        """It takes any."""


class NoSystemd(SystemdUnits):
    """A machine without a service manager."""

    def available(self) -> bool:
        return False


class Network:
    """One in which everybody answers."""

    def ping(self, _address: str, _timeout_s: float) -> ProbeReading:
        return ProbeReading(True)


class Probes(HostProbes):
    """This machine, with a bridge and a network that it may not have."""

    def network(self) -> Any:
        return Network()

    def bridges(self) -> list[str]:
        return ["ovirtmgmt"]

    def bridge(self, name: str) -> Optional[BridgeLook]:
        return BridgeLook(True, f"{name} is up") if name in self.bridges() else None


def run_deploy(words: list[str]) -> int:
    """`words` as on the command line of ``--deploy``."""
    options = parse(["--deploy", *words])
    assert isinstance(options, Asked)
    terminal = real_terminal()
    world = replace(
        real_environment(),
        hypervisor=NoDomains,  # type: ignore[arg-type]
        uses_sanlock=lambda: os.environ.get("TEST_LOCK_MANAGER", "sanlock") == "sanlock",
        units=NoSystemd(),
        probes=Probes(),
        host_name=os.environ["TEST_HOST_NAME"],
        gateway="",
    )
    try:
        return deploy(world, request_of(options.options), terminal)
    except CommandError as error:
        print(error.message, file=sys.stderr)
        return error.exit_code


def run_leave(path: str, host_id: int) -> int:
    return 0 if SanlockLockspace(storage_parts(path)).leave_if_unused(host_id) else 1


def main() -> int:
    if sys.argv[1] == "leave":
        return run_leave(sys.argv[2], int(sys.argv[3]))
    return run_deploy(sys.argv[2:])


if __name__ == "__main__":
    # By its name: a new interpreter that does a check finds the stand-ins there, not in __main__.
    sys.exit(import_module("tests.integration.command_host").main())
