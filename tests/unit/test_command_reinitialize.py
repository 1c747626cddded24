# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--reinitialize-lockspace: what is seen before anything is written, and the order of writing."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from ha_broker.api.snapshot import HostView, LeaseState, LeaseView
from hosted_engine.errors import CommandError
from hosted_engine.storage.reinitialize import CLAIM_SETTLES_S, reinitialize
from metadata.layout import config_lease_address, slot_address
from metadata.liveness import Liveness
from metadata.records import EngineStatus, EngineVm
from metadata.sanlock_disk import HOST_ID_MAGIC, LEASE_MAGIC, parse_record
from metadata.settings.parse import ClusterSettings, EngineSettings
from tests.unit.storage_scene import (
    AGENT,
    BOTH,
    BROKER,
    FLOOR_S,
    IO_S,
    PARTS,
    TICK_S,
    UP,
    Scene,
    leader,
)
from world.ports.errors import LockspaceError, LockspaceGoneError
from world.ports.libvirt import DomainState
from world.ports.sanlock import LeaseOwner

FORMATTED = ["format the lockspace", "format the lease"]
LEFT = "leave lockspace as host id 1"
RENEWALS_S = 4 * IO_S + 1
STOPPED = ["stop ha-broker.service", "start ha-broker.service"]


@pytest.fixture
def scene() -> Scene:
    """Three hosts, all in order: global maintenance, agents stopped, h2 and h3 gone."""
    scene = Scene()
    for host_id in (1, 2, 3):
        scene.volume.record(host_id, stopped=True)
    scene.volume.joined(2)
    return scene


def refusal(scene: Scene, force: bool = False) -> str:
    with pytest.raises(CommandError) as caught:
        reinitialize(scene.world(), force)
    assert not [line for line in scene.log if line.startswith("format")]
    assert scene.volume.writes == []
    return caught.value.message


def renewing(scene: Scene, host_id: int, after_s: float = 0.0) -> None:
    """That host renews its place from now on, every 2 x io_timeout, as sanlock does."""

    def renew() -> None:
        if scene.slept_s() > after_s:
            scene.volume.joined(host_id, timestamp=100 + int(scene.slept_s() // (2 * IO_S)))

    _meanwhile(scene, renew)


def writing(scene: Scene, host_id: int, status: EngineStatus) -> None:
    """That host's agent writes its record every tick."""

    def write() -> None:
        stamp = 100 + int(scene.slept_s() // TICK_S)
        scene.volume.record(host_id, stamp, engine_status=status)

    _meanwhile(scene, write)


def _meanwhile(scene: Scene, action: Callable[[], None]) -> None:
    before = scene.while_asleep

    def both() -> None:
        before()
        action()

    scene.while_asleep = both


# --- how long is looked -------------------------------------------------------------------


def test_free_lease_needs_a_look_of_two_renewals(scene: Scene) -> None:
    reinitialize(scene.world(), force=False)
    assert scene.log == FORMATTED
    assert scene.slept_s() == pytest.approx(RENEWALS_S + CLAIM_SETTLES_S, abs=1)


def test_a_cluster_where_nobody_has_joined_needs_none(scene: Scene) -> None:
    scene.volume.format_lockspace()
    reinitialize(scene.world(), force=False)
    assert scene.slept_s() == CLAIM_SETTLES_S


def test_garbage_may_hide_a_living_host(scene: Scene) -> None:
    scene.volume.format_lockspace()
    scene.volume.sector(5, b"\xff" * 512)
    reinitialize(scene.world(), force=False)
    assert scene.slept_s() == pytest.approx(RENEWALS_S + CLAIM_SETTLES_S, abs=1)


def test_agents_that_have_not_said_goodbye_get_two_ticks(scene: Scene) -> None:
    scene.volume.format_lockspace()
    scene.volume.record(3, stopped=False)
    reinitialize(scene.world(), force=True)
    assert scene.slept_s() == pytest.approx(2 * TICK_S + 1 + CLAIM_SETTLES_S, abs=1)


def test_held_lease_waits_until_its_holder_has_surely_ended(scene: Scene) -> None:
    scene.volume.held_by(2)
    reinitialize(scene.world(), force=False)
    assert scene.log == FORMATTED
    assert scene.slept_s() >= FLOOR_S


@pytest.mark.parametrize("lost", ["lease", "sector of its owner"])
def test_nobody_knows_who_holds_it_and_so_everybody_is_waited_for(scene: Scene, lost: str) -> None:
    scene.volume.held_by(2)
    if lost == "lease":
        scene.volume.put(PARTS.lease.offset, b"\xff" * 512)
    else:
        scene.volume.sector(2, b"\xff" * 512)
    reinitialize(scene.world(), force=False)
    assert scene.slept_s() >= FLOOR_S


@pytest.mark.parametrize("force", [False, True])
def test_a_lease_of_another_lockspace_tells_nothing(scene: Scene, force: bool) -> None:
    data = bytearray(leader(LEASE_MAGIC, resource="engine"))
    data[56:104] = b"other".ljust(48, b"\0")
    scene.volume.put(PARTS.lease.offset, bytes(data))
    reinitialize(scene.world(), force)
    assert scene.slept_s() >= FLOOR_S


def test_owner_that_left_or_came_back_holds_nothing(scene: Scene) -> None:
    scene.volume.held_by(2, generation=1)
    scene.volume.joined(2, generation=2)
    reinitialize(scene.world(), force=False)
    assert scene.slept_s() == pytest.approx(RENEWALS_S + CLAIM_SETTLES_S, abs=1)
    again = Scene()
    again.volume.held_by(2)
    again.volume.joined(2, timestamp=0)
    reinitialize(again.world(), force=False)
    assert again.slept_s() == CLAIM_SETTLES_S


def test_without_settings_sanlocks_usual_time_counts(scene: Scene) -> None:
    scene.cluster = None
    scene.volume.held_by(2)
    reinitialize(scene.world(), force=False)
    assert scene.slept_s() >= 8 * 10 + 60
    assert scene.log == FORMATTED
    assert scene.sanlock.san.lockspace_io_timeout_s == 10


def test_the_slowest_hosts_io_timeout_counts(scene: Scene) -> None:
    scene.volume.sector(2, leader(HOST_ID_MAGIC, 2, 1, 100, resource="h2", io_timeout_s=20))
    scene.volume.held_by(2)
    reinitialize(scene.world(), force=False)
    assert scene.slept_s() >= 8 * 20 + 60


# --- what is never done -------------------------------------------------------------------


@pytest.mark.parametrize("force", [False, True])
def test_engine_on_this_host_by_sanlock(scene: Scene, force: bool) -> None:
    scene.sanlock.holders.add(4711)
    scene.services.running = BOTH
    assert "pid 4711" in refusal(scene, force)
    assert scene.log == [], "services were stopped for nothing"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("state", [DomainState.RUNNING, DomainState.PAUSED])
def test_engine_on_this_host_by_libvirt(scene: Scene, state: DomainState, force: bool) -> None:
    scene.domain = state
    assert f"the engine's VM is {state.value} on this host" in refusal(scene, force)


@pytest.mark.parametrize("force", [False, True])
def test_libvirt_that_can_not_tell(scene: Scene, force: bool) -> None:
    scene.domain = DomainState.UNKNOWN
    assert "not known" in refusal(scene, force)
    scene.libvirt_error = "libvirt has not answered for 15 s"
    assert "not known (libvirt has not answered for 15 s)" in refusal(scene, force)


def test_the_engine_is_asked_for_by_the_clusters_name(scene: Scene) -> None:
    scene.cluster = ClusterSettings(engine=EngineSettings(domain_name="Manager"))
    scene.domain = DomainState.RUNNING
    refusal(scene)
    assert scene.asked_for == ["Manager"]


def test_engine_that_was_started_while_the_agent_was_being_stopped(scene: Scene) -> None:
    scene.services.running = BOTH

    def start() -> None:
        scene.domain = DomainState.RUNNING

    scene.services.on_stop = start
    with pytest.raises(CommandError, match="running on this host"):
        reinitialize(scene.world(), force=True)
    assert scene.log == [f"stop {BROKER} {AGENT}", f"start {BROKER} {AGENT}"]


@pytest.mark.parametrize("force", [False, True])
def test_living_holder_of_the_lease(scene: Scene, force: bool) -> None:
    scene.volume.held_by(2)
    renewing(scene, 2, after_s=FLOOR_S - 10)
    assert "host h2 (id 2) lives and holds the engine's lease" in refusal(scene, force)


@pytest.mark.parametrize("force", [False, True])
def test_any_living_host_where_the_lease_is_lost(scene: Scene, force: bool) -> None:
    scene.volume.put(PARTS.lease.offset, bytes(512))
    renewing(scene, 3)
    assert "host h3 (id 3) lives, and the engine's lease" in refusal(scene, force)


@pytest.mark.parametrize("force", [False, True])
def test_lease_that_moves_meanwhile(scene: Scene, force: bool) -> None:
    scene.while_asleep = lambda: scene.volume.held_by(2)
    assert "has taken the engine's lease just now" in refusal(scene, force)


@pytest.mark.parametrize("force", [False, True])
def test_living_agent_that_has_the_engine(scene: Scene, force: bool) -> None:
    writing(scene, 3, UP)
    scene.volume.record(2, stopped=False)
    why = refusal(scene, force)
    assert "says that the engine runs there" in why if force else "--clean-metadata" in why


@pytest.mark.parametrize("force", [False, True])
def test_holder_that_the_broker_knows_to_live_is_refused_without_stopping_anything(
    scene: Scene, force: bool
) -> None:
    scene.services.running = BOTH
    held = LeaseView(LeaseState.HELD, owner_id=2)
    scene.with_broker(HostView(2, Liveness.LIVE, 1), lease=held)
    assert "host id 2 lives and holds the engine's lease" in refusal(scene, force)
    assert scene.log == []


def test_dead_holder_by_the_brokers_word_is_looked_for_on_the_storage(scene: Scene) -> None:
    scene.services.running = (BROKER,)
    scene.services.on_stop = lambda: setattr(scene, "snapshot", None)
    scene.with_broker(HostView(2, Liveness.DEAD, 1), lease=LeaseView(LeaseState.HELD, owner_id=2))
    scene.volume.held_by(2)
    reinitialize(scene.world(), force=False)
    assert scene.slept_s() >= FLOOR_S


def test_a_broker_that_was_not_started_by_systemd(scene: Scene) -> None:
    scene.with_broker()
    assert "a broker runs on this host" in refusal(scene, force=True)


def test_a_process_here_that_needs_the_lockspace(scene: Scene) -> None:
    scene.join()
    scene.sanlock.leave_if_unused = lambda _host_id: False  # type: ignore[method-assign]
    assert "holds a lease of the lockspace" in refusal(scene, force=True)


def test_sanlock_that_does_not_run_or_is_frozen(scene: Scene) -> None:
    scene.sanlock.error = LockspaceGoneError("ask sanlock", "no daemon", errno.ECONNREFUSED)
    assert refusal(scene, force=True) == "can't ask sanlock: no daemon"
    scene.sanlock.error = LockspaceGoneError("ask sanlock", "timed out", errno.ETIMEDOUT)
    assert "is not known (can't ask sanlock: timed out)" in refusal(scene, force=True)


# --- what --force does without ------------------------------------------------------------


def test_outside_of_global_maintenance(scene: Scene) -> None:
    scene.volume.maintenance(False)
    assert "not in global maintenance" in refusal(scene)
    reinitialize(scene.world(), force=True)
    assert scene.log == FORMATTED
    assert any(line.startswith("[warn] gone on with for --force: the cl") for line in scene.said)


def test_maintenance_that_can_not_be_read(scene: Scene) -> None:
    scene.volume.put(slot_address(PARTS, 0).offset, b"\xff" * 4096)
    assert "can't be read (slot 0)" in refusal(scene)
    reinitialize(scene.world(), force=True)


def test_agents_that_were_not_stopped(scene: Scene) -> None:
    scene.volume.record(3, engine_status=EngineStatus(EngineVm.DOWN))
    assert "the agent of host h3 (id 3) has not been stopped" in refusal(scene)
    reinitialize(scene.world(), force=True)


def test_this_hosts_running_agent(scene: Scene) -> None:
    scene.services.running = BOTH
    assert "this host's agent runs" in refusal(scene)
    reinitialize(scene.world(), force=True)
    assert scene.log == [f"stop {BROKER} {AGENT}", *FORMATTED, f"start {BROKER} {AGENT}"]


def test_living_members_lose_the_lockspace_before_anybody_can_have_the_lease(
    scene: Scene,
) -> None:
    renewing(scene, 2)
    assert "host h2 (id 2) lives and uses the lockspace" in refusal(scene)
    scene.sanlock.before_format = lambda: scene.log.append(f"at {scene.slept_s():.0f}")
    begun_s = scene.slept_s()
    reinitialize(scene.world(), force=True)
    assert scene.log[-2:] == FORMATTED
    waited_s = scene.slept_s() - begun_s
    assert waited_s >= RENEWALS_S + FLOOR_S


# --- writing ------------------------------------------------------------------------------


def lease_is_lost(scene: Scene) -> bool:
    return parse_record(scene.volume.area(PARTS.lease.offset)) is None


def test_the_lease_is_gone_before_the_lockspace_is_written(scene: Scene) -> None:
    seen = []
    scene.sanlock.before_format = lambda: seen.append(lease_is_lost(scene))
    reinitialize(scene.world(), force=False)
    assert seen == [True]
    assert not lease_is_lost(scene)


def test_a_run_that_is_cut_off_leaves_no_lease_and_is_finished_by_the_next(scene: Scene) -> None:
    def fail() -> None:
        raise LockspaceError("format lockspace", "Input/output error", errno.EIO)

    scene.sanlock.before_format = fail
    with pytest.raises(CommandError, match="half done, and the engine can't be started anywhere"):
        reinitialize(scene.world(), force=False)
    assert lease_is_lost(scene)
    scene.sanlock.before_format = lambda: None
    reinitialize(scene.world(), force=False)
    assert scene.log == FORMATTED


def test_of_two_at_once_the_later_one_goes_on(scene: Scene) -> None:
    def claim() -> None:
        if lease_is_lost(scene):
            scene.volume.put(PARTS.lease.offset, b"being made anew by host id 2, 1234".ljust(4096))

    _meanwhile(scene, claim)
    with pytest.raises(CommandError, match="another host makes the lockspace anew") as caught:
        reinitialize(scene.world(), force=True)
    assert "half done" not in caught.value.message
    assert scene.log == []


def test_one_that_comes_while_the_lockspace_is_written_goes_on(scene: Scene) -> None:
    mark = b"being made anew by host id 2, 1234".ljust(4096)
    scene.sanlock.before_format = lambda: scene.volume.put(PARTS.lease.offset, mark)
    with pytest.raises(CommandError, match="another host makes the lockspace anew"):
        reinitialize(scene.world(), force=True)
    assert scene.log == FORMATTED[:1]
    assert scene.volume.area(PARTS.lease.offset) == mark


def test_a_lease_that_is_taken_behind_the_last_look_is_left_alone(scene: Scene) -> None:
    def take() -> bool:
        scene.volume.held_by(2)
        return False

    scene.sanlock.has_config_lease = take  # type: ignore[method-assign]
    assert "taken the engine's lease just now" in refusal(scene, force=True)


def test_a_host_that_joins_behind_the_last_look_keeps_its_place(scene: Scene) -> None:
    def join() -> bool:
        scene.volume.joined(3)
        return False

    scene.sanlock.has_config_lease = join  # type: ignore[method-assign]
    with pytest.raises(CommandError, match="has begun to join the lockspace meanwhile; the work"):
        reinitialize(scene.world(), force=True)
    assert scene.log == []


def test_records_and_maintenance_stay(scene: Scene) -> None:
    before = [scene.volume.slot(host_id) for host_id in (1, 2, 3)]
    reinitialize(scene.world(), force=False)
    assert [scene.volume.slot(host_id) for host_id in (1, 2, 3)] == before
    assert [place for place, _ in scene.volume.writes] == [PARTS.lease]


def test_the_lock_of_writers_is_made_anew_where_there_was_one(scene: Scene) -> None:
    scene.volume.put(
        config_lease_address(PARTS).offset, leader(LEASE_MAGIC, 2, 1, 7, resource="config")
    )
    assert scene.sanlock.config_lease_owner() == LeaseOwner(2, 1)
    reinitialize(scene.world(), force=False)
    assert scene.log == FORMATTED
    record = parse_record(scene.volume.area(config_lease_address(PARTS).offset))
    assert record is not None and (record.resource, record.in_use) == ("config", False)


# --- this host's services -----------------------------------------------------------------


def test_the_broker_is_stopped_for_the_time(scene: Scene) -> None:
    scene.services.running = (BROKER,)
    scene.join()  # and the broker does not leave as it is stopped
    reinitialize(scene.world(), force=False)
    assert scene.log == [STOPPED[0], LEFT, *FORMATTED, STOPPED[1]]


def test_services_that_do_not_come_back_hide_no_other_error(scene: Scene) -> None:
    scene.services.running = (BROKER,)
    renewing(scene, 2)

    def fail(_units: tuple[str, ...]) -> None:
        raise CommandError("systemctl start ha-broker.service: it failed")

    scene.services.start = fail  # type: ignore[method-assign]
    assert "lives and uses the lockspace" in refusal(scene)
    assert scene.said[-1].startswith("[warn] systemctl start ha-broker.service: it failed: start")


def test_services_come_back_after_a_refusal(scene: Scene) -> None:
    scene.services.running = (BROKER,)
    scene.volume.joined(2)
    renewing(scene, 2)
    assert "lives" in refusal(scene)
    assert scene.log == STOPPED


def test_a_join_under_way_is_waited_for(scene: Scene) -> None:
    scene.sanlock.begin_join(1, takes_s=4)
    reinitialize(scene.world(), force=False)
    assert scene.log == [LEFT, *FORMATTED]


def test_a_join_that_does_not_end_is_told(scene: Scene) -> None:
    scene.sanlock.begin_join(1, takes_s=10_000)
    assert "has been joining the lockspace for more than 60 s" in refusal(scene)
