# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--clean-metadata: whose slot is zeroed, whose is not, and what the broker still shows."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ha_broker.api.snapshot import HostView, LockspaceView, StorageView
from hosted_engine.errors import CommandError
from hosted_engine.host import storage_deadline as deploy_deadline
from hosted_engine.host.environment import StoreApart
from hosted_engine.storage.clean_metadata import clean
from metadata.layout import slot_address
from metadata.liveness import Liveness
from metadata.records import SlotAbsent, SlotDamaged, VolumeAddress
from tests.unit.storage_scene import AGENT, BOTH, BROKER, IO_S, PARTS, TICK_S, Scene
from world.ports.sanlock import Membership

RENEWALS_S = 4 * IO_S + 1


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    for host_id in (1, 2, 3):
        scene.volume.record(host_id)
    return scene


def seen(scene: Scene, host_id: int, liveness: Liveness, generation: int = 1) -> HostView:
    return HostView(host_id, liveness, generation, scene.volume.slot(host_id))


def refusal(scene: Scene, host_id: int, force: bool = False) -> str:
    with pytest.raises(CommandError) as caught:
        clean(scene.world(), host_id, force)
    assert scene.volume.writes == []
    return caught.value.message


def assert_only_cleaned(scene: Scene, host_id: int) -> None:
    assert isinstance(scene.volume.slot(host_id), SlotAbsent)
    assert scene.volume.writes == [(slot_address(PARTS, host_id), 4096)]


# --- a host that is gone ----------------------------------------------------------------------


@pytest.mark.parametrize("liveness", [Liveness.DEAD, Liveness.FREE])
def test_host_that_sanlock_calls_gone_is_cleaned_at_once(scene: Scene, liveness: Liveness) -> None:
    scene.with_broker(seen(scene, 3, liveness))
    scene.on_reread = scene.with_broker
    clean(scene.world(), 3, force=False)
    assert_only_cleaned(scene, 3)
    assert scene.slept_s() == 0
    assert scene.said[0] == "[ ok ] slot 3 is empty now; it held the record of host h3"
    assert scene.said[-1] == "[ ok ] this host's broker shows host id 3 no more"


def test_host_that_has_left_the_lockspace_is_cleaned_at_once(scene: Scene) -> None:
    scene.with_broker(seen(scene, 3, Liveness.UNKNOWN, generation=0))
    scene.on_reread = scene.with_broker
    clean(scene.world(), 3, force=False)
    assert_only_cleaned(scene, 3)
    assert scene.slept_s() == 0


def test_the_broker_is_asked_until_it_has_forgotten_the_host(scene: Scene) -> None:
    scene.with_broker(seen(scene, 3, Liveness.DEAD))

    def later() -> None:
        if scene.slept_s() > 2:
            scene.with_broker()

    scene.while_asleep = later
    clean(scene.world(), 3, force=False)
    assert scene.log == ["reread"]
    assert scene.said[-1] == "[ ok ] this host's broker shows host id 3 no more"


def test_a_broker_that_shows_it_on_is_told_after_a_while(scene: Scene) -> None:
    scene.with_broker(seen(scene, 3, Liveness.DEAD))
    clean(scene.world(), 3, force=False)
    assert scene.said[-1].startswith("[warn] this host's broker still shows host id 3")
    assert scene.slept_s() < 20


def test_without_a_broker_the_storage_is_watched(scene: Scene) -> None:
    scene.volume.joined(3)
    clean(scene.world(), 3, force=False)
    assert_only_cleaned(scene, 3)
    assert scene.slept_s() == pytest.approx(max(RENEWALS_S, 2 * TICK_S + 1), abs=0.6)
    assert scene.said[-1].startswith("[skip] no broker runs here")


def test_the_dead_hosts_own_io_timeout_sets_the_time(scene: Scene) -> None:
    from metadata.sanlock_disk import HOST_ID_MAGIC
    from tests.unit.storage_scene import leader

    scene.volume.sector(3, leader(HOST_ID_MAGIC, 3, 1, 100, resource="h3", io_timeout_s=10))
    clean(scene.world(), 3, force=False)
    assert scene.slept_s() == pytest.approx(41, abs=0.6)


def test_garbage_in_a_slot_is_cleaned(scene: Scene) -> None:
    scene.volume.put(slot_address(PARTS, 7).offset, b"\xff" * 4096)
    assert isinstance(scene.volume.slot(7), SlotDamaged)
    scene.with_broker()
    clean(scene.world(), 7, force=False)
    assert_only_cleaned(scene, 7)
    assert "it held no record of ours (slot 7:" in scene.said[0]


def test_an_empty_slot_is_success_and_nothing_is_written(scene: Scene) -> None:
    scene.with_broker()
    clean(scene.world(), 9, force=False)
    assert scene.volume.writes == []
    assert scene.said[0] == "[ ok ] slot 9 is empty already"


# --- a host that lives ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("liveness", "expected"),
    [(Liveness.LIVE, "sanlock sees it alive"), (Liveness.FAIL, "does not call it dead yet")],
)
def test_host_that_sanlock_sees_is_refused(scene: Scene, liveness: Liveness, expected: str) -> None:
    scene.with_broker(seen(scene, 3, liveness))
    why = refusal(scene, 3)
    assert "host id 3 lives" in why and expected in why
    assert scene.slept_s() == 0


def test_host_that_writes_without_its_lockspace_is_refused(scene: Scene) -> None:
    scene.with_broker(
        HostView(3, Liveness.DEAD, 1, scene.volume.slot(3), fresh=True, changed_at_s=0)
    )
    assert "has written its record just now" in refusal(scene, 3)


@pytest.mark.parametrize(
    "trouble",
    [
        {"lockspace": LockspaceView(Membership.OUT)},
        {"lockspace": LockspaceView(Membership.JOINED, "sanlock has not answered")},
        {"storage": StorageView(error="reading has not ended")},
        {"taken_at_s": -100.0},
        {"hosts": (HostView(1, Liveness.UNKNOWN, 1),)},
    ],
)
def test_a_broker_that_can_not_tell_is_not_believed(scene: Scene, trouble: object) -> None:
    scene.with_broker(seen(scene, 3, Liveness.DEAD))
    scene.with_broker(**trouble)  # type: ignore[arg-type]
    stamps = iter(range(101, 200))
    scene.while_asleep = lambda: scene.volume.joined(3, next(stamps))
    assert "its place in sanlock's lockspace was renewed just now" in refusal(scene, 3)


def test_host_whose_life_sanlock_does_not_know_yet_is_watched(scene: Scene) -> None:
    scene.with_broker(seen(scene, 3, Liveness.UNKNOWN, generation=4))
    stamps = iter(range(11, 99))
    scene.while_asleep = lambda: scene.volume.record(3, next(stamps))
    assert "its record was written just now" in refusal(scene, 3)


# --- --force-clean ----------------------------------------------------------------------------


def test_force_does_not_ask_whether_it_lives(scene: Scene) -> None:
    scene.with_broker(seen(scene, 3, Liveness.LIVE))
    scene.on_reread = scene.with_broker
    clean(scene.world(), 3, force=True)
    assert_only_cleaned(scene, 3)
    assert scene.said[0].startswith("[warn] whether host id 3 lives was not asked")


def test_force_spares_the_living_owner_of_the_lease(scene: Scene) -> None:
    scene.volume.held_by(3)
    scene.with_broker(seen(scene, 3, Liveness.LIVE))
    assert "holds the engine's lease" in refusal(scene, 3, force=True)


def test_force_cleans_a_dead_owner_of_the_lease(scene: Scene) -> None:
    scene.volume.held_by(3)
    scene.with_broker(seen(scene, 3, Liveness.DEAD))
    clean(scene.world(), 3, force=True)
    assert_only_cleaned(scene, 3)


# --- this host --------------------------------------------------------------------------------


@pytest.mark.parametrize("force", [False, True])
def test_own_slot_is_refused_while_the_agent_runs(scene: Scene, force: bool) -> None:
    scene.services.running = BOTH
    assert "systemctl stop ha-agent" in refusal(scene, 1, force)


def test_own_slot_is_cleaned_beside_a_running_broker(scene: Scene) -> None:
    scene.services.running = (BROKER,)
    own = HostView(1, Liveness.LIVE, 1)
    scene.with_broker(hosts=(own,))
    clean(scene.world(), 1, force=False)
    assert_only_cleaned(scene, 1)


def test_agent_of_another_host_may_run_here(scene: Scene) -> None:
    scene.services.running = (AGENT,)
    scene.with_broker()
    clean(scene.world(), 3, force=False)
    assert_only_cleaned(scene, 3)


@pytest.mark.parametrize("stopped", [False, True])
def test_without_systemd_the_own_slot_is_watched_unless_it_says_stopped(
    scene: Scene, stopped: bool
) -> None:
    scene.services.is_there = False
    scene.volume.record(1, stopped=stopped)
    scene.volume.writes.clear()
    clean(scene.world(), 1, force=False)
    assert_only_cleaned(scene, 1)
    assert (scene.slept_s() > 2 * TICK_S) is not stopped


# --- storage ----------------------------------------------------------------------------------


def test_storage_that_fails_is_told_with_its_reason(scene: Scene) -> None:
    scene.volume.fail(errno.EIO)
    with pytest.raises(CommandError, match="read 4096 bytes"):
        clean(scene.world(), 3, force=True)


def test_a_write_that_is_not_there_afterwards_is_told(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene.volume, "write", lambda _place, _data: None)
    with pytest.raises(CommandError, match="zeroed and is not empty"):
        clean(scene.world(), 3, force=True)


def test_storage_that_hangs_is_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy_deadline, "STORAGE_DEADLINE_S", 0.2)
    os.mkfifo(tmp_path / "leases")  # whoever opens it for reading waits for a writer
    place = VolumeAddress(str(tmp_path / "leases"))
    with pytest.raises(CommandError, match=r"the storage .*has not answered"):
        StoreApart({}).read(place, 4096)
