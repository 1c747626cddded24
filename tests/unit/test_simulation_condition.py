# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A simulated host's own condition: its bridge, its CPUs, its memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

import pytest

from simulation.cluster import SimCluster
from simulation.errors import SimulationError
from simulation.host import SimHost
from simulation.settings import parse_world

GIB = 1 << 30
WORLD = """
hosts: 2
cluster: {timing: {io_timeout_s: 2}}
engine: {cpus: 2}
"""


@pytest.fixture
def cluster() -> Iterator[SimCluster]:
    cluster = SimCluster(parse_world(WORLD))
    cluster.bring_up()
    yield cluster
    cluster.close()


def measured(host: SimHost, name: str) -> Optional[float]:
    assert host.snapshot is not None
    (found,) = [view.value for view in host.snapshot.monitors if view.name == name]
    return found


def test_a_bridge_that_is_down_hides_gateway_and_engine_from_its_host(cluster: SimCluster) -> None:
    h1, h2 = cluster.host("h1"), cluster.host("h2")
    assert h1.engine_is_healthy
    h1.bridge("down")
    assert not h1.engine_is_healthy
    assert (h1.network.answers, h2.network.answers) == (False, True)
    h1.network_heal()
    assert not h1.network.answers
    h1.bridge("up")
    assert h1.engine_is_healthy
    assert h1.network.answers


def test_all_is_as_usual_after_a_boot(cluster: SimCluster) -> None:
    h2 = cluster.host("h2")
    h2.bridge("down")
    h2.cpu(0.9)
    h2.memory(100)
    h2.power_off()
    h2.power_on()
    cluster.run_for(120)
    assert measured(h2, "bridge") == 1
    assert measured(h2, "cpu-load") == 0
    assert measured(h2, "mem-free") == 64 * GIB


def test_what_is_told_is_measured_and_the_engine_left_out(cluster: SimCluster) -> None:
    h1 = cluster.host("h1")
    h1.cpu(0.25)
    h1.memory(1024)
    before_s = h1.vitals.cpu_times().busy_s
    cluster.run_for(100)
    busy = (h1.vitals.cpu_times().busy_s - before_s) / 400
    assert busy == pytest.approx(0.25 + 2 / 4, abs=0.01)
    assert measured(h1, "cpu-load") == pytest.approx(0.25)
    assert measured(h1, "mem-free") == GIB


@pytest.mark.parametrize("action", ["bridge", "cpu", "memory"])
def test_a_host_that_is_off_has_no_condition(cluster: SimCluster, action: str) -> None:
    h2 = cluster.host("h2")
    h2.power_off()
    value = "down" if action == "bridge" else 1
    with pytest.raises(SimulationError, match="h2 is off"):
        getattr(h2, action)(value)
