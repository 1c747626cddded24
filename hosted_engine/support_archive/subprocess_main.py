# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One part of what ``--export-status`` collects, in a process of its own that may hang.

Run as ``python -m hosted_engine.support_archive.subprocess_main broker|shared-config``; prints
JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Callable

from ha_broker.api.client import BrokerClient, BrokerError
from ha_broker.api.json_codec import to_data
from hosted_engine.errors import EXIT_FAILURE, EXIT_OK, CommandError
from hosted_engine.host.local_host import host_settings
from hosted_engine.host.shared_config import shared_config
from metadata.settings.parse import cluster_settings_to_data


def main(part: str) -> int:
    """Print it; 1 and a line that says why when it can't be had."""
    try:
        print(_PARTS[part]())
    except (CommandError, BrokerError) as error:
        print(error)
        return EXIT_FAILURE
    return EXIT_OK


def _broker() -> str:
    """All that the broker knows, with ages."""
    client = BrokerClient()
    try:
        return json.dumps(to_data(client.status(), time.monotonic()), indent=1)
    finally:
        client.close()


def _shared_config() -> str:
    """From the broker, else from the storage."""
    client = BrokerClient()
    try:
        config = shared_config(client, host_settings().storage)
    finally:
        client.close()
    document = {
        "sequence": config.sequence,
        "settings": cluster_settings_to_data(config.settings),
        "domain_xml": config.domain_xml,
    }
    return json.dumps(document, indent=1)


_PARTS: dict[str, Callable[[], str]] = {"broker": _broker, "shared-config": _shared_config}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
