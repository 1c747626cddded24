# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --check-deployed`` and ``--check-liveliness``."""

from __future__ import annotations

import argparse
import json

from ha_broker.api.client import BrokerClient
from hosted_engine.errors import EXIT_FAILURE, EXIT_OK, CommandError, say_error
from hosted_engine.host.deployed import check_deployed
from hosted_engine.host.local_host import host_settings
from hosted_engine.host.shared_config import shared_config
from metadata.settings.parse import EngineSettings
from world.ports.network import HealthPage

UP = "Hosted Engine is up!"
NOT_UP = "Hosted Engine is not up!"


def run_deployed_command(options: argparse.Namespace) -> int:
    """``--check-deployed``."""
    return deployed(options.json)


def run_liveliness_command(options: argparse.Namespace) -> int:
    """``--check-liveliness``."""
    return liveliness(options.json)


def deployed(as_json: bool = False) -> int:
    """Exit code 0 on a deployed host; else raises NotDeployedError."""
    check_deployed()
    if as_json:
        print(json.dumps({"deployed": True}))
    return EXIT_OK


def liveliness(as_json: bool = False) -> int:
    """Fetch the engine's health page, wherever the engine runs, and say what it says."""
    from world.network.health_page import HttpHealthPage

    parts = host_settings().storage
    client = BrokerClient()
    try:
        engine = shared_config(client, parts).settings.engine
        return look_at_health(HttpHealthPage(), engine, as_json)
    finally:
        client.close()


def look_at_health(page: HealthPage, engine: EngineSettings, as_json: bool = False) -> int:
    """0 when the page says that the engine is healthy, else 1 and why; raises CommandError."""
    if not engine.page_url:
        raise CommandError(
            "the shared configuration names no health page (engine.fqdn or engine.health_url)"
        )
    reading = page.check(
        engine.page_url, engine.health_text, engine.health_timeout_s, engine.health_ca_file
    )
    if as_json:
        print(json.dumps({"up": reading.good, "detail": reading.detail}))
        return EXIT_OK if reading.good else EXIT_FAILURE
    if reading.good:
        print(UP)
        return EXIT_OK
    print(NOT_UP)
    say_error(CommandError(f"the engine's health page: {reading.detail}").message)
    return EXIT_FAILURE
