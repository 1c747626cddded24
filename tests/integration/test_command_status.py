# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--vm-status as a process: how much it computes, what hangs, terminals, and --watch."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from ha_broker.api.client import BrokerClient
from metadata.layout import slot_address
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from metadata.wire import encode_host
from tests.contract.places import direct_io_directory
from tests.integration.broker_process import FACTOR, PUBLICATION, ROOT, Site, wait_for
from tests.integration.hosted_engine import (
    COMMAND,
    JSON_STARTS,
    TEXT_STARTS,
    children_cpu_s,
    environment,
    hosted_engine,
    in_interpreter_starts,
)

ANSWER_S = 3.0  # a deadline of one second, and a process that starts on a busy machine
UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
ENGINE_HERE = replace(PUBLICATION, engine_status=UP, state="EngineUp")


@pytest.fixture
def site() -> Iterator[Site]:
    with direct_io_directory() as directory:
        site = Site(directory)
        site.make_volume()
        site.deploy()
        try:
            yield site
        finally:
            site.close()


@pytest.fixture
def client(site: Site) -> BrokerClient:
    """A broker that knows this host and 199 others."""
    for host_id in range(2, 201):
        record = HostRecord(host_id, 5, 3400, EngineStatus(), f"h{host_id}", state="EngineDown")
        site.write(slot_address(site.parts, host_id).offset, encode_host(record))
    site.start()
    client = site.serving()
    client.publish(ENGINE_HERE)
    wait_for("every host is known", lambda: len(client.status().hosts) == 200)
    wait_for("this host is live", lambda: client.status().hosts[0].fresh)
    return client


# --- how much it computes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "allowed"), [(("--json",), JSON_STARTS), ((), TEXT_STARTS)], ids=["json", "text"]
)
def test_status_of_200_hosts_is_cheap(
    client: BrokerClient, site: Site, words: tuple[str, ...], allowed: float
) -> None:
    def run() -> float:
        done = hosted_engine(site, "--vm-status", *words)
        assert (done.code, "h200" in done.out) == (0, True)
        return done.cpu_s

    assert in_interpreter_starts(run) < allowed


def test_table_of_200_hosts_is_cheap(client: BrokerClient, site: Site) -> None:
    def run() -> float:
        before_s = children_cpu_s()
        with Terminal(site, "--vm-status") as terminal:
            assert terminal.end() == 0
        assert "200: 1 live, 199 not decided yet" in terminal.text  # the broker has just started
        return children_cpu_s() - before_s

    assert in_interpreter_starts(run) < TEXT_STARTS


# --- what hangs -----------------------------------------------------------------------------


def refused_in_time(site: Site, *words: str) -> str:
    """The one line, or the one document, that says why; both forms are tried."""
    plain = hosted_engine(site, "--vm-status", *words)
    assert (plain.code, plain.out, plain.err.count("\n")) == (1, "", 1)
    as_json = hosted_engine(site, "--vm-status", "--json", *words)
    assert as_json.code == 1
    assert list(as_json.document()) == ["error"]
    assert max(plain.took_s, as_json.took_s) < ANSWER_S * FACTOR
    return plain.err


def test_frozen_broker(site: Site) -> None:
    broker = site.start()
    site.serving()
    broker.send_signal(signal.SIGSTOP)
    assert "no answer within 1 s" in refused_in_time(site, "--timeout=1")


def test_usual_deadline_of_a_frozen_broker(site: Site) -> None:
    with answering(site, lambda _connection: None):
        done = hosted_engine(site, "--vm-status")
    assert (done.code, "no answer within 5 s" in done.err) == (1, True)
    assert done.took_s < (5 + ANSWER_S) * FACTOR


def test_socket_that_takes_connections_and_never_answers(site: Site) -> None:
    with answering(site, lambda _connection: None):
        assert "no answer within 1 s" in refused_in_time(site, "--timeout=1")


def test_socket_that_answers_byte_by_byte(site: Site) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.1)

    with answering(site, trickle):
        assert "no answer within 1 s" in refused_in_time(site, "--timeout=1")


@contextmanager
def answering(site: Site, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """Something else where the broker's socket should be."""
    connections = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed: the test is over
            connections.append(connection)
            threading.Thread(target=_quietly, args=(answer, connection), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.socket))
        listener.listen()
        server = threading.Thread(target=serve)
        server.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()
            for connection in connections:
                connection.close()


def _quietly(answer: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with suppress(OSError):  # the command has given up, which is what is tested
        answer(connection)


class San:
    """A volume behind FUSE, whose every access can be made to hang as a dead SAN's does."""

    def __init__(self, directory: Path, disk: Path) -> None:
        self._socket = directory / "san.sock"
        self._mount = directory / "san"
        self._mount.mkdir()
        self.volume = self._mount / "leases"
        self._server = subprocess.Popen(
            ["nbdkit", "--foreground", "--unix", str(self._socket), "file", str(disk)]
        )
        wait_for("the SAN's socket", self._socket.exists)
        uri = f"nbd+unix:///?socket={self._socket}"
        self._mounter = subprocess.Popen(["nbdfuse", str(self.volume), uri])
        wait_for("the SAN's volume", self.volume.exists)

    def hang(self) -> None:
        self._server.send_signal(signal.SIGSTOP)

    def heal(self) -> None:
        """Before anybody who waits for it is ended: nobody can be, meanwhile."""
        self._server.send_signal(signal.SIGCONT)

    def close(self) -> None:
        unmount = ["fusermount3", "-u", "-z", str(self._mount)]
        subprocess.run(unmount, check=False)
        for process in (self._mounter, self._server):
            process.terminate()
            process.wait()


@pytest.fixture
def san(site: Site) -> Iterator[San]:
    if not Path("/dev/fuse").exists():
        pytest.skip("no FUSE here")
    san = San(site.volume.parent, site.volume)
    try:
        yield san
    finally:
        san.heal()
        site.close()
        san.close()


def test_dead_storage_is_told_by_a_broker_that_goes_on(site: Site, san: San) -> None:
    site.deploy(storage={"path": str(san.volume)})
    site.start()
    client = site.serving()
    client.publish(ENGINE_HERE)
    wait_for("this host is live", lambda: any(host.fresh for host in client.status().hosts))
    san.hang()
    wait_for("an access hangs", lambda: client.status().storage.busy_since_s)
    as_json = hosted_engine(site, "--vm-status", "--json")
    assert (as_json.code, list(as_json.document())) == (0, ["1", "global_maintenance"])
    assert as_json.took_s < ANSWER_S * FACTOR
    wait_for(
        "the text tells of it",
        lambda: "!! The shared storage was last read" in hosted_engine(site, "--vm-status").out,
    )


def test_dead_storage_is_given_up_without_a_broker(site: Site, san: San) -> None:
    """A process can't exit while one of its threads waits in the kernel for storage."""
    san.hang()
    volume = f"--metadata={san.volume}:2M"
    done = hosted_engine(site, "--vm-status", volume, "--timeout=0", "--json")
    assert done.code == 1
    assert "the storage has not answered for 5 s" in done.document()["error"]
    assert done.took_s < (5 + ANSWER_S) * FACTOR


def test_dead_storage_holds_up_no_other_command_without_a_broker(site: Site, san: San) -> None:
    site.deploy(storage={"path": str(san.volume)})
    san.hang()
    done = hosted_engine(site, "--check-liveliness")
    assert (done.code, done.out) == (1, "")
    assert "has not answered for 5 s" in done.err
    assert done.took_s < (5 + ANSWER_S) * FACTOR


# --- on a terminal --------------------------------------------------------------------------


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, site: Site, *words: str, **environ: str) -> None:
        self.text = ""
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [*COMMAND, *words],
            env={**environment(site), "TERM": "xterm", **environ},
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def shows(self, pattern: str, timeout_s: float = 20.0) -> str:
        """Read on until it shows this; what was read so far is forgotten."""
        found = wait_for(pattern, lambda: self._read() and re.search(pattern, self.text), timeout_s)
        self.text = self.text[found.end() :]
        return str(found.group())

    def press_ctrl_c(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        wait_for("its end", lambda: self._read() and self._process.poll() is not None)
        self._read()
        return self._process.wait()

    def _read(self) -> bool:
        while select.select([self._master], [], [], 0.02)[0]:
            try:
                self.text += os.read(self._master, 65536).decode()
            except OSError:  # the other end is closed
                break
        return True


def test_terminal_gets_a_coloured_table_first(client: BrokerClient, site: Site) -> None:
    with Terminal(site, "--vm-status") as terminal:
        assert terminal.end() == 0
    assert "\x1b[32mup, good" in terminal.text
    assert terminal.text.index("Engine  ") < terminal.text.index("h200 (200)")


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_terminal_without_colours_gets_no_escape_codes(
    client: BrokerClient, site: Site, environ: dict[str, str]
) -> None:
    with Terminal(site, "--vm-status", **environ) as terminal:
        assert terminal.end() == 0
    assert "up, good" in terminal.text
    assert "\x1b" not in terminal.text


def test_pipe_gets_the_text_alone(client: BrokerClient, site: Site) -> None:
    done = hosted_engine(site, "--vm-status")
    assert done.out.startswith("--== Host h1 (id: 1) status ==--\n")
    assert done.out.count("Status up-to-date                  : not decided yet\n") == 199
    assert "\x1b" not in done.out


def test_table_of_a_volume(client: BrokerClient, site: Site) -> None:
    with Terminal(site, "--vm-status", "--timeout=0", f"--metadata={site.volume}:2M") as terminal:
        assert terminal.end() == 0
    assert "STALE, was EngineUp" in terminal.text
    assert "200: 200 STALE" in terminal.text


# --- watching -------------------------------------------------------------------------------


def test_watch_on_a_terminal_goes_on_over_the_brokers_restart(site: Site) -> None:
    broker = site.start()
    client = site.serving()
    client.publish(ENGINE_HERE)
    wait_for("this host is live", lambda: any(host.fresh for host in client.status().hosts))
    with Terminal(site, "--vm-status", "--watch") as terminal:
        terminal.shows("up, good on h1")
        client.set_global_maintenance(True, timeout_s=10 * FACTOR)
        terminal.shows("ON: nobody starts")
        broker.kill()
        broker.wait()
        terminal.shows("No news since the last picture")
        site.forget()
        site.start()
        site.serving()
        site.client().publish(replace(ENGINE_HERE, score=1234))
        terminal.shows("1234")
        terminal.press_ctrl_c()
        assert terminal.end() == 0
    assert "Traceback" not in terminal.text


def test_watch_into_a_pipe_tells_each_change_once(site: Site) -> None:
    site.start()
    client = site.serving()
    client.publish(ENGINE_HERE)
    wait_for("this host is live", lambda: any(host.fresh for host in client.status().hosts))
    with watching(site, "--json") as (process, lines):
        wait_for("the first picture", lambda: len(lines) == 1)
        client.set_global_maintenance(True, timeout_s=10 * FACTOR)
        wait_for("the second picture", lambda: len(lines) == 2)
        client.publish(replace(ENGINE_HERE, score=1234))
        wait_for("the third picture", lambda: len(lines) == 3)
        process.send_signal(signal.SIGINT)
        assert process.wait(10 * FACTOR) == 0
    assert ['"global_maintenance": true' in line for line in lines] == [False, True, True]
    assert ['"score": 1234' in line for line in lines] == [False, False, True]


@contextmanager
def watching(site: Site, *words: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    lines: list[str] = []
    process = subprocess.Popen(
        [*COMMAND, "--vm-status", "--watch", *words],
        env=environment(site), cwd=ROOT, text=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    output = process.stdout
    reader = threading.Thread(target=lambda: lines.extend(output))
    reader.start()
    try:
        yield process, lines
    finally:
        process.kill()
        process.wait()
        reader.join()
        output.close()


def test_watch_without_a_broker_is_one_line(site: Site) -> None:
    done = hosted_engine(site, "--vm-status", "--watch")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize("words", [("--metadata=/dev/null",), ("--metadata=/dev/null", "--json")])
def test_watch_of_a_volume_is_refused(site: Site, words: tuple[str, ...]) -> None:
    done = hosted_engine(site, "--vm-status", "--watch", *words)
    assert done.code == 2
    assert "--watch asks the broker" in done.out + done.err


def test_reader_that_has_seen_enough_ends_the_watch(site: Site) -> None:
    site.start()
    client = site.serving()
    client.publish(ENGINE_HERE)
    wait_for("this host is known", lambda: client.status().hosts)
    with watching_raw(site) as process:
        assert process.stdout is not None
        head = process.stdout.readline()
        process.stdout.close()
        client.set_global_maintenance(True, timeout_s=10 * FACTOR)
        assert process.wait(20 * FACTOR) == 1
    assert head.startswith("== ")


@contextmanager
def watching_raw(site: Site) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, "--vm-status", "--watch"],
        env=environment(site), cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
