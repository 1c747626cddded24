# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --upgrade-check``: may this host be upgraded now, and who goes next?

It asks this host's broker and nobody else. Exit code 0: yes; 1: no, with the reasons.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any, Optional

from ha_broker.api.client import BrokerClient, BrokerError
from hosted_engine.cluster.facts import Cluster
from hosted_engine.cluster.from_broker import unanswered
from hosted_engine.errors import EXIT_FAILURE, EXIT_OK, CommandError
from hosted_engine.host.deployed import check_deployed
from hosted_engine.upgrade.judgement import judge
from hosted_engine.upgrade.text import judgement_json, judgement_text
from metadata.settings.parse import ClusterSettings

BROKER_TIMEOUT_S = 5.0


def run_command(options: argparse.Namespace) -> int:
    """`run` with the options of the command line."""
    return run(options.json)


def run(as_json: bool) -> int:
    """Print the judgement; raises CommandError where the broker does not answer."""
    check_deployed()
    client = BrokerClient(timeout_s=BROKER_TIMEOUT_S)
    try:
        snapshot = client.status()
        settings, stored = _settings(client)
    except BrokerError as error:
        raise CommandError(unanswered(error)) from error
    finally:
        client.close()
    found = judge(Cluster(snapshot, settings, time.monotonic(), time.time()), stored)
    print(judgement_json(found) if as_json else judgement_text(found).rstrip("\n"))
    return EXIT_OK if found.may else EXIT_FAILURE


def _settings(client: BrokerClient) -> tuple[ClusterSettings, Optional[Mapping[str, Any]]]:
    """The cluster's, and as they are stored; the usual ones where the broker has none yet."""
    try:
        stored = client.stored_config()
        return stored.config.settings, stored.settings
    except BrokerError:
        pass
    try:
        # A broker of an older program tells no more.
        return client.shared_config().settings, None
    except BrokerError:
        return ClusterSettings(), None
