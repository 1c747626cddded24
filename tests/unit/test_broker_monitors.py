# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine's domain and health, the gateway, and what the service manager is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ha_broker.monitors.engine import LIBVIRT_DEADLINE_S
from metadata.records import Health
from metadata.settings.parse import ClusterSettings
from tests.unit.broker_host import CONFIG, JOIN_S, SETTINGS, TICK_S, Cluster, Host
from world.ports.errors import WorldError
from world.ports.libvirt import Domain, DomainState, Pause
from world.ports.network import HealthReading
from world.vm.domain_states import paused


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def host(cluster: Cluster, tmp_path: Path) -> Host:
    return cluster.host(1, tmp_path)


@pytest.fixture
def running(cluster: Cluster, host: Host) -> Host:
    """The engine's domain runs here, its page is not good yet."""
    cluster.run(JOIN_S + 3)
    host.hypervisor.start("<domain/>")
    host.settle()
    return host


def test_the_domain_is_unknown_before_its_name_is(tmp_path: Path) -> None:
    cluster = Cluster(config=None)
    host = cluster.host(1, tmp_path)
    cluster.run(30)
    assert host.snapshot.engine.domain == DomainState.UNKNOWN
    assert "domain" not in host.runner.submitted


def test_an_event_is_seen_at_once(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    assert host.snapshot.engine.domain == DomainState.ABSENT
    host.hypervisor.set_domain(paused(Pause.IOERROR, 7))
    host.settle()
    assert host.snapshot.engine.domain == DomainState.PAUSED
    assert host.snapshot.engine.detail == "its disk can't be read or written (I/O error)"


def test_polling_catches_what_no_event_told(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    host.hypervisor._domain = Domain(DomainState.RUNNING, pid=7)
    cluster.run(TICK_S)
    assert host.snapshot.engine.domain == DomainState.RUNNING


def test_libvirt_that_is_gone_or_hangs(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    host.hypervisor.disappear()
    host.settle()
    assert host.snapshot.engine.domain == DomainState.UNKNOWN
    host.hypervisor.reappear()
    host.settle()
    assert host.snapshot.engine.domain == DomainState.ABSENT
    host.runner.hang("domain")
    cluster.run(TICK_S + LIBVIRT_DEADLINE_S + 1)
    assert host.snapshot.engine.domain == DomainState.UNKNOWN
    host.runner.release("domain")
    cluster.run(TICK_S)
    assert host.snapshot.engine.domain == DomainState.ABSENT


# --- health ------------------------------------------------------------------------------------


def test_the_page_is_looked_at_only_while_the_domain_runs(cluster: Cluster, host: Host) -> None:
    cluster.run(60)
    assert host.page.calls == []
    host.hypervisor.set_domain(Domain(DomainState.PAUSED, pid=7))
    cluster.run(20)
    assert host.page.calls == []
    assert host.snapshot.engine.health == Health.UNKNOWN


def test_each_second_until_good_then_each_tick(cluster: Cluster, running: Host) -> None:
    cluster.run(10)
    assert 10 <= len(running.page.calls) <= 12
    assert running.snapshot.engine.health == Health.BAD
    running.page.set(True, "DB Up!")
    cluster.run(1)
    assert running.snapshot.engine.health == Health.GOOD
    assert running.snapshot.engine.detail == "DB Up!"
    calls = len(running.page.calls)
    cluster.run(4 * TICK_S)
    assert len(running.page.calls) - calls == 4


def test_one_failed_look_does_not_flap(cluster: Cluster, running: Host) -> None:
    running.page.set(True, "DB Up!")
    cluster.run(2)
    sequence = running.snapshot.sequence
    calls = len(running.page.calls)
    running.page.set(False, "timed out")
    while len(running.page.calls) == calls:
        cluster.run(0.5)
    running.page.set(True, "DB Up!")
    cluster.run(TICK_S)
    assert running.snapshot.sequence == sequence
    assert running.snapshot.engine.health == Health.GOOD


def test_two_failed_looks_are_bad(cluster: Cluster, running: Host) -> None:
    running.page.set(True, "DB Up!")
    cluster.run(2)
    running.page.set(False, "timed out")
    cluster.run(TICK_S + 1)
    assert running.snapshot.engine.health == Health.BAD
    assert running.snapshot.engine.detail == "timed out"


def test_looks_that_can_not_be_made_say_nothing_of_the_engine(
    cluster: Cluster, running: Host
) -> None:
    running.page.set(True, "DB Up!")
    cluster.run(2)
    running.page.reading = HealthReading(False, "no such name", known=False)
    cluster.run(TICK_S + 1)
    assert running.snapshot.engine.health == Health.UNKNOWN
    assert running.snapshot.engine.detail == "no such name"
    running.page.set(False, "timed out")
    cluster.run(TICK_S + 1)
    assert running.snapshot.engine.health == Health.BAD


@pytest.mark.parametrize("good", [True, False])
def test_one_look_that_can_not_be_made_does_not_flap(
    cluster: Cluster, running: Host, good: bool
) -> None:
    running.page.set(good, "as it is")
    cluster.run(4)
    before = running.snapshot.engine.health
    sequence = running.snapshot.sequence
    calls = len(running.page.calls)
    running.page.reading = HealthReading(False, "no such name", known=False)
    while len(running.page.calls) == calls:
        cluster.run(0.5)
    running.page.set(good, "as it is")
    cluster.run(TICK_S)
    assert running.snapshot.sequence == sequence
    assert running.snapshot.engine.health == before


def test_a_new_process_begins_with_unknown_health(cluster: Cluster, running: Host) -> None:
    running.page.set(True, "DB Up!")
    cluster.run(2)
    running.runner.hang("health")
    cluster.run(TICK_S)  # a look at the old process is under way
    running.hypervisor.set_domain(Domain(DomainState.RUNNING, pid=99999))
    running.settle()
    assert running.snapshot.engine.health == Health.UNKNOWN
    running.runner.release("health")
    running.settle()
    assert running.runner.submitted.count("health") >= 3
    assert running.snapshot.engine.health == Health.GOOD  # from a look at the new one


def test_without_an_address_health_stays_unknown(tmp_path: Path) -> None:
    cluster = Cluster(config=replace(CONFIG, settings=ClusterSettings()))
    host = cluster.host(1, tmp_path)
    host.hypervisor.set_domain(Domain(DomainState.RUNNING, pid=7))
    cluster.run(60)
    assert host.page.calls == []
    assert host.snapshot.engine.health == Health.UNKNOWN


# --- the network ---------------------------------------------------------------------------------

WINDOW = SETTINGS.network.probes


def test_unknown_before_the_first_probe(cluster: Cluster, host: Host) -> None:
    host.runner.hang("monitor:network")
    cluster.run(20)
    network = host.monitor("network")
    assert (network.value, network.detail) == (None, "not measured yet")
    assert "no result since" in network.trouble


def test_unknown_without_a_gateway(cluster: Cluster, tmp_path: Path) -> None:
    host = cluster.host(1, tmp_path, gateway="")
    cluster.run(20)
    assert host.network.calls == []
    network = host.monitor("network")
    assert (network.value, network.detail) == (None, "not configured")


def test_one_lost_probe_weighs_little_and_passes(cluster: Cluster, host: Host) -> None:
    cluster.run(WINDOW * TICK_S)
    host.network.script = [False]
    cluster.run(TICK_S)
    assert host.monitor("network").value == 1 - 1 / WINDOW
    cluster.run(WINDOW * TICK_S)
    assert host.monitor("network").value == 1


def test_a_dead_gateway_weighs_fully(cluster: Cluster, host: Host) -> None:
    host.network.answers = False
    cluster.run(WINDOW * TICK_S)
    assert host.monitor("network").value == 0


def test_a_probe_that_can_not_be_made_is_no_failed_probe(
    cluster: Cluster, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(address: str, timeout_s: float) -> bool:
        raise WorldError(f"ping {address}", "not permitted")

    cluster.run(TICK_S)
    monkeypatch.setattr(host.network, "ping", refuse)
    cluster.run(TICK_S)
    network = host.monitor("network")
    assert (network.value, network.trouble) == (1, "can't ping gw: not permitted")
    cluster.run(10 * TICK_S)
    assert host.monitor("network").value is None


# --- the service manager -------------------------------------------------------------------------


def test_alive_only_while_the_cycle_turns(cluster: Cluster, host: Host) -> None:
    cluster.run(60)
    told = host.services.calls.count("WATCHDOG=1")
    assert 10 <= told <= 14
    cluster.clock.advance(100)  # nobody ticks
    assert host.services.calls.count("WATCHDOG=1") == told


def test_the_status_line_changes_only_with_facts(cluster: Cluster, host: Host) -> None:
    cluster.run(60)
    lines = [call for call in host.services.calls if call.startswith("STATUS=")]
    cluster.run(60)
    assert [call for call in host.services.calls if call.startswith("STATUS=")] == lines
    assert host.services.status_text == (
        "host 1 (h1); lockspace joined; lease free; engine absent here, health unknown; "
        "storage ok; 1 hosts in use"
    )
