# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The daemons' user: what it is told of a volume, what it is given, where it may write."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hosted_engine.deploy.checks import check_service_user
from hosted_engine.deploy.checks_storage import check_access
from hosted_engine.deploy.command import prepare_access
from hosted_engine.deploy.findings import Level
from hosted_engine.deploy.steps import start_services
from hosted_engine.errors import CommandError
from hosted_engine.host import service_rights
from hosted_engine.host.units import BROKER, STORAGE, SystemdUnits, write_drop_in
from metadata.settings.storage_connection import FcConnection, IscsiConnection
from tests.unit.deploy_scene import Scene
from tests.unit.other_user import ROOT, needs_root
from tests.unit.storage_scene import Services
from tests.unit.test_command_deploy import PARTS, PATH, put, store
from tests.unit.test_command_deploy_checks import creating, expect
from world.group_access import let_group_in
from world.secret_file import read_secret
from world.service_user import USER

GROUP = 4712

# All is imported before it becomes that user, who need not be able to read this repository.
AS_SERVICE = """
import os, sys
from metadata.records import VolumeAddress
from world import service_user
from world.ports.errors import StorageError
from world.storage import direct_store, volume_trouble
from metadata import layout
service_user.USER = "nobody"
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    direct_store.DirectStore().read(VolumeAddress(sys.argv[1], 0), 4096)
    print("read")
except StorageError as error:
    print(error.why)
"""


def as_service(path: Path) -> str:
    words = (sys.executable, "-c", AS_SERVICE, str(path))
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, store())


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


# --- what it is told --------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660, 0o644])
def test_the_group_that_it_needs_at_a_volume_is_named(place: Path, mode: int) -> None:
    volume = place / "leases"
    volume.write_bytes(bytes(4096))
    volume.chmod(mode)
    os.chown(volume, -1, GROUP)
    said = as_service(volume)
    assert "Permission denied" in said
    assert f"gets there by group sanlock: {volume} has group {GROUP} and mode {mode:04o}" in said
    assert said.endswith(f"chgrp sanlock {volume} && chmod g+rw {volume}")


@needs_root
def test_the_folder_that_keeps_it_out_is_named(place: Path) -> None:
    closed = place / "san"
    (closed / "deep").mkdir(parents=True)
    volume = closed / "deep" / "leases"
    volume.write_bytes(bytes(4096))
    volume.chmod(0o666)
    closed.chmod(0o750)
    said = as_service(volume)
    assert f"{closed} has group root and mode 0750; chgrp sanlock {closed} && chmod g+x" in said


# --- secrets ----------------------------------------------------------------------------------


def secret(path: Path, mode: int, gid: int) -> str:
    path.write_bytes(b"s3cret\n")
    os.chown(path, -1, gid)
    path.chmod(mode)
    return str(path)


@needs_root
def test_its_group_may_read_a_secret_and_no_other_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("world.secret_file.own_gid", lambda: GROUP)
    for mode in (0o640, 0o440):
        assert read_secret(secret(tmp_path / "s", mode, GROUP)) == b"s3cret"
    for mode, gid in ((0o640, GROUP + 1), (0o440, 0), (0o660, GROUP), (0o644, GROUP)):
        with pytest.raises(OSError, match=rf"mode {mode:04o}\), so it is refused") as caught:
            read_secret(secret(tmp_path / "s", mode, gid))
        assert f"0640 with group {USER} (chgrp {USER} {tmp_path / 's'}" in str(caught.value)


@needs_root
def test_a_secret_that_a_list_of_access_opens_to_more_is_none(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bits for the group are its bound then, and do not tell who else may read."""
    monkeypatch.setattr("world.secret_file.own_gid", lambda: GROUP)
    path = secret(place / "s", 0o640, GROUP)
    try:
        let_group_in(path, GROUP + 1)
    except OSError as error:
        pytest.skip(f"no lists of access here: {error.strerror}")
    Path(path).chmod(0o640)
    with pytest.raises(OSError, match="so it is refused"):
        read_secret(path)


def test_systemds_own_copy_of_a_secret_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a service with a user it has root's mode 0400 and a list of access: it shows 0440."""
    path = secret(tmp_path / "token", 0o440, os.getegid())
    with pytest.raises(OSError, match="so it is refused"):
        read_secret(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret(path) == b"s3cret"
    (tmp_path / "token").chmod(0o444)
    with pytest.raises(OSError, match="so it is refused"):
        read_secret(path)


def test_who_may_not_read_a_secret_is_told_which_group_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_values: object, **_more: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("world.secret_file.open_regular", refuse)
    with pytest.raises(OSError, match=rf"^{tmp_path}/s: Permission denied; .*group {USER} "):
        read_secret(f"{tmp_path}/s")


# --- --deploy and --deploy --check --------------------------------------------------------------


def test_a_volume_that_the_user_can_not_open_is_told_with_the_group(scene: Scene) -> None:
    scene.probes.refused_to_service = "Permission denied"
    found = check_access(scene.world(), PARTS)
    told = f"user {USER} of ha-broker and ha-agent, in group sanlock, can't write to {PATH}"
    expect(found, Level.FAIL, told, "Permission denied")
    expect(found, Level.FAIL, told, f"chown sanlock:sanlock {PATH} && chmod 660 {PATH}")


@pytest.mark.parametrize("lacks", [("sanlock",), ("libvirt",), ("sanlock", "libvirt")])
def test_a_user_that_is_not_in_its_groups_is_told(scene: Scene, lacks: tuple[str, ...]) -> None:
    scene.probes.service_lacks = lacks
    told = f"is not in group {' and '.join(lacks)}"
    expect(check_service_user(scene.world()), Level.FAIL, told, f"-aG {','.join(lacks)} {USER}")


def test_no_user_is_told_and_hinders_nobody(scene: Scene) -> None:
    scene.probes.service_lacks = None
    expect(check_service_user(scene.world()), Level.WARN, f"no user {USER}", "systemd-sysusers")


@pytest.mark.parametrize(("to_sanlock", "to_service"), [("no", ""), ("", "no"), ("no", "no")])
def test_a_blank_volume_is_given_to_the_group(
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
    to_sanlock: str,
    to_service: str,
) -> None:
    given: list[str] = []
    monkeypatch.setattr("hosted_engine.deploy.command.give_volume", given.append)
    prepare_access(creating(scene))
    assert given == []
    scene.probes.refused_to_sanlock, scene.probes.refused_to_service = to_sanlock, to_service
    prepare_access(creating(scene))
    assert given == [PATH]
    assert scene.said == [f"[ ok ] {PATH}: given to sanlock"]


def test_what_somebody_uses_is_given_to_nobody(
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other hosts may have another number for that group, and would lose their storage."""
    given: list[str] = []
    monkeypatch.setattr("hosted_engine.deploy.command.give_volume", given.append)
    scene.probes.refused_to_service = "no"
    put(scene.volume, 0, b"x")
    prepare_access(creating(scene))
    assert given == []


@needs_root
def test_giving_a_volume_changes_its_group_and_no_right_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_rights, "group_id", lambda _name: GROUP)
    volume = tmp_path / "leases"
    volume.touch(0o600)
    assert service_rights.give_volume(str(volume)) is None
    found = volume.stat()
    assert (found.st_gid, stat.S_IMODE(found.st_mode), found.st_uid) == (GROUP, 0o660, 0)
    assert "No such file" in str(service_rights.give_volume(str(tmp_path / "none")))
    monkeypatch.setattr(service_rights, "group_id", lambda _name: None)
    assert service_rights.give_volume(str(volume)) == "this host has no group sanlock"


# --- where the unit lets it write -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/srv/san/leases", ""),
        ("/mnt/leases", ""),
        ("/dev/mapper/leases", ""),
        ("/rhev/data-center/mnt/x/leases", ""),
        ("/srv/../data/leases", 'ReadWritePaths="-/data"\n'),
        ("/srvs/leases", 'ReadWritePaths="-/srvs"\n'),
        ("/data/my san/100%/leases", 'ReadWritePaths="-/data/my san/100%%"\n'),
    ],
)
def test_a_storage_elsewhere_is_named_in_a_drop_in(path: str, line: str) -> None:
    assert write_drop_in([path, "/srv/x"]).partition("[Service]\n")[2] == line


def test_the_drop_in_follows_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemdUnits, "available", lambda _self: False)
    units, drop_in = SystemdUnits(tmp_path), tmp_path / "ha-broker.service.d"
    assert not units.let_write(["/srv/leases"])
    assert not drop_in.exists()
    assert units.let_write(["/data/leases"])
    assert not units.let_write(["/data/leases", "/data/other"])
    (file,) = drop_in.iterdir()
    assert 'ReadWritePaths="-/data"\n' in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert units.let_write(["/srv/leases"])
    assert list(drop_in.iterdir()) == []
    drop_in.rmdir()
    drop_in.write_text("no folder")
    with pytest.raises(CommandError, match="can't be written"):
        units.let_write(["/data/leases"])


def test_a_broker_whose_right_has_changed_is_started_anew(tmp_path: Path) -> None:
    scene = Scene(tmp_path, store())
    scene.units.running = (BROKER,)
    start_services(scene.world(), scene.site().local)
    assert scene.orders == [f"stop {BROKER}", "enable"]
    scene.orders.clear()
    scene.units.running = (BROKER,)
    start_services(scene.world(), scene.site().local)
    assert scene.orders == ["enable"]


def test_storage_that_host_yaml_tells_of_is_connected_at_boot(tmp_path: Path) -> None:
    scene = Scene(tmp_path, store())
    start_services(scene.world(), scene.site().local)
    assert f"enable {STORAGE}" not in scene.orders
    told = replace(scene.site().local, connection=FcConnection("/dev/mapper/leases"))
    start_services(scene.world(), told)
    assert f"enable {STORAGE}" in scene.orders
    start_services(scene.world(), scene.site().local)
    assert f"disable {STORAGE}" in scene.orders


# --- what a package gives -------------------------------------------------------------------------


HOST_YAML = """\
host_id: 1
host_name: h1
storage:
  path: /data/leases
"""


@needs_root
def test_an_upgrade_gives_what_root_had_once_and_to_the_group_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_rights, "own_gid", lambda: GROUP)
    settings = tmp_path / "host.yaml"
    settings.write_text(HOST_YAML)
    settings.chmod(0o644)
    (tmp_path / "certs").mkdir()
    was = {"token": (0o600, 0), "certs/key": (0o400, 0), "open": (0o644, 0), "other": (0o600, 7)}
    for name, (mode, gid) in was.items():
        secret(tmp_path / name, mode, gid)
    (tmp_path / "link").symlink_to(tmp_path / "token")
    units = Services([])

    def seen() -> dict[str, tuple[int, int]]:
        found = {name: (tmp_path / name).stat() for name in was}
        return {name: (stat.S_IMODE(one.st_mode), one.st_gid) for name, one in found.items()}

    service_rights.give(settings, units, first=False)
    assert seen() == was
    assert 'ReadWritePaths="-/data"' in units.drop_in
    service_rights.give(settings, units, first=True)
    assert seen() == {**was, "token": (0o640, GROUP), "certs/key": (0o440, GROUP)}


@needs_root
def test_iscsis_password_stays_roots(tmp_path: Path) -> None:
    settings = tmp_path / "host.yaml"
    kept, given = secret(tmp_path / "chap", 0o600, 0), secret(tmp_path / "smtp", 0o600, 0)
    settings.write_text(
        f"{HOST_YAML}  connection: {{type: iscsi, portal: 192.0.2.7, user: u, "
        f"target: iqn.2020-01.org.example:x, password_file: {kept}}}\n"
    )
    host = service_rights.read_host_settings(str(settings))
    assert host is not None
    assert isinstance(host.connection, IscsiConnection)
    assert [str(path) for path in service_rights._secrets(tmp_path, host)] == [given]


def test_what_can_not_be_given_is_told_and_stops_no_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HE_SETTINGS", str(tmp_path / "host.yaml"))
    service_rights.main(first=True)
    assert capsys.readouterr().err == ""
    (tmp_path / "host.yaml").write_text("host_id: [\n")
    service_rights.main(first=True)
    said = capsys.readouterr().err
    assert said.startswith("hosted-engine-ha: ")
    assert str(tmp_path / "host.yaml") in said
