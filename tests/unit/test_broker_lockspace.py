# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Joining, losing and leaving the lockspace, and how often the lease is read."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest

from ha_broker.api.snapshot import LeaseState
from ha_broker.lockspace.leave import LEAVE_WITHIN_S, leave_lockspace
from ha_broker.lockspace.membership import LONGEST_PAUSE_S, OVERDUE_IO_TIMEOUTS
from metadata.host_notes import FIRE_TIMEOUT, MACHINE
from metadata.liveness import Liveness
from metadata.records import Health
from metadata.settings.timing import lease_floor_s
from metadata.shared_config import SharedConfig
from tests.unit.broker_host import (
    CONFIG,
    IO_TIMEOUT_S,
    JOIN_S,
    SETTINGS,
    TICK_S,
    UP,
    Cluster,
    Host,
)
from world.ports.errors import LockspaceError
from world.ports.libvirt import Domain, DomainState, Ending
from world.ports.sanlock import Membership


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def host(cluster: Cluster, tmp_path: Path) -> Host:
    return cluster.host(1, tmp_path)


def joined(cluster: Cluster) -> None:
    cluster.run(JOIN_S + 3)


def stop(cluster: Cluster, host: Host, allowed_s: float = 15.0) -> bool:
    """As the daemon does at SIGTERM; did it end in time?"""
    host.broker.begin_stop()
    cluster.run(0)
    host._wake()
    cluster.run(allowed_s)
    return host.broker.stopped


def test_does_not_join_anew_under_a_vm_that_would_lose_its_lease(
    cluster: Cluster, host: Host
) -> None:
    joined(cluster)
    host.hypervisor.start("<domain/>")
    host.lockspace.kill_daemon()
    cluster.run(2 * TICK_S)
    host.lockspace.start_daemon()
    cluster.run(JOIN_S + 2 * TICK_S)
    assert host.snapshot.lockspace.membership == Membership.OUT
    assert "lose its lease" in host.snapshot.lockspace.error
    host.hypervisor.end(Ending.STOPPED)
    cluster.run(JOIN_S + 2 * TICK_S)
    assert host.snapshot.lockspace.membership == Membership.JOINED


def test_does_not_join_before_libvirt_tells_of_the_vm(cluster: Cluster, host: Host) -> None:
    host.hypervisor.disappear()
    cluster.run(JOIN_S + 2 * TICK_S)
    assert host.snapshot.lockspace.membership == Membership.OUT
    assert "waits for libvirt" in host.snapshot.lockspace.error
    host.hypervisor.reappear()
    joined(cluster)
    assert host.snapshot.lockspace.membership == Membership.JOINED


# --- joining -----------------------------------------------------------------------------------


def test_joins_with_the_clusters_io_timeout(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S - 1)
    assert host.snapshot.lockspace.membership == Membership.JOINING
    assert host.snapshot.lease.state == LeaseState.UNKNOWN
    cluster.run(4)
    assert host.snapshot.lockspace.membership == Membership.JOINED
    assert host.snapshot.lockspace.error == ""
    assert cluster.san.slots[1].io_timeout_s == IO_TIMEOUT_S
    assert cluster.san.slots[1].owner_name == "h1"
    assert host.snapshot.lease.state == LeaseState.FREE


def test_a_broker_that_restarts_finds_itself_joined(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    host.start()
    cluster.run(1)
    assert host.snapshot.lockspace.membership == Membership.JOINED
    assert "join" not in host.runner.submitted
    assert host.snapshot.lease.state == LeaseState.FREE


def test_a_missing_lockspace_is_said_once_and_tried_again(
    cluster: Cluster, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.san.lockspace_formatted = False
    with caplog.at_level(logging.INFO):
        cluster.run(120)
    assert "there is no lockspace on the storage" in host.snapshot.lockspace.error
    lines = [line for line in caplog.messages if line.startswith("lockspace: ")]
    assert len(lines) == 1, lines
    tries = host.runner.submitted.count("join")
    assert 120 / LONGEST_PAUSE_S <= tries <= 13
    cluster.san.lockspace_formatted = True
    cluster.run(LONGEST_PAUSE_S + JOIN_S + 3)
    assert host.snapshot.lockspace.membership == Membership.JOINED


def test_sanlock_that_does_not_run_is_no_reason_to_join(cluster: Cluster, host: Host) -> None:
    host.lockspace.kill_daemon()
    cluster.run(30)
    assert "does not answer" in host.snapshot.lockspace.error
    assert host.snapshot.lease.state == LeaseState.UNKNOWN
    assert "join" not in host.runner.submitted
    host.lockspace.start_daemon()
    cluster.run(JOIN_S + 5)
    assert host.snapshot.lockspace.membership == Membership.JOINED


def test_what_sanlock_said_of_hosts_ends_with_its_first_error(cluster: Cluster, host: Host) -> None:
    """A peer that died since must not pass for alive on the word of a daemon that is gone."""
    run_engine_on(cluster, host)
    assert host.view(2).liveness == Liveness.LIVE
    host.lockspace.kill_daemon()
    cluster.run(TICK_S)
    assert host.view(2).liveness == Liveness.UNKNOWN
    assert host.view(2).generation == 0
    assert dict(host.broker.renewed_at_s) == {}


def test_sanlock_that_hangs_makes_everything_unknown(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    host.runner.hang("sanlock")
    cluster.run(13)
    assert "sanlock has not answered since" in host.snapshot.lockspace.error
    assert host.snapshot.lease.state == LeaseState.UNKNOWN


def test_joins_again_when_storage_comes_back(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    cluster.run(IO_TIMEOUT_S)  # sanlock lists the hosts
    host.lockspace.hang_storage()
    cluster.run(8 * IO_TIMEOUT_S + 2)
    assert host.snapshot.lockspace.membership != Membership.JOINED
    assert host.snapshot.lockspace.error
    cluster.run(60)
    host.lockspace.heal_storage()
    cluster.run(LONGEST_PAUSE_S + JOIN_S + 5)
    assert host.snapshot.lockspace.membership == Membership.JOINED
    assert host.snapshot.lockspace.error == ""


def test_another_hosts_id_is_an_error(cluster: Cluster, tmp_path: Path) -> None:
    cluster.peer(1)
    host = cluster.host(1, tmp_path, name="other")
    cluster.run(8 * IO_TIMEOUT_S + 65)
    assert "another machine uses the same host id, h1 " in host.snapshot.lockspace.error
    assert "this one is other " in host.snapshot.lockspace.error


def test_joined_with_another_id(cluster: Cluster, host: Host) -> None:
    host.lockspace.join(9, int(IO_TIMEOUT_S))
    cluster.run(20)
    assert "host id 9" in host.snapshot.lockspace.error
    assert host.snapshot.lockspace.membership == Membership.OUT


# --- stopping ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [None, DomainState.RUNNING, DomainState.PAUSED])
def test_a_stop_stays_in_the_lockspace(
    cluster: Cluster, host: Host, state: Optional[DomainState]
) -> None:
    joined(cluster)
    if state is not None:
        host.hypervisor.set_domain(Domain(state, pid=44))
        cluster.run(TICK_S)
    assert stop(cluster, host)
    assert "STOPPING=1" in host.services.calls
    assert host.lockspace.membership(1) == Membership.JOINED
    assert host.runner.submitted.count("join") == 1


def test_a_stop_during_the_join_ends_at_once_and_leaves_it_to_sanlock(
    cluster: Cluster, host: Host
) -> None:
    cluster.run(10)
    assert stop(cluster, host, allowed_s=0)
    cluster.run(JOIN_S)
    assert host.lockspace.membership(1) == Membership.JOINED


def test_joins_no_more_once_told_to_stop(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    host.broker.begin_stop()
    assert host.lockspace.leave_if_unused(1)
    cluster.run(JOIN_S + 2 * TICK_S)
    assert host.lockspace.membership(1) == Membership.OUT


# --- leaving, when the host shuts down -----------------------------------------------------------


def leave(cluster: Cluster, host: Host, host_id: int = 1) -> bool:
    return leave_lockspace(host.lockspace, host_id, cluster.clock, cluster.run)


def test_a_host_that_shuts_down_leaves(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    host.broker.begin_stop()
    assert leave(cluster, host)
    assert cluster.san.slots[1].timestamp == 0
    assert leave(cluster, host)  # again: there is nothing to do


def test_leaving_waits_for_a_guest_that_is_about_to_end(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    host.broker.begin_stop()
    host.lockspace.acquire(55)
    slept = []

    def sleep(seconds: float) -> None:
        assert host.lockspace.holders == {55}
        assert cluster.san.slots[1].timestamp != 0
        slept.append(seconds)
        if len(slept) == 3:
            host.lockspace.release(55)
        cluster.run(seconds)

    assert leave_lockspace(host.lockspace, 1, cluster.clock, sleep)
    assert cluster.san.slots[1].timestamp == 0 and len(slept) == 3


def test_leaving_never_takes_the_lease_of_a_guest_that_does_not_end(
    cluster: Cluster, host: Host
) -> None:
    joined(cluster)
    host.broker.begin_stop()
    host.lockspace.acquire(55)
    before_s = cluster.clock.monotonic_s()
    assert not leave(cluster, host)
    assert cluster.clock.monotonic_s() - before_s <= LEAVE_WITHIN_S + 1
    assert host.lockspace.holders == {55}
    assert cluster.san.slots[1].timestamp != 0


def test_a_join_under_way_is_left_when_it_is_done(cluster: Cluster, host: Host) -> None:
    cluster.run(10)
    host.broker.begin_stop()
    assert host.lockspace.membership(1) == Membership.JOINING
    assert leave(cluster, host)
    assert cluster.san.slots[1].timestamp == 0


def test_a_host_without_sanlock_has_nothing_to_leave(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    host.lockspace.kill_daemon()
    assert leave(cluster, host)


def test_another_id_is_not_left_for_ours(cluster: Cluster, host: Host) -> None:
    host.lockspace.join(9, int(IO_TIMEOUT_S))
    with pytest.raises(LockspaceError, match="9"):
        leave(cluster, host)


# --- the lease -----------------------------------------------------------------------------------


def lease_reads(cluster: Cluster, host: Host, seconds: float) -> int:
    before = host.runner.submitted.count("lease")
    cluster.run(seconds)
    return host.runner.submitted.count("lease") - before


def run_engine_on(
    cluster: Cluster, host: Host, host_id: int = 2, notes: tuple[tuple[str, str], ...] = ()
) -> object:
    """A healthy engine on a peer, seen by `host`."""
    peer = cluster.peer(host_id)
    cluster.run(60)
    peer.acquire(99)
    for timestamp_s in range(3):
        cluster.put_record(
            host_id, timestamp_s=timestamp_s, engine_status=UP, state="EngineUp", notes=notes
        )
        cluster.run(TICK_S)
    assert host.snapshot.lease.state == LeaseState.HELD
    return peer


def test_read_each_second_while_no_healthy_engine_is_known(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    assert 9 <= lease_reads(cluster, host, 10) <= 11


def test_read_each_tick_while_a_healthy_engine_is_known(cluster: Cluster, host: Host) -> None:
    run_engine_on(cluster, host)
    assert lease_reads(cluster, host, 6 * TICK_S) == 6
    assert host.snapshot.lease.owner_id == 2


def test_read_each_second_once_the_owners_agent_has_stopped(cluster: Cluster, host: Host) -> None:
    """So begins a host's shutdown, at the end of which the lease is free."""
    peer = run_engine_on(cluster, host)
    cluster.put_record(2, timestamp_s=9, engine_status=UP, state="AgentStopped", stopped=True)
    cluster.run(TICK_S)
    assert 9 <= lease_reads(cluster, host, 10) <= 11
    peer.release(99)  # type: ignore[attr-defined]
    cluster.run(1.1)
    assert host.snapshot.lease.state == LeaseState.FREE


def test_a_stopped_agents_record_is_not_waited_for(cluster: Cluster, host: Host) -> None:
    """It has the engine to its end; nobody writes what became of it."""
    peer = run_engine_on(cluster, host)
    cluster.put_record(2, timestamp_s=9, engine_status=UP, state="AgentStopped", stopped=True)
    cluster.run(TICK_S)
    peer.release(99)  # type: ignore[attr-defined]
    cluster.run(2)
    before = host.runner.submitted.count("read")
    cluster.run(2 * TICK_S)
    assert host.runner.submitted.count("read") - before == 2


def test_read_each_second_once_the_owner_is_not_live(cluster: Cluster, host: Host) -> None:
    peer = run_engine_on(cluster, host)
    peer.power_off()  # type: ignore[attr-defined]
    cluster.run(8 * IO_TIMEOUT_S + 2 * IO_TIMEOUT_S + 3)
    assert host.view(2).liveness == Liveness.FAIL
    assert 9 <= lease_reads(cluster, host, 10) <= 11
    assert host.snapshot.lease.state == LeaseState.HELD


@pytest.mark.parametrize("fire_timeout_s", [60, 30])
def test_free_when_the_owner_was_silent_for_the_floor_not_when_sanlock_says_dead(
    cluster: Cluster, host: Host, fire_timeout_s: int
) -> None:
    host.lockspace.fire_timeout = fire_timeout_s
    peer = run_engine_on(cluster, host, notes=says(fire_timeout_s))
    peer.power_off()  # type: ignore[attr-defined]
    renewed_at_s = cluster.san.slots[2].timestamp
    floor_s = lease_floor_s(IO_TIMEOUT_S, fire_timeout_s)
    while host.snapshot.lease.state != LeaseState.FREE:
        cluster.run(0.5)
        assert cluster.clock.monotonic_s() - renewed_at_s < floor_s + 60
    free_after_s = cluster.clock.monotonic_s() - renewed_at_s
    # Our daemon sees a renewal up to one of its own later, and we look at that once a tick.
    assert floor_s - TICK_S <= free_after_s <= floor_s + 2 * IO_TIMEOUT_S + 1
    assert host.snapshot.lease.owner_id == 2  # kept for people
    assert host.view(2).liveness == Liveness.FAIL
    host.lockspace.acquire(77)  # it can be had
    assert "silent for sanlock's whole time" in host.snapshot.lease.why


def test_read_at_once_when_the_domain_here_changes(cluster: Cluster, host: Host) -> None:
    run_engine_on(cluster, host)
    before = host.runner.submitted.count("lease")
    host.hypervisor.set_domain(Domain(DomainState.RUNNING, pid=3))
    host.settle()
    assert host.runner.submitted.count("lease") >= before + 1


def test_our_own_engine_is_held_by_us(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    host.hypervisor.start("<domain/>")
    host.settle()
    assert (host.snapshot.lease.state, host.snapshot.lease.owner_id) == (LeaseState.HELD, 1)
    host.hypervisor.crash()
    host.settle()
    assert host.snapshot.lease.state == LeaseState.FREE


def test_a_lease_that_can_not_be_read_is_unknown(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    cluster.san.lease_formatted = False
    cluster.run(TICK_S)
    assert host.snapshot.lease.state == LeaseState.UNKNOWN
    assert "there is no lease on the storage" in host.snapshot.lease.why


def test_a_lease_read_that_hangs_makes_it_unknown(cluster: Cluster, host: Host) -> None:
    joined(cluster)
    host.runner.hang("lease")
    cluster.run(2 * TICK_S + IO_TIMEOUT_S + 3)
    assert host.snapshot.lease.state == LeaseState.UNKNOWN


def looks(cluster: Cluster, host: Host, seconds: float) -> int:
    """How often sanlock is asked for its hosts in that time."""
    before = host.runner.submitted.count("sanlock")
    cluster.run(seconds)
    return host.runner.submitted.count("sanlock") - before


def test_calm_hosts_are_asked_about_each_tick(cluster: Cluster, host: Host) -> None:
    run_engine_on(cluster, host)
    assert looks(cluster, host, 2 * TICK_S) == 2


def test_hosts_are_asked_about_twice_a_second_once_the_engines_renews_no_more(
    cluster: Cluster, host: Host
) -> None:
    owner = run_engine_on(cluster, host)
    cluster.run(8 * TICK_S)  # its record does not change
    assert looks(cluster, host, TICK_S) == 1, "sanlock shows that the host lives"
    owner.kill_daemon()
    cluster.run(OVERDUE_IO_TIMEOUTS * IO_TIMEOUT_S + TICK_S)
    assert host.view(2).liveness == Liveness.LIVE
    assert looks(cluster, host, TICK_S) == 10


def test_looks_that_bring_nothing_new_are_no_cycles(cluster: Cluster, host: Host) -> None:
    owner = run_engine_on(cluster, host)
    owner.kill_daemon()
    cluster.run(OVERDUE_IO_TIMEOUTS * IO_TIMEOUT_S + TICK_S)
    shown_at_s = set()
    asked = host.runner.submitted.count("sanlock")
    while host.view(2).liveness == Liveness.LIVE:
        shown_at_s.add(host.snapshot.taken_at_s)
        cluster.run(0.1)
    quick_looks = host.runner.submitted.count("sanlock") - asked
    assert len(shown_at_s) < quick_looks
    assert cluster.clock.monotonic_s() - host.snapshot.taken_at_s < 0.5, "news are shown at once"


@pytest.mark.parametrize(("tick_s", "interval_s"), [(1.0, 2.0), (4.0, 4.0), (12.0, 12.0)])
def test_a_calm_look_follows_the_tick_from_two_seconds_on(
    host: Host, cluster: Cluster, tick_s: float, interval_s: float
) -> None:
    timing = replace(SETTINGS.timing, tick_s=tick_s, turn_s=60.0, away_s=60.0)
    cluster.put_config(SharedConfig(5, replace(SETTINGS, timing=timing), "<domain/>"))
    joined(cluster)
    host.lockspace.acquire(7)
    host.hypervisor.set_domain(Domain(DomainState.RUNNING, pid=7))
    host.page.set(True)
    cluster.run(3 * tick_s)
    assert host.snapshot.engine.health == Health.GOOD
    assert looks(cluster, host, 60) == 60 / interval_s


# --- sanlock's watchdog time --------------------------------------------------------------------


def says(fire_timeout_s: int) -> tuple[tuple[str, str], ...]:
    return ((MACHINE, "0123456789ab"), (FIRE_TIMEOUT, str(fire_timeout_s)))


def write_as_member(cluster: Cluster, seconds: float, fire_timeout_s: int) -> None:
    """Host 2's record goes on."""
    for timestamp_s in range(int(seconds / TICK_S)):
        notes = says(fire_timeout_s)
        cluster.put_record(2, timestamp_s=1000 + timestamp_s, notes=notes)
        cluster.run(TICK_S)


def test_a_members_record_tells_its_watchdog_time(cluster: Cluster, host: Host) -> None:
    host.vitals.machine_id = "m1"
    host.start()
    host.lockspace.fire_timeout = 30
    cluster.run(1)
    host.publish()
    cluster.run(1)
    notes = dict(cluster.stored(1).notes)
    assert MACHINE in notes
    assert FIRE_TIMEOUT not in notes, "it has not joined"
    joined(cluster)
    host.publish()
    cluster.run(1)
    assert dict(cluster.stored(1).notes)[FIRE_TIMEOUT] == "30"
    assert host.snapshot.lockspace.fire_timeout_s == 30


@pytest.mark.parametrize(("own_s", "other_s"), [(30, 60), (60, 30)])
def test_does_not_join_living_members_with_another_watchdog_time(
    cluster: Cluster, host: Host, own_s: int, other_s: int
) -> None:
    host.lockspace.fire_timeout = own_s
    write_as_member(cluster, 30 * TICK_S, other_s)
    assert host.snapshot.lockspace.membership == Membership.OUT
    assert "join" not in host.runner.submitted
    error = host.snapshot.lockspace.error
    assert f"{own_s} s on this host (h1) and {other_s} s on h2" in error
    host.lockspace.kill_daemon()
    cluster.run(3)
    host.lockspace.fire_timeout = other_s
    host.lockspace.start_daemon()
    write_as_member(cluster, JOIN_S + 4 * TICK_S, other_s)
    assert host.snapshot.lockspace.membership == Membership.JOINED


def test_what_a_dead_host_ran_with_hinders_nobody(cluster: Cluster, host: Host) -> None:
    cluster.put_record(2, notes=says(30))
    cluster.run(SETTINGS.timing.alive_s - TICK_S)
    assert host.snapshot.lockspace.membership == Membership.OUT, "it may live"
    cluster.run(JOIN_S + 2 * TICK_S)
    assert host.snapshot.lockspace.membership == Membership.JOINED


def test_older_hosts_have_the_usual_watchdog_time(cluster: Cluster, host: Host) -> None:
    host.lockspace.fire_timeout = 30
    for timestamp_s in range(4):
        cluster.put_record(2, timestamp_s=1000 + timestamp_s)
        cluster.run(TICK_S)
    assert "60 s on h2" in host.snapshot.lockspace.error


@pytest.mark.parametrize(("own_s", "other_s", "state"), [
    (30, 60, LeaseState.UNKNOWN),
    (60, 30, LeaseState.FREE),
    (60, 60, LeaseState.FREE),
])  # fmt: skip
def test_of_two_members_who_differ_the_one_with_the_shorter_time_takes_nothing(
    cluster: Cluster, host: Host, own_s: int, other_s: int, state: str
) -> None:
    """Both joined at the same moment, and neither could know of the other."""
    host.lockspace.fire_timeout = own_s
    joined(cluster)
    cluster.peer(2)
    write_as_member(cluster, 4 * TICK_S, other_s)
    assert host.snapshot.lockspace.membership == Membership.JOINED
    assert host.snapshot.lease.state == state
    told = "watchdog_fire_timeout is 30 s on this host (h1) and 60 s on h2"
    assert (told in host.snapshot.lease.why) == (own_s < other_s)


def test_a_watchdog_time_that_the_clusters_times_do_not_allow(tmp_path: Path) -> None:
    timing = replace(SETTINGS.timing, io_timeout_s=2)
    cluster = Cluster(replace(CONFIG, settings=replace(SETTINGS, timing=timing)))
    host = cluster.host(1, tmp_path)
    host.lockspace.fire_timeout = 10
    joined(cluster)
    assert host.snapshot.lockspace.membership == Membership.OUT
    error = host.snapshot.lockspace.error
    assert "with sanlock's watchdog_fire_timeout of 10 s here, " in error
    assert "must be at most" in error


def test_a_watchdog_time_that_changes_just_before_the_join(cluster: Cluster, host: Host) -> None:
    asked = iter([60, 30, 30, 30, 30, 30])
    host.lockspace.fire_timeout_s = lambda: next(asked, 30)  # type: ignore[method-assign]
    joined(cluster)
    cluster.run(10)
    assert host.snapshot.lockspace.fire_timeout_s == 30
    assert host.snapshot.lockspace.membership == Membership.JOINED
    assert host.runner.submitted.count("join") == 2
