# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The Python client's calls that go past the broker: the storage itself, and commands."""

from __future__ import annotations

import inspect
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from hosted_engine import client as client_module
from hosted_engine.client import HAClient
from hosted_engine.errors import CommandError, NotDeployedError
from hosted_engine.host import own_command
from hosted_engine.host.own_command import run_own_command
from hosted_engine.host.tools import run_tool
from metadata.layout import required_size, slot_address, storage_parts
from metadata.records import EngineStatus, EngineVm, GlobalRecord, Health, HostRecord
from metadata.settings.parse import ClusterSettings, NetworkSettings, cluster_settings_to_data
from metadata.wire import encode_global, encode_host
from tests.unit.command_broker import FakeBroker, undeployed
from tests.unit.other_user import NOBODY, ROOT, needs_root

SECOND = float(os.environ.get("HE_TIME_FACTOR", "1"))
UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")


class Place:
    """A deployed host, whose volume is a file, with records of hosts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.volume = folder / "leases"
        self.parts = storage_parts(str(self.volume))
        with self.volume.open("wb") as file:
            file.truncate(required_size(self.parts))
        self.settings = folder / "host.yaml"
        self.settings.write_text(
            f"host_id: 1\nhost_name: h1\nstorage: {{path: {self.volume}}}\nbridge: br0\n"
        )

    def put(self, host_id: int, data: bytes) -> None:
        with self.volume.open("r+b") as file:
            file.seek(slot_address(self.parts, host_id).offset)
            file.write(data)

    def says(self, host_id: int, **fields: Any) -> None:
        record = HostRecord(host_id, 5, 3400, UP, f"h{host_id}", state="EngineUp")
        self.put(host_id, encode_host(replace(record, **fields)))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    undeployed(tmp_path, monkeypatch)
    monkeypatch.setenv("HE_STATE_DIR", str(tmp_path / "state"))
    return Place(tmp_path)


@pytest.fixture
def broker(place: Place) -> Iterator[FakeBroker]:
    server = FakeBroker(str(place.folder / "broker.sock"))
    settings = ClusterSettings(network=NetworkSettings(test="tcp", target="[2001:db8::1]:8006"))
    server.answers["/v1/config"] = lambda: {
        "sequence": 3,
        "settings": cluster_settings_to_data(settings),
        "domain_xml": "",
    }
    yield server
    server.stop()


# --- the older tool's interface -----------------------------------------------------------------

UPSTREAM = {
    "__init__": "self, log=False, **kwargs",
    "get_all_stats": "self, mode='ALL', timeout=None",
    "get_all_stats_direct": "self, mode='ALL'",
    "get_all_host_stats": "self, timeout=None",
    "get_all_host_stats_direct": "self",
    "set_global_md_flag": "self, flag, value, timeout=None",
    "get_local_host_id": "self",
    "get_local_host_score": "self, timeout=None",
    "set_maintenance_mode": "self, mode, value, timeout=None",
    "set_shared_config": "self, key, value, config_type=None",
    "get_shared_config": "self, key, config_type=None",
    "get_all_config_keys": "self, config_type=None",
    "reset_lockspace": "self, force=False, timeout=None",
    "connect_storage_server": "self, timeout=900",
    "disconnect_storage_server": "self, timeout=900",
    "is_deployed": "self",
}


def shape(function: Callable[..., Any]) -> list[tuple[str, object, object]]:
    parameters = inspect.signature(function).parameters.values()
    return [
        ("kwargs" if one.kind is one.VAR_KEYWORD else one.name, one.kind, one.default)
        for one in parameters
    ]


def test_every_method_of_the_older_client_is_there_as_it_is_called() -> None:
    for name, parameters in UPSTREAM.items():
        names: dict[str, Any] = {}
        exec(f"def wanted({parameters}): ...", names)
        assert shape(getattr(HAClient, name)) == shape(names["wanted"]), name


def test_its_constants_are_the_older_clients() -> None:
    found = {
        kind.__name__: {k: v for k, v in vars(kind).items() if not k.startswith("_")}
        for kind in (HAClient.StatModes, HAClient.GlobalMdFlags, HAClient.MaintenanceMode)
    }
    assert found == {
        "StatModes": {"ALL": "ALL", "HOST": "HOST", "GLOBAL": "GLOBAL"},
        "GlobalMdFlags": {"MAINTENANCE": "maintenance"},
        "MaintenanceMode": {
            "LOCAL": "LOCAL",
            "GLOBAL": "GLOBAL",
            "LOCAL_MANUAL": "LOCAL_MANUAL",
        },
    }


# --- reading the storage itself -----------------------------------------------------------------


def test_without_a_broker_the_records_are_read_where_they_stand(place: Place) -> None:
    place.put(0, encode_global(GlobalRecord(maintenance=True)))
    place.says(1, stopped=True)
    place.says(2, stopped=True, maintenance=True)
    stats = HAClient().get_all_stats_direct()
    assert set(stats) == {0, 1, 2}
    assert stats[0] == {"maintenance": True}
    assert (stats[1]["hostname"], stats[1]["score"], stats[2]["maintenance"]) == ("h1", 3400, True)
    assert set(HAClient().get_all_stats_direct(HAClient.StatModes.GLOBAL)) == {0}
    assert set(HAClient().get_all_host_stats_direct()) == {1, 2}


def test_a_host_that_writes_nothing_claims_no_engine(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hosted_engine.cluster.from_volume.DEFAULT_WATCH_S", 1.0)
    place.says(1)
    (own,) = HAClient().get_all_host_stats_direct().values()
    assert own["live-data"] is False
    assert json.loads(own["engine-status"])["vm"] == "unknown"


def test_a_host_that_writes_is_live(place: Place) -> None:
    place.says(1)
    done = threading.Event()

    def write() -> None:
        for at_s in itertools.count(6):
            if done.wait(0.2):
                return
            place.says(1, timestamp_s=at_s)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        (own,) = HAClient().get_all_host_stats_direct().values()
    finally:
        done.set()
        writer.join()
    assert own["live-data"] is True
    assert json.loads(own["engine-status"]) == {"vm": "up", "health": "good", "detail": "Up"}


def test_storage_that_is_not_there_is_named(place: Place) -> None:
    place.volume.unlink()
    with pytest.raises(CommandError, match=rf"{place.volume}: can't be read"):
        HAClient().get_all_stats_direct()


def test_a_mode_that_there_is_none_of_reads_nothing(place: Place) -> None:
    place.volume.unlink()
    with pytest.raises(ValueError, match="mode: 'SOME' is refused; allowed: ALL, HOST, GLOBAL"):
        HAClient().get_all_stats_direct("SOME")


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "kind", "found"),
    [
        ("timing.tick_s", None, ["5.0", "he_shared"]),
        ("timing.tick_s", "ha", ["5.0", "ha"]),
        ("engine.fqdn", None, ["", "he_shared"]),
        ("rules", "broker", ["- all", "broker"]),
        ("bridge", "he_local", ["br0", "he_local"]),
        ("network_test", None, ["tcp", "he_shared"]),
        ("tcp_t_address", "he_shared", ["2001:db8::1", "he_shared"]),
        ("tcp_t_port", None, ["8006", "he_shared"]),
    ],
)
def test_a_setting_is_a_text_with_its_type(
    broker: FakeBroker, key: str, kind: Optional[str], found: list[str]
) -> None:
    assert HAClient().get_shared_config(key, config_type=kind) == found


def test_what_is_not_set_says_so(broker: FakeBroker) -> None:
    with pytest.raises(CommandError, match=r"^email.smtp-server is not set$"):
        HAClient().get_shared_config("email.smtp-server", "broker")


@pytest.mark.parametrize(
    ("key", "kind", "named"),
    [
        ("colour", None, "'colour' is no key"),
        ("colour", "he_local", "'colour' is no key of this host's own settings"),
        ("engine.fqdn", "ha", "'engine.fqdn' is no key"),
        ("gateway", "broker", "'notifications.gateway' is no key"),
        ("network_test", "he_local", "all hosts have the same network_test here"),
        ("timing.tick_s", "vm_conf", "is no key of --type=vm_conf"),
        ("timing.tick_s", "hosts", "'hosts'"),
        ("", None, "''"),
    ],
)
def test_an_unknown_key_or_type_is_a_keyerror_as_there(
    broker: FakeBroker, key: str, kind: Optional[str], named: str
) -> None:
    for call in (
        lambda: HAClient().get_shared_config(key, kind),
        lambda: HAClient().set_shared_config(key, "x", kind),
    ):
        with pytest.raises(KeyError) as caught:
            call()
        assert named in caught.value.args[0]
    assert [method for method, _, _ in broker.requests if method != "GET"] == []


def test_a_setting_of_this_host_is_written(place: Place) -> None:
    HAClient().set_shared_config("bridge", "br7", "he_local")
    HAClient().set_shared_config("command_users", ["vdsm"], config_type="he_local")
    assert HAClient().get_shared_config("bridge", "he_local") == ["br7", "he_local"]
    assert HAClient().get_shared_config("command_users", "he_local")[0] == "- vdsm"


@pytest.mark.parametrize(
    ("key", "value", "kind", "error", "named"),
    [
        ("bridge", "[1", "he_local", ValueError, "'[1' is refused: it is no YAML"),
        ("host_id", "2", "he_local", CommandError, "host_id is refused: it says which host"),
        ("bridge", "a b", "he_local", CommandError, "'a b' is refused; allowed: the name"),
    ],
)
def test_a_value_that_is_refused_changes_nothing(
    place: Place, key: str, value: str, kind: str, error: type[Exception], named: str
) -> None:
    before = place.settings.read_text()
    with pytest.raises(error) as caught:
        HAClient().set_shared_config(key, value, kind)
    assert named in str(caught.value)
    assert place.settings.read_text() == before


def test_all_keys_are_those_that_can_be_given(broker: FakeBroker) -> None:
    keys = HAClient().get_all_config_keys()
    assert set(keys) == {"he_shared", "he_local", "ha", "broker", "vm_conf"}
    assert all(names == sorted(names) for names in keys.values())
    assert {"timing.tick_s", "network_test", "email.smtp-server", "vm_conf"} <= set(
        keys["he_shared"]
    )
    assert keys["vm_conf"] == ["vm_conf"]
    assert {"notify.state_transition", "notifications.rules"} <= set(keys["broker"])
    assert {"bridge", "gateway", "socket_group"} <= set(keys["he_local"])
    assert HAClient().get_all_config_keys("ha") == {"ha": keys["ha"]}
    with pytest.raises(KeyError, match="allowed: he_shared, he_local"):
        HAClient().get_all_config_keys("hosts")
    for kind in ("he_shared", "ha", "broker", "he_local"):
        for name in (keys[kind][0], keys[kind][-1]):
            if "NAME" not in name and name != "vm_conf":
                is_known(name, kind)


def is_known(key: str, kind: str) -> None:
    """Whether or not it is set."""
    try:
        HAClient().get_shared_config(key, kind)
    except CommandError as error:
        assert error.message == f"{key} is not set"


# --- commands -----------------------------------------------------------------------------------


class Commands:
    """Instead of the commands themselves: with which words and limits they are begun."""

    def __init__(self) -> None:
        self.begun: list[tuple[list[str], Optional[float]]] = []

    def __call__(self, words: list[str], limit_s: Optional[float]) -> str:
        self.begun.append((words, limit_s))
        return ""


@pytest.mark.parametrize(
    ("call", "words", "limit_s"),
    [
        (lambda c: c.reset_lockspace(), ["--reinitialize-lockspace"], None),
        (lambda c: c.reset_lockspace(False), ["--reinitialize-lockspace"], None),
        (lambda c: c.reset_lockspace(True, 5), ["--reinitialize-lockspace", "--force"], 5),
        (lambda c: c.connect_storage_server(), ["--connect-storage", "--timeout=810.000"], 900),
        (
            lambda c: c.connect_storage_server(timeout=60),
            ["--connect-storage", "--timeout=54.000"],
            60,
        ),
        (lambda c: c.connect_storage_server(timeout=None), ["--connect-storage"], None),
        (
            lambda c: c.disconnect_storage_server(9000),
            ["--disconnect-storage", "--timeout=3600.000"],
            9000,
        ),
    ],
)
def test_commands_are_begun_as_one_would_type_them(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[HAClient], None],
    words: list[str],
    limit_s: Optional[float],
) -> None:
    commands = Commands()
    monkeypatch.setattr(own_command, "run_own_command", commands)
    call(HAClient())
    assert commands.begun == [(words, limit_s)]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.reset_lockspace(force=True, timeout=30),
        lambda client: client.connect_storage_server(),
        lambda client: client.disconnect_storage_server(timeout=60),
        lambda client: client.get_shared_config("timing.tick_s"),
        lambda client: client.set_shared_config("bridge", "br7", "he_local"),
        lambda client: client.get_all_stats_direct(),
    ],
)
def test_a_host_that_is_not_deployed_says_so(
    place: Place, capfd: pytest.CaptureFixture[str], call: Callable[[HAClient], object]
) -> None:
    place.settings.unlink()
    with pytest.raises(NotDeployedError, match=r"^You must run deploy first$"):
        call(HAClient())
    assert capfd.readouterr() == ("", "")


def test_storage_that_others_connect_is_told_in_the_commands_words(place: Place) -> None:
    for call in (HAClient().connect_storage_server, HAClient().disconnect_storage_server):
        with pytest.raises(
            CommandError, match=r"host\.yaml does not say how the storage is reached"
        ):
            call(timeout=60)


MOUNTING = """
import os, sys
from hosted_engine.client import HAClient
client, mount_point = HAClient(), sys.argv[1]
for step in (
    lambda: client.connect_storage_server(),
    lambda: client.connect_storage_server(timeout=60),
    lambda: client.disconnect_storage_server(timeout=60),
    lambda: client.disconnect_storage_server(),
):
    print(step(), os.listdir(mount_point))
"""


@needs_root
def test_storage_is_connected_and_disconnected(place: Place) -> None:
    """In a table of mounts of its own, twice each: connected already, and gone already, is fine."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no table of mounts of its own can be had here")
    source, point = place.folder / "source", place.folder / "point"
    source.mkdir()
    point.mkdir()
    place.volume.rename(source / "leases")
    connection = f"{{type: posix, device: {source}, vfs_type: none, options: bind, "
    place.settings.write_text(
        "host_id: 1\nhost_name: h1\nlibvirt_uri: test:///default\n"
        f"storage:\n  path: {point}/leases\n  connection: {connection}mount_point: {point}}}\n"
    )
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", MOUNTING, str(point)],
        env={**os.environ, "SANLOCK_RUN_DIR": str(place.folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "None ['leases']\n" * 2 + "None []\n" * 2
    assert list(point.iterdir()) == []


def test_a_command_that_takes_too_long_is_interrupted(broker: FakeBroker) -> None:
    broker.tell()
    begun_s = time.monotonic()
    with pytest.raises(CommandError) as caught:
        run_own_command(["--vm-status", "--watch"], 2.0)
    assert caught.value.message == (
        "hosted-engine --vm-status has not ended within 2 s and was interrupted"
    )
    assert time.monotonic() - begun_s < 2 + 20 * SECOND


@pytest.mark.parametrize(
    ("script", "interrupt_s", "ended"),
    [
        ("trap 'exit 7' INT; while :; do sleep 0.1; done", 20 * SECOND, "interrupted"),
        ("trap '' INT; sleep 60", 0.5, "killed"),
        ("sleep 60", 0.0, "killed"),
    ],
)
def test_a_tool_out_of_time_is_interrupted_where_that_is_asked_for(
    script: str, interrupt_s: float, ended: str
) -> None:
    begun_s = time.monotonic()
    with pytest.raises(CommandError, match=rf"^sh has not ended within 0\.5 s and was {ended}$"):
        run_tool(["sh", "-c", script], 0.5, interrupt_s=interrupt_s)
    assert time.monotonic() - begun_s < 20 * SECOND
    assert run_tool(["true"], None).code == 0


def test_a_program_with_threads_and_without_interrupts_may_call(broker: FakeBroker) -> None:
    """As a daemon does: begun in the background, with several threads, on one of them."""
    program = (
        "import signal, threading\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from hosted_engine.client import HAClient\n"
        "from hosted_engine.errors import CommandError\n"
        "from hosted_engine.host.own_command import run_own_command\n"
        "waiting = threading.Event()\n"
        "threading.Thread(target=waiting.wait, daemon=True).start()\n"
        "def ask():\n"
        "    print(HAClient().get_shared_config('timing.tick_s'))\n"
        "    try:\n"
        "        run_own_command(['--vm-status', '--watch'], 2)\n"
        "    except CommandError as error:\n"
        "        print(error)\n"
        "asking = threading.Thread(target=ask)\n"
        "asking.start(); asking.join()\n"
    )
    broker.tell()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (
        "['5.0', 'he_shared']\n"
        "hosted-engine --vm-status has not ended within 2 s and was interrupted\n",
        "",
    )


# --- who may --------------------------------------------------------------------------------------

AS_NOBODY = """
import os, sys
sys.path[:0] = sys.argv[1:3]
from ovirt_hosted_engine_ha.client.client import HAClient
os.setgroups([])
os.setgid({nobody})
os.setuid({nobody})
try:
    print(HAClient().{call})
except Exception as error:
    print(type(error).__name__, error)
"""


def as_nobody(call: str) -> str:
    """What becomes of a call of the compatibility package's client by another user."""
    program = AS_NOBODY.format(nobody=NOBODY, call=call)
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT), str(ROOT / "compat")],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if "Permission denied" in done.stderr:
        pytest.skip("another user can't read this repository")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@needs_root
@pytest.mark.parametrize(
    ("call", "command"),
    [
        ("set_shared_config('timing.tick_s', '4')", "--set-shared-config"),
        ("set_shared_config('command_users', '[nobody]', 'he_local')", "--set-shared-config"),
        ("reset_lockspace(force=True)", "--reinitialize-lockspace"),
        ("connect_storage_server(timeout=60)", "--connect-storage"),
        ("disconnect_storage_server()", "--disconnect-storage"),
    ],
)
def test_what_changes_something_is_roots(place: Place, call: str, command: str) -> None:
    open_to_all(place)
    before = place.settings.read_text(), place.volume.read_bytes()
    told = as_nobody(call)
    assert told == f"CommandError {command}: permission denied: run it as root"
    assert (place.settings.read_text(), place.volume.read_bytes()) == before


@needs_root
def test_the_storage_is_for_those_who_may_read_it(place: Place) -> None:
    open_to_all(place)
    place.says(1, stopped=True)
    place.volume.chmod(0o600)
    told = as_nobody("get_all_host_stats_direct()")
    assert told == f"CommandError {place.volume}: can't be read: Permission denied: run it as root"
    place.volume.chmod(0o644)
    assert as_nobody("get_all_host_stats_direct()").startswith("{1: {'host-id': 1,")


def open_to_all(place: Place) -> None:
    """The way to its files, and host.yaml as ``--deploy`` leaves it."""
    place.settings.chmod(0o644)
    for folder in (place.folder, *place.folder.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)


def test_errors_of_commands_have_a_name_for_callers() -> None:
    assert issubclass(NotDeployedError, CommandError)
    assert "CommandError" in (client_module.__doc__ or "")
