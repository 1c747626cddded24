# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Our own client's requests are read as `http.server` reads them; all others are left to it."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_broker.api.http_connection import HttpConnection, _request
from ha_broker.server.http_server import MAX_BODY_SIZE, ApiServer
from ha_broker.server.mailbox import Refusal
from ha_broker.server.usual_request import usual_request

LONG_S = 20.0


class Library(BaseHTTPRequestHandler):
    """Reads one head, and answers nothing."""

    def __init__(self, data: bytes) -> None:
        self.rfile, self.wfile = io.BytesIO(data), io.BytesIO()
        self.client_address = ("", 0)
        self.raw_requestline = self.rfile.readline()
        self.is_good = self.parse_request()

    def log_message(self, format: str, *args: Any) -> None:
        pass


WORDS = st.sampled_from(["GET", "PUT", "POST", "get", "/v1/status", "/v1/x?a=b&c", "//x", "/", "*"])
LINES = st.sampled_from(
    [
        *("Host: localhost", "Host: x", "Accept-Encoding: identity", "Content-Length: 2"),
        *("Content-Type: application/json", "Content-Length: 02", "Content-Length: -1", " x"),
        *("Transfer-Encoding: chunked", "Connection: close", "Expect: 100-continue"),
    ]
)


@given(WORDS, WORDS, st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2"]), st.lists(LINES))
def test_no_other_request_is_taken_for_one_of_ours(
    method: str, target: str, version: str, lines: list[str]
) -> None:
    data = "\r\n".join([f"{method} {target} {version}", *lines, "", ""]).encode()
    found = usual_request(data + b"{}")
    if found is not None:
        assert data == _request(method, target, b"{}" if found.body_size else None)[: len(data)]


@given(
    st.sampled_from(["GET", "PUT"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80),
    st.one_of(st.none(), st.binary(max_size=300)),
)
def test_ours_are_read_as_the_library_reads_them(
    method: str, rest: str, body: Optional[bytes]
) -> None:
    data = _request(method, f"/{rest}", body)
    found = usual_request(data)
    if rest.startswith("/"):
        assert found is None  # the library makes one slash of several
        return
    assert found is not None
    library = Library(data)
    assert library.is_good and (found.method, found.target) == (library.command, library.path)
    assert found.body_size == int(library.headers.get("Content-Length", 0))
    assert data[found.head_size :] == (body or b"")


@given(st.integers(0, 80))
def test_half_a_head_is_none(size: int) -> None:
    data = _request("PUT", "/v1/record", b"{}")
    assert usual_request(data[: min(size, data.index(b"{}") - 1)]) is None


# --- on a socket -------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    def answer(method: str, target: str, body: bytes, _caller: Any) -> Any:
        if target == "/no":
            raise Refusal(409, "no")
        if target == "/bad":
            raise ValueError("a fault")
        return {"asked": [method, target, body.decode()]}

    found = ApiServer(str(tmp_path / "s"), answer)
    found.start()
    yield found
    found.stop()


def test_a_connection_takes_ours_and_strangers_one_after_the_other(server: ApiServer) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LONG_S)
        connection.connect(server.path)
        stream = connection.makefile("rb")
        for request in (
            _request("GET", "/a", None),
            _request("PUT", "/b", b"{}"),
            b"GET /c HTTP/1.1\r\nHost: x\r\n\r\n",
            _request("GET", "/d", None),
        ):
            connection.sendall(request)
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            length = 0
            while (line := stream.readline()) != b"\r\n":
                if line.startswith(b"Content-Length"):
                    length = int(line.split()[1])
            assert b"asked" in stream.read(length)


@pytest.mark.parametrize(
    ("target", "body", "status"),
    [("/no", None, 409), ("/bad", None, 500), ("/a", b"x" * (MAX_BODY_SIZE + 1), 413)],
)
def test_refusals_of_ours(
    server: ApiServer, target: str, body: Optional[bytes], status: int
) -> None:
    connection = HttpConnection(server.path)
    try:
        assert connection.exchange("PUT", target, body, LONG_S).status == status
    finally:
        connection.close()
