# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The health page, fetched from real servers on the loopback address."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

import pytest

from world.network.health_page import HttpHealthPage
from world.ports.network import HealthReading

FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
LONG_S = 10 * FACTOR
SHORT_S = 0.3
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nDB Up!"

Answer = Callable[[socket.socket, threading.Event], None]


class Server:
    """Answers one connection after another with `answer`; keeps what it was asked."""

    def __init__(self, answer: Answer, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.asked: list[bytes] = []
        self._answer = answer
        self._over = threading.Event()
        self._listener = socket.socket(family)
        self._listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self._listener.listen()
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, suppress(OSError):
                    self.asked.append(client.recv(4096))
                    self._answer(client, self._over)


def says(answer: bytes) -> Answer:
    return lambda client, _over: client.sendall(answer)


def drips(client: socket.socket, over: threading.Event) -> None:
    """An endless page, a byte every 50 ms: no single read takes long."""
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not over.wait(0.05):
        client.sendall(b".")


def drips_headers(client: socket.socket, over: threading.Event) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    while not over.wait(0.05):
        client.sendall(b"x")


def hangs(_client: socket.socket, over: threading.Event) -> None:
    over.wait()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(answer: Answer, family: socket.AddressFamily = socket.AF_INET) -> Server:
        servers.append(Server(answer, family))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def check(server: Server, path: str = "/health", timeout_s: float = LONG_S) -> HealthReading:
    return HttpHealthPage().check(f"http://127.0.0.1:{server.port}{path}", "DB Up", timeout_s)


def test_a_good_page(serve: Callable[..., Server]) -> None:
    server = serve(says(GOOD))
    assert check(server, "/a/health?full=1") == HealthReading(True, "")
    (request,) = server.asked
    assert request.startswith(b"GET /a/health?full=1 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in request


def test_a_page_without_a_length_and_in_chunks(serve: Callable[..., Server]) -> None:
    assert check(serve(says(b"HTTP/1.0 200 OK\r\n\r\nDB Up!"))).good
    chunks = b"3\r\nDB \r\n3\r\nUp!\r\n0\r\n\r\n"
    header = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert check(serve(says(header + chunks))).good


def test_a_page_over_ipv6(serve: Callable[..., Server]) -> None:
    try:
        server = serve(says(GOOD), socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 on the loopback device: {error}")
    url = f"http://[::1]:{server.port}/"
    assert HttpHealthPage().check(url, "DB Up", LONG_S) == HealthReading(True, "")


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nDB down", "does not say 'DB Up'"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 6\r\n\r\nDB Up!", "HTTP status 503"),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "HTTP status 302"),
        (b"SSH-2.0-OpenSSH\r\n", "not an HTTP answer (BadStatusLine)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nDB", "does not say 'DB Up'"),
        (b"", "not an HTTP answer (RemoteDisconnected)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "does not say"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", "not an HTTP answer"),
    ],
)
def test_bad_pages_say_why(serve: Callable[..., Server], answer: bytes, detail: str) -> None:
    reading = check(serve(says(answer)))
    assert not reading.good
    assert detail in reading.detail


def test_nobody_listens(serve: Callable[..., Server]) -> None:
    server = serve(says(GOOD))
    server.close()
    url = f"http://127.0.0.1:{server.port}/"
    assert HttpHealthPage().check(url, "", LONG_S) == HealthReading(
        False, "127.0.0.1: Connection refused", answered=True
    )
    server.close = lambda: None  # type: ignore[method-assign]


@pytest.mark.parametrize("answer", [drips, drips_headers, hangs])
def test_the_deadline_holds_for_the_whole_check(
    serve: Callable[..., Server], answer: Answer
) -> None:
    server = serve(answer)
    begun_s = time.monotonic()
    reading = check(server, timeout_s=SHORT_S)
    took_s = time.monotonic() - begun_s
    assert reading == HealthReading(False, "127.0.0.1: no answer within 0.3 s")
    assert SHORT_S * 0.9 < took_s < SHORT_S + 2 * FACTOR


def test_a_page_without_end_is_read_only_so_far(serve: Callable[..., Server]) -> None:
    def floods(client: socket.socket, over: threading.Event) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\nDB Up!")
        while not over.is_set():
            client.sendall(b"." * 65536)

    assert check(serve(floods)).good


@pytest.mark.parametrize(
    "url", ["", "engine", "ftp://engine/", "http://", "http://h:99999/", "file:///etc/passwd"]
)
def test_impossible_addresses_are_told(url: str) -> None:
    reading = HttpHealthPage().check(url, "DB Up", LONG_S)
    assert not reading.good
    assert reading.detail


def test_an_address_can_not_smuggle_a_second_request(serve: Callable[..., Server]) -> None:
    server = serve(says(GOOD))
    reading = check(server, "/a b")
    assert not reading.good
    assert "blank" in reading.detail


def test_proxies_of_the_environment_are_not_used(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert check(serve(says(GOOD))).good
    assert proxy.asked == []


def test_a_page_over_tls(serve: Callable[..., Server], tmp_path: Path) -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))
    listener = socket.create_server(("127.0.0.1", 0))

    def serve_once() -> None:
        client, _ = listener.accept()
        with context.wrap_socket(client, server_side=True) as secured:
            secured.recv(4096)
            secured.sendall(GOOD)

    thread = threading.Thread(target=serve_once)
    thread.start()
    url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
    assert HttpHealthPage().check(url, "DB Up", LONG_S) == HealthReading(True, "")
    thread.join()
    listener.close()


def _certificate(directory: Path) -> Path:
    """A certificate that nobody signed, with its key."""
    place = directory / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=engine", "-days", "2", "-keyout", str(place), "-out"]
    try:
        made = subprocess.run([*command, "-"], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("no command openssl")
    place.write_text(place.read_text() + made.stdout)
    return place


def test_name_that_can_not_be_resolved_says_nothing_of_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    found = HttpHealthPage().check("http://engine.example.org/", "DB Up", LONG_S)
    why = "engine.example.org can't be resolved: Temporary failure in name resolution"
    assert found == HealthReading(False, why, known=False)


def test_resolver_that_takes_all_the_time_says_nothing_of_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve = socket.getaddrinfo

    def slow(host: str, port: int, **kind: Any) -> Any:
        time.sleep(0.05)
        return resolve(host, port, **kind)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    found = HttpHealthPage().check("http://127.0.0.1:9/", "DB Up", 0.01)
    assert (found.good, found.known) == (False, False)
    assert found.detail == "127.0.0.1 could not be resolved within 0.01 s"


@pytest.mark.parametrize(
    "url",
    ["file:///x", "http://", "http://[::1", "http://e:port/", "http://e:99999/", "http://e.."],
)
def test_address_that_is_none_says_nothing_of_the_engine(url: str) -> None:
    found = HttpHealthPage().check(url, "DB Up", LONG_S)
    assert (found.good, found.known) == (False, False)


def test_silence_and_refusal_are_known_to_be_bad(serve: Callable[..., Server]) -> None:
    assert check(serve(hangs), timeout_s=0.05).known
    assert HttpHealthPage().check("http://127.0.0.1:1/", "DB Up", LONG_S).known
