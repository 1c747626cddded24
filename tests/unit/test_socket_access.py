# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Who may ask the broker, and who may have it do something: other users, on the real socket."""

from __future__ import annotations

import errno
import grp
import json
import os
import pwd
import re
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, Optional

import pytest

from ha_broker.api.client import BrokerClient, BrokerRefusedError
from ha_broker.running import access_of
from ha_broker.server.access import Access
from ha_broker.server.entrance import Entrance
from ha_broker.server.http_server import ApiServer, Caller
from ha_broker.server.mailbox import Refusal
from ha_broker.server.name_lookup import GROUP, LOOK_INTERVAL_S, USER, NameLookup
from ha_broker.server.routes import COMMANDS as OPENED
from ha_broker.server.routes import Api
from hosted_engine.cli.catalogue import COMMANDS
from hosted_engine.cli.catalogue.base import Command
from hosted_engine.main import main
from hosted_engine.storage.cleanup import main as cleanup_main
from metadata.error_words import shown
from metadata.errors import SettingsError
from metadata.settings.notifications import read_notifications
from metadata.settings.parse import host_settings_to_data, parse_host_settings
from metadata.settings.schema import Reader
from tests.unit.broker_host import CONFIG, PUBLICATION
from tests.unit.command_broker import HOST_YAML, undeployed
from tests.unit.other_user import (
    NOBODY,
    PYTHON,
    as_command,
    as_compat_client,
    as_user,
    needs_root,
    read_as_compat_client,
)
from tests.unit.test_broker_api import Served
from tests.unit.umasks import umask
from world.host.accounts import group_id, is_member, user_id
from world.host.only_one import AnotherRunsError, OnlyOne
from world.ports.errors import WorldError
from world.ports.libvirt import Domain, DomainState
from world.way_in import way_in

MEMBERS = 4711
SECOND = 10 * float(os.environ.get("HE_TIME_FACTOR", "1"))


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory through which everybody may pass, as /run/hosted-engine-ha."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def served(place: Path) -> Iterator[Served]:
    served = Served(place)
    served.pump()
    yield served
    served.close()


def commands() -> list[tuple[str, str, str]]:
    api = Api(None, lambda: 0.0)  # type: ignore[arg-type]
    return [(method, path, "{}") for method, path in api._routes if method != "GET"]


# --- other users on the socket ----------------------------------------------------------------


@needs_root
def test_without_a_group_nobody_else_gets_in(served: Served) -> None:
    for groups in ((), (MEMBERS,)):
        assert as_user(served.path, "GET", "/v1/status", groups=groups) == (errno.EACCES, None)


@needs_root
def test_who_is_not_in_the_group_does_not_get_in(served: Served) -> None:
    served.server.admit(MEMBERS)
    assert as_user(served.path, "GET", "/v1/status") == (errno.EACCES, None)


@needs_root
def test_members_of_the_group_may_read(served: Served) -> None:
    served.server.admit(MEMBERS)
    for target in ("/v1/status", "/v1/changes?wait_s=0", "/v1/config"):
        status, text = as_user(served.path, "GET", target, groups=(MEMBERS,))
        assert (status, "error" in json.loads(text)) == (200, False), target


@needs_root
def test_whatever_changes_something_is_refused_for_them(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    served.server.admit(MEMBERS)
    before = served.cluster.slot(0), served.cluster.slot(1)
    assert len(commands()) >= 4
    for method, target, body in commands():
        status, text = as_user(served.path, method, target, body, groups=(MEMBERS,))
        assert status == 403, target
        why = json.loads(text)["error"]
        assert why.startswith(f"permission denied: {method} {target} is refused for uid {NOBODY},")
        assert "run it as root" in why
        assert ("in command_users of host.yaml" in why) == (target in OPENED)
        assert "allowed for uid 65534: GET of /v1/status, /v1/changes" in why
        assert re.search(rf"{method} {target}, asked for by uid {NOBODY}, pid \d+", caplog.text)
    body = maintenance("global", True)
    assert as_user(served.path, "PUT", "/v1/maintenance", body, (MEMBERS,))[0] == 403
    served.host.settle()
    assert (served.cluster.slot(0), served.cluster.slot(1)) == before


def test_who_runs_the_daemons_and_root_may_command(served: Served) -> None:
    for ours in (0, os.geteuid()):
        assert Access().administers(ours)
        assert Access().may_command(ours)
    assert not Access().may_command(os.geteuid() + 1)
    served.client().publish(PUBLICATION)
    served.client().reread()


def test_a_refused_command_is_an_error_that_says_so(place: Path) -> None:
    api = Api(None, lambda: 0.0)  # type: ignore[arg-type]

    def answer(method: str, target: str, body: bytes, _caller: Caller) -> Any:
        return api.answer(method, target, body, Caller(1, NOBODY))

    server = ApiServer(str(place / "s"), answer)
    server.start()
    try:
        with pytest.raises(BrokerRefusedError) as caught:
            BrokerClient(str(place / "s")).set_local_maintenance(True)
    finally:
        server.stop()
    assert caught.value.status == 403
    assert str(caught.value).startswith(
        "can't set local maintenance on: permission denied: PUT /v1/maintenance is refused for "
        "uid 65534"
    )


@needs_root
@pytest.mark.parametrize("groups", [(MEMBERS,), (NOBODY, MEMBERS), (NOBODY, 5, MEMBERS, 7)])
def test_the_group_that_the_host_daemon_runs_as_reads_by_its_client(
    served: Served, place: Path, monkeypatch: pytest.MonkeyPatch, groups: tuple[int, ...]
) -> None:
    """The first one is its own, as vdsm's is kvm; the others are further ones of its user."""
    deployed_as_host_1(place, monkeypatch)
    served.server.admit(MEMBERS)
    client, since = served.client(), -1
    client.publish(PUBLICATION)
    while not client.status().hosts:
        since = client.wait_for_change(since, 5 * SECOND).sequence
    deployed, stats, hosts, score, setting = read_as_compat_client(served.path, *groups)
    assert deployed == "True 1"
    assert (stats, hosts) == ("[0, 1]", "[1]")
    assert score.isdigit()
    assert setting == "['5.0', 'ha']"


@needs_root
def test_without_the_group_its_client_is_told_the_way_in(
    served: Served, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed_as_host_1(place, monkeypatch)
    served.server.admit(MEMBERS)
    deployed, *refused = read_as_compat_client(served.path, NOBODY, 5)
    assert deployed == "True 1"
    assert len(refused) == 4
    for told in refused[:3]:
        assert told.startswith(f"BrokerDeniedError {errno.EACCES} ")
        assert told.endswith(f"{served.path}: run it as root, or be in group {MEMBERS}")
    assert refused[3].startswith("CommandError ")
    assert refused[3].endswith(f"run it as root, or be in group {MEMBERS}")


def deployed_as_host_1(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = place / "host.yaml"
    settings.write_text(HOST_YAML)
    settings.chmod(0o644)
    monkeypatch.setenv("HE_SETTINGS", str(settings))


# --- users who may command ----------------------------------------------------------------------


class Allowed:
    """A broker with a group, whose user `uid` may command."""

    def __init__(self, served: Served, uid: int) -> None:
        self.served = served
        self.user = NameLookup(USER, "vdsm", lambda _name: uid)
        self.user.look()
        self.user.wait(SECOND)
        mailbox, clock = served.host.broker.mailbox, served.cluster.clock
        access = Access(users=[self.user])
        self.api = Api(mailbox, clock.monotonic_s, access=access)
        served.server.answer = self.api.answer
        served.server.admit(MEMBERS)

    def ask(self, method: str, target: str, body: str = "{}") -> tuple[int, Any]:
        """As the user nobody, in the group."""
        status, text = as_user(self.served.path, method, target, body, (MEMBERS,))
        return status, json.loads(text)

    def as_root(self, method: str, target: str, body: str = "{}") -> tuple[int, Any]:
        try:
            return 200, self.api.answer(method, target, body.encode(), Caller(1, 0))
        except Refusal as refusal:
            return refusal.status, {"error": refusal.why}


@pytest.fixture
def allowed(served: Served) -> Allowed:
    return Allowed(served, NOBODY)


def maintenance(scope: str, on: bool, **more: Any) -> str:
    return json.dumps({"scope": scope, "on": on, **more})


@needs_root
@pytest.mark.parametrize("scope", ["global", "local"])
def test_a_named_user_sets_maintenance_and_is_logged(
    allowed: Allowed, scope: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for on, before in ((True, False), (True, True), (False, True)):
        found = allowed.ask("PUT", "/v1/maintenance", maintenance(scope, on))
        assert found == (200, {"before": before})
        snapshot = allowed.served.client().status()
        now = {"global": snapshot.global_maintenance, "local": snapshot.local_maintenance}
        assert now == {"global": False, "local": False, scope: on}
        done = rf"{scope} maintenance {'on' if on else 'off'}, asked for by uid {NOBODY}, pid \d+"
        assert re.search(rf"{done} \(.+\), is done", caplog.text)


@needs_root
@pytest.mark.parametrize("target", OPENED)
def test_each_command_of_a_named_user_is_logged(
    allowed: Allowed, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    allowed.ask("PUT", target)  # whatever comes of it
    asked = rf"PUT {target} is asked for by uid {NOBODY}, pid \d+ \(.+\), of command_users"
    assert re.search(asked, caplog.text)
    caplog.clear()
    assert allowed.ask("GET", "/v1/status", "")[0] == 200
    assert "asked for" not in caplog.text


@needs_root
@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("PUT", "/v1/maintenance", maintenance("local", True)),  # the engine runs here
        ("PUT", "/v1/maintenance", maintenance("cluster", True)),
        ("PUT", "/v1/maintenance", maintenance("global", True, timeout_s=1e6)),
        ("PUT", "/v1/maintenance", maintenance("global", True, force=True)),
        ("PUT", "/v1/maintenance", "{"),
        ("PUT", "/v1/maintenance?x=1", maintenance("global", True)),
        ("PUT", "/v1/reread", '{"all": true}'),
        ("PUT", "/v1/test-notification", "[]"),
        ("DELETE", "/v1/maintenance", ""),
        ("PUT", "/v1/nowhere", "{}"),
    ],
)
def test_what_root_is_refused_they_are_refused_in_the_same_words(
    allowed: Allowed, method: str, target: str, body: str
) -> None:
    allowed.served.host.hypervisor.set_domain(Domain(DomainState.RUNNING, pid=7))
    allowed.ask("PUT", "/v1/reread")  # it takes a cycle: the domain has been seen after it
    wait_for_domain(allowed.served)
    status, why = allowed.ask(method, target, body)
    assert 400 <= status < 500
    assert status != 403
    assert (status, why) == allowed.as_root(method, target, body)


def wait_for_domain(served: Served) -> None:
    client, since = served.client(), -1
    while client.status().engine.domain is not DomainState.RUNNING:
        since = client.wait_for_change(since, 5 * SECOND).sequence


@needs_root
def test_what_is_no_command_of_theirs_stays_roots(allowed: Allowed) -> None:
    """Other hosts, and root's commands, go by the record; a new resource is closed at first."""
    before = allowed.served.cluster.slot(1)
    closed = [target for method, target, _ in commands() if target not in OPENED]
    assert "/v1/record" in closed
    asked = [("PUT", target) for target in closed] + [("GET", "/v1/config/copy")]
    for method, target in asked:
        status, answer = allowed.ask(method, target)
        assert status == 403, target
        assert answer["error"] == (
            f"permission denied: {method} {target} is refused for uid {NOBODY}; run it as root; "
            f"allowed for uid {NOBODY}: GET of /v1/status, /v1/changes, /v1/sequence, "
            "/v1/config, /metrics; "
            "PUT of /v1/maintenance, /v1/move, /v1/reread, /v1/test-notification"
        )
    allowed.served.host.settle()
    assert allowed.served.cluster.slot(1) == before
    assert allowed.ask("GET", "/v1/config", "")[1]["domain_xml"] == ""


@needs_root
def test_a_named_user_outside_of_the_group_does_not_get_in(allowed: Allowed) -> None:
    body = maintenance("global", True)
    found = as_user(allowed.served.path, "PUT", "/v1/maintenance", body)
    assert found == (errno.EACCES, None)


@needs_root
def test_beside_a_named_user_the_group_still_only_reads(served: Served) -> None:
    allowed = Allowed(served, NOBODY - 1)
    body = maintenance("global", True)
    status, answer = allowed.ask("PUT", "/v1/maintenance", body)
    assert status == 403
    assert "run it as root, or name its user in command_users of host.yaml" in answer["error"]
    assert served.client().status().global_maintenance is False


@needs_root
def test_the_host_daemons_client_sets_maintenance_unchanged(allowed: Allowed) -> None:
    served = allowed.served
    for mode, on in (("GLOBAL", True), ("LOCAL", True), ("GLOBAL", False), ("LOCAL", False)):
        assert as_compat_client(served.path, mode, on, MEMBERS) == "done"
        snapshot = served.client().status()
        now = {"GLOBAL": snapshot.global_maintenance, "LOCAL": snapshot.local_maintenance}
        assert now[mode] is on


@needs_root
def test_the_command_does_it_for_a_named_user(allowed: Allowed) -> None:
    served = allowed.served
    for mode, now in (("global", (True, False)), ("local", (True, True)), ("none", (False, False))):
        told = as_command(served.path, MEMBERS, "--set-maintenance", f"--mode={mode}")
        assert told[0] == 0, told
        snapshot = served.client().status()
        assert (snapshot.global_maintenance, snapshot.local_maintenance) == now
    code, text = as_command(served.path, MEMBERS, "--test-notification")
    assert code == 1 and "permission" not in text  # none is configured


@needs_root
@pytest.mark.parametrize(
    "asked", [*(("--set-maintenance", f"--mode={m}") for m in ("global", "local", "none")),
              ("--test-notification",)],
)  # fmt: skip
def test_who_may_not_command_is_told_exactly_what_to_do(
    served: Served, asked: tuple[str, ...]
) -> None:
    served.server.admit(MEMBERS)
    code, told = as_command(served.path, MEMBERS, *asked)
    assert code == 1
    assert "run it as root, or name its user in command_users of host.yaml" in told
    assert "Let another host run it first" not in told and "--explain" not in told
    code, told = as_command(served.path, NOBODY, *asked)
    assert code == 1
    assert f"permission denied at {served.path}: run it as root, or be in group {MEMBERS}" in told


@needs_root
def test_the_host_daemons_client_is_told_the_setting(served: Served) -> None:
    served.server.admit(MEMBERS)
    told = as_compat_client(served.path, "GLOBAL", True, MEMBERS)
    assert told.startswith("RequestError 403 ")
    assert "name its user in command_users of host.yaml" in told


# --- secrets in the configuration ---------------------------------------------------------------


def test_readers_get_no_secrets_of_the_configuration(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    reader = Reader("")
    hook = "https://hooks.example.org/services/T0/s3cret"
    told = read_notifications(reader, {"webhooks": [{"url": hook}]}, "notifications")
    assert reader.problems == []
    xml = "<domain><graphics type='vnc' passwd='s3cret'/></domain>"
    config = replace(CONFIG, settings=replace(CONFIG.settings, notifications=told), domain_xml=xml)
    mailbox = served.host.broker.mailbox
    monkeypatch.setattr(mailbox, "config", lambda: config)
    api = Api(mailbox, served.cluster.clock.monotonic_s)
    root = api.answer("GET", "/v1/config", b"", Caller(1, 0))
    assert (root["domain_xml"], root["settings"]["notifications"]["webhooks"][0]["url"]) == (
        xml,
        hook,
    )
    reading = api.answer("GET", "/v1/config", b"", Caller(1, NOBODY))
    assert "s3cret" not in json.dumps(reading)
    assert reading["settings"]["timing"] == root["settings"]["timing"]
    url = reading["settings"]["notifications"]["webhooks"][0]["url"]
    assert url == "https://hooks.example.org"
    with pytest.raises(Refusal, match="permission denied") as caught:
        api.answer("GET", "/v1/config/copy", b"", Caller(1, NOBODY))
    assert caught.value.status == 403
    assert "/v1/config/copy" not in caught.value.why.partition("allowed")[2]


# --- the socket's file --------------------------------------------------------------------------


class Watched(ApiServer):
    """Notes what the file is like at the moment before anybody could connect."""

    seen: tuple[int, int] = (0, 0)

    def server_activate(self) -> None:
        found = Path(str(self.server_address)).stat()
        Watched.seen = (stat.S_IMODE(found.st_mode), found.st_gid)
        super().server_activate()


@needs_root
@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("gid", [None, MEMBERS])
def test_the_file_is_as_it_should_be_before_anybody_can_connect(
    place: Path, mask: int, gid: Optional[int]
) -> None:
    with umask(mask):
        server = Watched(str(place / "s"), lambda *_: {}, gid=gid)
    server.start()
    found = (place / "s").stat()
    wanted = (0o600, os.getegid()) if gid is None else (0o660, gid)
    assert Watched.seen == wanted
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == wanted
    server.stop()


@needs_root
@pytest.mark.parametrize("what", ["file", "directory"])
@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_it_comes_back_with_its_group(place: Path, what: str, mask: int) -> None:
    (place / "run").mkdir()
    path = place / "run" / "s"
    access = Access(NameLookup(GROUP, "members", lambda _name: MEMBERS))
    entrance = Entrance(str(path), lambda *_: {"number": 7}, access)
    entrance.open()
    try:
        path.unlink()
        if what == "directory":
            path.parent.rmdir()
        with umask(mask):
            entrance.keep_open()
        found = path.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, MEMBERS)
        if what == "directory":
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
            assert as_user(str(path), "GET", "/", groups=(MEMBERS,))[0] == 200
        assert as_user(str(path), "GET", "/")[0] in (errno.EACCES,)
    finally:
        entrance.close()


def test_a_group_that_can_not_be_given_leaves_the_socket_its_owners(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_values: object, **_more: object) -> NoReturn:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    monkeypatch.setattr(os, "setxattr", refuse)
    access = Access(NameLookup(GROUP, "members", lambda _name: MEMBERS))
    entrance = Entrance(str(place / "s"), lambda *_: {"number": 7}, access)
    entrance.open()
    try:
        for _ in range(3):
            entrance.keep_open()
        assert stat.S_IMODE((place / "s").stat().st_mode) == 0o600
        assert caplog.text.count("can't be given to group 4711: Operation not permitted") == 1
        assert BrokerClient(str(place / "s"))._get("ask", "/") == {"number": 7}
    finally:
        entrance.close()


@needs_root
def test_who_is_not_root_lets_a_group_in_that_it_is_not_in(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a process may not change the file's group; it lets the group in by a list of access."""

    def refuse(*_values: object, **_more: object) -> NoReturn:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    server = ApiServer(str(place / "s"), lambda *_: {"number": 7})
    server.start()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "chown", refuse)
            server.admit(MEMBERS)
        path = str(place / "s")
        assert as_user(path, "GET", "/", groups=(MEMBERS,))[0] == 200
        for groups in ((), (MEMBERS + 1,), (os.getegid(),)):
            assert as_user(path, "GET", "/", groups=groups) == (errno.EACCES, None)
        assert way_in(path, stat.S_IWGRP) == f"run it as root, or be in group {MEMBERS}"
    finally:
        server.stop()


# --- the group's name ---------------------------------------------------------------------------


class Directory:
    """A directory of groups, as a test wants it."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.asked = 0
        self.hangs: Optional[threading.Event] = None

    def __call__(self, _name: str) -> Optional[int]:
        self.asked += 1
        if self.hangs is not None:
            self.hangs.wait(SECOND)
        if isinstance(self.answer, Exception):
            raise self.answer
        found: Optional[int] = self.answer
        return found


def test_a_group_that_there_is_none_of_is_told_once_and_looked_for_again(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory, now_s = Directory(), [0.0]
    group = NameLookup(GROUP, "kvmm", directory, "/etc/x/host.yaml", lambda: now_s[0])
    entrance = Entrance(str(place / "s"), lambda *_: {"number": 7}, Access(group))
    entrance.open()  # and the daemon goes on
    try:
        assert stat.S_IMODE((place / "s").stat().st_mode) == 0o600
        assert BrokerClient(str(place / "s"))._get("ask", "/") == {"number": 7}
        for _ in range(5):
            now_s[0] += LOOK_INTERVAL_S
            entrance.keep_open()
            group.wait(SECOND)
        assert directory.asked == 6
        entrance.keep_open()
        assert directory.asked == 6  # not in each turn
        (record,) = caplog.records
        assert record.levelname == "ERROR"
        assert record.getMessage() == (
            "/etc/x/host.yaml: socket_group: 'kvmm' is refused; allowed: the name of a group that "
            "this host has (getent group NAME), or nothing; until then root alone may ask the "
            "broker"
        )
        directory.answer = os.getegid()
        now_s[0] += LOOK_INTERVAL_S
        entrance.keep_open()
        group.wait(SECOND)
        entrance.keep_open()
        found = (place / "s").stat()
        assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, os.getegid())
    finally:
        entrance.close()


def test_a_directory_service_that_hangs_keeps_the_broker_from_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ha_broker.server.entrance.NAMES_WAIT_S", 0.05)
    directory = Directory()
    directory.hangs, directory.answer = threading.Event(), os.getegid()
    group = NameLookup(GROUP, "kvm", directory)
    entrance = Entrance(str(place / "s"), lambda *_: {"number": 7}, Access(group))
    entrance.open()
    try:
        assert BrokerClient(str(place / "s"))._get("ask", "/") == {"number": 7}
        assert "socket_group: looking for group 'kvm' takes long" in caplog.text
        for _ in range(3):
            entrance.keep_open()
        assert directory.asked == 1  # one look at a time
        directory.hangs.set()
        group.wait(SECOND)
        entrance.keep_open()
        assert stat.S_IMODE((place / "s").stat().st_mode) == 0o660
    finally:
        entrance.close()


def test_a_user_that_there_is_none_of_is_told_once_and_looked_for_again(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    late, now_s = Directory(), [0.0]
    vdsm = NameLookup(USER, "vdsm", lambda _name: 36, "/etc/x/host.yaml", lambda: now_s[0])
    ops = NameLookup(USER, "ops", late, "/etc/x/host.yaml", lambda: now_s[0])
    access = Access(users=[ops, vdsm])
    entrance = Entrance(str(place / "s"), lambda *_: {"number": 7}, access)
    entrance.open()  # and the daemon goes on
    try:
        assert stat.S_IMODE((place / "s").stat().st_mode) == 0o600
        assert access.may_command(36)  # one that is missing keeps no other one from it
        for _ in range(3):
            now_s[0] += LOOK_INTERVAL_S
            entrance.keep_open()
            access.wait(SECOND)
        entrance.keep_open()
        assert late.asked == 4
        assert not access.may_command(37)
        (record,) = caplog.records
        assert record.levelname == "ERROR"
        assert record.getMessage() == (
            "/etc/x/host.yaml: command_users: 'ops' is refused; allowed: names of users that this "
            "host has (getent passwd NAME), or none; until then this user may command nothing"
        )
        late.answer = 37
        now_s[0] += LOOK_INTERVAL_S
        entrance.keep_open()
        access.wait(SECOND)
        assert access.may_command(37)
        assert not access.administers(37)
    finally:
        entrance.close()


def test_a_user_whose_look_hangs_holds_up_nobody(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ha_broker.server.entrance.NAMES_WAIT_S", 0.05)
    slow = Directory()
    slow.hangs, slow.answer = threading.Event(), 37
    group = NameLookup(GROUP, "kvm", lambda _name: os.getegid())
    vdsm = NameLookup(USER, "vdsm", lambda _name: 36)
    access = Access(group, [NameLookup(USER, "ops", slow), vdsm])
    entrance = Entrance(str(place / "s"), lambda *_: {"number": 7}, access)
    entrance.open()
    try:
        assert "command_users: looking for user 'ops' takes long; until then" in caplog.text
        vdsm.wait(SECOND)
        assert access.may_command(36)
        assert not access.may_command(37)
        slow.hangs.set()
        access.wait(SECOND)
        assert access.may_command(37)
    finally:
        slow.hangs.set()
        entrance.close()


def test_a_directory_service_that_fails_is_named(caplog: pytest.LogCaptureFixture) -> None:
    directory = Directory()
    directory.answer = WorldError("look for group 'kvm'", "Input/output error")
    group = NameLookup(GROUP, "kvm", directory)
    group.look()
    group.wait(SECOND)
    assert group.number is None
    assert "host.yaml: socket_group: can't look for group 'kvm': Input/output error" in caplog.text


def test_without_a_name_nobody_is_asked() -> None:
    directory = Directory()
    group = NameLookup(GROUP, "", directory)
    group.look()
    assert (group.number, directory.asked) == (None, 0)


def test_the_users_of_this_host() -> None:
    for user in pwd.getpwall():
        assert user_id(user.pw_name) == pwd.getpwnam(user.pw_name).pw_uid
        assert is_member(user.pw_name, user.pw_gid)
    assert user_id("no-such-user-here") is None
    assert not is_member("no-such-user-here", 0)
    assert not is_member(pwd.getpwuid(0).pw_name, MEMBERS)


def test_an_error_of_the_directory_service_names_who_was_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_values: object) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    root = pwd.getpwuid(0).pw_name
    monkeypatch.setattr(os, "getgrouplist", fail)
    with pytest.raises(WorldError, match=f"look for the groups of user '{root}'.*Input/output"):
        is_member(root, 0)
    monkeypatch.setattr(pwd, "getpwnam", fail)
    for ask in (user_id, lambda name: is_member(name, 0)):
        with pytest.raises(WorldError, match=r"look for user 'vdsm'.*Input/output"):
            ask("vdsm")
    monkeypatch.setattr(grp, "getgrnam", fail)
    with pytest.raises(WorldError, match=r"look for group 'kvm'.*Input/output"):
        group_id("kvm")


def test_the_rights_are_those_of_the_settings() -> None:
    user, group = pwd.getpwuid(NOBODY), grp.getgrgid(os.getegid())
    settings = parse_host_settings(
        {**HOST, "socket_group": group.gr_name, "command_users": [user.pw_name]}, "host.yaml"
    )
    access = access_of(settings, "host.yaml", lambda: 0.0)
    assert (access.gid, access.may_command(NOBODY)) == (None, False)
    access.look()
    access.wait(SECOND)
    assert (access.gid, access.may_command(NOBODY)) == (group.gr_gid, True)
    usual = access_of(parse_host_settings(HOST, "host.yaml"), "host.yaml", lambda: 0.0)
    usual.look()
    usual.wait(SECOND)
    assert (usual.gid, usual.may_command(NOBODY)) == (None, False)


def test_the_groups_of_this_host() -> None:
    some = grp.getgrall()[0]
    assert group_id(some.gr_name) == grp.getgrnam(some.gr_name).gr_gid
    assert group_id("no-such-group-here") is None


HOST: dict[str, Any] = {"host_id": 1, "host_name": "h1", "storage": {"path": "/x"}}


@pytest.mark.parametrize("name", ["", "kvm", "vdsm", "_x", "a.b-c_d", "ops@example.org", "pc$"])
def test_names_of_groups(name: str) -> None:
    settings = parse_host_settings({**HOST, "socket_group": name}, "host.yaml")
    assert settings.socket_group == name
    assert parse_host_settings(host_settings_to_data(settings), "again") == settings


@pytest.mark.parametrize("name", [36, True, None, "36", "a b", "-x", "a:b", "a/b", "x" * 66, "k\n"])
def test_what_is_no_name_of_a_group(name: object) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_host_settings({**HOST, "socket_group": name}, "host.yaml")
    (problem,) = caught.value.problems
    assert problem.startswith("host.yaml: socket_group: ")
    assert "is refused; allowed: the name of a group of this host, such as kvm" in problem


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ([], ()),
        (None, ()),  # as of every list: what is taken out leaves its key
        (["vdsm"], ("vdsm",)),
        (["vdsm", "_x", "a.b-c_d", "ops@example.org", "pc$", "vdsm"],
         ("_x", "a.b-c_d", "ops@example.org", "pc$", "vdsm")),
    ],
)  # fmt: skip
def test_names_of_users(given: Optional[list[str]], held: tuple[str, ...]) -> None:
    settings = parse_host_settings({**HOST, "command_users": given}, "host.yaml")
    assert settings.command_users == held
    assert parse_host_settings(host_settings_to_data(settings), "again") == settings


@pytest.mark.parametrize("value", ["vdsm", True, 36, {"vdsm": 36}, [f"u{n}" for n in range(33)]])
def test_what_is_no_list_of_users(value: object) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_host_settings({**HOST, "command_users": value}, "host.yaml")
    (problem,) = caught.value.problems
    assert problem.startswith(f"host.yaml: command_users: {shown(value)} is refused; allowed: ")
    assert problem.endswith("a list of 0 to 32, each the name of a user of this host, such as vdsm")


@pytest.mark.parametrize(
    "name", [36, True, None, "", "36", "a b", "-x", "a:b", "a/b", "k\n", ["x"]]
)
def test_what_is_no_name_of_a_user(name: object) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_host_settings({**HOST, "command_users": ["vdsm", name]}, "host.yaml")
    (problem,) = caught.value.problems
    assert problem == (
        f"host.yaml: command_users[1]: {shown(name)} is refused; allowed: the name of a user of "
        "this host, such as vdsm"
    )


# --- what lies beside it --------------------------------------------------------------------------


@needs_root
def test_who_is_not_root_keeps_no_service_from_starting(place: Path) -> None:
    """Whoever can open a file can lock it, reading is enough."""
    (place / "ha-broker.lock").touch(0o644)  # as an older version left it
    OnlyOne(str(place), "ha-broker").release()
    code = (
        "import fcntl, os, sys; fd = os.open(sys.argv[1], os.O_RDONLY);"
        "fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)"
    )
    done = subprocess.run(
        [*PYTHON, code, str(place / "ha-broker.lock")],
        user=NOBODY, group=NOBODY, extra_groups=[], cwd="/",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "PermissionError" in done.stderr
    first = OnlyOne(str(place), "ha-broker")
    with pytest.raises(AnotherRunsError):
        OnlyOne(str(place), "ha-broker")
    first.release()


# --- the command, typed by a plain user ---------------------------------------------------------


@pytest.fixture
def plain_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A deployed host on which this process has no rights; returns the socket's path."""
    undeployed(tmp_path, monkeypatch).write_text(HOST_YAML)
    monkeypatch.setenv("HE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("hosted_engine.host.rights.os.geteuid", lambda: NOBODY)
    monkeypatch.setattr("hosted_engine.host.rights.os.access", lambda *_: False)
    return tmp_path / "broker.sock"


VALUES = {
    "--add-console-password": ["--generate"],
    "--set-shared-config": ["timing.tick_s", "4"],
    "--shared-config-rollback": ["1"],
    "--get-shared-config": ["timing.tick_s"],
    "--export-status": ["/nowhere/out.tar.gz"],
    "--simulate": ["world.yaml", "script.yaml"],
}
ROOTS = [command for command in COMMANDS if not command.anybody]


@pytest.mark.parametrize("command", ROOTS, ids=lambda command: command.name)
def test_a_command_of_roots_says_so_before_it_looks_at_anything(
    plain_user: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command.name, *VALUES.get(command.name, [])]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"hosted-engine: {command.name}: permission denied: run it as root\n"


def test_in_json_too(plain_user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--deploy", "--check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "error": "--deploy: permission denied: run it as root"
    }


def test_so_does_the_cleanup(plain_user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cleanup_main(["--yes"]) == 1
    assert capsys.readouterr().err == "hosted-engine-cleanup: permission denied: run it as root\n"


def test_help_and_wrong_options_are_everybodys(
    plain_user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--vm-start", "--help"]) == 0
    assert main(["--set-maintenance", "--mode=x"]) == 2


def test_who_may_write_the_settings_administers_the_host(
    plain_user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hosted_engine.host.rights.os.access", lambda *_: True)
    assert main(["--set-maintenance", "--mode=global"]) == 1
    assert "there is no broker at" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--vm-status"],
        ["--check-liveliness"],
        ["--get-shared-config", "timing.tick_s"],
        ["--get-shared-config", "vm_conf"],
    ],
)
def test_what_the_broker_knows_is_said_to_the_group_that_is_named(
    plain_user: Path,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_values: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("world.network.deadline_socket.DeadlineSocket.connect", refuse)
    monkeypatch.setattr("ha_broker.api.client.way_in", lambda *_: "run it as root, or in group g")
    assert main(words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.endswith(f"permission denied at {plain_user}: run it as root, or in group g\n")


@needs_root
@pytest.mark.parametrize(
    ("mode", "gid", "right", "told"),
    [
        (0o660, MEMBERS, stat.S_IWGRP, "run it as root, or be in group 4711"),
        (0o640, MEMBERS, stat.S_IRGRP, "run it as root, or be in group 4711"),
        (0o640, MEMBERS, stat.S_IWGRP, "run it as root"),
        (0o600, MEMBERS, stat.S_IRGRP, "run it as root"),
        (0o660, 0, stat.S_IRGRP, "run it as root"),
    ],
)
def test_the_group_that_is_named_is_the_one_that_helps(
    tmp_path: Path, mode: int, gid: int, right: int, told: str
) -> None:
    path = tmp_path / "volume"
    path.touch()
    path.chmod(mode)
    os.chown(path, -1, gid)
    assert way_in(str(path), right) == told
    assert way_in(str(tmp_path / "missing"), right) == "run it as root"
