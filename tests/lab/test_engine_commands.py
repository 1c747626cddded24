# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What an administrator does with the engine's VM by hand, from maintenance to its console."""

import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.lab.verbs import LAB, LabVerbs, scaled

CONF = "/root/by-hand.xml"
ESCAPE = b"\x1d"
LOCAL_MODES = 3
GRAPHICS = "<graphics type='vnc' port='-1' passwd='*' passwdValidTo='1970-01-01T00:00:01'/>"


@pytest.fixture
def global_maintenance(lab: LabVerbs) -> Iterator[None]:
    """As its command with --wait promises: every agent knows of it."""
    host = lab.engine_host()
    hosted_engine(lab, host, "--set-maintenance", "--mode=global", "--wait")
    try:
        states = {name: one["state"] for name, one in lab.status()["hosts"].items()}
        assert set(states.values()) == {"GlobalMaintenance"}, states
        yield
    finally:
        told = hosted_engine(lab, host, "--set-maintenance", "--mode=none", "--wait")
    assert told.splitlines()[-1] == "Reached: this host has left maintenance."


def hosted_engine(lab: LabVerbs, host: str, *options: str) -> str:
    return lab.on(host, "hosted-engine", *options)


def refused(lab: LabVerbs, host: str, *options: str) -> str:
    done = lab.attempt("on", host, "hosted-engine", *options)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.mark.usefixtures("global_maintenance")
def test_the_engine_by_hand(lab: LabVerbs) -> None:
    first, second = lab.engine_host(), other_than(lab, lab.engine_host())
    xml = with_console_and_display(lab.on(first, "virsh", "dumpxml", "--inactive", "HostedEngine"))
    lab.on(second, "sh", "-c", f"cat > {CONF} <<'EOF'\n{xml}\nEOF")
    for order in ("--vm-start", f"--vm-start-paused --vm-conf={CONF}"):
        assert f"held by host {first} " in refused(lab, second, *order.split())
    for order in ("--vm-shutdown", "--console", "--add-console-password"):
        assert f"belongs to host {first} " in refused(lab, second, order)
    assert "EngineStop" not in agents_log(lab, second), "its agent has seen nothing of it"

    told = hosted_engine(lab, first, "--vm-shutdown", "--wait")
    assert told.splitlines()[-1] == "Reached: the engine's VM has ended on this host."
    assert engine(lab)["hosts"] == []

    hosted_engine(lab, second, "--vm-start-paused", f"--vm-conf={CONF}")
    assert lab.on(second, "virsh", "domstate", "HostedEngine").strip() == "paused"
    assert ":engine:" not in lab.on(second, "sanlock", "client", "status"), "it has no lease"
    hosted_engine(lab, second, "--vm-poweroff", "--wait")
    told = hosted_engine(lab, second, "--vm-start", f"--vm-conf={CONF}", "--wait")
    assert told.splitlines()[-1] == "Reached: the engine is healthy on this host."
    assert (engine(lab)["host"], engine(lab)["healthy"]) == (second, True)
    assert ":engine:" in lab.on(second, "sanlock", "client", "status")

    told = hosted_engine(lab, second, "--add-console-password", "--generate")
    assert "Connect to vnc at 127.0.0.1, port 5900 " in told
    with console(second) as line:
        line.wait_for(b"Connected to domain")
        line.type_until_echo(b"heard you")
        line.write(ESCAPE)
        assert line.process.wait(scaled(10)) == 0


@pytest.mark.usefixtures("global_maintenance")
def test_no_start_by_hand_is_undone_by_a_busy_sanlock(lab: LabVerbs) -> None:
    """The command and the agent ask sanlock about the same new process at the same time."""
    host = lab.engine_host()
    hosted_engine(lab, host, "--vm-poweroff", "--wait")
    for _ in range(starts_by_hand()):
        told = hosted_engine(lab, host, "--vm-start")
        assert "was started on this host" in told
        assert lab.on(host, "virsh", "domstate", "HostedEngine").strip() == "running"
        hosted_engine(lab, host, "--vm-poweroff", "--wait")
    told = hosted_engine(lab, host, "--vm-start", "--wait")
    assert told.splitlines()[-1] == "Reached: the engine is healthy on this host."


def starts_by_hand() -> int:
    """HE_STARTS_BY_HAND=30 for a thorough look; each takes three seconds."""
    return int(os.environ.get("HE_STARTS_BY_HAND") or 8)


def engine(lab: LabVerbs) -> dict[str, Any]:
    found: dict[str, Any] = lab.status()["engine"]
    return found


def other_than(lab: LabVerbs, host: str) -> str:
    return next(name for name in lab.status()["hosts"] if name != host)


def agents_log(lab: LabVerbs, host: str) -> str:
    return lab.on(host, "journalctl", "-u", "ha-agent", "--since=-15s", "--no-pager")


def with_console_and_display(xml: str) -> str:
    root = ElementTree.fromstring(xml)
    devices = root.find("devices")
    assert devices is not None
    for port in [*devices.findall("serial"), *devices.findall("console")]:
        devices.remove(port)
    devices.append(ElementTree.fromstring("<serial type='pty'><target port='0'/></serial>"))
    devices.append(ElementTree.fromstring(GRAPHICS))
    return ElementTree.tostring(root, encoding="unicode")


# --- a terminal -------------------------------------------------------------------------------


class Terminal:
    """A process at a terminal of its own, and what stands on that."""

    def __init__(self, *words: str) -> None:
        self._master, slave = pty.openpty()
        without_echo(slave)
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self._seen = b""

    def write(self, data: bytes) -> None:
        os.write(self._master, data)

    def wait_for(self, text: bytes, within_s: float = 20) -> None:
        """Until `text` is read; what stood there before is not looked at again."""
        assert self._sees(text, within_s), f"no {text!r} in {self._seen!r}"
        self._seen = self._seen.partition(text)[2]

    def type_until_echo(self, text: bytes) -> None:
        """What is typed before virsh listens is lost, and it does not say when it does."""
        deadline_s = time.monotonic() + scaled(20)
        while time.monotonic() < deadline_s:
            self.write(text + b"\r")
            if self._sees(text, 0.5):
                return
        raise AssertionError(f"no {text!r} in {self._seen!r}")

    def _sees(self, text: bytes, within_s: float) -> bool:
        deadline_s = time.monotonic() + scaled(within_s)
        while text not in self._seen:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select([self._master], [], [], left_s)[0]:
                return False
            self._seen += os.read(self._master, 4096)
        return True

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


def without_echo(terminal: int) -> None:
    """So that what comes back is the guest's own echo."""
    modes = termios.tcgetattr(terminal)
    modes[LOCAL_MODES] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, modes)


@contextmanager
def console(host: str) -> Iterator[Terminal]:
    terminal = Terminal(str(LAB), "on", host, "hosted-engine", "--console")
    try:
        yield terminal
    finally:
        terminal.close()
