# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A real `ha-broker` process on a real volume, with a real sanlock daemon where there is one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Optional

import yaml

from ha_broker.api.client import BrokerClient
from ha_broker.api.snapshot import Publication
from metadata.domain_xml import lease_element
from metadata.layout import SLOT_SIZE, required_size, slot_address, storage_parts
from metadata.records import DecodedSlot, EngineStatus, EngineVm, Health
from metadata.settings.parse import ClusterSettings, HostSettings, Timing, host_settings_to_data
from metadata.shared_config import SharedConfig, copy_offset, encode_copy
from metadata.wire import decode_slot

ROOT = Path(__file__).resolve().parents[2]
FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
SETTINGS = ClusterSettings(timing=Timing(tick_s=1.0, io_timeout_s=1))
PUBLICATION = Publication(3400, EngineStatus(EngineVm.DOWN, Health.BAD, "Down"), "EngineDown")
LIBVIRT_WITHOUT_ENGINE = "test:///default"  # libvirt's own driver for tests; no engine in it


def wait_for(what: str, condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """Poll until `condition` is true; fails naming `what`."""
    deadline_s = time.monotonic() + timeout_s * FACTOR
    while time.monotonic() < deadline_s:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout_s * FACTOR:g} s: {what}")


class Site:
    """The files of one host: volume, settings, state, socket; and the processes on it."""

    def __init__(self, directory: Path, sanlock_directory: Optional[Path] = None) -> None:
        self.volume = directory / "leases"
        self.parts = storage_parts(str(self.volume))
        self.host = HostSettings(1, "h1", self.parts, libvirt_uri=LIBVIRT_WITHOUT_ENGINE)
        self.settings_file = directory / "host.yaml"
        self.state_dir = directory / "state"
        self.socket = directory / "broker.sock"
        self.module = "ha_broker.main"
        self.log = directory / "broker.log"
        self._sanlock_directory = sanlock_directory or directory / "no-sanlock"
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(directory / "notify"))
        self._notify.setblocking(False)
        self._notify_path = str(directory / "notify")
        self._told: list[str] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    def make_volume(self, settings: ClusterSettings = SETTINGS) -> None:
        """Zeros, with a shared configuration."""
        with self.volume.open("wb") as file:
            file.truncate(required_size(self.parts))
        xml = f"<domain><name>HostedEngine</name>{lease_element(self.parts)}</domain>"
        config = SharedConfig(1, settings, xml)
        self.write(self.parts.shared_config.offset + copy_offset(1), encode_copy(config))

    def deploy(self, **changes: Any) -> None:
        """Write host.yaml."""
        data = {**host_settings_to_data(self.host), **changes}
        self.settings_file.write_text(yaml.safe_dump(data))

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", self.module, *arguments],
                env=self._env(), cwd=ROOT, stdout=log, stderr=log,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def client(self) -> BrokerClient:
        return BrokerClient(str(self.socket), 5 * FACTOR)

    def serving(self) -> BrokerClient:
        """A client of the broker, once it serves."""
        wait_for("READY=1", lambda: "READY=1" in self.told())
        return self.client()

    def told(self) -> list[str]:
        """What the service manager was told since `forget`."""
        while True:
            try:
                self._told += self._notify.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self._told

    def forget(self) -> None:
        self.told().clear()

    def log_text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def write(self, offset: int, data: bytes) -> None:
        with self.volume.open("r+b") as file:
            file.seek(offset)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def slot(self, host_id: int) -> DecodedSlot:
        with self.volume.open("rb") as file:
            file.seek(slot_address(self.parts, host_id).offset)
            return decode_slot(host_id, file.read(SLOT_SIZE))

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        self._notify.close()

    def _env(self) -> dict[str, str]:
        return {
            **{key: value for key, value in os.environ.items() if key != "JOURNAL_STREAM"},
            "HE_BROKER_SOCKET": str(self.socket),
            "HE_SETTINGS": str(self.settings_file),
            "HE_STATE_DIR": str(self.state_dir),
            "NOTIFY_SOCKET": self._notify_path,
            "SANLOCK_RUN_DIR": str(self._sanlock_directory),
        }
