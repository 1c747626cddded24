# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Notifications, sent to a real datagram socket."""

from __future__ import annotations

import builtins
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from world.host.systemd import SystemdServiceManager, machine_stops
from world.ports.errors import WorldError


@pytest.fixture
def manager_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def test_every_message(manager_socket: socket.socket) -> None:
    services = SystemdServiceManager()
    services.ready()
    services.alive()
    services.stopping()
    services.status("two\nlines\0and größe")
    received = [manager_socket.recv(4096) for _ in range(4)]
    assert received[:3] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]
    assert received[3] == b"STATUS=two lines?and gr??e"


def test_a_manager_that_does_not_read_stops_nobody(manager_socket: socket.socket) -> None:
    services = SystemdServiceManager()
    begun_s = time.monotonic()
    full = None
    for _ in range(10_000):
        before_s = time.monotonic()
        services.alive()
        if time.monotonic() - before_s > 0.1:
            full = time.monotonic() - begun_s
            break
    assert full is not None
    assert full < 5


def test_silent_without_a_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    services = SystemdServiceManager()
    services.ready()
    services.status("x")
    services.alive()
    services.stopping()


def test_a_missing_package_is_named_only_when_it_is_needed(
    manager_socket: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_import = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "sdnotify":
            raise ImportError("No module named 'sdnotify'")
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(WorldError) as caught:
        SystemdServiceManager()
    assert "install the package sdnotify" in caught.value.why
    monkeypatch.delenv("NOTIFY_SOCKET")
    SystemdServiceManager().ready()


@pytest.mark.parametrize(
    ("answer", "stops"), [("stopping", True), ("running", False), ("degraded", False), ("", False)]
)
def test_whether_the_machine_stops_is_systemds_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, stops: bool
) -> None:
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\n[ "$*" = is-system-running ] && echo {answer}\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert machine_stops() is stops


def test_without_systemd_no_machine_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine_stops() is False
