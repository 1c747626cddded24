# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""HTTP over TCP for the metrics alone, for few and possibly rude clients.

One answer for each connection, within `CONVERSATION_S` from its beginning to its end, TLS
included, at most half of that for the request. There are a few connections at once, and fewer of
one address (`bounded_server`).
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import time
from collections.abc import Hashable, Iterator
from typing import Any, Callable, Optional

from ha_broker.metrics.access import AccessGuard
from ha_broker.metrics.certificate import Certificate
from ha_broker.server.bounded_handler import HEAD_ALLOWED_S, BoundedHandler
from ha_broker.server.bounded_server import BoundedServer
from ha_broker.server.http_server import TextAnswer
from metadata.error_words import reason_with_file
from metadata.settings.metrics import MetricsSettings
from world.network.deadline_socket import DeadlineSocket

CONVERSATION_S = 10.0
MOST_CONNECTIONS = 16
MOST_OF_ONE_ADDRESS = 8
PATH = "/metrics"

log = logging.getLogger(__name__)


class MetricsServer(BoundedServer):
    """Listens at `settings.listen` from its making on.

    Raises OSError (address, password or token) and CertificateError, whose texts are for people.
    """

    allow_reuse_address = True
    request_queue_size = 16
    most_connections = MOST_CONNECTIONS
    most_of_one_peer = MOST_OF_ONE_ADDRESS

    def __init__(
        self,
        settings: MetricsSettings,
        answer: Callable[[], TextAnswer],
        conversation_s: float = CONVERSATION_S,
    ) -> None:
        self.answer = answer
        self.guard = AccessGuard(settings)
        self._certificate = Certificate(settings) if settings.certificate_file else None
        self._conversation_s = conversation_s
        self._trouble = ""
        family, address = _resolved(settings.listen)
        self.address_family = family
        super().__init__(address, _Handler)
        self._warn()

    @property
    def is_open_to_others(self) -> bool:
        """Can other machines reach it?"""
        return not ipaddress.ip_address(str(self.server_address[0]).partition("%")[0]).is_loopback

    def peer_of(self, request: socket.socket, client_address: Any) -> Hashable:
        """The address; an IPv6 network of 64 bits counts for one."""
        address = ipaddress.ip_address(str(client_address[0]).partition("%")[0])
        if isinstance(address, ipaddress.IPv4Address):
            return address
        return address.ipv4_mapped or int(address) >> 64

    def left_s(self) -> float:
        """Seconds that this thread's conversation may still last."""
        begun_s: float = self._mine.begun_s
        return begun_s + self._conversation_s - time.monotonic()

    def head_left_s(self) -> float:
        """Of these for its request, and with TLS for the handshake before it."""
        return self.left_s() - max(self._conversation_s / 2, self._conversation_s - HEAD_ALLOWED_S)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection, on its own thread."""
        self._mine.begun_s = time.monotonic()
        request.allow(self.head_left_s())
        with contextlib.suppress(OSError), self._secured(request) as connection:
            super().finish_request(connection, client_address)

    @contextlib.contextmanager
    def _secured(self, request: DeadlineSocket) -> Iterator[socket.socket]:
        if self._certificate is None:
            yield request
            return
        with self._certificate.wrapped(request) as secure:
            assert isinstance(secure, DeadlineSocket)
            self.waits(secure)
            secure.allow(self.head_left_s())
            secure.do_handshake()
            yield secure

    def tell(self, trouble: str) -> None:
        """One line in the log, however many clients ask meanwhile; empty: all is well."""
        if trouble and trouble != self._trouble:
            log.warning("metrics: %s", trouble)
        self._trouble = trouble

    def _warn(self) -> None:
        if self.guard.asks and self._certificate is None and self.is_open_to_others:
            log.warning("metrics: without a certificate the password or token goes out in clear")


class _Handler(BoundedHandler):
    """One connection, one request, for which the time runs from the beginning."""

    server: MetricsServer

    def idle_allowed_s(self) -> float:
        return self.server.head_left_s()

    def head_allowed_s(self) -> float:
        return self.server.head_left_s()

    def serve(self) -> None:
        self.connection.allow(self.server.left_s())
        path = self.path.partition("?")[0]
        if path == "/":
            self._send(200, TextAnswer(f"The metrics are at {PATH}.\n".encode()))
        elif path != PATH:
            self._send(404, TextAnswer(f"Not here. The metrics are at {PATH}.\n".encode()))
        else:
            self._serve()

    def _serve(self) -> None:
        try:
            admitted = self.server.guard.admits(self.headers.get("Authorization", ""))
        except OSError as error:
            self.server.tell(f"nobody is let in: {reason_with_file(error)}")
            self._send(503, TextAnswer(b"The server's own password or token can't be read.\n"))
            return
        self.server.tell("")
        if not admitted:
            self._send(401, TextAnswer(b"Say who you are.\n"))
            return
        try:
            answer = self.server.answer()
        except Exception:
            log.exception("metrics: making them failed")
            self._send(500, TextAnswer(b"Making the metrics failed; see the broker's log.\n"))
        else:
            self._send(200, answer)

    def _send(self, status: int, answer: TextAnswer) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        if status == 401:
            self.send_header("WWW-Authenticate", self.server.guard.challenge)
        self.end_headers()
        self.wfile.write(answer.body)

    def send_error(
        self, code: int, message: Optional[str] = None, explain: Optional[str] = None
    ) -> None:
        """What http.server itself refuses, as a text."""
        self._send(code, TextAnswer(f"{message or 'Bad request'}\n".encode("ascii", "replace")))

    def version_string(self) -> str:
        return "ha-broker"

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


def _resolved(listen: str) -> tuple[socket.AddressFamily, Any]:
    """The first address that the name stands for; a name may take its time."""
    host, _, port = listen.rpartition(":")
    found = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, _, _, _, address = found[0]
    return family, address
