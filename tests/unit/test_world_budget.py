# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Servers that never stop talking: nobody listens to more than a conversation needs."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
from collections.abc import Iterator

import pytest

from metadata.settings.notifications import STARTTLS, SmtpSettings, WebhookSettings
from world.network.deadline import MOST_HEARD_BYTES, Deadline, TooMuchError
from world.network.health_page import HttpHealthPage
from world.network.notification_sender import NetNotificationSender
from world.ports.notifications import DeliveryError, Message

ALLOWED_S = 30.0 * float(os.environ.get("HE_TIME_FACTOR", "1"))
TOO_MUCH = f"more than {MOST_HEARD_BYTES} bytes came in answer"
MEMORY_KIB = 16 * 1024


class Talker:
    """Says `first`, then `again` until it is not listened to any more; counts the bytes."""

    def __init__(self, first: bytes, again: bytes, replies: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.said = 0
        self._first, self._again, self._replies = first, again * (1 + 65536 // len(again)), replies
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._listener, contextlib.suppress(OSError):
            sock, _ = self._listener.accept()
            with sock:
                self._talk(sock)

    def _talk(self, sock: socket.socket) -> None:
        for _ in range(self._replies):
            sock.sendall(b"220 hello\r\n")
            sock.recv(65536)
        sock.sendall(self._first)
        while True:
            sock.sendall(self._again)
            self.said += len(self._again)

    def join(self) -> None:
        self._thread.join(ALLOWED_S)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def talker(first: bytes, again: bytes, replies: int = 0) -> Iterator[Talker]:
    """One, of which no more was heard, nor kept, than may be."""
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    server = Talker(first, again, replies)
    yield server
    server.join()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < MEMORY_KIB


SMTP = {
    "greeting": (b"", b"220-welcome\r\n"),
    "one line": (b"220-", b"x"),
    "no line": (b"", b"\r\n"),
}


@pytest.mark.parametrize("talk", SMTP.values(), ids=SMTP)
@pytest.mark.parametrize("replies", [0, 1])
@pytest.mark.parametrize("security", ["none", STARTTLS])
def test_a_mail_server(talk: tuple[bytes, bytes], replies: int, security: str) -> None:
    letter = Message("a@example.org", ("b@example.org",), b"text\r\n")
    with talker(*talk, replies) as server:
        settings = SmtpSettings(
            "127.0.0.1", letter.sender, letter.to, server.port, security, timeout_s=ALLOWED_S
        )
        with pytest.raises(DeliveryError) as caught:
            NetNotificationSender().mail(settings, letter)
    assert "not done within" not in str(caught.value)
    assert len(str(caught.value)) < 500


HTTP = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
    "long headers": (b"HTTP/1.1 200 OK\r\n", b"a: " + b"b" * 60_000 + b"\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\na: ", b"b"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "continue with headers": (b"", b"HTTP/1.1 100 Continue\r\na: b\r\n\r\n"),
    "chunks": (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "a chunk": (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "a size": (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"f"),
    "body": (b"HTTP/1.1 500 No\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("talk", HTTP.values(), ids=HTTP)
def test_a_receiver_of_webhooks(talk: tuple[bytes, bytes]) -> None:
    with talker(*talk) as server:
        settings = WebhookSettings(f"http://127.0.0.1:{server.port}/", timeout_s=ALLOWED_S)
        with pytest.raises(DeliveryError) as caught:
            NetNotificationSender().post(settings, b"{}")
    assert "not done within" not in str(caught.value)


@pytest.mark.parametrize("talk", HTTP.values(), ids=HTTP)
def test_an_engines_page(talk: tuple[bytes, bytes]) -> None:
    with talker(*talk) as server:
        url = f"http://127.0.0.1:{server.port}/"
        reading = HttpHealthPage().check(url, "good", ALLOWED_S)
    assert not reading.good
    assert reading.known
    assert reading.answered
    assert "no answer within" not in reading.detail


def test_what_was_too_much_is_said() -> None:
    letter = Message("a@example.org", ("b@example.org",), b"text\r\n")
    with talker(*SMTP["greeting"]) as server:
        settings = SmtpSettings(
            "127.0.0.1", letter.sender, letter.to, server.port, "none", timeout_s=ALLOWED_S
        )
        with pytest.raises(DeliveryError, match=TOO_MUCH):
            NetNotificationSender().mail(settings, letter)


def test_a_budget_is_for_the_whole_conversation() -> None:
    deadline = Deadline(10, most_bytes=100)
    assert [deadline.heard(count) for count in (60, 0, 40)] == [60, 0, 40]
    with pytest.raises(TooMuchError, match="more than 100 bytes"):
        deadline.heard(1)
