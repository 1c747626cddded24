# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The client's side of HTTP/1.1 on the broker's unix socket, and no more of HTTP than that.

`http.client` takes a third of a short command's time to load, for it brings e-mail and TLS along.
What a broker sends is little, so what is read here is little, and strictly: a status line, headers,
and a body whose length is announced once. Everything else is refused by name (`HttpError`): whoever
listens at the path may be somebody else.

An exchange has one deadline and two budgets: `MOST_HEAD_BYTES` for the head, `MOST_BODY_BYTES` for
the body. Nothing of a body is kept before it has come, whatever length was announced.
"""

from __future__ import annotations

import contextlib
import functools
import re
import socket
from typing import NamedTuple, Optional

from world.network.deadline_socket import DeadlineSocket

MOST_HEAD_BYTES = 16 * 1024
MOST_BODY_BYTES = 64 << 20  # the status of 2000 hosts has a twentieth of it
_PIECE_BYTES = 256 * 1024

_BEGINNING = b"HTTP/1."
_END_OF_HEAD = b"\r\n\r\n"
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([2-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\x20-\x7e\x80-\xff\t]*?)[\t ]*")
_LENGTH = re.compile(rb"[0-9]{1,12}")
_MOST_SHOWN = 60
_HEADS_KEPT = 16


class HttpError(Exception):
    """What came is no answer of a broker's; the message says what it is."""


class Reply(NamedTuple):
    """One answer; `is_last`: the connection ends with it."""

    status: int
    body: bytes
    is_last: bool


class _AnswerHead(NamedTuple):
    status: int
    length: int
    is_last: bool


class HttpConnection:
    """One connection, made with its first exchange and kept until `close`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: Optional[DeadlineSocket] = None
        self._ahead = b""  # what has come of the body with the head
        self._buffer = bytearray(MOST_HEAD_BYTES)

    def exchange(self, method: str, target: str, body: Optional[bytes], allowed_s: float) -> Reply:
        """Ask, and read the answer within `allowed_s`.

        Raises socket.timeout, another OSError (a connection that ended without a word is a
        ConnectionResetError), or HttpError. After any of them nothing more can be asked.
        """
        connection = self._connected(allowed_s)
        # A broker with too many connections says so and closes before it has read anything.
        with contextlib.suppress(BrokenPipeError):
            connection.sendall(_request(method, target, body))
        head = read_head(self._read_head(connection))
        return Reply(head.status, self._read_body(connection, head.length), head.is_last)

    def interrupt(self) -> None:
        """End an exchange that another thread waits in."""
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):  # not connected (any more)
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The connection is over."""
        if self._socket is not None:
            self._socket.close()

    def _connected(self, allowed_s: float) -> DeadlineSocket:
        if self._socket is not None:
            self._socket.allow(allowed_s)
            return self._socket
        connection = DeadlineSocket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.allow(allowed_s)
        self._socket = connection
        connection.connect(self._path)
        return connection

    def _read_head(self, connection: DeadlineSocket) -> bytes:
        """All before the empty line; what came behind it is kept for the body."""
        come, buffer = b"", self._buffer
        while _END_OF_HEAD not in come:
            if len(come) > MOST_HEAD_BYTES:
                raise HttpError(f"its answer's head has more than {MOST_HEAD_BYTES} bytes")
            count = connection.recv_into(buffer)
            if not count:
                raise _ended_in_head(come)
            come += buffer[:count]
            # Who is no server of ours may say nothing more: not worth the wait.
            if not come.startswith(_BEGINNING[: len(come)]):
                raise HttpError(f"its answer is no HTTP: {_shown(come)}")
        head, _, self._ahead = come.partition(_END_OF_HEAD)
        return head

    def _read_body(self, connection: DeadlineSocket, length: int) -> bytes:
        ahead, self._ahead = self._ahead, b""
        if len(ahead) == length:  # so it is with all short answers
            return ahead
        come = bytearray(ahead)
        with memoryview(bytearray(min(_PIECE_BYTES, length))) as buffer:
            while len(come) < length:
                count = connection.recv_into(buffer[: length - len(come)])
                if not count:
                    raise HttpError(f"its answer ended after {len(come)} of {length} bytes")
                come += buffer[:count]
        if len(come) > length:
            raise HttpError(f"its answer has more than the {length} bytes that it announced")
        return bytes(come)


def _request(method: str, target: str, body: Optional[bytes]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Accept-Encoding: identity"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (body or b"")


def _ended_in_head(come: bytes) -> Exception:
    if not come:
        return ConnectionResetError("the connection was closed without an answer")
    return HttpError(f"its answer ended within its head: {_shown(come)}")


@functools.lru_cache(maxsize=_HEADS_KEPT)
def read_head(head: bytes) -> _AnswerHead:
    """Status and length in an answer's head, without its empty line; raises HttpError.

    What was read follows from the bytes alone, and the heads of one broker differ in a length at
    most: the latest are kept.
    """
    status_line, *lines = head.split(b"\r\n")
    found = _STATUS_LINE.fullmatch(status_line)
    if found is None:
        raise HttpError(f"its answer is no HTTP: {_shown(status_line)}")
    headers = _headers(lines)
    if b"transfer-encoding" in headers:
        raise HttpError("its answer has a Transfer-Encoding, which no broker sends")
    is_last = found[1] == b"0" or headers.get(b"connection", b"").lower() == b"close"
    return _AnswerHead(int(found[2]), _length(headers), is_last)


def _headers(lines: list[bytes]) -> dict[bytes, bytes]:
    """By name in lower case; one that comes twice would be a matter of opinion."""
    headers: dict[bytes, bytes] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise HttpError(f"its answer's head has a line that is no header: {_shown(line)}")
        name = found[1].lower()
        if name in headers:
            raise HttpError(f"its answer has two headers {_shown(found[1])}")
        headers[name] = found[2]
    return headers


def _length(headers: dict[bytes, bytes]) -> int:
    text = headers.get(b"content-length")
    if text is None:
        raise HttpError("its answer announces no Content-Length")
    if not _LENGTH.fullmatch(text):
        raise HttpError(f"its answer's Content-Length is no size: {_shown(text)}")
    if int(text) > MOST_BODY_BYTES:
        raise HttpError(f"its answer has {int(text)} bytes, more than {MOST_BODY_BYTES}")
    return int(text)


def _shown(data: bytes) -> str:
    """A stranger's bytes, so that they steer no terminal."""
    text = data[:_MOST_SHOWN].decode("ascii", "backslashreplace")
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    return f"'{shown}'" + ("..." if len(data) > _MOST_SHOWN else "")
