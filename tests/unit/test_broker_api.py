# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The API over a real unix socket, with clients of all manners; the broker behind it is real,
its world is not."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Optional

import pytest

from ha_broker.api.client import (
    BrokerClient,
    BrokerDeniedError,
    BrokerError,
    BrokerGoneError,
    BrokerRefusedError,
    BrokerTimeoutError,
    Reach,
)
from ha_broker.api.lean_client import LeanClient
from ha_broker.api.snapshot import Snapshot
from ha_broker.server import http_server, stranger
from ha_broker.server.bounded_handler import HEAD_ALLOWED_S, MOST_HEAD_BYTES
from ha_broker.server.entrance import Entrance
from ha_broker.server.http_server import (
    MAX_BODY_SIZE,
    MAX_CONNECTIONS,
    MOST_OF_ONE_USER,
    ApiServer,
    Caller,
    SocketError,
)
from ha_broker.server.routes import Api
from ha_broker.storage.local_maintenance import read_flag
from metadata.records import GlobalRecord
from metadata.wire import encode_global
from tests.unit.broker_host import CONFIG, JOIN_S, PUBLICATION, TICK_S, Cluster, Host
from world.ports.errors import WorldError
from world.ports.libvirt import Domain, DomainState

FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
PROMPT_S = 1.0 * FACTOR

AT_H2 = "qemu+tls://h2/system"


class Served:
    """A broker that answers on a socket; `pump` lets it tick while clients wait."""

    def __init__(self, directory: Path) -> None:
        self.cluster = Cluster()
        self.host: Host = self.cluster.host(1, directory)
        self.cluster.run(JOIN_S + 8)  # sanlock has seen the own host, too
        self.path = str(directory / "broker.sock")
        self.server = self.serve()
        self._pump: Optional[threading.Thread] = None
        self._pumping = threading.Event()

    def serve(self, read_allowed_s: float = 30.0) -> ApiServer:
        mailbox, monotonic_s = self.host.broker.mailbox, self.cluster.clock.monotonic_s
        api = Api(mailbox, monotonic_s, network=self.host.network)
        server = ApiServer(self.path, api.answer, read_allowed_s)
        server.start()
        return server

    def client(self, timeout_s: float = 5.0) -> BrokerClient:
        return BrokerClient(self.path, timeout_s * FACTOR)

    def pump(self) -> None:
        """Tick whenever the mailbox wakes the broker, as the daemon does."""
        self._pumping.set()

        def loop() -> None:
            while self._pumping.is_set():
                self.host.settle()
                time.sleep(0.002)

        self._pump = threading.Thread(target=loop)
        self._pump.start()

    def close(self) -> None:
        self._pumping.clear()
        if self._pump is not None:
            self._pump.join()
        self.host.broker.mailbox.close()
        self.server.stop()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.close()


def raw(path: str, request: bytes, *, wait_s: float = 5.0) -> bytes:
    """Everything that comes back until the server closes the connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(wait_s * FACTOR)
        sock.connect(path)
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        chunks = []
        while chunk := sock.recv(65536):
            chunks.append(chunk)
        return b"".join(chunks)


def answer(path: str, request: bytes) -> tuple[int, Any]:
    head, _, body = raw(path, request).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def put(target: str, body: bytes, line: str = "Host: x") -> bytes:
    head = f"PUT {target} HTTP/1.1\r\n{line}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


# --- the calls -----------------------------------------------------------------------------------


def test_status_is_the_snapshot(served: Served) -> None:
    assert served.client().status() == served.host.snapshot


def test_plain_http_with_ages(served: Served) -> None:
    served.cluster.clock.advance(7)
    status, data = answer(served.path, b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 200
    assert data["host_name"] == "h1"
    assert data["taken_age_s"] >= 7


def test_one_connection_serves_many_calls(served: Served) -> None:
    client = served.client()
    for _ in range(5):
        client.status()
    assert served.server.connections == 1
    client.close()


def test_publish(served: Served) -> None:
    served.client().publish(PUBLICATION)
    served.host.settle()
    assert served.cluster.stored(1).state == "EngineDown"


def test_config(served: Served) -> None:
    assert served.client().shared_config() == CONFIG


def test_config_that_was_not_read_yet(tmp_path: Path) -> None:
    from ha_broker.server.mailbox import Mailbox

    first = Snapshot(1, 0.0, 1, "h1", 0.0)
    server = ApiServer(str(tmp_path / "s"), Api(Mailbox(first), time.monotonic).answer)
    server.start()
    try:
        with pytest.raises(BrokerRefusedError, match="not been read yet") as caught:
            BrokerClient(str(tmp_path / "s")).shared_config()
        assert caught.value.status == 503
    finally:
        server.stop()


@pytest.mark.parametrize(
    "config",
    [[], {}, {"sequence": 1, "settings": {"later": 1}, "domain_xml": ""}, {"settings": 5}],
)
def test_config_of_another_version_is_an_error_of_the_broker(tmp_path: Path, config: Any) -> None:
    server = ApiServer(str(tmp_path / "s"), lambda *_: config)
    server.start()
    try:
        with pytest.raises(BrokerError, match="unexpected answer"):
            BrokerClient(str(tmp_path / "s")).shared_config()
    finally:
        server.stop()


def test_global_maintenance_returns_when_it_is_on_the_storage(served: Served) -> None:
    served.pump()
    served.client().set_global_maintenance(True, timeout_s=5 * FACTOR)
    assert served.cluster.slot(0) == encode_global(GlobalRecord(True))
    served.client().set_global_maintenance(False, timeout_s=5 * FACTOR)
    assert served.cluster.slot(0) == encode_global(GlobalRecord(False))


def test_global_maintenance_with_hung_storage_says_why(served: Served) -> None:
    served.host.store.hang()
    served.cluster.run(5 * TICK_S)
    served.pump()
    timeout_s = 0.5 * FACTOR
    with pytest.raises(BrokerRefusedError) as caught:
        served.client().set_global_maintenance(True, timeout_s=timeout_s)
    assert caught.value.status == 504
    assert f"not confirmed within {timeout_s:g} s" in caught.value.why
    assert "has not ended since" in caught.value.why


def test_who_changed_maintenance_is_in_the_log(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    served.pump()
    who = rf"asked for by uid {os.getuid()}, pid {os.getpid()} \(.+\)"
    served.client().set_global_maintenance(True, timeout_s=5 * FACTOR)
    assert re.search(f"global maintenance on, {who}, is done", caplog.text)
    served.client().set_local_maintenance(True)
    assert re.search(f"local maintenance on, {who}, is done", caplog.text)
    served.client().set_local_maintenance(False)
    assert re.search(f"local maintenance off, {who}, is done", caplog.text)
    served.host.hypervisor.set_domain(Domain(DomainState.RUNNING, pid=7))
    served.host.settle()
    with pytest.raises(BrokerRefusedError):
        served.client().set_local_maintenance(True)
    assert re.search(f"local maintenance on, {who}, is refused: .*running on this", caplog.text)


def test_a_name_that_a_process_gives_itself_is_one_line() -> None:
    child = (
        "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'a\\n\\x1b[2Jb', 0, 0, 0);"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        text = str(Caller(process.pid, 7))
        process.communicate()
    assert text.startswith(f"uid 7, pid {process.pid} (a")
    assert text.isprintable()
    assert str(Caller(process.pid, 7)) == f"uid 7, pid {process.pid}"  # it is gone


def test_local_maintenance_is_refused_where_the_engine_is(served: Served) -> None:
    served.host.hypervisor.set_domain(Domain(DomainState.RUNNING, pid=7))
    served.host.settle()
    served.pump()
    with pytest.raises(BrokerRefusedError, match="running on this host") as caught:
        served.client().set_local_maintenance(True)
    assert caught.value.status == 409
    served.client().set_local_maintenance(False)


def test_why_a_program_ends_local_maintenance_is_in_the_log(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    served.pump()
    served.client().set_local_maintenance(True)
    served.client().end_local_maintenance("h2: no room;\nh3: \x1b[2Jbridge down")
    assert served.client().status().local_maintenance is False
    assert not read_flag(str(served.host.state_dir)), "a restart does not bring it back"
    done = r"local maintenance off, asked for by uid \d+, pid \d+ \(.+\), is done: (.*)"
    found = re.search(done, caplog.text)
    assert found is not None
    assert found[1].startswith("h2: no room;")
    assert found[1].endswith("bridge down")
    assert "\x1b" not in found[1]


def test_an_order_to_move_is_answered_logged_and_shown(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    cluster, host = served.cluster, served.host
    host.hypervisor.set_domain(Domain(DomainState.RUNNING, pid=7))
    cluster.peer(2)
    notes = (("takes", "at qemu+tls://h2/system"),)
    for second in range(16):
        cluster.put_record(2, second, notes=notes)
        host.publish(replace(PUBLICATION, state="EngineUp"))
        cluster.run(TICK_S)
    served.pump()
    who = rf"asked for by uid {os.getuid()}, pid {os.getpid()} \(.+\)"
    with pytest.raises(BrokerRefusedError, match="move the engine: 'h9' is not known") as caught:
        served.client().order_move("h9")
    assert caught.value.status == 409
    assert re.search(rf"the order to move the engine to 'h9', {who}, is refused: 'h9'", caplog.text)
    orders = [served.client().order_move(to) for to in ("h2", 2, None)]
    assert [order.to_id for order in orders] == [2, 2, None]
    assert len({order.request_id for order in orders}) == 3
    assert served.client().status().move_order == orders[-1]
    lean = LeanClient(served.path).wait_for_change(-1, 1)
    assert lean.move_order == orders[-1], "so the agent sees it"
    assert re.search(rf"engine to host 2, {who}, is given \({orders[1].request_id}", caplog.text)


def says_where_it_takes(served: Served, address: str) -> None:
    """Host 2, in its record."""
    served.cluster.peer(2)
    served.cluster.put_record(2, 1, notes=(("takes", f"at {address}"),))
    served.cluster.run(TICK_S)


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize(
    ("transport", "port", "tried"), [("tls", 16514, "tls"), ("tcp", 16509, "tcp")]
)
def test_another_hosts_libvirt_is_tried(
    served: Served, answered: bool, transport: str, port: int, tried: str
) -> None:
    says_where_it_takes(served, f"qemu+{transport}://h2/system")
    network = served.host.network
    network.answers, network.detail = answered, "so it is"
    found = served.client().reach(f"qemu+{transport}://h2/system", 3.0)
    assert found == Reach(answered, f"port {port} of h2: so it is")
    assert network.calls[-1] == f"{tried} h2 {port}"


def test_nobody_is_tried_but_who_takes_the_engine(served: Served) -> None:
    """An agent that was taken over scans no network with it."""
    says_where_it_takes(served, "qemu+tls://h2/system")
    before = list(served.host.network.calls)
    for address in ("qemu+tls://h2:22/system", "qemu+tls://h3/system", "", "h2", "\0[::"):
        found = served.client().reach(address, 3.0)
        assert found == Reach(None, "no host says that it takes the engine there")
    assert served.host.network.calls == before


def test_one_that_has_no_port_is_not_tried(served: Served) -> None:
    says_where_it_takes(served, "qemu+unix:///system")
    found = served.client().reach("qemu+unix:///system", 3.0)
    assert found == Reach(None, "it is reached in another way than by a port")


def test_one_that_can_not_be_tried_says_nothing_of_itself(served: Served) -> None:
    def unknown() -> None:
        raise WorldError("connect to h2 port 16514", "no such name")

    says_where_it_takes(served, AT_H2)
    served.host.network.before_answer = unknown
    assert served.client().reach(AT_H2, 3.0) == Reach(None, "port 16514 of h2: no such name")


def test_a_name_server_that_says_nothing_is_not_waited_for(served: Served) -> None:
    """The look for a name has no deadline, here or in libvirt, and where the network is lost it is
    what takes longest."""
    ends = threading.Event()
    says_where_it_takes(served, AT_H2)
    served.host.network.before_answer = lambda: ends.wait(20 * FACTOR)
    try:
        found = served.client().reach(AT_H2, 0.2)
    finally:
        ends.set()
    why = "port 16514 of h2: nothing within 0.2 s, not even of a name server"
    assert found == Reach(False, why)


def test_a_try_keeps_no_other_call_waiting(served: Served) -> None:
    """The agent publishes meanwhile: its record is what others go by."""
    says_where_it_takes(served, AT_H2)
    tried, ends = threading.Event(), threading.Event()

    def wait() -> None:
        tried.set()
        assert ends.wait(20 * FACTOR)

    served.host.network.before_answer = wait
    client = served.client()
    asks = threading.Thread(target=client.reach, args=(AT_H2, 3.0))
    asks.start()
    try:
        assert tried.wait(20 * FACTOR)
        client.publish(PUBLICATION)
        assert not ends.is_set()
    finally:
        ends.set()
        asks.join()


def test_reread(served: Served) -> None:
    served.client().reread()
    before = served.host.runner.submitted.count("scan")
    served.host.settle()
    assert served.host.runner.submitted.count("scan") == before + 1


# --- the long poll -------------------------------------------------------------------------------


def test_a_poll_with_another_sequence_returns_at_once(served: Served) -> None:
    begun_s = time.monotonic()
    assert served.client().wait_for_change(-1, 30) == served.host.snapshot
    assert time.monotonic() - begun_s < PROMPT_S


def test_a_poll_ends_after_its_time(served: Served) -> None:
    begun_s = time.monotonic()
    sequence = served.host.snapshot.sequence
    assert served.client().wait_for_change(sequence, 0.2).sequence == sequence
    assert time.monotonic() - begun_s >= 0.2


def test_a_poll_ends_with_the_change(served: Served) -> None:
    client, sequence = served.client(), served.host.snapshot.sequence
    found: list[Snapshot] = []
    thread = threading.Thread(target=lambda: found.append(client.wait_for_change(sequence, 30)))
    thread.start()
    wait_until(lambda: served.server.connections == 1)
    served.cluster.run(3 * TICK_S)  # ages are no change
    assert thread.is_alive()
    served.host.hypervisor.set_domain(Domain(DomainState.RUNNING, pid=7))
    served.host.settle()
    thread.join(PROMPT_S)
    assert found[0].engine.domain == DomainState.RUNNING


def test_a_poll_does_not_keep_another_call_waiting(served: Served) -> None:
    client, sequence = served.client(), served.host.snapshot.sequence
    thread = threading.Thread(target=lambda: client.wait_for_change(sequence, 30))
    thread.start()
    wait_until(lambda: served.server.connections == 1)
    begun_s = time.monotonic()
    client.publish(PUBLICATION)
    client.status()
    assert time.monotonic() - begun_s < PROMPT_S
    served.host.broker.mailbox.close()
    thread.join(PROMPT_S)
    assert not thread.is_alive()


def test_close_ends_a_poll(served: Served) -> None:
    client, sequence = served.client(), served.host.snapshot.sequence
    errors: list[BrokerError] = []

    def poll() -> None:
        try:
            client.wait_for_change(sequence, 30)
        except BrokerError as error:
            errors.append(error)

    client.wait_for_change(-1, 1)  # so that the poll reuses a connection
    thread = threading.Thread(target=poll)
    thread.start()
    wait_until(client._polls._lock.locked)
    client.close()
    thread.join(PROMPT_S)
    assert not thread.is_alive()
    assert errors


def wait_until(condition: Any, seconds: float = 5.0) -> None:
    end_s = time.monotonic() + seconds * FACTOR
    while not condition():
        assert time.monotonic() < end_s, "the condition never came true"
        time.sleep(0.005)


# --- hung storage --------------------------------------------------------------------------------


def test_answers_stay_fast_while_storage_hangs(served: Served) -> None:
    served.host.store.hang()
    served.host.lockspace.hang_storage()
    served.cluster.run(120)
    served.pump()
    client = served.client()
    for _ in range(20):
        begun_s = time.monotonic()
        snapshot = client.status()
        client.publish(PUBLICATION)
        client.shared_config()
        assert time.monotonic() - begun_s < PROMPT_S
    assert "has not ended since" in snapshot.storage.error
    assert snapshot.storage.last_read_at_s is not None


# --- refusals ------------------------------------------------------------------------------------

HUGE = b"9" * 400
WIDE = 400, "allowed: numbers from -2^64 to 2^64"


@pytest.mark.parametrize(
    ("request_bytes", "status", "word"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404, "no such resource"),
        (b"GET /v1/record HTTP/1.1\r\n\r\n", 405, "only PUT"),
        (b"DELETE /v1/status HTTP/1.1\r\n\r\n", 405, "only GET"),
        (b"BREW /v1/status HTTP/1.1\r\n\r\n", 501, "BREW"),
        (b"GET /v1/status?x=1 HTTP/1.1\r\n\r\n", 400, "x: unknown parameter"),
        (b"GET /v1/changes?since=now HTTP/1.1\r\n\r\n", 400, "since: 'now' is no number"),
        (b"GET /v1/changes?since=1&wait_s=nan HTTP/1.1\r\n\r\n", 400, "wait_s"),
        (b"GET /v1/changes?since=1&wait_s=inf HTTP/1.1\r\n\r\n", 400, "wait_s"),
        (put("/v1/record", b"{}"), 400, "score: missing"),
        (put("/v1/record", b"no json"), 400, "no valid JSON"),
        (put("/v1/maintenance", b'{"scope": "galactic", "on": true}'), 400, "'galactic'"),
        (put("/v1/maintenance", b'{"scope": "global", "on": 1}'), 400, "on: expected true"),
        (put("/v1/maintenance", b'{"scope": "local", "on": false, "why": 1}'), 400, "why: expec"),
        (put("/v1/move", b'{"to": true}'), 400, "to: true is refused; allowed: a host's name, its"),
        (put("/v1/move", b'{"to": ""}'), 400, "to: '' is refused"),
        (put("/v1/move", b'{"to": 1.5}'), 400, "to: 1.5 is refused"),
        (put("/v1/move", b'{"to": ["h2"]}'), 400, "to: ['h2'] is refused"),
        (put("/v1/move", b'{"to": %s}' % HUGE), *WIDE),
        (put("/v1/move", b'{"to": "h2", "x": 1}'), 400, "x: unknown key (allowed: to)"),
        (put("/v1/move", b"[]"), 400, "body: expected an object"),
        (put("/v1/move?to=h2", b"{}"), 400, "to: unknown parameter"),
        (put("/v1/reach", b"{}"), 400, "address: missing"),
        (put("/v1/reach", b'{"address": 1}'), 400, "address: expected a string"),
        (put("/v1/reach", b'{"address": "a", "timeout_s": %s}' % HUGE), *WIDE),
        (put("/v1/reach", b'{"address": "a", "timeout_s": 60}'), 400, "60 is not in 0.1..10"),
        (put("/v1/reach", b'{"address": "a", "timeout_s": 0}'), 400, "timeout_s: 0 is not in"),
        (put("/v1/reach", b'{"address": "a", "port": 1}'), 400, "port: unknown"),
        (put("/v1/reach?x=1", b'{"address": "a"}'), 400, "x: unknown parameter"),
        (put("/v1/maintenance", b'{"scope": "global", "on": true, "x": 1}'), 400, "x: unknown"),
        (put("/v1/maintenance", b'{"scope": "global", "on": true, "timeout_s": -1}'), 400, "-1"),
        (put("/v1/maintenance", b'{"scope": "global", "on": true, "timeout_s": %s}' % HUGE), *WIDE),
        (put("/v1/maintenance", b'{"scope": "global", "on": true, "timeout_s": 1e999}'), *WIDE),
        (put("/v1/record", b'{"score": %s}' % HUGE), *WIDE),
        (put("/v1/record", b'{"penalties": [{"value": -%s}]}' % HUGE), *WIDE),
        (put("/v1/reread", b'{"x": [%s]}' % HUGE), *WIDE),
        (put("/v1/test-notification", HUGE), *WIDE),
        (b"GET /v1/changes?since=%s HTTP/1.1\r\n\r\n" % HUGE, 400, "since"),
        (put("/v1/reread", b'{"x": 1}'), 400, "x: unknown"),
        (b"PUT /v1/record HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "Content-Length: 'x'"),
        (b"PUT /v1/record HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "Content-Length"),
        (b"PUT /v1/record HTTP/1.1\r\nContent-Length: 9\r\n\r\nab", 400, "2 bytes came"),
        (put("/v1/reread", b"{}", "Content-Length: 2"), 400, "2 headers Content-Length"),
        (put("/v1/reread", b"{}", "content-length: 0"), 400, "2 headers Content-Length"),
        (put("/v1/reread", b"{}", "no header"), 400, "a line that is no header"),
        (put("/v1/reread", b"{}", "Content-Length : 0"), 400, "a line that is no header"),
        (b"PUT /v1/record HTTP/1.1\r\nContent-Length: 1" + b"0" * 30 + b"\r\n\r\n", 413, "1000"),
        (b"PUT /v1/record HTTP/1.1\r\nContent-Length: 2, 2\r\n\r\n{}", 400, "'2, 2'"),
        (b"PUT /v1/record HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411, "Content-Length"),
        (b"garbage\r\n\r\n", 400, "garbage"),
        (b"\x00\xff\xfe\r\n\r\n", 400, ""),
        (b"GET /v1/status HTTP/9.9\r\n\r\n", 505, ""),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414, ""),
        (b"GET /v1/status HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431, ""),
        (b"GET http://[/ HTTP/1.1\r\n\r\n", 404, "no such resource"),
    ],
)
def test_a_wrong_request_gets_json_that_says_why(
    served: Served, request_bytes: bytes, status: int, word: str
) -> None:
    found_status, data = answer(served.path, request_bytes)
    assert found_status == status
    assert list(data) == ["error"]
    assert word in data["error"]
    assert served.client().status() == served.host.snapshot  # nothing else happened


def test_a_body_that_is_too_large_is_refused_before_it_is_read(served: Served) -> None:
    head = f"PUT /v1/record HTTP/1.1\r\nContent-Length: {MAX_BODY_SIZE + 1}\r\n\r\n"
    status, data = answer(served.path, head.encode())
    assert status == 413
    assert str(MAX_BODY_SIZE) in data["error"]


def test_a_request_in_parts_is_a_request(served: Served) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(5 * FACTOR)
        sock.connect(served.path)
        for byte in b"GET /v1/status HTTP/1.1\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert sock.recv(12) == b"HTTP/1.1 200"


# --- rude clients --------------------------------------------------------------------------------


def test_a_client_that_trickles_is_cut_off_and_holds_nobody_up(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.server.stop()
    served.server = served.serve(read_allowed_s=0.5)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as slow:
            slow.connect(served.path)
            slow.sendall(b"GET /v1/sta")
            wait_until(lambda: served.server.connections == 1)
            begun_s = time.monotonic()
            served.client().status()
            assert time.monotonic() - begun_s < PROMPT_S
            with pytest.raises(OSError):
                while time.monotonic() < begun_s + 10 * FACTOR:
                    slow.sendall(b"t")
                    time.sleep(0.02)
            assert time.monotonic() - begun_s < 5 * FACTOR
        wait_until(lambda: served.server.connections == 0)
    finally:
        served.close()


def test_a_client_that_never_reads_holds_nobody_up(served: Served) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf:
        deaf.settimeout(0.2)
        deaf.connect(served.path)
        with pytest.raises(OSError):
            while True:
                deaf.sendall(b"GET /v1/status HTTP/1.1\r\n\r\n" * 100)
        begun_s = time.monotonic()
        served.client().status()
        assert time.monotonic() - begun_s < PROMPT_S


class Crowd:
    """Connections of which each has sent `text`, in their order."""

    def __init__(self, path: str, count: int, text: bytes = b"") -> None:
        self.sockets = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(count)]
        for sock in self.sockets:
            sock.settimeout(5 * FACTOR)
            sock.connect(path)
            # A server that has turned it away already takes nothing, not even an empty text.
            if text:
                sock.sendall(text)

    def __enter__(self) -> list[socket.socket]:
        return self.sockets

    def __exit__(self, *_exc: object) -> None:
        for sock in self.sockets:
            sock.close()


POLL = b"GET /v1/changes?since=%d&wait_s=60 HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("text", [b"", b"GET /v1/sta", b"GET /v1/status HTTP/1.1\r\na: b\r\n"])
def test_of_too_many_connections_the_longest_idle_gives_way(served: Served, text: bytes) -> None:
    with Crowd(served.path, MAX_CONNECTIONS, text) as crowd:
        wait_until(lambda: served.server.connections == MAX_CONNECTIONS)
        begun_s = time.monotonic()
        clients = [served.client(), served.client()]
        for client in clients:
            client.status()
        assert time.monotonic() - begun_s < PROMPT_S
        assert [sock.recv(1) for sock in crowd[:2]] == [b"", b""]
        assert served.server.connections == MAX_CONNECTIONS
    wait_until(lambda: served.server.connections == len(clients))


def test_a_client_whose_idle_connection_gave_way_connects_again(served: Served) -> None:
    client = served.client()
    client.status()
    with Crowd(served.path, MAX_CONNECTIONS):
        wait_until(lambda: served.server.connections == MAX_CONNECTIONS)
        client.status()


def test_whoever_is_being_answered_keeps_its_place(served: Served) -> None:
    poll = POLL % served.host.snapshot.sequence
    with Crowd(served.path, MAX_CONNECTIONS, poll):
        wait_until(lambda: served.server.answering == MAX_CONNECTIONS)
        with pytest.raises(BrokerRefusedError) as caught:
            served.client().status()
        assert caught.value.status == 503
        assert str(MAX_CONNECTIONS) in caught.value.why
        assert served.server.answering == MAX_CONNECTIONS
        served.host.broker.mailbox.close()
    wait_until(lambda: served.server.connections == 0)


def test_one_user_leaves_room_for_others(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    users = iter([1000] * 30 + [None])
    monkeypatch.setattr(served.server, "peer_of", lambda *_: next(users))
    poll = POLL % served.host.snapshot.sequence
    with Crowd(served.path, MOST_OF_ONE_USER, poll):
        wait_until(lambda: served.server.answering == MOST_OF_ONE_USER)
        with Crowd(served.path, 30 - MOST_OF_ONE_USER) as more:
            assert all(sock.recv(12) == b"HTTP/1.1 503" for sock in more)
            served.client().status()  # root
        served.host.broker.mailbox.close()


@pytest.mark.parametrize(("uid", "counted"), [(0, None), (995, None), (996, 996)])
def test_neither_roots_commands_nor_the_agent_count_as_a_user(
    served: Served, monkeypatch: pytest.MonkeyPatch, uid: int, counted: Optional[int]
) -> None:
    monkeypatch.setattr(http_server, "caller_of", lambda _request: http_server.Caller(1, uid))
    monkeypatch.setattr(os, "geteuid", lambda: 995)
    assert served.server.peer_of(None, None) == counted  # type: ignore[arg-type]


def test_a_head_has_its_own_time_and_a_pause_between_requests_another(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert HEAD_ALLOWED_S == 5
    monkeypatch.setattr(stranger, "HEAD_ALLOWED_S", 0.5)
    with Crowd(served.path, 1) as (idle,), Crowd(served.path, 1, b"G") as (slow,):
        begun_s = time.monotonic()
        assert slow.recv(1) == b""
        assert 0.4 < time.monotonic() - begun_s < 2 * FACTOR
        idle.setblocking(False)
        with pytest.raises(BlockingIOError):
            idle.recv(1)


@pytest.mark.parametrize(
    "lines",
    [b"a: " + b"b" * 20_000, b"a: bbbbbbbb\r\n" * 2000, b"a: b\r\n" + b" c\r\n" * 4000],
)
def test_a_head_has_at_most_16_kib(served: Served, lines: bytes) -> None:
    status, data = answer(served.path, b"GET /v1/status HTTP/1.1\r\n" + lines + b"\r\n\r\n")
    assert status == 431
    assert list(data) == ["error"]


def test_a_head_of_almost_16_kib_is_fine(served: Served) -> None:
    head = b"GET /v1/status HTTP/1.1\r\na: " + b"b" * (MOST_HEAD_BYTES - 40) + b"\r\n\r\n"
    assert len(head) <= MOST_HEAD_BYTES
    assert answer(served.path, head)[0] == 200


def test_a_full_backlog_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(0)
        with Crowd(path, 1):
            begun_s = time.monotonic()
            with pytest.raises(BrokerTimeoutError):
                BrokerClient(path, timeout_s=0.5).status()
            assert time.monotonic() - begun_s >= 0.5
            server = threading.Thread(target=_answer_the_second, args=(listener,))
            server.start()
            assert BrokerClient(path, timeout_s=5 * FACTOR)._get("ask", "/") == {}
            server.join()


def _answer_the_second(listener: socket.socket) -> None:
    """The first one is the crowd's."""
    with listener.accept()[0], listener.accept()[0] as asker:
        assert asker.recv(1000).startswith(b"GET / ")
        asker.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def test_without_a_file_for_a_connection_there_is_a_pause_and_one_line(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[float] = []
    listening, accept = served.server.socket, served.server.socket.accept

    class Listening:
        def accept(self) -> Any:
            tries.append(time.monotonic())
            if len(tries) <= 3:
                raise OSError(errno.EMFILE, "Too many open files")
            return accept()

        def __getattr__(self, name: str) -> Any:
            return getattr(listening, name)

    monkeypatch.setattr(served.server, "socket", Listening())
    client = served.client()
    client.status()
    assert len(tries) == 4
    assert tries[-1] - tries[0] > 1.0
    assert caplog.text.count("no connection can be taken: Too many open files") == 1


# --- the socket ----------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_without_a_group_the_socket_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        server = ApiServer(str(tmp_path / "s"), lambda *_: {})
    finally:
        os.umask(before)
    server.start()
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    server.stop()


def test_a_live_socket_is_not_stolen(served: Served) -> None:
    with pytest.raises(SocketError, match="another broker is serving there"):
        ApiServer(served.path, lambda *_: {})
    served.client().status()


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(path)
    server = ApiServer(path, lambda *_: {})
    server.start()
    server.stop()
    assert not Path(path).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_its_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("mine")
    with pytest.raises(SocketError, match="is no socket"):
        ApiServer(str(path), lambda *_: {})
    assert path.read_text() == "mine"


@pytest.mark.parametrize(("name", "why"), [("missing/s", "No such file"), ("x" * 120, "at most")])
def test_a_path_that_can_not_be_is_named(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(SocketError, match=why):
        ApiServer(str(tmp_path / name), lambda *_: {})


def reachable(path: str) -> int:
    client = BrokerClient(path, timeout_s=5 * FACTOR)
    try:
        return int(client._get("ask", "/")["number"])
    finally:
        client.close()


@pytest.fixture
def entrance(door: Path) -> Iterator[Entrance]:
    entrance = Entrance(str(door), lambda *_: {"number": 7})
    entrance.open()
    yield entrance
    entrance.close()


@pytest.fixture
def door(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run" / "s"


def test_a_socket_that_is_there_is_left_alone(door: Path, entrance: Entrance) -> None:
    before = door.stat()
    entrance.keep_open()
    assert door.stat() == before


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_removed_socket_comes_back_and_who_is_connected_goes_on(
    door: Path, entrance: Entrance, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    connected = BrokerClient(str(door), timeout_s=5 * FACTOR)
    assert connected._get("ask", "/") == {"number": 7}
    door.unlink()
    if what == "directory":
        door.parent.rmdir()
    for _ in range(3):
        entrance.keep_open()
    assert reachable(str(door)) == 7
    assert stat.S_IMODE(door.stat().st_mode) == 0o600
    assert connected._get("ask", "/") == {"number": 7}
    assert caplog.text.count("was gone, and is there again") == 1
    entrance.close()
    assert not door.exists()


def test_what_took_its_place_is_told_once_and_left_alone(
    door: Path, entrance: Entrance, caplog: pytest.LogCaptureFixture
) -> None:
    door.unlink()
    door.write_text("mine")
    for _ in range(3):
        entrance.keep_open()
    assert door.read_text() == "mine"
    assert caplog.text.count("it is there and is no socket") == 1
    door.unlink()
    entrance.keep_open()
    assert reachable(str(door)) == 7


def test_another_brokers_socket_is_not_taken_back(door: Path, entrance: Entrance) -> None:
    door.unlink()
    other = ApiServer(str(door), lambda *_: {"number": 8})
    other.start()
    try:
        entrance.keep_open()
        assert reachable(str(door)) == 8
    finally:
        other.stop()


# --- the client ----------------------------------------------------------------------------------


def test_no_broker(tmp_path: Path) -> None:
    with pytest.raises(BrokerGoneError, match="is it running") as caught:
        BrokerClient(str(tmp_path / "none")).status()
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
@pytest.mark.parametrize(
    ("mode", "gid", "way"),
    [
        (0o660, 4711, "run it as root, or be in group 4711"),
        (0o660, 0, "run it as root"),
        (0o600, 4711, "run it as root"),
        (0o640, 4711, "run it as root"),
    ],
)
def test_who_may_not_ask_is_told_who_may(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    mode: int,
    gid: int,
    way: str,
) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(path)

    def refuse(*_values: object) -> NoReturn:
        raise PermissionError(number, os.strerror(number))

    asked = Path(path).stat()
    told = os.stat_result((asked.st_mode & ~0o777 | mode, *asked[1:5], gid, *asked[6:]))
    monkeypatch.setattr("world.network.deadline_socket.DeadlineSocket.connect", refuse)
    monkeypatch.setattr("world.way_in.os.stat", lambda _path: told)
    with pytest.raises(BrokerDeniedError) as caught:
        BrokerClient(path).status()
    assert caught.value.errno == number
    assert str(caught.value).endswith(f": permission denied at {path}: {way}")


def test_a_dead_brokers_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(path)
    with pytest.raises(BrokerGoneError) as caught:
        BrokerClient(path).status()
    assert caught.value.errno == errno.ECONNREFUSED


def listener(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    sock.listen(4)
    return sock


def test_a_broker_that_accepts_and_never_answers(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with listener(path):
        begun_s = time.monotonic()
        with pytest.raises(BrokerTimeoutError, match=r"within 0\.3 s"):
            BrokerClient(path, timeout_s=0.3).status()
        assert time.monotonic() - begun_s < 0.3 + PROMPT_S


def test_an_answer_that_trickles_ends_at_the_deadline(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    done = threading.Event()
    with listener(path) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not done.wait(0.02):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle)
        thread.start()
        begun_s = time.monotonic()
        with pytest.raises(BrokerTimeoutError):
            BrokerClient(path, timeout_s=0.3).status()
        assert time.monotonic() - begun_s < 0.3 + PROMPT_S
        done.set()
        thread.join()


@pytest.mark.parametrize(
    "text", [b"hello\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}}", b""]
)
def test_an_answer_that_is_none(tmp_path: Path, text: bytes) -> None:
    path = str(tmp_path / "s")
    with listener(path) as server:

        def say() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(text)

        thread = threading.Thread(target=say)
        thread.start()
        with pytest.raises(BrokerError):
            BrokerClient(path, timeout_s=2 * FACTOR).status()
        thread.join()


def test_a_restarted_broker_is_reached_by_the_same_client(served: Served) -> None:
    client = served.client()
    client.status()
    client.wait_for_change(-1, 1)
    served.server.stop()
    with pytest.raises(BrokerGoneError):
        BrokerClient(served.path).status()
    served.server = served.serve()
    assert client.status() == served.host.snapshot
    assert client.wait_for_change(-1, 1) == served.host.snapshot


def test_a_connection_closed_meanwhile_costs_nothing(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.server.stop()
    served.server = served.serve(read_allowed_s=0.1)
    try:
        client = served.client()
        client.status()
        wait_until(lambda: served.server.connections == 0)  # idle for too long
        client.status()
    finally:
        served.close()


def test_the_client_needs_neither_libvirt_nor_sanlock() -> None:
    code = (
        "import sys; sys.modules['libvirt'] = sys.modules['sanlock'] = None; "
        "sys.modules['yaml'] = None; import ha_broker.api.client"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
