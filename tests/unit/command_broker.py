# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The command beside a broker that answers what a test wants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest

from ha_broker.api.snapshot import HostView, Snapshot, StorageView
from ha_broker.api.snapshot_json import snapshot_to_data
from ha_broker.server.http_server import ApiServer
from metadata.liveness import Liveness
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from metadata.wire import decode_slot, encode_host

HOST_YAML = "host_id: 1\nhost_name: h1\nstorage: {path: /shared/leases}\n"
UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")


def undeployed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where host.yaml would be; every path of the product leads below `directory`."""
    monkeypatch.setenv("HE_SETTINGS", str(directory / "host.yaml"))
    monkeypatch.setenv("HE_BROKER_SOCKET", str(directory / "broker.sock"))
    return directory / "host.yaml"


class FakeBroker:
    """A real server on the socket, answering what the test wants."""

    def __init__(self, path: str) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Callable[[], Any]] = {}
        self._server = ApiServer(path, self._answer)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def _answer(self, method: str, target: str, body: bytes, _caller: object) -> Any:
        self.requests.append((method, target, json.loads(body) if body else None))
        return self.answers.get(target, lambda: {})()

    def tell(self, **fields: Any) -> None:
        """The status from now on."""
        self.answers["/v1/status"] = lambda: snapshot_to_data(snapshot(**fields), 100.0)


def record(host_id: int, name: str, state: str) -> HostRecord:
    slot = decode_slot(host_id, encode_host(HostRecord(host_id, 5, 3400, UP, name, state=state)))
    assert isinstance(slot, HostRecord)
    return slot


def snapshot(**fields: Any) -> Snapshot:
    values: dict[str, Any] = {
        "global_maintenance": False,
        "hosts": (HostView(1, Liveness.LIVE, record=record(1, "h1", "EngineUp"), fresh=True),),
        "storage": StorageView(last_read_at_s=1e12),
        **fields,
    }
    return Snapshot(1, 100.0, 1, "h1", 50.0, **values)
