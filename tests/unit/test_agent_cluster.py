"""Agents and brokers together, three hosts, in virtual time; never two engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from metadata.records import EngineVm
from metadata.settings.timing import lease_floor_s
from metadata.states import State
from tests.unit.agent_cluster import BOOT_S, FullCluster, FullHost
from tests.unit.broker_host import JOIN_S, SETTINGS, TICK_S

FLOOR_S = lease_floor_s(SETTINGS.timing.io_timeout_s, 60)


@pytest.fixture
def cluster(tmp_path: Path) -> FullCluster:
    for host_id in (1, 2, 3):
        (tmp_path / f"h{host_id}").mkdir()
    return FullCluster(tmp_path)


@pytest.fixture
def running(cluster: FullCluster) -> tuple[FullCluster, FullHost]:
    host, _ = cluster.wait_healthy(200)
    cluster.run(60)
    return cluster, host


def starts(cluster: FullCluster) -> int:
    return sum(host.vm.calls.count("start") for host in cluster.hosts)


def orders(cluster: FullCluster) -> list[str]:
    return [call for host in cluster.hosts for call in host.vm.calls]


def test_cold_start_one_host_starts_and_all_know_it(cluster: FullCluster) -> None:
    host, seconds = cluster.wait_healthy(200)
    assert host.name == "h1"
    assert seconds < JOIN_S + BOOT_S + 5 * TICK_S
    assert starts(cluster) == 1
    cluster.run(120)
    assert [item.state for item in cluster.hosts] == [
        State.ENGINE_UP,
        State.ENGINE_DOWN,
        State.ENGINE_DOWN,
    ]
    assert orders(cluster) == ["start"]
    views = [cluster.hosts[2].base.view(host_id) for host_id in (1, 2, 3)]
    assert [view.record.score for view in views if view.record] == [3400] * 3
    assert views[0].record is not None
    assert views[0].record.engine_status.vm is EngineVm.UP


def test_power_cut(running: tuple[FullCluster, FullHost]) -> None:
    cluster, host = running
    host.power_off()
    other, seconds = cluster.wait_healthy(FLOOR_S + BOOT_S + 30)
    assert other is not host
    print(f"power cut to healthy: {seconds} s (floor {FLOOR_S} s, boot {BOOT_S} s)")
    assert FLOOR_S - 20 <= seconds - BOOT_S <= FLOOR_S + 8
    host.power_on()
    cluster.run(200)
    assert cluster.healthy_host() is other
    assert host.state is State.ENGINE_DOWN
    assert starts(cluster) == 2


def test_qemu_killed_is_healthy_again_on_the_same_host(
    running: tuple[FullCluster, FullHost],
) -> None:
    cluster, host = running
    host.vm.crash()
    again, seconds = cluster.wait_healthy(BOOT_S + 30)
    assert again is host
    assert seconds <= BOOT_S + 5


def test_agents_and_brokers_stopped_move_nothing(running: tuple[FullCluster, FullHost]) -> None:
    cluster, host = running
    host.agent_runs = host.broker_runs = False
    cluster.run(600)
    assert cluster.runners() == [host]
    assert orders(cluster) == ["start"]
    host.start_broker()
    host.start_agent()
    host.agent_runs = True
    cluster.wait_healthy(30)
    cluster.run(60)
    assert orders(cluster) == ["start"]


def test_storage_hangs_on_the_engines_host(running: tuple[FullCluster, FullHost]) -> None:
    cluster, host = running
    host.base.store.hang()
    host.base.lockspace.hang_storage()
    cluster.run_until("end of the VM", lambda: not host.vm_runs, 100)
    other, _seconds = cluster.wait_healthy(FLOOR_S + BOOT_S + 30)
    assert other is not host
    host.base.store.heal()
    host.base.lockspace.heal_storage()
    cluster.run(300)
    assert cluster.healthy_host() is other
    assert host.state is State.ENGINE_DOWN
    assert starts(cluster) == 2


def test_all_hosts_lose_power(running: tuple[FullCluster, FullHost]) -> None:
    cluster, _host = running
    for item in cluster.hosts:
        item.power_off()
    cluster.base.clock.advance(3600)
    for item in cluster.hosts[1:]:
        item.power_on()
    other, seconds = cluster.wait_healthy(400)
    assert other in cluster.hosts[1:]
    print(f"two of three back to healthy: {seconds} s")


def test_global_maintenance(running: tuple[FullCluster, FullHost]) -> None:
    cluster, host = running
    cluster.hosts[2].base.ask("global", True)
    cluster.run(20)
    assert {item.state for item in cluster.hosts} == {State.GLOBAL_MAINTENANCE}
    host.vm.crash()
    cluster.run(300)
    assert orders(cluster) == ["start"]
    cluster.hosts[1].base.ask("global", False)
    cluster.wait_healthy(BOOT_S + 60)


def test_sanlock_dies_on_the_engines_host_without_a_watchdog(
    running: tuple[FullCluster, FullHost],
) -> None:
    cluster, host = running
    host.base.lockspace.kill_daemon()
    cluster.run_until("end of the VM", lambda: not host.vm_runs, FLOOR_S - 20)
    other, _seconds = cluster.wait_healthy(FLOOR_S + BOOT_S)
    assert other is not host


def test_a_start_that_hangs_lets_another_host_go(cluster: FullCluster) -> None:
    first = cluster.hosts[0]
    first.runner.hang("start")
    other, _seconds = cluster.wait_healthy(300)
    assert other is not first
    first.runner.release("start")
    cluster.run(60)
    assert cluster.runners() == [other]
    assert cluster.healthy_host() is other


def lose_the_release(host: FullHost) -> None:
    """The VM ends while sanlock can't write: the lease stays this host's on the storage."""
    host.base.lockspace.fail_storage()
    host.vm.crash()
    host.base.lockspace.heal_storage()
    assert host.base.cluster.san.lease is not None


def test_a_lease_that_could_not_be_released_is_taken_again_by_its_host(
    running: tuple[FullCluster, FullHost],
) -> None:
    cluster, host = running
    lose_the_release(host)
    limit_s = SETTINGS.timing.turn_s + BOOT_S + 4 * TICK_S
    assert cluster.wait_healthy(limit_s)[0] is host
    assert starts(cluster) == 2


def test_a_lease_left_over_by_a_host_that_went_in_order_is_taken_by_another(
    running: tuple[FullCluster, FullHost],
) -> None:
    cluster, host = running
    host.agent_runs = False
    lose_the_release(host)
    cluster.run(TICK_S)
    host.base.broker.begin_stop()
    assert host.base.lockspace.leave_if_unused(host.base.host_id)
    host.power = False
    other, _ = cluster.wait_healthy(120 + BOOT_S)
    assert other is not host
