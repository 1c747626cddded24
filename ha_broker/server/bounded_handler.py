# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Reading a request's head from possibly rude clients: so long, so large, and no larger.

`http.server` alone takes a hundred lines of 64 KiB each for as long as bytes come.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler
from typing import Any, BinaryIO

from ha_broker.server.bounded_server import BoundedServer
from metadata.error_words import shown
from world.network.deadline_socket import DeadlineSocket

MOST_HEAD_BYTES = 16 * 1024
HEAD_ALLOWED_S = 5.0
LINGER_S = 1.0
_MOST_DISCARDED = 1 << 20


class _TooLargeError(HTTPException):
    """Answered with 431 by `http.server`."""


class _RequestHead:
    """What the stream holds, line by line, until it is more than a head may have."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = MOST_HEAD_BYTES

    def readline(self, _most: int = -1) -> bytes:
        """Named and called by `http.server` and `http.client`."""
        line = self._stream.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise _TooLargeError(f"more than {MOST_HEAD_BYTES} bytes")
        return line


class BoundedHandler(BaseHTTPRequestHandler):
    """One connection of a `BoundedServer`."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # garbage gets a status line, too
    _refused = False
    methods: tuple[str, ...] = ("GET",)
    connection: DeadlineSocket
    server: BoundedServer

    def serve(self) -> None:
        """Answer the request that was read."""
        raise NotImplementedError

    def idle_allowed_s(self) -> float:
        """How long the connection may wait for a request to begin."""
        return HEAD_ALLOWED_S

    def head_allowed_s(self) -> float:
        """How long the head may take from its first byte on."""
        return HEAD_ALLOWED_S

    def finish(self) -> None:
        """Named and called by `http.server`."""
        self.linger_if_refused()
        super().finish()

    def linger_if_refused(self) -> None:
        """Before the connection is closed."""
        if self._refused:
            self._linger()

    def _linger(self) -> None:
        """Let a client that still sends come to read why it is refused: closing at once would
        take the answer away from it."""
        with suppress(OSError):
            self.server.waits(self.connection)
            self.connection.allow(LINGER_S)
            self.connection.shutdown(socket.SHUT_WR)
            left, buffer = _MOST_DISCARDED, bytearray(65536)
            while left > 0 and (count := self.connection.recv_into(buffer)):
                left -= count

    def handle_one_request(self) -> None:
        """Named and called by `http.server`."""
        self.close_connection = True
        try:
            if self._read_head():
                self.server.answers()
                self.serve()
                self.wfile.flush()
        except (ConnectionError, TimeoutError, socket.timeout):
            self.close_connection = True

    def _read_head(self) -> bool:
        """Is there a request to be answered?"""
        self.server.waits(self.connection)
        self.connection.allow(self.idle_allowed_s())
        stream: Any = self.rfile
        if not stream.peek(1):
            return False
        self._refused = True
        self.connection.allow(self.head_allowed_s())
        self.rfile = _RequestHead(stream)  # type: ignore[assignment]
        try:
            self._refused = not self._parse()
            return not self._refused
        finally:
            self.rfile = stream

    def _parse(self) -> bool:
        try:
            self.raw_requestline = self.rfile.readline()
        except _TooLargeError:
            self.requestline = self.request_version = self.command = ""
            self.send_error(414)
            return False
        if not self.raw_requestline or not self.parse_request():
            return False
        if self.headers.defects:
            # Else the lines behind it would count for a body, and a body for the next request.
            self.send_error(400, "the head has a line that is no header")
            return False
        if self.command not in self.methods:
            self.send_error(501, f"Unsupported method ({shown(self.command)})")
            return False
        return True
