# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The Python client for other programs, against a real server on a socket."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from ha_broker.api.client import BrokerRefusedError
from ha_broker.api.snapshot import HostView, Snapshot, StorageView
from ha_broker.api.snapshot_json import snapshot_to_data
from ha_broker.server.http_server import ApiServer
from ha_broker.server.mailbox import Refusal
from hosted_engine.client import HAClient
from metadata.liveness import Liveness
from tests.unit.test_command_status import record

HOST_YAML = "host_id: 1\nhost_name: h1\nstorage: {path: /shared/leases}\n"
FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
SHORT_S = 0.3


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host that is not deployed, and without a broker."""
    monkeypatch.setenv("HE_SETTINGS", str(tmp_path / "host.yaml"))
    monkeypatch.setenv("HE_BROKER_SOCKET", str(tmp_path / "broker.sock"))
    return tmp_path


@pytest.fixture
def deployed(place: Path) -> Path:
    (place / "host.yaml").write_text(HOST_YAML)
    return place


class FakeBroker:
    def __init__(self, path: Path) -> None:
        self.snapshot = snapshot()
        self.put: list[Any] = []
        self.answer_put: Callable[[], Any] = dict
        self._server = ApiServer(str(path), self._answer)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def _answer(self, method: str, _target: str, body: bytes, _caller: object) -> Any:
        if method == "GET":
            return snapshot_to_data(self.snapshot, 100.0)
        self.put.append(json.loads(body))
        return self.answer_put()


@pytest.fixture
def broker(deployed: Path) -> Iterator[FakeBroker]:
    server = FakeBroker(deployed / "broker.sock")
    yield server
    server.stop()


def snapshot(**fields: Any) -> Snapshot:
    hosts = (
        HostView(1, Liveness.LIVE, record=record(1), fresh=True, changed_at_s=90.0),
        HostView(2, Liveness.DEAD, record=record(2), fresh=False, changed_at_s=10.0),
        HostView(3, Liveness.LIVE, error="slot 3: crc32: wrong"),
    )
    values: dict[str, Any] = {
        "global_maintenance": False,
        "storage": StorageView(last_read_at_s=1e12),
        "hosts": hosts,
    }
    return Snapshot(1, 100.0, 1, "h1", 50.0, **{**values, **fields})


# --- without a broker -----------------------------------------------------------------------


def test_host_that_is_not_deployed(place: Path) -> None:
    assert HAClient().is_deployed() is False
    assert HAClient().get_local_host_id() is None


def test_host_that_is_deployed_needs_no_broker_to_say_so(deployed: Path) -> None:
    assert HAClient().is_deployed() is True
    assert HAClient().get_local_host_id() == 1


def test_settings_that_are_wrong_are_named(deployed: Path) -> None:
    (deployed / "host.yaml").write_text("host_id: many\n")
    with pytest.raises(ValueError, match="host_id: 'many' is refused"):
        HAClient().get_local_host_id()


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get_all_stats(timeout=5),
        lambda client: client.get_all_host_stats(),
        lambda client: client.get_local_host_score(),
        lambda client: client.set_maintenance_mode("GLOBAL", True, timeout=60),
        lambda client: client.set_maintenance_mode("LOCAL", True),
        lambda client: client.set_global_md_flag("maintenance", True),
    ],
)
def test_missing_broker_is_enoent(call: Callable[[HAClient], object], deployed: Path) -> None:
    with pytest.raises(OSError, match="there is no broker") as caught:
        call(HAClient())
    assert caught.value.errno == errno.ENOENT


def test_broker_that_never_answers_is_an_error_in_time(deployed: Path) -> None:
    begun_s = time.monotonic()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(deployed / "broker.sock"))
        silent.listen()
        with pytest.raises(OSError, match="no answer within") as caught:
            HAClient().get_all_stats(timeout=SHORT_S)
    assert caught.value.errno == errno.ETIMEDOUT
    assert time.monotonic() - begun_s < SHORT_S + 5 * FACTOR


def test_socket_that_takes_no_more_connections_is_an_error_in_time(deployed: Path) -> None:
    """A time-out that is set only once connected would wait here for ever."""
    path = str(deployed / "broker.sock")
    with socket.socket(socket.AF_UNIX) as full:
        full.bind(path)
        full.listen(0)
        waiting = [_begun_connection(path) for _ in range(3)]
        begun_s = time.monotonic()
        with pytest.raises(OSError, match="ask for the status"):
            HAClient().get_all_stats(timeout=SHORT_S)
        assert time.monotonic() - begun_s < SHORT_S + 5 * FACTOR
        for connection in waiting:
            connection.close()


def _begun_connection(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)
    connection.connect_ex(path)
    return connection


# --- looking --------------------------------------------------------------------------------


def test_stats_have_the_keys_and_types_that_callers_know(broker: FakeBroker) -> None:
    stats = HAClient().get_all_stats(timeout=5)
    own = record(1)
    assert set(stats) == {0, 1, 2, 3}
    assert stats[0] == {"maintenance": False}
    assert stats[1] == {
        "host-id": 1,
        "host-ts": 4262,
        "score": 3400,
        "engine-status": '{"vm": "up", "health": "good", "detail": "Up"}',
        "hostname": "h1",
        "maintenance": False,
        "stopped": False,
        "crc32": own.crc32,
        "conf_on_shared_storage": True,
        "local_conf_timestamp": 4262,
        "extra": own.text,
        "live-data": True,
    }


def test_host_that_is_gone_claims_no_engine(broker: FakeBroker) -> None:
    stats = HAClient().get_all_stats()
    assert (stats[2]["live-data"], stats[2]["score"]) == (False, 3400)
    assert json.loads(stats[2]["engine-status"])["vm"] == "unknown"
    assert '"vm": "up"' not in stats[2]["engine-status"]


def test_slot_that_can_not_be_read_has_every_key(broker: FakeBroker) -> None:
    stats = HAClient().get_all_stats()
    assert set(stats[3]) == {*stats[1], "error"}
    assert stats[3]["live-data"] is False


def test_modes_leave_out_the_rest(broker: FakeBroker) -> None:
    client = HAClient()
    assert set(client.get_all_host_stats()) == {1, 2, 3}
    assert client.get_all_stats(HAClient.StatModes.GLOBAL) == {0: {"maintenance": False}}
    with pytest.raises(ValueError, match="mode: 'SOME' is refused"):
        client.get_all_stats("SOME")


def test_maintenance_that_is_not_known_is_neither(broker: FakeBroker) -> None:
    broker.snapshot = snapshot(global_maintenance=None)
    assert 0 not in HAClient().get_all_stats()


def test_score_of_this_host_counts_only_while_it_is_live(broker: FakeBroker) -> None:
    assert HAClient().get_local_host_score() == 3400
    hosts = (HostView(1, Liveness.LIVE, record=record(1), fresh=False),)
    broker.snapshot = snapshot(hosts=hosts)
    assert HAClient().get_local_host_score() == 0


# --- maintenance ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "value", "scope", "on"),
    [
        (HAClient.MaintenanceMode.GLOBAL, True, "global", True),
        (HAClient.MaintenanceMode.GLOBAL, "False", "global", False),
        (HAClient.MaintenanceMode.LOCAL, True, "local", True),
        (HAClient.MaintenanceMode.LOCAL_MANUAL, False, "local", False),
    ],
)
def test_maintenance_sets_its_own_scope_only(
    mode: str, value: Any, scope: str, on: bool, broker: FakeBroker
) -> None:
    HAClient().set_maintenance_mode(mode, value, timeout=60)
    assert [(body["scope"], body["on"]) for body in broker.put] == [(scope, on)]


def test_flag_of_all_hosts_is_global_maintenance(broker: FakeBroker) -> None:
    HAClient().set_global_md_flag(HAClient.GlobalMdFlags.MAINTENANCE, "True")
    assert [(body["scope"], body["on"]) for body in broker.put] == [("global", True)]


def test_keywords_are_those_that_callers_give(broker: FakeBroker) -> None:
    HAClient(log=True).set_maintenance_mode(mode="LOCAL", value=False)
    assert len(broker.put) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.set_maintenance_mode("SOME", True),
        lambda client: client.set_maintenance_mode("GLOBAL", "perhaps"),
        lambda client: client.set_maintenance_mode("GLOBAL", None),
        lambda client: client.set_global_md_flag("colour", True),
    ],
)
def test_what_there_is_none_of_is_refused_and_changes_nothing(
    call: Callable[[HAClient], object], broker: FakeBroker
) -> None:
    with pytest.raises(ValueError, match="is refused; allowed"):
        call(HAClient())
    assert broker.put == []


def test_refusal_gives_the_brokers_reason(broker: FakeBroker) -> None:
    def refuse() -> None:
        raise Refusal(409, "the engine runs on this host")

    broker.answer_put = refuse
    with pytest.raises(BrokerRefusedError, match="the engine runs on this host"):
        HAClient().set_maintenance_mode("LOCAL", True)


# --- what it needs --------------------------------------------------------------------------

WITHOUT_LIBRARIES = """
import sys
for name in ("libvirt", "libvirtmod", "sanlock", "transitions", "sdnotify", "prometheus_client"):
    sys.modules[name] = None  # importing it fails from now on
from hosted_engine.client import HAClient
client = HAClient()
print(client.is_deployed(), client.get_local_host_id(), client.get_all_stats(timeout=5)[1]["score"])
"""


def test_neither_libvirt_nor_sanlock_is_needed(broker: FakeBroker) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIBRARIES], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("True 1 3400\n", "")
