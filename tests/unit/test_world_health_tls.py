# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The health page over TLS, from real servers with certificates made for the test.

A certificate that does not verify says nothing about the engine: it is not to be restarted for
that. That it does not answer is known all the same.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.certificates import Authority
from world.network.health_page import HttpHealthPage
from world.ports.network import HealthReading

LONG_S = 10 * float(os.environ.get("HE_TIME_FACTOR", "1"))
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nDB Up!"
ILL = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


class TlsServer:
    """Answers one connection after another with `page`."""

    def __init__(self, certificate: Path, page: bytes = GOOD) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._page = page
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/health"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> TlsServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.settimeout(LONG_S)
                with client, suppress(OSError):
                    self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        with self._context.wrap_socket(client, server_side=True) as secured:
            secured.recv(4096)
            secured.sendall(self._page)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authorities")


@pytest.fixture(scope="module")
def authority(places: Path) -> Authority:
    return Authority(places / "ours")


@pytest.fixture(scope="module")
def another(places: Path) -> Authority:
    return Authority(places / "another")


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Path:
    return authority.certificate("IP:127.0.0.1").rename(authority.file.parent / "good.pem")


@pytest.fixture
def server(certificate: Path) -> Iterator[TlsServer]:
    with TlsServer(certificate) as server:
        yield server


def check(url: str, ca_file: object = "", timeout_s: float = LONG_S) -> HealthReading:
    return HttpHealthPage().check(url, "DB Up", timeout_s, str(ca_file))


def test_a_certificate_of_the_authority_is_fine(server: TlsServer, authority: Authority) -> None:
    assert check(server.url, authority.file) == HealthReading(True, "")


def test_without_an_authority_nothing_is_verified(server: TlsServer) -> None:
    assert check(server.url) == HealthReading(True, "")


def test_a_page_that_is_ill_is_known_to_be(certificate: Path, authority: Authority) -> None:
    with TlsServer(certificate, ILL) as server:
        assert check(server.url, authority.file) == HealthReading(
            False, "127.0.0.1: HTTP status 503", answered=True
        )


def unknown(reading: HealthReading, *words: str) -> None:
    assert (reading.good, reading.known) == (False, False)
    for word in words:
        assert word in reading.detail


def test_an_unknown_authority_says_nothing_of_the_engine(
    server: TlsServer, another: Authority
) -> None:
    reading = check(server.url, another.file)
    unknown(reading, "the certificate of 127.0.0.1 does not verify: ", "unable to get local issuer")


def test_an_expired_certificate_says_nothing_of_the_engine(authority: Authority) -> None:
    with TlsServer(authority.certificate("IP:127.0.0.1", days=-1)) as server:
        unknown(check(server.url, authority.file), "does not verify: certificate has expired")
        assert check(server.url).good


def test_another_name_says_nothing_of_the_engine(authority: Authority) -> None:
    with TlsServer(authority.certificate("DNS:other.example.org,IP:192.0.2.1")) as server:
        unknown(check(server.url, authority.file), "does not verify: ", "mismatch", "127.0.0.1")
        assert check(server.url).good


@pytest.mark.parametrize("content", [None, b"", b"no certificate\n"])
def test_an_authority_that_can_not_be_read_says_nothing_of_the_engine(
    server: TlsServer, tmp_path: Path, content: bytes | None
) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)
    reading = check(server.url, ca_file)
    unknown(reading, f"health_ca_file: {ca_file}: ")
    assert len(reading.detail) > len(f"health_ca_file: {ca_file}: ")


def test_an_engine_that_is_gone_is_known_to_be_even_so(certificate: Path, tmp_path: Path) -> None:
    with TlsServer(certificate) as server:
        url = server.url
    assert check(url, tmp_path / "no such file") == HealthReading(
        False, "127.0.0.1: Connection refused", answered=True
    )


def test_a_server_that_never_greets_is_known_to_be_silent(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        assert check(url, authority.file, 0.3) == HealthReading(
            False, "127.0.0.1: no answer within 0.3 s"
        )
