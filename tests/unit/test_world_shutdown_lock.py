# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What people see of a shutdown that takes a while, with programs of our own in systemd's place."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from world.host.shutdown_lock import AGAIN_S, WHO, ShutdownLock

WHY = "the engine VM runs here"
PATIENCE_S = 10.0


class Host:
    """Its programs write down what they are told; `goes_down` is logind's word."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.now_s = 1000.0
        self.lock = ShutdownLock(lambda: self.now_s)
        self._program("systemd-inhibit", f'echo "$*" >>{self.log}; shift 4; "$@"')
        self._program("busctl", f"if [ -e {folder}/down ]; then echo b true; else echo b false; fi")

    @property
    def log(self) -> Path:
        return self._folder / "log"

    @property
    def told(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def goes_down(self) -> None:
        (self._folder / "down").touch()

    def refuses(self) -> None:
        self._program("systemd-inhibit", f'echo "$*" >>{self.log}; exit 1')

    def _program(self, name: str, script: str) -> None:
        path = self._folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    host = Host(tmp_path)
    yield host
    host.lock.show("")


def wait_for(what: str, host: Host, count: int) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while len(host.told) < count:
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


def children() -> set[int]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in listed}


def test_it_is_held_once_for_one_reason_and_let_go_with_it(host: Host) -> None:
    before = children()
    for _ in range(3):
        host.lock.show(WHY)
    wait_for("the lock", host, 1)
    assert len(children() - before) == 1
    host.lock.show("")
    assert children() <= before
    (told,) = host.told
    assert told.startswith(f"--what=shutdown --mode=delay --who={WHO} --why={WHY} sh -c ")


def test_another_reason_is_another_lock(host: Host) -> None:
    before = children()
    host.lock.show(WHY)
    wait_for("the lock", host, 1)
    host.lock.show("another one")
    wait_for("the other lock", host, 2)
    assert "--why=another one" in host.told[1]
    assert len(children() - before) == 1


def test_a_shutdown_ends_it_and_is_not_held_up_again(host: Host) -> None:
    before = children()
    host.lock.show(WHY)
    wait_for("the lock", host, 1)
    host.goes_down()
    deadline_s = time.monotonic() + PATIENCE_S
    while children() - before:
        assert time.monotonic() < deadline_s, "the lock is still held"
        host.lock.show(WHY)
        time.sleep(0.01)
    assert len(host.told) == 1


def test_whom_logind_refuses_asks_again_after_a_while(host: Host) -> None:
    host.refuses()
    host.lock.show(WHY)
    wait_for("the question", host, 1)
    before = children()
    host.now_s += AGAIN_S - 1
    host.lock.show(WHY)
    assert children() <= before
    host.now_s += 1
    host.lock.show(WHY)
    wait_for("the second question", host, 2)


def test_without_systemd_nothing_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    before = children()
    lock = ShutdownLock()
    lock.show(WHY)
    lock.show("")
    assert children() <= before
