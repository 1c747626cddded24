# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Connecting and disconnecting with tools that record what they are told, fail or hang."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest

from hosted_engine.deploy.answers import local_settings, parse_answers
from hosted_engine.deploy.command import connect_storage
from hosted_engine.deploy.next_host_answers import next_answers
from hosted_engine.errors import CommandError
from hosted_engine.storage import connect as storage_connect
from hosted_engine.storage.connect import ConnectSite, connect, disconnect
from metadata.layout import storage_parts
from metadata.settings.parse import HostSettings
from metadata.settings.storage_connection import (
    FcConnection,
    GlusterConnection,
    IscsiConnection,
    NfsConnection,
    StorageConnection,
)
from tests.contract.places import TIME_FACTOR
from tests.processes import is_running
from tests.unit.deploy_scene import Scene as DeployScene
from tests.unit.test_command_deploy import cluster_store

TARGET = "iqn.2020-01.org.example:he"
SESSION = f"tcp: [1] 192.0.2.7:3260,1 {TARGET} (non-flash)"


class Bench:
    """A host with tools of its own, a list of mounts, and a place for the storage."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.calls = folder / "calls"
        self.mountinfo = folder / "mountinfo"
        self.mountinfo.write_text("1 1 0:1 / / rw - ext4 /dev/root rw\n")
        self.disks = folder / "by-path"
        self.disks.mkdir()
        self.nodes = folder / "nodes"
        self.said: list[str] = []
        self.path = folder / "srv" / "leases"
        self.settings = HostSettings(1, "h1", storage_parts(str(self.path)))
        monkeypatch.setenv("PATH", f"{self.tools}:{os.environ['PATH']}")
        self.tool("iscsiadm", f'[ "$2" = session ] && exit 21; touch "{self.path}"')
        self.tool("udevadm")
        self.tool("umount", f'echo > "{self.mountinfo}"')
        self.tool("mount", self.mount_line("filer:/he") + f'; touch "{self.path}"')

    def mount_line(self, source: str, kind: str = "nfs4") -> str:
        line = f"2 1 0:2 / {self.point} rw shared:1 - {kind} {source} rw"
        return f'echo "{line}" >> "{self.mountinfo}"'

    @property
    def point(self) -> str:
        return str(self.path.parent)

    def tool(self, name: str, body: str = "") -> None:
        file = self.tools / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> "{self.calls}"\n{body}\n')
        file.chmod(0o755)

    def site(self, deadline_s: float = 30.0) -> ConnectSite:
        blocks = self.folder / "block"
        say = self.said.append
        nodes = (self.folder / "nowhere", self.nodes)
        return ConnectSite(say, deadline_s * TIME_FACTOR, self.mountinfo, self.disks, blocks, nodes)

    def connect(self, connection: StorageConnection, deadline_s: float = 30.0) -> None:
        connect(self.settings, connection, self.site(deadline_s))

    def disconnect(self, connection: StorageConnection) -> None:
        disconnect(self.settings, connection, self.site())

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def record(self, place: str) -> Path:
        """As ``iscsiadm -o new`` makes it."""
        path = self.nodes / TARGET / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# BEGIN RECORD 2.1.8\nnode.name = x\n# END RECORD\n")
        path.chmod(0o644)
        return path

    def nfs(self) -> NfsConnection:
        return NfsConnection("nfs", "filer", "/he", self.point)

    def unit(self, lun: int, device: str) -> Path:
        """A disk of the target, as udev names it."""
        (self.folder / device).touch()
        link = self.disks / f"ip-192.0.2.7:3260-iscsi-{TARGET}-lun-{lun}"
        link.symlink_to(self.folder / device)
        return self.folder / device


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def iscsi(lun: Optional[int] = None, **more: str) -> IscsiConnection:
    return IscsiConnection(("192.0.2.7:3260",), TARGET, lun, **more)


def refusal(bench: Bench, connection: StorageConnection, deadline_s: float = 30.0) -> str:
    with pytest.raises(CommandError) as caught:
        bench.connect(connection, deadline_s)
    return caught.value.message


# --- mounts -------------------------------------------------------------------------------


def test_mounting_makes_the_folder_and_says_what_is_run(bench: Bench) -> None:
    bench.connect(bench.nfs())
    assert bench.called() == [f"mount -t nfs filer:/he {bench.point}"]
    assert bench.said == [
        f"[ .. ] mount -t nfs filer:/he {bench.point}",
        f"[ ok ] connected: filer:/he at {bench.point}",
    ]


def test_connected_already_runs_nothing_and_says_so(bench: Bench) -> None:
    bench.connect(bench.nfs())
    bench.calls.unlink()
    bench.connect(bench.nfs())
    assert bench.called() == []
    assert bench.said[-1] == f"[ ok ] connected already: filer:/he at {bench.point}"


def test_another_export_in_the_place_is_named(bench: Bench) -> None:
    os.system(bench.mount_line("other:/export"))
    why = refusal(bench, bench.nfs())
    assert f"other:/export (nfs4) is mounted at {bench.point}, and not filer:/he" in why
    assert bench.called() == []


def test_the_tools_own_words_are_passed_on(bench: Bench) -> None:
    bench.tool("mount", "echo 'mount.nfs: access denied by server' >&2; exit 32")
    assert refusal(bench, bench.nfs()) == (
        f"mount -t nfs filer:/he {bench.point}: mount.nfs: access denied by server"
    )


def test_a_tool_that_hangs_is_ended_with_what_it_started(bench: Bench) -> None:
    bench.tool("mount", f'sleep 600 & echo $! > "{bench.folder}/helper"; wait')
    begun_s = time.monotonic()
    why = refusal(bench, bench.nfs(), deadline_s=0.5)
    assert f"mount has not ended within {0.5 * TIME_FACTOR:g} s and was killed" in why
    assert time.monotonic() - begun_s < 10 * TIME_FACTOR
    helper = int((bench.folder / "helper").read_text())
    deadline_s = time.monotonic() + 10 * TIME_FACTOR
    while is_running(helper):
        assert time.monotonic() < deadline_s, "the helper of mount runs on"
        time.sleep(0.02)


def test_a_tool_that_is_missing_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert refusal(bench, bench.nfs()) == "there is no command mount; install it"


def test_storage_that_is_not_on_the_export_is_said(bench: Bench) -> None:
    bench.tool("mount", bench.mount_line("filer:/he"))
    why = refusal(bench, bench.nfs())
    assert f"filer:/he at {bench.point} is connected, but there is no {bench.path}" in why


@pytest.mark.parametrize(
    ("server", "export", "mounted"),
    [
        ("[fd00::1]", "/", "[fd00::1]:/"),
        ("[fd00::1]", "/", "[FD00:0:0::1]:/"),
        ("[fd00::1]", "/he", "[fd00::1]:/he/"),
        ("filer", "/he", "FILER.:/he"),
        ("filer", "/export/he", "filer://export//he/"),
        ("filer", "/", "filer:/"),
    ],
)
def test_the_same_place_spelled_otherwise_is_connected_already(
    bench: Bench, server: str, export: str, mounted: str
) -> None:
    os.system(bench.mount_line(mounted))
    bench.path.parent.mkdir()
    bench.path.touch()
    bench.connect(NfsConnection("nfs4", server, export, bench.point))
    assert bench.called() == []


@pytest.mark.parametrize(
    ("server", "export", "mounted"),
    [
        ("[fd00::1]", "/", "[fd00::2]:/"),
        ("[fd00::1]", "/", "[fd00::1]:/he"),
        ("filer", "/he", "filer:/he2"),
        ("filer", "/he", "filer:/"),
        ("filer", "/he", "filer.example.org:/he"),
        ("[fe80::1%eth0]", "/he", "[fe80::1%eth1]:/he"),
    ],
)
def test_another_place_is_another_one_however_near(
    bench: Bench, server: str, export: str, mounted: str
) -> None:
    os.system(bench.mount_line(mounted))
    why = refusal(bench, NfsConnection("nfs4", server, export, bench.point))
    assert f"{mounted} (nfs4) is mounted at {bench.point}, and not {server}:{export} (nfs4)" in why
    assert bench.called() == []


def test_gluster_s_volume_is_known_with_and_without_its_slash(bench: Bench) -> None:
    bench.path.parent.mkdir()
    bench.path.touch()
    for mounted in ("g1:/he", "g1:he"):
        os.system(bench.mount_line(mounted, "fuse.glusterfs"))
        bench.connect(GlusterConnection("g1", "he", bench.point))
    os.system(bench.mount_line("fd00::1:/he", "fuse.glusterfs"))
    bench.connect(GlusterConnection("[fd00::1]", "he", bench.point))
    assert bench.called() == []


def test_a_mount_point_behind_a_link_is_connected_already(bench: Bench) -> None:
    bench.connect(bench.nfs())
    bench.calls.unlink()
    link = bench.folder / "link"
    link.symlink_to(bench.folder / "srv")
    bench.connect(NfsConnection("nfs", "filer", "/he", str(link)))
    assert bench.called() == []


def test_unmounting_and_unmounted_already(bench: Bench) -> None:
    bench.connect(bench.nfs())
    bench.disconnect(bench.nfs())
    assert bench.called()[1:] == [f"umount {bench.point}"]
    bench.disconnect(bench.nfs())
    assert len(bench.called()) == 2
    assert bench.said[-1] == f"[ ok ] not connected: filer:/he at {bench.point}"


def test_a_busy_mount_stays_and_its_reason_is_passed_on(bench: Bench) -> None:
    bench.connect(bench.nfs())
    bench.tool("umount", "echo 'umount: target is busy.' >&2; exit 32")
    with pytest.raises(CommandError, match=r"umount .*: umount: target is busy\."):
        bench.disconnect(bench.nfs())


# --- iSCSI --------------------------------------------------------------------------------


def password(bench: Bench, content: str = "s3cret\n") -> str:
    secret = bench.folder / "password"
    secret.write_text(content)
    secret.chmod(0o600)
    return str(secret)


def test_logging_in_with_a_password_shows_it_nowhere(bench: Bench) -> None:
    secret = password(bench)
    record = bench.record("192.0.2.7,3260")
    (bench.path.parent).mkdir()
    bench.connect(iscsi(user="he", password_file=secret))
    node = f"iscsiadm -m node -T {TARGET} -p 192.0.2.7:3260"
    assert bench.called() == [
        "iscsiadm -m session",
        f"{node} -o new",
        f"{node} -o update -n node.session.auth.authmethod -v CHAP",
        f"{node} -o update -n node.session.auth.username -v he",
        f"{node} -o update -n node.startup -v manual",
        f"{node} --login",
        f"udevadm settle --timeout=30 --exit-if-exists={bench.path}",
    ]
    assert "s3cret" not in "\n".join(bench.said)
    assert "s3cret" not in "\n".join(bench.called())
    assert record.stat().st_mode & 0o777 == 0o600
    assert record.read_text() == (
        "# BEGIN RECORD 2.1.8\nnode.name = x\nnode.session.auth.password = s3cret\n# END RECORD\n"
    )


@pytest.mark.parametrize(
    ("portal", "place"),
    [
        ("192.0.2.7:3260", "192.0.2.7,3260,1/default"),
        ("192.0.2.7", "192.0.2.7,3260"),
        ("[2001:db8::7]:3261", "2001:db8::7,3261,2/iface0"),
        ("filer.example.org", "filer.example.org,3260,1/default"),
    ],
)
def test_the_record_is_found_where_iscsiadm_keeps_it(bench: Bench, portal: str, place: str) -> None:
    record = bench.record(place)
    other = bench.record("192.0.2.77,3260")
    bench.path.parent.mkdir()
    secret = password(bench)
    bench.connect(IscsiConnection((portal,), TARGET, user="he", password_file=secret))
    assert "node.session.auth.password = s3cret\n" in record.read_text()
    assert "s3cret" not in other.read_text()


def test_a_new_password_takes_the_place_of_the_old_one(bench: Bench) -> None:
    record = bench.record("192.0.2.7,3260")
    record.write_text("node.session.auth.password = old\nnode.session.auth.password_in = in\n")
    bench.path.parent.mkdir()
    bench.connect(iscsi(user="he", password_file=password(bench)))
    assert record.read_text() == (
        "node.session.auth.password_in = in\nnode.session.auth.password = s3cret\n"
    )


def test_without_a_record_nobody_logs_in(bench: Bench) -> None:
    bench.path.parent.mkdir()
    why = refusal(bench, iscsi(user="he", password_file=password(bench)))
    assert "keeps no record of" in why and str(bench.nodes) in why
    assert not any("--login" in line for line in bench.called())


@pytest.mark.parametrize(
    "content", ["two\nlines", " s3cret", "s3cret ", "x" * 256, "tab\there", "esc\x1b[2J"]
)
def test_a_password_that_a_record_can_not_hold_is_refused(bench: Bench, content: str) -> None:
    bench.record("192.0.2.7,3260")
    why = refusal(bench, iscsi(user="he", password_file=password(bench, content)))
    assert "is refused; allowed: one line of 1 to 255 bytes" in why
    assert bench.called() == ["iscsiadm -m session"]
    assert content not in why


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_password_that_others_can_read_is_refused(bench: Bench, mode: int) -> None:
    bench.record("192.0.2.7,3260")
    secret = password(bench)
    Path(secret).chmod(mode)
    why = refusal(bench, iscsi(user="he", password_file=secret))
    assert f"others than its owner may use it (mode {mode:04o})" in why
    assert bench.called() == ["iscsiadm -m session"]


def test_a_password_that_can_not_be_read_is_said_before_anything_is_run(bench: Bench) -> None:
    why = refusal(bench, iscsi(user="he", password_file="/nowhere/password"))
    assert why.startswith("storage.connection.password_file: ")
    assert bench.called() == ["iscsiadm -m session"]


def test_logged_in_meanwhile_is_fine_and_a_failed_login_is_not(bench: Bench) -> None:
    bench.path.parent.mkdir()
    bench.path.touch()
    login = 'case "$*" in *--login) exit {};; "-m session") exit 21;; esac'
    bench.tool("iscsiadm", login.format(15))
    bench.connect(iscsi())
    bench.tool("iscsiadm", login.format(24))
    assert "--login: exit code 24" in refusal(bench, iscsi())


def test_a_unit_that_is_not_mapped_is_named(bench: Bench) -> None:
    bench.path.parent.mkdir()
    bench.path.touch()
    assert "shows no unit (lun) 3" in refusal(bench, iscsi(lun=3))
    bench.unit(3, "sdx")
    bench.connect(iscsi(lun=3))


def test_a_broken_iscsiadm_is_no_answer(bench: Bench) -> None:
    bench.tool("iscsiadm", "echo 'iscsid is not running' >&2; exit 20")
    assert refusal(bench, iscsi()) == "iscsiadm -m session: iscsid is not running"


def logged_in(bench: Bench) -> None:
    bench.tool("iscsiadm", f'[ "$2" = session ] && echo "{SESSION}"; exit 0')


def test_logging_out_removes_the_record_with_its_password(bench: Bench) -> None:
    logged_in(bench)
    bench.disconnect(iscsi())
    node = f"iscsiadm -m node -T {TARGET} -p 192.0.2.7:3260"
    assert bench.called()[1:] == [f"{node} --logout", f"{node} -o delete"]


@pytest.mark.parametrize("use", ["mounted", "held"])
def test_units_that_others_use_keep_the_target_connected(bench: Bench, use: str) -> None:
    logged_in(bench)
    bench.unit(1, "sdx")
    other = bench.unit(2, "sdy")
    if use == "mounted":
        os.system(f'echo "3 1 8:1 / /data rw - xfs {other} rw" >> {bench.mountinfo}')
    else:
        (bench.folder / "block" / "sdy" / "holders" / "dm-0").mkdir(parents=True)
    with pytest.raises(CommandError, match=rf"other units of it, too \(ip-.*{TARGET}-lun-2\)"):
        bench.disconnect(iscsi(lun=1))
    assert [line for line in bench.called() if "logout" in line] == []


def test_a_unit_that_nobody_uses_is_no_reason(bench: Bench) -> None:
    logged_in(bench)
    bench.unit(1, "sdx")
    bench.unit(2, "sdy")
    bench.disconnect(iscsi(lun=1))
    assert any("--logout" in line for line in bench.called())


# --- several portals ----------------------------------------------------------------------

TWO = IscsiConnection(("192.0.2.7", "[fd00::7]:3260"), TARGET)
SESSION_6 = f"tcp: [2] [fd00:0:0::7]:3260,1 {TARGET} (non-flash)"
NODES = [f"iscsiadm -m node -T {TARGET} -p {portal}" for portal in TWO.portals]


def with_sessions(bench: Bench, *sessions: str, refuses: str = "nobody") -> None:
    bench.path.parent.mkdir()
    bench.path.touch()
    lines = "; ".join(f'echo "{line}"' for line in sessions) or "exit 21"
    failing = f'*"{refuses}"*--login) echo "iscsiadm: timed out" >&2; exit 8;;'
    bench.tool("iscsiadm", f'case "$*" in "-m session") {lines};; {failing} esac')


def logins(bench: Bench) -> list[str]:
    return [line for line in bench.called() if line.endswith("--login")]


def test_each_portal_is_logged_in_to(bench: Bench) -> None:
    with_sessions(bench)
    bench.connect(TWO)
    assert logins(bench) == [f"{node} --login" for node in NODES]
    assert bench.said[-1] == f"[ ok ] connected: iSCSI target {TARGET} at 192.0.2.7, [fd00::7]:3260"


def test_only_the_portals_that_have_no_session_yet(bench: Bench) -> None:
    with_sessions(bench, SESSION)
    bench.connect(TWO)
    assert logins(bench) == [f"{NODES[1]} --login"]


def test_all_connected_already_runs_nothing(bench: Bench) -> None:
    with_sessions(bench, SESSION, SESSION_6)
    bench.connect(TWO)
    assert bench.called() == ["iscsiadm -m session"]


@pytest.mark.parametrize("down", TWO.portals)
def test_one_portal_is_enough_and_the_other_is_told_of(bench: Bench, down: str) -> None:
    with_sessions(bench, refuses=down)
    bench.connect(TWO)
    (warning,) = [line for line in bench.said if line.startswith("[warn]")]
    assert down in warning and "iscsiadm: timed out" in warning


def test_a_session_is_enough_where_no_other_portal_answers(bench: Bench) -> None:
    with_sessions(bench, SESSION_6, refuses="192.0.2.7")
    bench.connect(TWO)
    assert bench.said[-1].startswith("[ ok ] connected: ")


def test_no_portal_at_all_is_a_failure_that_names_each(bench: Bench) -> None:
    with_sessions(bench, refuses="")
    why = refusal(bench, TWO)
    assert all(portal in why for portal in TWO.portals)
    assert why.count("iscsiadm: timed out") == 2


def test_each_portal_s_record_gets_the_password(bench: Bench) -> None:
    records = [bench.record("192.0.2.7,3260,1/default"), bench.record("fd00::7,3260,1/default")]
    with_sessions(bench)
    connection = replace(TWO, user="he", password_file=password(bench))
    bench.connect(connection)
    assert all("node.session.auth.password = s3cret" in one.read_text() for one in records)
    assert "s3cret" not in "\n".join(bench.called() + bench.said)


def test_all_portals_are_logged_out_of_while_any_has_a_session(bench: Bench) -> None:
    with_sessions(bench, SESSION_6)
    bench.disconnect(TWO)
    assert bench.called()[1:] == [
        line for node in NODES for line in (f"{node} --logout", f"{node} -o delete")
    ]


# --- Fibre Channel ------------------------------------------------------------------------


def test_a_device_that_is_there_needs_nothing(bench: Bench) -> None:
    bench.path.parent.mkdir()
    bench.path.touch()
    connection = FcConnection(str(bench.path))
    bench.connect(connection)
    bench.disconnect(connection)
    assert bench.called() == []
    assert bench.said[-1].startswith(f"[skip] {bench.path} is there through")


def test_a_device_that_is_not_there_is_waited_for_and_named(bench: Bench) -> None:
    connection = FcConnection(str(bench.folder / "missing"))
    assert f"there is no {bench.path}" in refusal(bench, connection)
    assert bench.called() == [f"udevadm settle --timeout=30 --exit-if-exists={bench.path}"]


# --- --deploy -----------------------------------------------------------------------------


def test_deploying_connects_what_its_answers_say_and_keeps_it_in_host_yaml(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"type": "nfs", "server": "filer", "export": "/he", "mount_point": bench.point}
    given = parse_answers(
        {"storage": {"path": str(bench.path), "connection": connection}}, "answers.yaml"
    )
    monkeypatch.setattr(storage_connect, "ConnectSite", lambda _say: bench.site())
    scene = DeployScene(bench.folder, cluster_store())
    connect_storage(scene.world(), given)
    assert bench.called() == [f"mount -t nfs filer:/he {bench.point}"]
    settings = local_settings(given, storage_parts(str(bench.path)))
    assert settings.connection == bench.nfs()
    next_host = next_answers(settings)
    assert next_host["storage"]["connection"] == connection


def test_deploying_without_a_connection_runs_nothing(bench: Bench) -> None:
    given = parse_answers({"storage": {"path": str(bench.path)}}, "answers.yaml")
    connect_storage(DeployScene(bench.folder, cluster_store()).world(), given)
    assert bench.called() == []
