# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The client's reader of HTTP: what a broker says is read, anything else is refused by name."""

from __future__ import annotations

import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_broker.api.client import BrokerClient, BrokerError, BrokerGoneError, BrokerTimeoutError
from ha_broker.api.http_connection import (
    MOST_BODY_BYTES,
    MOST_HEAD_BYTES,
    HttpConnection,
    HttpError,
    Reply,
    read_head,
)
from tests.contract.places import TIME_FACTOR

ALLOWED_S = 5 * TIME_FACTOR
GOOD = b"HTTP/1.1 200 OK\r\nServer: ha-broker\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def saying(path: Path, *pieces: bytes, stays: bool = False) -> Iterator[HttpConnection]:
    """A connection to somebody who hears a request, says that, and closes unless he `stays`."""
    done = threading.Event()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path / "s"))
        server.listen(1)

        def say() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                try:
                    for piece in pieces:
                        connection.sendall(piece)
                except OSError:
                    return
                if stays:
                    done.wait(30 * TIME_FACTOR)

        thread = threading.Thread(target=say)
        thread.start()
        connection = HttpConnection(str(path / "s"))
        try:
            yield connection
        finally:
            done.set()
            connection.close()
            thread.join()


def ask(connection: HttpConnection, allowed_s: float = ALLOWED_S) -> Reply:
    return connection.exchange("GET", "/v1/status", None, allowed_s)


def head(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([status, *lines])


# --- what is read ---------------------------------------------------------------------------


def test_an_answer(tmp_path: Path) -> None:
    with saying(tmp_path, GOOD) as connection:
        assert ask(connection) == Reply(200, b"{}", False)


@given(cuts=st.lists(st.integers(1, len(GOOD) - 1), max_size=8))
def test_an_answer_in_any_pieces(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    places = sorted({0, *cuts, len(GOOD)})
    pieces = [GOOD[start:end] for start, end in zip(places, places[1:])]
    with saying(tmp_path_factory.mktemp("s"), *pieces) as connection:
        assert ask(connection) == Reply(200, b"{}", False)


@pytest.mark.parametrize(
    ("lines", "status", "expected"),
    [
        ([b"Content-Length: 0"], b"HTTP/1.1 200 OK", (200, 0, False)),
        ([b"content-length:7", b"CONNECTION: Close"], b"HTTP/1.1 503 no", (503, 7, True)),
        ([b"Content-Length: \t12 "], b"HTTP/1.0 404 Not Found", (404, 12, True)),
        ([b"Content-Length: 1", b"X-Text: a, b; \xe9"], b"HTTP/1.1 409", (409, 1, False)),
    ],
)
def test_heads_that_are_read(
    lines: list[bytes], status: bytes, expected: tuple[int, int, bool]
) -> None:
    assert tuple(read_head(head(*lines, status=status))) == expected


# --- what is refused ------------------------------------------------------------------------

LENGTH = b"Content-Length: 2"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (head(LENGTH, status=b"HTTP/1.1 100 Continue"), "is no HTTP"),
        (head(LENGTH, status=b"HTTP/1.1 600 OK"), "is no HTTP"),
        (head(LENGTH, status=b"HTTP/1.1 2OO OK"), "is no HTTP"),
        (head(LENGTH, status=b"HTTP/2.0 200 OK"), "is no HTTP"),
        (head(LENGTH, status=b"HTTP/1.1  200 OK"), "is no HTTP"),
        (head(LENGTH, status=b"HTTP/1.1 200 \x1b[2J"), "is no HTTP"),
        (b"", "is no HTTP"),
        (head(), "no Content-Length"),
        (head(b"Content-Length: -2"), "is no size: '-2'"),
        (head(b"Content-Length: +2"), "is no size"),
        (head(b"Content-Length: 2, 2"), "is no size"),
        (head(b"Content-Length: 0x2"), "is no size"),
        (head(b"Content-Length: 1_0"), "is no size"),
        (head(b"Content-Length: \xb2"), "is no size"),
        (head(b"Content-Length:"), "is no size"),
        (head(b"Content-Length: " + b"9" * 13), "is no size"),
        (head(b"Content-Length: %d" % (MOST_BODY_BYTES + 1)), "more than"),
        (head(LENGTH, LENGTH), "two headers"),
        (head(LENGTH, b"X-A: 1", b"x-a: 2"), "two headers"),
        (head(LENGTH, b"Transfer-Encoding: chunked"), "Transfer-Encoding"),
        (head(LENGTH, b"no colon"), "is no header"),
        (head(LENGTH, b" folded: line"), "is no header"),
        (head(LENGTH, b"Name : value"), "is no header"),
        (head(LENGTH, b": value"), "is no header"),
        (head(LENGTH, b"X: a\nb"), "is no header"),
        (head(LENGTH, b"X: a\rb"), "is no header"),
        (head(LENGTH, b"X: \0"), "is no header"),
        (head(LENGTH, b"X: \x1b]0;"), "is no header"),
        (head(LENGTH, b""), "is no header"),
    ],
)
def test_heads_that_are_refused(text: bytes, why: str) -> None:
    with pytest.raises(HttpError, match=why) as raised:
        read_head(text)
    assert str(raised.value).isprintable()


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    try:
        found = read_head(text)
    except HttpError as error:
        assert str(error).isprintable()
    else:
        assert 200 <= found.status <= 599
        assert 0 <= found.length <= MOST_BODY_BYTES


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (GOOD + b"x", "more than the 2 bytes"),
        (GOOD[:-1], "ended after 1 of 2 bytes"),
        (GOOD[:30], "ended within its head"),
        (b"hello", "is no HTTP: 'hello'"),
        (b"SSH-2.0-OpenSSH\r\n", "is no HTTP"),
        (b"\x1b[2J", r"is no HTTP: '\\x1b\[2J'"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", "ended within its head"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * MOST_HEAD_BYTES * 2, "head has more than"),
    ],
)
def test_answers_that_are_refused(tmp_path: Path, said: bytes, why: str) -> None:
    with saying(tmp_path, said) as connection, pytest.raises(HttpError, match=why):
        ask(connection)


def test_who_says_something_else_is_not_waited_for(tmp_path: Path) -> None:
    with saying(tmp_path, b"220 mail.example.org ESMTP\r\n", stays=True) as connection:
        begun_s = time.monotonic()
        with pytest.raises(HttpError, match="is no HTTP"):
            ask(connection, 20 * TIME_FACTOR)
        assert time.monotonic() - begun_s < 10 * TIME_FACTOR


def test_who_closes_without_a_word_is_gone(tmp_path: Path) -> None:
    with saying(tmp_path) as connection, pytest.raises(ConnectionResetError):
        ask(connection)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200", GOOD[:-1], b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n{"]
)
def test_who_stops_in_the_middle_is_left_at_the_deadline(tmp_path: Path, said: bytes) -> None:
    with saying(tmp_path, said, stays=True) as connection, pytest.raises(socket.timeout):
        ask(connection, 0.2)


def test_a_length_that_was_only_announced_takes_no_memory(tmp_path: Path) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MOST_BODY_BYTES
    with saying(tmp_path, said) as connection:
        tracemalloc.start()
        try:
            with pytest.raises(HttpError, match="ended after 0"):
                ask(connection)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 2 << 20


# --- the client above it --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "stays", "kind"),
    [
        (b"hello", True, BrokerGoneError),
        (GOOD[:-1], False, BrokerGoneError),
        (GOOD[:-1], True, BrokerTimeoutError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", False, BrokerError),
    ],
)
def test_the_client_says_what_it_was(
    tmp_path: Path, said: bytes, stays: bool, kind: type[BrokerError]
) -> None:
    with saying(tmp_path, said, stays=stays):
        client = BrokerClient(str(tmp_path / "s"), timeout_s=0.5)
        try:
            with pytest.raises(kind) as raised:
                client.status()
        finally:
            client.close()
    assert str(tmp_path / "s") in str(raised.value) or "unreadable" in str(raised.value)


def test_a_connection_that_answers_wrongly_is_not_used_again(tmp_path: Path) -> None:
    """What came too much must not be the beginning of the next answer."""
    answers = iter([GOOD + GOOD, GOOD.replace(b"{}", b"[]")])
    served: list[int] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen(2)

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)
                    served.append(len(answer))

        thread = threading.Thread(target=serve)
        thread.start()
        client = BrokerClient(str(tmp_path / "s"), timeout_s=ALLOWED_S)
        outcomes: list[Optional[str]] = []
        for call in (client.reread, client.reread):
            outcomes.append(_error_of(call))
        client.close()
        thread.join()
    assert outcomes[0] is not None and "more than the 2 bytes" in outcomes[0]
    assert outcomes[1] is None
    assert len(served) == 2


def _error_of(call: Callable[[], None]) -> Optional[str]:
    try:
        call()
    except BrokerError as error:
        return str(error)
    return None


def test_a_body_is_sent_whole(tmp_path: Path) -> None:
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen(1)

        def serve() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as stream:
                lines = list(iter(stream.readline, b"\r\n"))
                (length,) = [
                    int(line.partition(b":")[2])
                    for line in lines
                    if line.lower().startswith(b"content-length:")
                ]
                heard.extend([lines[0], stream.read(length)])
                connection.sendall(GOOD)

        thread = threading.Thread(target=serve)
        thread.start()
        body = json.dumps({"text": "x" * 300_000}).encode()
        connection = HttpConnection(str(tmp_path / "s"))
        reply = connection.exchange("PUT", "/v1/record", body, ALLOWED_S)
        connection.close()
        thread.join()
    assert reply.status == 200
    assert heard == [b"PUT /v1/record HTTP/1.1\r\n", body]
