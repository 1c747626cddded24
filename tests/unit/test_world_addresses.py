# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A name with several addresses: whoever asks it finds the one that answers, and says which.

All on loopback addresses: one that swallows packets is a full queue of connections there.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Callable

import pytest

from metadata.settings.notifications import SmtpSettings, WebhookSettings
from world.network import dial
from world.network.deadline import Deadline
from world.network.health_page import HttpHealthPage
from world.network.network_probe import SocketNetworkProbe
from world.network.notification_sender import NetNotificationSender
from world.ports.network import HealthReading
from world.ports.notifications import DeliveryError, Message

FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
LONG_S = 20 * FACTOR
SHORT_S = 0.5
NAME = "several.example.org"
GOOD, SILENT, REFUSING = "127.0.0.2", "127.0.0.3", "127.0.0.4"
# A family that no kernel of today knows: a host without IPv6 says the same of that.
UNKNOWN_FAMILY = "no family"
NO_FAMILY = 1000
LETTER = Message("ha@example.com", ("a@example.com",), b"Subject: x\r\n\r\nx\r\n")


def serve_page(client: socket.socket) -> None:
    client.recv(4096)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nDB Up!")


def serve_mail(client: socket.socket) -> None:
    client.sendall(b"220 mail\r\n")
    stream = client.makefile("rb")
    for line in stream:
        if line.upper().startswith(b"DATA"):
            client.sendall(b"354 go on\r\n")
            while stream.readline() not in (b".\r\n", b""):
                continue
        client.sendall(b"250 fine\r\n")


def serve_dns(client: socket.socket) -> None:
    stream = client.makefile("rb")
    (size,) = struct.unpack("!H", stream.read(2))
    query = stream.read(size)
    answer = query[:2] + b"\x80\0" + query[4:]
    client.sendall(struct.pack("!H", len(answer)) + answer)


@dataclass(frozen=True)
class Asker:
    """One of those who connect: what is served to it, and how it asks within a time.

    `ask` gives whether it got what it wanted, and its words where it did not.
    """

    serve: Callable[[socket.socket], None]
    ask: Callable[[int, float], tuple[bool, str]]


def ask_page(port: int, timeout_s: float) -> tuple[bool, str]:
    reading = HttpHealthPage().check(f"http://{NAME}:{port}/", "DB Up", timeout_s)
    return reading.good, reading.detail


def ask_tcp(port: int, timeout_s: float) -> tuple[bool, str]:
    reading = SocketNetworkProbe().tcp(NAME, port, timeout_s)
    return reading.answered, reading.detail


def ask_dns(port: int, timeout_s: float) -> tuple[bool, str]:
    reading = SocketNetworkProbe(dns_port=port).dns(NAME, timeout_s)
    return reading.answered, reading.detail


def ask_mail(port: int, timeout_s: float) -> tuple[bool, str]:
    server = SmtpSettings(
        NAME, "ha@example.com", LETTER.to, port=port, security="none", timeout_s=timeout_s
    )
    return delivered(lambda: NetNotificationSender().mail(server, LETTER))


def ask_webhook(port: int, timeout_s: float) -> tuple[bool, str]:
    webhook = WebhookSettings(f"http://{NAME}:{port}/", timeout_s=timeout_s)
    return delivered(lambda: NetNotificationSender().post(webhook, b"{}"))


def delivered(send: Callable[[], object]) -> tuple[bool, str]:
    try:
        send()
    except DeliveryError as error:
        return False, error.why
    return True, ""


ASKERS = {
    "page": Asker(serve_page, ask_page),
    "tcp": Asker(lambda _client: None, ask_tcp),
    "dns": Asker(serve_dns, ask_dns),
    "mail": Asker(serve_mail, ask_mail),
    "webhook": Asker(serve_page, ask_webhook),
}


class Machine:
    """One port, which is served at GOOD, swallows at SILENT and is refused at REFUSING."""

    def __init__(self) -> None:
        self._good = socket.create_server((GOOD, 0))
        self.port: int = self._good.getsockname()[1]
        self._full = socket.socket()
        self._full.bind((SILENT, self.port))
        self._full.listen(0)
        self._waiting = [socket.socket() for _ in range(4)]
        for each in self._waiting:
            each.setblocking(False)
            each.connect_ex((SILENT, self.port))
        self._thread = threading.Thread(target=self._serve)
        self.serve: Callable[[socket.socket], None] = lambda _client: None
        self._thread.start()

    def close(self) -> None:
        self._good.shutdown(socket.SHUT_RDWR)
        for sock in (self._good, self._full, *self._waiting):
            sock.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._good.accept()
                client.settimeout(LONG_S)
                with client, suppress(OSError):
                    self.serve(client)


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.close()


@pytest.fixture
def stands_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """Let every name stand for these addresses, in this order."""

    def stand_for(addresses: list[str]) -> None:
        def resolve(_host: str, port: int, **_kind: object) -> list[object]:
            return [
                (NO_FAMILY if each == UNKNOWN_FAMILY else socket.AF_INET, 1, 6, "", (each, port))
                for each in addresses
            ]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)

    return stand_for


@pytest.mark.parametrize("asker", ASKERS.values(), ids=ASKERS)
@pytest.mark.parametrize(
    "others",
    [
        [SILENT],
        [REFUSING],
        [UNKNOWN_FAMILY],
        [SILENT, REFUSING, UNKNOWN_FAMILY],
    ],
    ids=["swallows", "refuses", "another family", "all of it"],
)
def test_one_good_address_is_found(
    machine: Machine, stands_for: Callable[[list[str]], None], asker: Asker, others: list[str]
) -> None:
    machine.serve = asker.serve
    for addresses in ([*others, GOOD], [GOOD, *others]):
        stands_for(addresses)
        begun_s = time.monotonic()
        good, words = asker.ask(machine.port, LONG_S)
        assert good, words
        # Side by side: nobody waits for one that says nothing until its time is over.
        assert time.monotonic() - begun_s < LONG_S / 4


@pytest.mark.parametrize("asker", ASKERS.values(), ids=ASKERS)
def test_where_none_answers_each_is_named_within_the_time(
    machine: Machine, stands_for: Callable[[list[str]], None], asker: Asker
) -> None:
    stands_for([SILENT, REFUSING, UNKNOWN_FAMILY])
    begun_s = time.monotonic()
    good, words = asker.ask(machine.port, SHORT_S if asker.ask is not ask_mail else 1.0)
    assert time.monotonic() - begun_s < 1.0 + 2 * FACTOR
    assert not good
    for address, why in (
        (SILENT, "no answer within"),
        (REFUSING, "Connection refused"),
        (UNKNOWN_FAMILY, "Address family not supported by protocol"),
    ):
        assert f"{address}: {why}" in words


def test_a_page_that_is_ill_names_its_address(
    machine: Machine, stands_for: Callable[[list[str]], None]
) -> None:
    def serve(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

    machine.serve = serve
    stands_for([SILENT, GOOD])
    url = f"http://{NAME}:{machine.port}/"
    assert HttpHealthPage().check(url, "DB Up", LONG_S) == HealthReading(
        False, f"{GOOD}: HTTP status 503", answered=True
    )


def test_a_refusal_of_one_address_is_an_answer(
    machine: Machine, stands_for: Callable[[list[str]], None]
) -> None:
    url = f"http://{NAME}:{machine.port}/"
    stands_for([REFUSING, SILENT])
    assert HttpHealthPage().check(url, "DB Up", SHORT_S).answered
    stands_for([SILENT])
    assert not HttpHealthPage().check(url, "DB Up", SHORT_S).answered


def test_an_answer_of_many_addresses_does_not_cost_a_socket_for_each(
    machine: Machine, stands_for: Callable[[list[str]], None]
) -> None:
    stands_for([f"127.0.1.{number}" for number in range(1, 200)])
    made: list[socket.socket] = []

    def make(family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        made.append(socket.socket(family, kind))
        return made[-1]

    with pytest.raises(dial.NoConnectionError, match=r"127\.0\.1\.4 and 12 more: Connection ref"):
        dial.connect(NAME, machine.port, Deadline(LONG_S), make)
    assert len(made) == dial.MOST_ADDRESSES
    assert all(sock.fileno() == -1 for sock in made)


def test_both_families_are_tried_however_many_addresses_one_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    six = [(socket.AF_INET6, 1, 6, "", (f"2001:db8::{n:x}", 1, 0, 0)) for n in range(1, 40)]
    four = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 1))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: six + four)
    found = [target.text for target in dial.resolve(NAME, 1, Deadline(LONG_S))]
    assert (found[0], found[1], len(found)) == ("2001:db8::1", "127.0.0.1", dial.MOST_ADDRESSES)


def test_the_sockets_of_the_losers_are_closed(
    machine: Machine, stands_for: Callable[[list[str]], None]
) -> None:
    stands_for([SILENT, GOOD])
    made: list[socket.socket] = []

    def make(family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        made.append(socket.socket(family, kind))
        return made[-1]

    with dial.connect(NAME, machine.port, Deadline(LONG_S), make) as sock:
        assert dial.peer(sock) == GOOD
        assert [each.fileno() == -1 for each in made] == [True, False]


@pytest.mark.parametrize("host", ["x" * 64, "a..b", "nul\0byte", "\udc80"])
def test_a_name_that_is_none_is_told(host: str) -> None:
    with pytest.raises(dial.UnresolvedError, match="can't be resolved"):
        dial.resolve(host, 1, Deadline(LONG_S))
