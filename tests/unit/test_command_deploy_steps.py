"""Carrying out a deployment, with a lockspace that does what the test wants."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import pytest

from ha_agent.command.deploy_checks import Checks, check_libvirt, check_sanlock
from ha_agent.command.deploy_plan import Create, Join, ThisHost, Watch
from ha_agent.command.deploy_steps import HOSTID_BUSY, Site, create, join, start_services
from ha_agent.command.deploy_survey import survey
from ha_agent.command.deploy_world import UNITS, DeployWorld
from ha_agent.command.errors import CommandError
from ha_agent.simulation.world import SimStore, VirtualClock
from ha_broker.world.host_file import read_host_settings
from ha_broker.world.ports import (
    Domain,
    DomainState,
    HypervisorGoneError,
    LockspaceError,
    LockspaceGoneError,
    Membership,
)
from metadata.layout import SLOT_SIZE, slot_address
from metadata.metrics_settings import MetricsSettings
from metadata.records import HostRecord, SlotAbsent
from metadata.wire import decode_slot, encode_host
from tests.unit.test_command_deploy import (
    JOINING,
    PARTS,
    PATH,
    SETTINGS,
    XML,
    answers,
    cluster_store,
    put,
    record,
    store,
)
from tests.unit.test_command_volume import leader

NO_WATCH = Watch((), 0)


class Lockspace:
    """A `LockspaceAdmin`: `refuses` maps host ids to the errno of their join."""

    def __init__(self, volume: SimStore, name: str = "h9") -> None:
        self.name = name
        self.joined: Optional[int] = None
        self.refuses: dict[int, int] = {}
        self.holder_pids: list[int] = []
        self.on_join: Callable[[int], None] = lambda _host_id: None
        self._volume = volume

    def join(self, host_id: int, io_timeout_s: int) -> None:
        self.on_join(host_id)
        if host_id in self.refuses:
            raise LockspaceError("join", "refused", self.refuses[host_id])
        self.joined = host_id

    def leave_if_unused(self, host_id: int) -> bool:
        self.joined = None
        return True

    def membership(self, host_id: int) -> Membership:
        return Membership.JOINED if self.joined == host_id else Membership.OUT

    def holders(self) -> list[int]:
        return self.holder_pids

    def format_lockspace(self, io_timeout_s: int) -> None:
        put(self._volume, PARTS.lockspace.offset, leader())

    def format_lease(self) -> None:
        pass

    def format_config_lease(self) -> None:
        pass

    def daemon_host_name(self) -> str:
        return self.name


class Services:
    """systemd with units that may run."""

    def __init__(self, available: bool = True) -> None:
        self._available = available
        self.active: set[str] = set()
        self.started: list[tuple[str, ...]] = []

    def available(self) -> bool:
        return self._available

    def is_active(self, unit: str) -> bool:
        return unit in self.active

    def enable_and_start(self, units: tuple[str, ...]) -> None:
        self.started.append(units)


class Scene:
    """A host about to be deployed."""

    def __init__(self, folder: Path, volume: SimStore, **host: Any) -> None:
        self.volume = volume
        self.clock = VirtualClock()
        self.lockspace = Lockspace(volume)
        self.services = Services()
        self.said: list[str] = []
        self.while_asleep: Callable[[], None] = lambda: None
        self.settings_file = folder / "host.yaml"
        self.has_lock_manager = True
        self.hypervisor: Any = lambda _uri, _name: _NoDomain()
        self.this_host = ThisHost("h9", "h9", **host)

    def world(self) -> DeployWorld:
        return DeployWorld(
            store=self.volume,
            lockspace=lambda _parts: self.lockspace,  # type: ignore[arg-type,return-value]
            hypervisor=self.hypervisor,
            uses_sanlock=lambda: self.has_lock_manager,
            services=self.services,
            clock=self.clock,
            sleep=self._sleep,
            host_name="h9",
            gateway="",
            settings_file=str(self.settings_file),
            say=self.said.append,
        )

    def site(self, metrics: Optional[MetricsSettings] = None) -> Site:
        found = survey(self.volume, PARTS)
        return Site(
            self.world(),
            self.lockspace,  # type: ignore[arg-type]
            found,
            self.this_host,
            "qemu:///system",
            metrics or MetricsSettings(),
        )

    def slot(self, host_id: int) -> Any:
        start = slot_address(PARTS, host_id).offset
        return decode_slot(host_id, bytes(self.volume.volumes[PATH][start : start + SLOT_SIZE]))

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.while_asleep()


class _NoDomain:
    def domain(self) -> Domain:
        return Domain(DomainState.ABSENT)


def joining(*candidates: int) -> Join:
    return Join(candidates, "h9", NO_WATCH, "br0", "10.0.0.1")


CREATING = Create(1, "h9", SETTINGS, XML, NO_WATCH)


def put_record(volume: SimStore, host_id: int, name: str) -> None:
    put(volume, slot_address(PARTS, host_id).offset, encode_host(record(host_id, name)))


# --- joining ----------------------------------------------------------------------------------


def test_join_writes_record_settings_and_starts_the_services(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    join(scene.site(), joining(2))
    settings = read_host_settings(str(scene.settings_file))
    assert settings is not None
    assert (settings.host_id, settings.bridge, settings.gateway) == (2, "br0", "10.0.0.1")
    written = scene.slot(2)
    assert (written.hostname, written.score, written.stopped) == ("h9", 0, True)
    assert scene.services.started == [UNITS]


def test_the_metrics_of_the_answers_stand_in_host_yaml(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    metrics = MetricsSettings("127.0.0.1:9177", token_file="/token")
    join(scene.site(metrics), joining(2))
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
    assert scene.lockspace.joined == 3


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
    assert scene.lockspace.joined is None


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
    assert scene.services.started == [UNITS]


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


@pytest.mark.parametrize("unit", UNITS)
def test_running_services_must_be_stopped_first(tmp_path: Path, unit: str) -> None:
    scene = Scene(tmp_path, cluster_store())
    scene.services.active = {unit}
    before = bytes(scene.volume.volumes[PATH])
    with pytest.raises(CommandError, match="systemctl stop ha-agent"):
        create(scene.site(), CREATING)
    assert bytes(scene.volume.volumes[PATH]) == before


def test_living_host_stops_everything(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    scene.while_asleep = lambda: put(scene.volume, 0, leader(timestamp=6))
    plan = Create(1, "h9", SETTINGS, XML, Watch((1,), 9))
    with pytest.raises(CommandError, match=r"h1 \(id 1\) lives"):
        create(scene.site(), plan)
    assert scene.slot(1).hostname == "h1"


def test_silent_host_is_waited_for_as_long_as_planned(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    began_s = scene.clock.monotonic_s()
    create(scene.site(), Create(1, "h9", SETTINGS, XML, Watch((1,), 76), lost="a cluster"))
    assert scene.clock.monotonic_s() - began_s >= 76
    assert "[lost] what is destroyed now: a cluster" in scene.said


def test_without_systemd_the_services_are_left_to_people(tmp_path: Path) -> None:
    scene = Scene(tmp_path, store())
    scene.services = Services(available=False)
    start_services(scene.world())
    assert scene.said[0].startswith("[skip] no systemd")
    assert scene.services.started == []


# --- checks -----------------------------------------------------------------------------------


def test_sanlock_without_a_name_of_its_own_is_refused() -> None:
    lockspace: Any = Lockspace(store(), "5b7e5f3c-4a9e-4c6b-8f7e-0123456789ab.vm")
    with pytest.raises(CommandError, match="our_host_name"):
        check_sanlock(lockspace)


def test_sanlock_that_is_gone_is_refused_with_what_to_do() -> None:
    class Gone:
        def daemon_host_name(self) -> str:
            raise LockspaceGoneError("ask", "gone", errno.ECONNREFUSED)

    gone: Any = Gone()
    with pytest.raises(CommandError, match="systemctl enable --now sanlock"):
        check_sanlock(gone)


def test_libvirt_without_its_lock_manager_is_refused(tmp_path: Path) -> None:
    scene = Scene(tmp_path, store())
    scene.has_lock_manager = False
    with pytest.raises(CommandError, match='lock_manager = "sanlock"'):
        check_libvirt(scene.world(), answers(JOINING))


def test_libvirt_that_is_gone_is_refused(tmp_path: Path) -> None:
    class Gone:
        def domain(self) -> Domain:
            raise HypervisorGoneError("ask", "no socket")

    scene = Scene(tmp_path, store())
    scene.hypervisor = lambda _uri, _name: Gone()
    with pytest.raises(CommandError, match="systemctl start libvirtd"):
        check_libvirt(scene.world(), answers(JOINING))


def test_libvirt_that_is_frozen_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forever = threading.Event()

    class Frozen:
        def domain(self) -> Domain:
            forever.wait()
            raise HypervisorGoneError("ask", "at last")

    monkeypatch.setattr("ha_agent.command.deadline.LIBVIRT_DEADLINE_S", 0.05)
    scene = Scene(tmp_path, store())
    scene.hypervisor = lambda _uri, _name: Frozen()
    with pytest.raises(CommandError, match=r"libvirt .* has not answered"):
        check_libvirt(scene.world(), answers(JOINING))
    forever.set()


def test_every_failed_check_is_named_at_once() -> None:
    said: list[str] = []
    checks = Checks(said.append)

    def fail(why: str) -> str:
        raise CommandError(why)

    checks.run("one", lambda: fail("first"))
    checks.run("two", lambda: "detail")
    checks.run("three", lambda: fail("second"))
    assert said == ["[fail] one: first", "[ ok ] two: detail", "[fail] three: second"]
    with pytest.raises(CommandError, match="nothing was changed: first; second"):
        checks.finish()
