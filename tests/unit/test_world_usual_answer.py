# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Heads of answers that are read without a library, against `http.client`."""

from __future__ import annotations

import http.client
import io
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from world.network.usual_answer import usual_head

MOST = 100
LINES = st.sampled_from(
    [
        *("Content-Length: 3", "content-length:5", "Content-Length: 03", "Content-Length: 500"),
        *("Content-Length: x", "Content-Length: -1", "Content-Length:", "Content-Length: 3 "),
        *("Location: /a b", "Location:  http://e/x", "Location: /y ", "location:\t/z"),
        *("Transfer-Encoding: chunked", "transfer-encoding: identity", "Connection: close"),
        *("X: \xe9", "X : 1", " folded", "\tfolded", "no header", "A:b:c", "Server: s/1 (x)"),
    ]
)
STATUS = st.sampled_from(
    [
        *("HTTP/1.1 200 OK", "HTTP/1.0 404 Not Found", "HTTP/1.1 302 ", "HTTP/1.1 500", "ICY 200"),
        *("HTTP/1.1 204 No Content", "HTTP/1.1 304 x", "HTTP/1.1 100 Continue", "HTTP/2 200 OK"),
        *("HTTP/1.1  200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "", "HTTP/1.1 200 OK "),
    ]
)
BODY = st.sampled_from([b"", b"DB Up", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"x" * 200])


class OneStream:
    """A socket for `http.client`."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def by_library(data: bytes) -> Optional[tuple[int, str, bytes]]:
    stream: Any = OneStream(data)
    response = http.client.HTTPResponse(stream)
    try:
        response.begin()
        return response.status, response.getheader("Location") or "", response.read(MOST)
    except http.client.HTTPException:
        return None


def alone(data: bytes) -> Optional[tuple[int, str, bytes]]:
    head = usual_head(data)
    if head is None:
        return None
    body = data[head.size :]
    size = MOST if head.length is None else min(MOST, head.length)
    return head.status, head.location, body[:size]


@given(STATUS, st.lists(LINES, max_size=4), BODY, st.sampled_from(["\r\n", "\r\n", "\n"]))
def test_what_is_read_is_what_the_library_reads(
    status: str, lines: list[str], body: bytes, end: str
) -> None:
    data = end.join([status, *lines, "", ""]).encode("latin-1") + body
    assert alone(data) in (None, by_library(data))


@pytest.mark.parametrize(
    ("lines", "length", "location"),
    [
        ((), None, ""),
        (("Content-Length: 5", "Server: x"), 5, ""),
        (("Connection: close", "Location: /there"), None, "/there"),
    ],
)
def test_usual_heads_need_no_library(
    lines: tuple[str, ...], length: Optional[int], location: str
) -> None:
    data = "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode()
    assert usual_head(data + b"DB Up") == (200, location, length, len(data))


@pytest.mark.parametrize("cut", [0, 1, 16, 17, 20, -1])
def test_half_a_head_is_none(cut: int) -> None:
    assert usual_head(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"[:cut]) is None
