# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A client of the unix socket that is not ours (curl, a program with an HTTP library of its own).

It is read by `http.server`, with all the bounds of `bounded_handler`; loaded when one comes.
"""

from __future__ import annotations

import logging
import socketserver
from typing import Any, Optional

from ha_broker.server.bounded_handler import HEAD_ALLOWED_S, BoundedHandler
from ha_broker.server.http_server import (
    BODY_ALLOWED_S,
    MAX_BODY_SIZE,
    WRITE_ALLOWED_S,
    Answered,
    ApiServer,
    Caller,
    answered,
    in_bytes,
)
from ha_broker.server.mailbox import Refusal
from metadata.error_words import shown

log = logging.getLogger(__name__)

_MOST_DIGITS = 20


class Stranger(BoundedHandler):
    """The rest of a connection whose requests are not as our own client writes them."""

    # What is not possible for a resource is refused by its route.
    methods = ("GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS")
    server: ApiServer

    def __init__(self, taken: socketserver.StreamRequestHandler, caller: Caller) -> None:
        # Not that of the base, which would set up, serve and end the connection anew: what has come
        # of it stands in the stream.
        self.request, self.client_address = taken.request, taken.client_address
        self.server, self.connection = taken.server, taken.connection  # type: ignore[assignment]
        self.rfile, self.wfile = taken.rfile, taken.wfile
        self._caller = caller

    def serve_all(self) -> None:
        """Until the connection is over."""
        self.handle()
        self.linger_if_refused()

    def idle_allowed_s(self) -> float:
        """See `BoundedHandler`."""
        return self.server.read_allowed_s

    def head_allowed_s(self) -> float:
        """See `BoundedHandler`."""
        return min(HEAD_ALLOWED_S, self.server.read_allowed_s)

    def serve(self) -> None:
        """See `BoundedHandler.serve`."""
        try:
            body = self._body()
        except Refusal as refusal:
            self._send(in_bytes(refusal.status, {"error": refusal.why}))
        else:
            self._send(answered(self.server, self._caller, self.command, self.path, body))

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            raise self._broken(411, "Transfer-Encoding is not possible, send a Content-Length")
        lengths = self.headers.get_all("Content-Length", ["0"])
        if len(lengths) > 1:
            raise self._broken(400, f"{len(lengths)} headers Content-Length, at most one is taken")
        (text,) = lengths
        if not (text.isascii() and text.isdigit()):
            raise self._broken(400, f"Content-Length: {shown(text)} is no size")
        size = int(text) if len(text) < _MOST_DIGITS else MAX_BODY_SIZE + 1
        if size > MAX_BODY_SIZE:
            size_text = text if len(text) < _MOST_DIGITS else f"{text[:_MOST_DIGITS]}..."
            raise self._broken(413, f"body of {size_text} bytes, at most {MAX_BODY_SIZE} are taken")
        self.connection.allow(min(BODY_ALLOWED_S, self.server.read_allowed_s))
        body = self.rfile.read(size)
        if len(body) < size:
            raise self._broken(400, f"body: {len(body)} bytes came, {size} were announced")
        return body

    def _broken(self, status: int, why: str) -> Refusal:
        """A refusal after which the rest of the stream has no meaning."""
        self.close_connection = self._refused = True
        return Refusal(status, why)

    def _send(self, answer: Answered) -> None:
        self.connection.allow(WRITE_ALLOWED_S)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def send_error(
        self, code: int, message: Optional[str] = None, explain: Optional[str] = None
    ) -> None:
        """What http.server itself refuses: as JSON, and then the connection is closed."""
        self.close_connection = True
        self.command = getattr(self, "command", None) or "?"
        self._send(in_bytes(code, {"error": message or "bad request"}))

    def version_string(self) -> str:
        """Named and called by `http.server`."""
        return "ha-broker"

    def log_message(self, format: str, *args: Any) -> None:
        """Named and called by `http.server`."""
        log.debug(format, *args)
