# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""In every scenario, whatever happens, each host explains it: in sentences, and truly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from hosted_engine.cluster.facts import Cluster
from hosted_engine.explain.text import Explanation, explain, explanation_json
from hosted_engine.simulate.verbs import carry_out
from metadata.settings.parse import ClusterSettings
from simulation.cluster import SimCluster
from simulation.errors import SimulationError
from simulation.host import SimHost
from tests.scenarios import Scenario, load, names
from tests.unit.test_command_explain import check

SHORTLY_S = 3.0


def moments(scenario: Scenario) -> Iterator[tuple[SimCluster, bool]]:
    """The world a little after each event; and at the end (true)."""
    cluster = SimCluster(scenario.world)
    try:
        if scenario.world.start == "running":
            cluster.bring_up()
        zero_s = cluster.now_s
        for event in scenario.script.events:
            cluster.run_until(max(zero_s + event.at_s, cluster.now_s))
            with suppress(SimulationError):
                carry_out(event.command, cluster)
            cluster.run_for(SHORTLY_S)
            yield cluster, False
        cluster.run_until(max(zero_s + scenario.script.until_s, cluster.now_s))
        yield cluster, True
    finally:
        cluster.close()


def explained(host: SimHost) -> Explanation | None:
    """None: it has no broker to ask."""
    snapshot, broker = host.snapshot, host.broker
    if snapshot is None or broker is None or not host.broker_process.running:
        return None
    config = broker.mailbox.config()
    settings = config.settings if config else ClusterSettings()
    return explain(Cluster(snapshot, settings, host.clock.monotonic_s(), host.clock.wall_s()))


def claimed_healthy(found: Explanation) -> str | None:
    """The host on which the engine is said to be healthy."""
    engine: dict[str, Any] = json.loads(explanation_json(found))["engine"]
    return engine["host"] if engine["healthy"] else None


def check_claim(found: Explanation, cluster: SimCluster) -> None:
    running = {engine.host for engine in cluster.running_engines() if engine.healthy}
    assert claimed_healthy(found) in {None, *running}


@pytest.mark.parametrize("name", names())
def test_every_host_explains_every_moment(name: str) -> None:
    """Just after an event the hosts may not know it yet; at the end nobody may be wrong."""
    for cluster, at_the_end in moments(load(name)):
        for found in filter(None, map(explained, cluster.hosts.values())):
            check(found)
            if at_the_end:
                check_claim(found, cluster)


def test_a_wrong_claim_is_noticed() -> None:
    for cluster, at_the_end in moments(load("power-cut-is-taken-over")):
        found = explained(cluster.hosts["h3"])
        if at_the_end and found is not None:
            assert claimed_healthy(found) == "h2"
            cluster.hosts["h2"].power_off()
            with pytest.raises(AssertionError):
                check_claim(found, cluster)
