# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --explain``: why the engine runs where it runs, or why it runs nowhere.

It asks this host's broker and nobody else; whatever it says is the broker's knowledge, in
sentences. Exit code 0 when there is an answer, 1 when the broker gives none (then it says what
that means for the engine).
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Optional

from ha_broker.api.client import BrokerClient, BrokerDeniedError, BrokerError
from ha_broker.api.snapshot import Snapshot
from hosted_engine.cli.paragraphs import filled
from hosted_engine.cluster.facts import Cluster
from hosted_engine.errors import EXIT_FAILURE, EXIT_OK, CommandError
from hosted_engine.explain.text import explain, explanation_json, explanation_text
from hosted_engine.host.deployed import check_deployed
from hosted_engine.host.libvirt_unit import MONOLITHIC, libvirt_unit
from metadata.records import VolumeAddress
from metadata.settings.parse import ClusterSettings

BROKER_TIMEOUT_S = 5.0
_MIB = 2**20
_NOTHING_SAID = "Of the hosts and the engine nothing is known here, neither good nor bad."


def run_command(options: argparse.Namespace) -> int:
    """`run` with the options of the command line."""
    return run(options.json, options.timeout)


def run(as_json: bool, timeout_s: Optional[float]) -> int:
    """Print the explanation; raises CommandError on a host that is not deployed."""
    check_deployed()
    try:
        snapshot, settings = _ask(BROKER_TIMEOUT_S if timeout_s is None else timeout_s)
    except BrokerError as error:
        told = without_broker_json if as_json else without_broker_text
        print(told(error, _metadata_place()))
        return EXIT_FAILURE
    unit = libvirt_unit() or MONOLITHIC
    found = explain(Cluster(snapshot, settings, time.monotonic(), time.time(), unit))
    if as_json:
        print(explanation_json(found))
    else:
        print(explanation_text(found), end="")
    return EXIT_OK


def _ask(timeout_s: float) -> tuple[Snapshot, ClusterSettings]:
    """What the broker knows, within `timeout_s` in all; raises BrokerError."""
    deadline_s = time.monotonic() + timeout_s
    client = BrokerClient(timeout_s=timeout_s)
    try:
        snapshot = client.status()
    finally:
        client.close()
    return snapshot, _settings(max(0.0, deadline_s - time.monotonic()))


def _settings(timeout_s: float) -> ClusterSettings:
    """The cluster's; the usual ones when the broker has none yet, as the broker does itself."""
    client = BrokerClient(timeout_s=timeout_s)
    try:
        return client.shared_config().settings
    except BrokerError:
        return ClusterSettings()
    finally:
        client.close()


# --- without a broker -------------------------------------------------------------------------


def without_broker(error: BrokerError, metadata: str) -> tuple[list[str], list[str]]:
    """What a broker that can't be asked means, and what can be done about it.

    `metadata` is where the hosts' records lie, as ``--vm-status --metadata`` takes it.
    """
    if isinstance(error, BrokerDeniedError):
        return [f"You may not ask the broker of this host: {error.why}.", _NOTHING_SAID], [
            "As root: 'sudo hosted-engine --explain'."
        ]
    meaning = [
        f"The broker of this host can't be asked: {error.why}.",
        "So this host knows nothing of the other hosts now, and starts nothing.",
        "An engine that runs on this host runs on, and no other host can start a second one, for "
        "the VM itself holds the lease that this takes. But nobody watches its health here.",
        "The other hosts go on without this one; any of them can start the engine if it ends.",
    ]
    remedies = [
        "Why it does not answer: 'systemctl status ha-broker' and 'journalctl -u ha-broker'.",
        "To start it anew: 'systemctl restart ha-broker'. That neither stops nor moves the engine.",
        "What the other hosts know: hosted-engine --explain, on one of them.",
        f"What stands on the storage: hosted-engine --vm-status --metadata {metadata}",
    ]
    return meaning, remedies


def without_broker_text(error: BrokerError, metadata: str) -> str:
    """The same as text."""
    meaning, remedies = without_broker(error, metadata)
    steps = [f"  {text}" for text in remedies]
    return "\n".join([filled(" ".join(meaning)), "", "What you can do", *steps])


def without_broker_json(error: BrokerError, metadata: str) -> str:
    """The same as one JSON document; `error` as in every other command's."""
    meaning, remedies = without_broker(error, metadata)
    return json.dumps({"error": str(error), "sentences": meaning, "advice": remedies})


def place_text(place: VolumeAddress) -> str:
    """PATH:OFFSET as one types it."""
    whole, rest = divmod(place.offset, _MIB)
    return f"{place.path}:{place.offset if rest else f'{whole}M'}"


def _metadata_place() -> str:
    """As this host's settings have it."""
    from hosted_engine.host.local_host import host_settings  # needs YAML, which takes its time

    try:
        return place_text(host_settings().storage.metadata)
    except CommandError:
        return "PATH"
