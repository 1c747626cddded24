# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --simulate WORLD SCRIPT``: what would happen if.

The real agents and brokers run in virtual time on simulated hosts. Nothing of this host is
touched; with ``cluster: deployed`` in the world its shared configuration is read.
"""

from __future__ import annotations

import argparse
import logging

from ha_broker.api.client import BrokerClient
from hosted_engine.errors import EXIT_FAILURE, EXIT_OK, CommandError, NotDeployedError, say_error
from hosted_engine.host.local_host import host_settings
from hosted_engine.host.shared_config import shared_config
from hosted_engine.simulate.run import tell
from hosted_engine.simulate.script import Script, load_script
from metadata.settings.parse import ClusterSettings
from simulation.errors import InputError, SimulationError
from simulation.settings import HOST_NAMES, WorldSettings, load_world


def run_command(options: argparse.Namespace) -> int:
    """`run` with the options of the command line."""
    return run(*options.arguments)


def run(world_path: str, script_path: str) -> int:
    """Print what happens; 1 when the input is refused or a rule of safety was broken."""
    # What the daemons would log is told already, in the world's time.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        world, script = _load(world_path, script_path)
        told = tell(world, script, print)
    except InputError as error:
        for problem in error.problems:
            say_error(CommandError(problem).message)
        return EXIT_FAILURE
    except SimulationError as error:
        raise CommandError(f"the simulation can't begin: {error}") from error
    if told.violations:
        raise CommandError(f"rules broken: {len(told.violations)}; please report this")
    return EXIT_OK


def _load(world_path: str, script_path: str) -> tuple[WorldSettings, Script]:
    """Both files; raises InputError with the problems of both."""
    try:
        world = load_world(world_path, deployed_settings)
    except InputError as error:
        raise InputError(error.problems + _script_problems(script_path)) from error
    return world, load_script(script_path, [host.name for host in world.hosts])


def _script_problems(path: str) -> list[str]:
    """What is wrong with a script whatever its world is."""
    try:
        load_script(path, HOST_NAMES)
    except InputError as error:
        return error.problems
    return []


def deployed_settings() -> ClusterSettings:
    """The cluster-wide settings that this host runs with; raises InputError."""
    try:
        parts = host_settings().storage
    except NotDeployedError as error:
        raise InputError(["this host is not deployed, so it has no such settings"]) from error
    except CommandError as error:
        raise InputError([error.message]) from error
    client = BrokerClient()
    try:
        return shared_config(client, parts).settings
    except CommandError as error:
        raise InputError([error.message]) from error
    finally:
        client.close()
