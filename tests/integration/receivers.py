# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Real servers that take notifications, and rude ones that don't."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Optional

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.unit.certificates import AUTHORITY_USAGE

HOST = "127.0.0.1"
USER, PASSWORD = "ha", "påss word"


@dataclass(frozen=True)
class Authority:
    """A certificate authority, and a server's certificate and key that it has signed."""

    ca_file: Path
    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def make_authority(directory: Path, names: str = f"IP:{HOST},DNS:localhost") -> Authority:
    """With openssl's command; the certificate is for `names`."""
    directory.mkdir()
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    certificate, key = directory / "server.pem", directory / "server.key"
    new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    usage = ["-addext", AUTHORITY_USAGE]
    _openssl(*new, *usage, "-subj", "/CN=test authority", "-keyout", str(ca_key), "-out", str(ca))
    signed = ["-CA", str(ca), "-CAkey", str(ca_key), "-addext", f"subjectAltName={names}"]
    not_ca = ["-addext", "basicConstraints=critical,CA:FALSE"]
    to = ["-keyout", str(key), "-out", str(certificate)]
    _openssl(*new, "-subj", "/CN=server", *signed, *not_ca, *to)
    return Authority(ca, certificate, key)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


# --- mail ----------------------------------------------------------------------------------------


@dataclass
class Mailbox:
    """What an SMTP server took; it refuses the recipients in `refused` with their words."""

    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[bool] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    password: str = PASSWORD

    async def handle_RCPT(  # noqa: N802  # the library's naming
        self, _server: Any, session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients.append(list(envelope.rcpt_tos))
        self.logins.append(bool(session.authenticated))
        return "250 taken as number 1"

    @property
    def subjects(self) -> list[str]:
        return [mail["Subject"].strip() for mail in self.mails]

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _how: str, data: Any
    ) -> AuthResult:
        right = isinstance(data, LoginPassword) and data.login == USER.encode()
        return AuthResult(success=right and data.password == self.password.encode(), handled=False)


@contextmanager
def smtp_server(
    box: Mailbox,
    authority: Optional[Authority] = None,
    tls: bool = False,
    port: int = 0,
    without: tuple[str, ...] = (),
) -> Iterator[int]:
    """A real SMTP server; with an authority it insists on STARTTLS (or TLS) and a login."""
    context = authority.server_context() if authority else None
    secured: dict[str, Any] = {"authenticator": box.authenticate} if authority else {}
    if context is not None and not tls:
        secured.update(tls_context=context, require_starttls=True)
    controller = Controller(
        box,
        hostname=HOST,
        port=port or free_port(),
        ssl_context=context if tls else None,
        auth_required=authority is not None,
        auth_require_tls=not tls,
        auth_exclude_mechanism=without,
        **secured,
    )
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


# --- webhooks ------------------------------------------------------------------------------------


@dataclass
class Hook:
    """What an HTTP receiver got; it answers with `status` (and a place to go to, if redirected)."""

    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@contextmanager
def http_server(hook: Hook, authority: Optional[Authority] = None) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.paths.append(self.path)
            hook.headers.append(dict(self.headers.items()))
            hook.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(hook.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    if authority is not None:
        server.socket = authority.server_context().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- rude servers --------------------------------------------------------------------------------


def silent(connection: socket.socket, over: threading.Event) -> None:
    """Takes the connection and says nothing."""
    over.wait()


def trickling(connection: socket.socket, over: threading.Event) -> None:
    """A byte now and then, never an end."""
    while not over.is_set():
        connection.sendall(b"2")
        time.sleep(0.1)


def chattering(connection: socket.socket, over: threading.Event) -> None:
    """A greeting of endless lines."""
    while not over.is_set():
        connection.sendall(b"220-still greeting\r\n")
        time.sleep(0.05)


@contextmanager
def rude_server(manner: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    over = threading.Event()
    listener = socket.create_server((HOST, 0))
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                manner(connection, over)
            except OSError:  # the client has gone
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join()
