# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What every `Lockspace` does, shown on the fake and on real sanlock daemons (io_timeout 1).

The real ones by sanlock's Python binding and by our own of libsanlock: no test tells them apart.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Optional

import pytest

from metadata.liveness import Liveness
from tests.contract import slow_story
from tests.contract.clusters import (
    IO_TIMEOUT_S,
    Cluster,
    Elsewhere,
    Host,
    RealHost,
    Stored,
    failure,
    fake_cluster,
    joined,
    liveness,
    real_cluster,
    wait_for,
)
from tests.contract.places import TIME_FACTOR
from tests.contract.real_story import RealStory
from tests.contract.sanlock_hosts import Binding
from world.ports.errors import LockspaceGoneError
from world.ports.sanlock import (
    HostPlace,
    LeaseOnStorage,
    LeaseOwner,
    LockspaceOnStorage,
    Membership,
)
from world.storage.sanlock_lockspace import ACQUIRE_IDLIVE, LEADER_MAGIC

JOIN_LIMIT_S = 5.0 * TIME_FACTOR


both_bindings = pytest.mark.parametrize("binding", Binding, ids=lambda one: one.name.lower())


@pytest.fixture(
    params=[None, *Binding], ids=["fake", *(f"real-{one.name.lower()}" for one in Binding)]
)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    real = request.param
    with real_cluster(binding=real) if real else fake_cluster() as cluster:
        yield cluster


@pytest.fixture
def formatted(cluster: Cluster) -> Cluster:
    cluster.host("h1").call("format_lockspace", IO_TIMEOUT_S)
    cluster.host("h1").call("format_lease")
    return cluster


# --- the storage ----------------------------------------------------------------------------


def test_unformatted_storage_holds_nothing(cluster: Cluster) -> None:
    host = cluster.host("h1")
    assert host.call("read_lockspace") is None
    assert host.call("read_lease") is None
    assert failure(lambda: host.call("lease_owner")).errno == LEADER_MAGIC
    assert failure(lambda: host.call("join", 1, IO_TIMEOUT_S)).errno == LEADER_MAGIC
    assert host.call("membership", 1) == Membership.OUT


def test_formatted_storage_tells_what_it_is(formatted: Cluster) -> None:
    host = formatted.host("h2")
    assert host.call("read_lockspace") == LockspaceOnStorage("hosted-engine", IO_TIMEOUT_S)
    assert host.call("read_lease") == LeaseOnStorage("hosted-engine", "engine")
    assert host.call("lease_owner") is None


def test_a_host_that_has_joined_does_not_format(formatted: Cluster) -> None:
    assert formatted.host("h1").call("joined_elsewhere") == ""
    (host,) = joined(formatted, "h1")
    assert host.call("joined_elsewhere") == ""
    assert failure(lambda: host.call("format_lockspace", 1)).errno == errno.EBUSY
    assert failure(lambda: host.call("format_lease")).errno == errno.EBUSY
    assert host.call("membership", 1) == Membership.JOINED


# --- membership -----------------------------------------------------------------------------


def test_joining(formatted: Cluster) -> None:
    host = formatted.host("h1")
    assert host.call("membership", 1) == Membership.OUT
    begun_s = formatted.now_s()
    join = host.begin_join(1)
    wait_for(formatted, lambda: host.call("membership", 1) == Membership.JOINING, JOIN_LIMIT_S)
    join.finish()
    assert formatted.now_s() - begun_s >= 2 * IO_TIMEOUT_S
    assert host.call("membership", 1) == Membership.JOINED
    assert host.call("membership", 2) == Membership.OUT


def test_joining_twice_is_fine_and_with_another_id_is_not(formatted: Cluster) -> None:
    (host,) = joined(formatted, "h1")
    begun_s = formatted.now_s()
    host.call("join", 1, IO_TIMEOUT_S)
    assert formatted.now_s() - begun_s < 2 * IO_TIMEOUT_S * TIME_FACTOR
    assert failure(lambda: host.call("join", 2, IO_TIMEOUT_S)).errno == errno.EINVAL
    assert host.call("membership", 1) == Membership.JOINED
    assert failure(lambda: host.call("leave_if_unused", 2)).errno == errno.EINVAL


def test_a_join_under_way_is_waited_for(formatted: Cluster) -> None:
    host = formatted.host("h1")
    first, second = host.begin_join(1), host.begin_join(1)
    second.finish()
    assert host.call("membership", 1) == Membership.JOINED
    first.finish()


def test_the_watchdog_time_is_asked_of_the_daemon(formatted: Cluster) -> None:
    host = formatted.host("h1")
    assert host.call("fire_timeout_s") == 60
    host.kill_daemon()
    assert isinstance(failure(lambda: host.call("fire_timeout_s")), LockspaceGoneError)


def test_a_host_ids_place_on_the_storage(formatted: Cluster) -> None:
    """Readable by those who have not joined; it changes with each renewal and with each life."""
    watcher = formatted.host("h3")
    assert_free(watcher.call("place", 1))
    first, second = joined(formatted, "h1", "h2")
    for host_id in (1, 2):
        seen = watcher.call("place", host_id)
        assert (seen.owner_name, seen.generation) == (f"h{host_id}", 1)
        assert seen.timestamp > 0
    before = watcher.call("place", 2)
    wait_for(formatted, lambda: watcher.call("place", 2) != before, 10)
    assert first.call("leave_if_unused", 1) is True
    assert_free(watcher.call("place", 1))
    second.kill_daemon()
    dead = watcher.call("place", 2)
    second.start_daemon()
    second.call("join", 2, IO_TIMEOUT_S)
    assert watcher.call("place", 2).generation == dead.generation + 1


def test_what_stands_on_the_storage_is_what_is_read_without_a_daemon(formatted: Cluster) -> None:
    """Commands read it (`metadata.sanlock_disk`) where no daemon can tell."""
    watcher = formatted.host("h3")
    stored = formatted.stored()
    assert (stored.hosts, stored.config_lease) == ({}, None)
    assert_lease(stored, (0, 0))
    first, second = joined(formatted, "h1", "h2")
    pid = first.acquire()
    stored = formatted.stored()
    assert {number: one.resource for number, one in stored.hosts.items()} == {1: "h1", 2: "h2"}
    for number, one in stored.hosts.items():
        assert (one.lockspace, one.owner_id, one.generation) == ("hosted-engine", number, 1)
        assert (one.in_use, one.io_timeout_s) == (True, IO_TIMEOUT_S)
    assert_lease(stored, (1, 1))
    first.release(pid)
    second.call("leave_if_unused", 2)
    stored = formatted.stored()
    assert (stored.hosts[1].in_use, stored.hosts[2].in_use) == (True, False)
    assert stored.hosts[2].generation == 1
    assert stored.lease is not None and not stored.lease.in_use
    second.call("format_config_lease")
    second.call("join", 2, IO_TIMEOUT_S)
    second.call("take_config_lease")
    stored = formatted.stored()
    assert stored.config_lease is not None and stored.config_lease.in_use
    assert (stored.config_lease.resource, stored.config_lease.owner_id) == ("config", 2)
    assert stored.hosts[2].generation == stored.config_lease.generation == 2
    first.call("leave_if_unused", 1)
    second.end_callers()
    second.call("leave_if_unused", 2)
    watcher.call("format_lockspace", IO_TIMEOUT_S)
    assert formatted.stored().hosts == {}


def assert_lease(stored: Stored, owner: tuple[int, int]) -> None:
    lease = stored.lease
    assert lease is not None
    assert (lease.lockspace, lease.resource, lease.sector_size) == ("hosted-engine", "engine", 512)
    assert (lease.in_use, (lease.owner_id, lease.generation)) == (owner != (0, 0), owner)


def assert_free(place: Optional[HostPlace]) -> None:
    assert place is None or place.timestamp == 0


def test_leaving_and_joining_again(formatted: Cluster) -> None:
    first, second = joined(formatted, "h1", "h2")
    wait_for(formatted, lambda: liveness(second, 1) == Liveness.LIVE, 10)
    assert first.call("leave_if_unused", 1) is True
    assert first.call("membership", 1) == Membership.OUT
    assert first.call("leave_if_unused", 1) is True
    wait_for(formatted, lambda: liveness(second, 1) is None, 10)
    assert failure(lambda: first.call("hosts")).errno == errno.ENOENT
    first.call("join", 1, IO_TIMEOUT_S)
    wait_for(formatted, lambda: liveness(second, 1) == Liveness.LIVE, 10)
    (seen,) = [host for host in second.call("hosts") if host.host_id == 1]
    assert seen.generation == 2


# --- who is alive ---------------------------------------------------------------------------


def test_peers_are_unknown_until_a_renewal_was_seen(formatted: Cluster) -> None:
    first, second = joined(formatted, "h1", "h2")
    assert all(host.liveness != Liveness.DEAD for host in second.call("hosts"))
    wait_for(formatted, lambda: liveness(second, 1) == Liveness.UNKNOWN, 10)
    wait_for(formatted, lambda: liveness(second, 1) == Liveness.LIVE, 10)
    assert liveness(second, 2) == Liveness.LIVE
    wait_for(formatted, lambda: liveness(first, 2) == Liveness.LIVE, 10)


def test_timestamps_go_on_while_a_host_lives(formatted: Cluster) -> None:
    def timestamp() -> int:
        seen: dict[int, int] = {host.host_id: host.timestamp for host in second.call("hosts")}
        return seen.get(1, 0)

    _first, second = joined(formatted, "h1", "h2")
    wait_for(formatted, lambda: timestamp() > 0, 10)
    before = timestamp()
    wait_for(formatted, lambda: timestamp() > before, 10)


def test_renewals_are_remembered_with_what_they_took(formatted: Cluster) -> None:
    (host,) = joined(formatted, "h1")
    wait_for(formatted, lambda: len(host.call("renewals")) >= 3, 10)
    renewals = host.call("renewals")
    pairs = zip(renewals, renewals[1:])
    limit_s = 3 * TIME_FACTOR  # a renewal comes every 2 s
    assert all(0 < after.timestamp - before.timestamp <= limit_s for before, after in pairs)
    assert abs(renewals[-1].timestamp - formatted.now_s()) <= 3 * TIME_FACTOR
    assert (renewals[0].read_s, renewals[0].write_s) == (0, 0)
    took_s = [renewal.read_s + renewal.write_s for renewal in renewals[1:]]
    assert all(0 <= seconds < IO_TIMEOUT_S * TIME_FACTOR for seconds in took_s)
    assert {(renewal.timeouts, renewal.errors) for renewal in renewals} == {(0, 0)}


def test_no_renewals_without_having_joined(formatted: Cluster) -> None:
    host = formatted.host("h1")
    assert failure(lambda: host.call("renewals")).errno == errno.ENOENT
    host.call("join", 1, IO_TIMEOUT_S)
    assert host.call("renewals")
    host.call("leave_if_unused", 1)
    assert failure(lambda: host.call("renewals")).errno == errno.ENOENT


# --- the lease ------------------------------------------------------------------------------


@pytest.mark.parametrize("where", Elsewhere)
def test_a_lease_of_the_same_names_elsewhere_does_not_count(
    formatted: Cluster, where: Elsewhere
) -> None:
    formatted.host("h1").format_elsewhere(where)
    first, second = joined(formatted, "h1", "h2")
    astray, pid = first.acquire_elsewhere(where), second.acquire()
    assert first.call("process_is_registered", astray)
    assert not first.call("process_holds_lease", astray)
    assert first.call("held_version", astray) is None
    assert second.call("process_holds_lease", pid)
    assert first.call("lease_owner") == second.call("lease_owner") == LeaseOwner(2, 1)
    assert failure(first.acquire).errno == errno.EEXIST  # sanlock itself goes by the names
    first.release(astray)
    wait_for(formatted, lambda: first.call("holders") == [], 10)
    assert second.call("lease_owner") == LeaseOwner(2, 1)
    # For a moment after its process has ended, sanlock is still letting go of the other lease.
    wait_for(formatted, lambda: failure(first.acquire).errno != errno.EAGAIN, 10)
    assert failure(first.acquire).errno == ACQUIRE_IDLIVE


def test_who_holds_the_lease_takes_none_of_its_names_elsewhere(formatted: Cluster) -> None:
    where = Elsewhere.OTHER_PATH
    formatted.host("h1").format_elsewhere(where)
    (host,) = joined(formatted, "h1")
    pid = host.acquire()
    assert failure(lambda: host.acquire_elsewhere(where)).errno == errno.EEXIST
    assert host.call("process_holds_lease", pid)
    assert host.call("holders") == [pid]


def test_another_path_to_the_same_place_is_the_same_lease(formatted: Cluster) -> None:
    first, second = joined(formatted, "h1", "h2")
    pid = first.acquire_by_link()
    assert first.call("process_holds_lease", pid)
    assert first.call("held_version", pid) == second.call("lease_version")
    assert second.call("lease_owner") == LeaseOwner(1, 1)
    assert failure(second.acquire).errno == ACQUIRE_IDLIVE


def test_the_lease_has_an_owner_until_it_is_released(formatted: Cluster) -> None:
    first, second = joined(formatted, "h1", "h2")
    pid = first.acquire()
    for host in (first, second):
        assert host.call("lease_owner") == LeaseOwner(1, 1)
    assert first.call("process_holds_lease", pid) is True
    assert first.call("process_holds_lease", 1) is False
    assert first.call("holders") == [pid]
    assert second.call("holders") == []
    first.release(pid)
    wait_for(formatted, lambda: second.call("lease_owner") is None, 10)
    assert first.call("process_holds_lease", pid) is False
    second.acquire()
    assert first.call("lease_owner") == LeaseOwner(2, 1)


@both_bindings
def test_questions_about_one_process_do_not_disturb_each_other(binding: Binding) -> None:
    """sanlock refuses the second of two at a time (EBUSY); that is no answer to hand on."""
    with real_cluster(binding=binding) as cluster:
        cluster.host("h1").call("format_lockspace", IO_TIMEOUT_S)
        cluster.host("h1").call("format_lease")
        (host,) = joined(cluster, "h1")
        pid = host.acquire()
        assert isinstance(host, RealHost)
        told, refused = host.ask_side_by_side(pid, questions=300)
        assert told == {True}
        assert refused, "a bare question is refused now and then: else this shows nothing"


def test_the_leases_version_tells_that_somebody_else_had_it(formatted: Cluster) -> None:
    first, second = joined(formatted, "h1", "h2")
    pid = first.acquire()
    version = first.call("held_version", pid)
    assert version == first.call("lease_version") == second.call("lease_version")
    assert first.call("held_version", 1) is None
    first.release(pid)
    wait_for(formatted, lambda: second.call("lease_owner") is None, 10)
    assert first.call("lease_version") == version
    other = second.acquire()
    second.release(other)
    wait_for(formatted, lambda: first.call("lease_owner") is None, 10)
    assert first.call("lease_version") == version + 1


def test_a_held_lease_is_refused_at_once(formatted: Cluster) -> None:
    first, second = joined(formatted, "h1", "h2")
    first.acquire()
    begun_s = formatted.now_s()
    assert failure(second.acquire).errno == ACQUIRE_IDLIVE
    assert failure(first.acquire).errno == errno.EEXIST
    assert formatted.now_s() - begun_s < 15 * TIME_FACTOR
    assert second.call("lease_owner") == LeaseOwner(1, 1)


def test_no_lease_without_having_joined(formatted: Cluster) -> None:
    joined(formatted, "h1")
    assert failure(formatted.host("h2").acquire).errno == errno.ENOSPC


def test_a_host_with_a_holder_does_not_leave(formatted: Cluster) -> None:
    (host,) = joined(formatted, "h1")
    pid = host.acquire()
    assert host.call("leave_if_unused", 1) is False
    assert host.call("membership", 1) == Membership.JOINED
    assert host.call("process_holds_lease", pid) is True
    assert not host.is_killed(pid)
    host.release(pid)
    wait_for(formatted, lambda: host.call("leave_if_unused", 1), 10)


# --- the lock of writers ----------------------------------------------------------------------


def test_a_cluster_without_the_lock_of_writers_says_so(formatted: Cluster) -> None:
    (host,) = joined(formatted, "h1")
    assert host.call("has_config_lease") is False
    assert failure(lambda: host.call("take_config_lease")).errno == LEADER_MAGIC
    host.call("format_config_lease")
    assert host.call("has_config_lease") is True
    assert failure(lambda: host.call("format_config_lease")).errno == errno.EEXIST
    host.call("take_config_lease")


def test_one_host_at_a_time_has_the_lock_of_writers(formatted: Cluster) -> None:
    first, second = joined(formatted, "h1", "h2")
    first.call("format_config_lease")
    assert first.call("config_lease_owner") is None
    first.call("drop_config_lease")
    first.call("take_config_lease")
    assert second.call("config_lease_owner") == LeaseOwner(1, 1)
    assert failure(lambda: second.call("take_config_lease")).errno == ACQUIRE_IDLIVE
    first.call("drop_config_lease")
    assert second.call("config_lease_owner") is None
    second.call("take_config_lease")
    assert failure(lambda: first.call("take_config_lease")).errno == ACQUIRE_IDLIVE
    assert first.call("config_lease_owner") == LeaseOwner(2, 1)


def test_the_lock_of_writers_and_the_engine_do_not_mind_each_other(formatted: Cluster) -> None:
    first, second = joined(formatted, "h1", "h2")
    first.call("format_config_lease")
    pid = first.acquire()
    second.call("take_config_lease")
    assert first.call("holders") == [pid]
    assert second.call("holders") == []
    assert second.call("lease_owner") == LeaseOwner(1, 1)
    second.call("drop_config_lease")
    assert first.call("process_holds_lease", pid) is True


def test_no_lock_of_writers_without_having_joined(formatted: Cluster) -> None:
    host = formatted.host("h1")
    host.call("format_config_lease")
    assert failure(lambda: host.call("take_config_lease")).errno == errno.ENOSPC
    host.call("join", 1, IO_TIMEOUT_S)
    host.call("take_config_lease")


def test_the_lock_of_a_writer_that_died_is_free(formatted: Cluster) -> None:
    first, second = joined(formatted, "h1", "h2")
    first.call("format_config_lease")
    first.call("take_config_lease")
    first.end_callers()
    wait_for(formatted, lambda: second.call("config_lease_owner") is None, 10)
    second.call("take_config_lease")


def test_the_lock_of_a_host_that_came_back_is_void(formatted: Cluster) -> None:
    first, second = joined(formatted, "h1", "h2")
    first.call("format_config_lease")
    first.call("take_config_lease")
    first.kill_daemon()
    first.start_daemon()
    first.call("join", 1, IO_TIMEOUT_S)
    second.call("take_config_lease")


# --- dying and coming back --------------------------------------------------------------------


def test_a_gone_daemon_is_never_taken_for_an_answer(formatted: Cluster) -> None:
    (host,) = joined(formatted, "h1")
    host.call("lease_owner")
    host.kill_daemon()
    for method, *arguments in (
        ("membership", 1),
        ("hosts",),
        ("process_holds_lease", 1),
        ("join", 1, IO_TIMEOUT_S),
        ("leave_if_unused", 1),
        ("format_lockspace", 1),
        ("holders",),
        ("renewals",),
        ("take_config_lease",),
        ("has_config_lease",),
    ):
        with pytest.raises(LockspaceGoneError) as caught:
            host.call(str(method), *arguments)
        assert caught.value.errno == errno.ECONNREFUSED


def test_back_under_the_same_name_the_old_lease_is_void_at_once(formatted: Cluster) -> None:
    first, second = joined(formatted, "h1", "h2")
    first.acquire()
    assert failure(second.acquire).errno == ACQUIRE_IDLIVE
    first.kill_daemon()
    first.start_daemon()
    begun_s = formatted.now_s()
    first.call("join", 1, IO_TIMEOUT_S)
    assert formatted.now_s() - begun_s < JOIN_LIMIT_S
    assert second.call("lease_owner") == LeaseOwner(1, 1)
    second.acquire()
    assert second.call("lease_owner") == LeaseOwner(2, 1)
    assert formatted.now_s() - begun_s < JOIN_LIMIT_S + 2 * TIME_FACTOR


def test_a_lease_of_an_earlier_life_is_void_for_its_host_too(formatted: Cluster) -> None:
    """The process of that life may run still; the owner's older generation tells it."""
    first, second = joined(formatted, "h1", "h2")
    pid = first.acquire()
    version = first.call("held_version", pid)
    first.kill_daemon()
    first.start_daemon()
    first.call("join", 1, IO_TIMEOUT_S)
    assert second.call("place", 1).generation == 2
    assert first.call("lease_owner") == second.call("lease_owner") == LeaseOwner(1, 1)
    assert not first.is_killed(pid)
    assert not first.call("process_is_registered", pid)
    assert not first.call("process_holds_lease", pid)
    assert first.call("held_version", pid) is None
    assert first.call("holders") == []
    wait_for(formatted, lambda: _generation(first, 1) == 2, 10)

    anew = first.acquire()
    assert first.call("lease_owner") == second.call("lease_owner") == LeaseOwner(1, 2)
    assert first.call("held_version", anew) == second.call("lease_version") == version + 1
    wait_for(formatted, lambda: liveness(second, 1) == Liveness.LIVE, 10)
    assert failure(second.acquire).errno == ACQUIRE_IDLIVE
    first.release(anew)
    wait_for(formatted, lambda: second.call("lease_owner") is None, 10)


def _generation(host: Host, host_id: int) -> Optional[int]:
    seen: dict[int, int] = {other.host_id: other.generation for other in host.call("hosts")}
    return seen.get(host_id)


def test_a_host_whose_id_was_taken_loses_its_holder(formatted: Cluster) -> None:
    first, second = joined(formatted, "h1", "h2")
    pid = first.acquire()
    taking = formatted.host("twin").begin_join(1)
    wait_for(formatted, lambda: first.is_killed(pid), 10)
    wait_for(formatted, lambda: first.call("membership", 1) == Membership.OUT, 10)
    taking.finish()
    second.acquire()
    assert second.call("lease_owner") == LeaseOwner(2, 1)


# --- death ------------------------------------------------------------------------------------


def test_death_and_a_host_id_used_twice_in_virtual_time() -> None:
    with fake_cluster() as cluster:
        slow_story.tell(cluster)


@both_bindings
def test_death_and_a_host_id_used_twice_with_real_daemons(
    real_death: dict[Binding, RealStory], binding: Binding
) -> None:
    real_death[binding].finish()


# --- 4096-byte sectors ------------------------------------------------------------------------


@both_bindings
def test_large_sectors_use_the_larger_areas(binding: Binding) -> None:
    with real_cluster(sector_size=4096, binding=binding) as cluster:
        host = cluster.host("h1")
        host.call("format_lockspace", IO_TIMEOUT_S)
        host.call("format_lease")
        host.call("format_config_lease")
        joined(cluster, "h1")
        assert host.call("read_lockspace") == LockspaceOnStorage("hosted-engine", IO_TIMEOUT_S)
        host.acquire()
        assert host.call("lease_owner") == LeaseOwner(1, 1)
        host.call("take_config_lease")
        assert host.call("config_lease_owner") == LeaseOwner(1, 1)
