# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Carrying out a deployment, with a lockspace that does what the test wants."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NoReturn

import pytest

from hosted_engine.cluster.storage_survey import survey
from hosted_engine.deploy.plan import Create, Join, LifeWatch
from hosted_engine.deploy.steps import create, join, start_services
from hosted_engine.errors import CommandError
from hosted_engine.host.units import IN_STARTING_ORDER
from metadata.records import HostRecord, SlotAbsent
from metadata.settings.metrics import MetricsSettings
from tests.unit.deploy_scene import Scene, put_record
from tests.unit.test_command_deploy import (
    PARTS,
    PATH,
    SETTINGS,
    XML,
    cluster_store,
    put,
    record,
    store,
)
from tests.unit.test_command_volume import leader
from world.host_file import read_host_settings
from world.ports.errors import HOSTID_BUSY, LockspaceError

NO_WATCH = LifeWatch((), 0)


def joining(*candidates: int) -> Join:
    return Join(candidates, "h9", NO_WATCH, "br0", "10.0.0.1")


CREATING = Create(1, "h9", SETTINGS, XML, NO_WATCH)


# --- joining ----------------------------------------------------------------------------------


def test_join_writes_record_settings_and_starts_the_services(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    join(scene.site(), joining(2))
    settings = read_host_settings(str(scene.settings_file))
    assert settings is not None
    assert (settings.host_id, settings.bridge, settings.gateway) == (2, "br0", "10.0.0.1")
    written = scene.slot(2)
    assert (written.hostname, written.score, written.stopped) == ("h9", 0, True)
    assert scene.orders == ["enable"]


def test_the_metrics_of_the_answers_stand_in_host_yaml(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    metrics = MetricsSettings("127.0.0.1:9177", token_file="/token")
    data = {"listen": metrics.listen, "token_file": metrics.token_file}
    join(scene.site(metrics=data), joining(2))
    settings = read_host_settings(str(scene.settings_file))
    assert settings is not None and settings.metrics == metrics


def test_loser_of_a_slot_goes_on_without_joining(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    asked: list[int] = []
    scene.lockspace.on_join = asked.append

    def other_host_writes_later() -> None:
        if isinstance(scene.slot(2), HostRecord) and scene.slot(2).hostname == "h9":
            put_record(scene.volume, 2, "h5")

    scene.while_asleep = other_host_writes_later
    join(scene.site(), joining(2, 3))
    assert asked == [3]
    assert scene.slot(2).hostname == "h5"
    assert scene.slot(3).hostname == "h9"


def test_id_that_sanlock_refuses_is_given_back_and_the_next_one_tried(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    scene.lockspace.refuses = {2: HOSTID_BUSY}
    join(scene.site(), joining(2, 3))
    assert isinstance(scene.slot(2), SlotAbsent)
    assert scene.lockspace.member == 3


def test_id_that_is_owned_meanwhile_is_not_asked_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    site = scene.site()
    asked: list[int] = []
    scene.lockspace.on_join = asked.append
    put(scene.volume, 512, leader(timestamp=9))  # host id 2, of a sanlock named h1
    join(site, joining(2, 3))
    assert asked == [3]


def test_no_id_left_is_said(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    scene.lockspace.refuses = {2: HOSTID_BUSY, 3: HOSTID_BUSY}
    with pytest.raises(CommandError, match="tried 2 to 3"):
        join(scene.site(), joining(2, 3))
    assert not scene.settings_file.exists()


@pytest.mark.parametrize("number", [errno.EACCES, -errno.EACCES])
def test_storage_that_sanlock_may_not_open_is_said_with_what_to_do(
    tmp_path: Path, number: int
) -> None:
    scene = Scene(tmp_path, cluster_store())
    scene.lockspace.refuses = {2: number}
    with pytest.raises(CommandError, match=f"chown sanlock:sanlock {PATH}"):
        join(scene.site(), joining(2))
    assert isinstance(scene.slot(2), SlotAbsent)


def test_failure_before_host_yaml_leaves_the_lockspace(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    (tmp_path / "host.yaml").mkdir()  # can't be replaced by a file
    with pytest.raises(CommandError, match=r"host\.yaml: can't be written"):
        join(scene.site(), joining(2))
    assert scene.lockspace.member is None


def test_own_record_is_kept(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    put_record(scene.volume, 2, "h9")
    join(scene.site(), joining(2))
    assert scene.slot(2).score == record(2).score


# --- creating ---------------------------------------------------------------------------------


def test_create_makes_a_cluster_out_of_zeros(tmp_path: Path) -> None:
    scene = Scene(tmp_path, store())
    create(scene.site(), CREATING)
    found = survey(scene.volume, PARTS)
    assert found.config is not None
    assert found.config.domain_xml == XML
    assert found.host_name(1) == "h9"
    assert scene.orders == ["enable"]


def test_create_that_fails_at_any_moment_never_leaves_what_looks_like_a_cluster(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, store())
    scene.lockspace.refuses = {1: errno.EIO}
    with pytest.raises(LockspaceError):
        create(scene.site(), CREATING)
    assert survey(scene.volume, PARTS).kind.value == "half-made"
    scene.lockspace.refuses = {}
    create(scene.site(), CREATING)
    assert survey(scene.volume, PARTS).kind.value == "cluster"


def test_storage_that_changed_since_the_look_is_not_formatted(tmp_path: Path) -> None:
    scene = Scene(tmp_path, store())
    site = scene.site()
    put(scene.volume, 0, leader(timestamp=9))
    before = bytes(scene.volume.volumes[PATH])
    with pytest.raises(CommandError, match="changed meanwhile"):
        create(site, CREATING)
    assert bytes(scene.volume.volumes[PATH]) == before


@pytest.mark.parametrize("unit", IN_STARTING_ORDER)
def test_running_services_must_be_stopped_first(tmp_path: Path, unit: str) -> None:
    scene = Scene(tmp_path, cluster_store())
    scene.units.running = (unit,)
    before = bytes(scene.volume.volumes[PATH])
    with pytest.raises(CommandError, match="systemctl stop ha-agent"):
        create(scene.site(), CREATING)
    assert bytes(scene.volume.volumes[PATH]) == before


def test_living_host_stops_everything(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    scene.while_asleep = lambda: put(scene.volume, 0, leader(timestamp=6))
    plan = Create(1, "h9", SETTINGS, XML, LifeWatch((1,), 9))
    with pytest.raises(CommandError, match=r"h1 \(id 1\) lives"):
        create(scene.site(), plan)
    assert scene.slot(1).hostname == "h1"


def test_silent_host_is_waited_for_as_long_as_planned(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    began_s = scene.clock.monotonic_s()
    create(scene.site(), Create(1, "h9", SETTINGS, XML, LifeWatch((1,), 76), lost="a cluster"))
    assert scene.clock.monotonic_s() - began_s >= 76
    assert "[lost] what is destroyed now: a cluster" in scene.said


def test_services_that_do_not_start_are_no_end_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def masked() -> NoReturn:
        raise CommandError("systemctl enable --now: it is masked")

    scene = Scene(tmp_path, store())
    monkeypatch.setattr(scene.units, "enable", masked)
    with pytest.raises(CommandError, match="it is masked; mend that and run the same --deploy"):
        start_services(scene.world(), scene.site().local)


def test_without_systemd_the_services_are_left_to_people(tmp_path: Path) -> None:
    scene = Scene(tmp_path, store())
    scene.units.is_there = False
    start_services(scene.world(), scene.site().local)
    assert scene.said[0].startswith("[skip] no systemd")
    assert scene.orders == []
