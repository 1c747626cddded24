# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The ping, of the loopback address and by the bytes."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import Callable

import pytest

from world.network import icmp_echo
from world.ports.errors import WorldError
from world.ports.network import ProbeReading

# The kernel itself refuses to send there: nothing leaves this machine.
NOT_SENT = "255.255.255.255"
LIMIT_S = 5 * float(os.environ.get("HE_TIME_FACTOR", "1"))


def probe(address: str, timeout_s: float = LIMIT_S) -> bool:
    try:
        return icmp_echo.ping(address, timeout_s).answered
    except WorldError as error:
        if "not permitted" in error.why:
            pytest.skip(error.why)
        raise


def test_this_host_answers() -> None:
    assert probe("127.0.0.1") is True


def test_this_host_answers_over_ipv6() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"no IPv6 on the loopback device: {error}")
    assert probe("::1") is True


def test_an_unreachable_address_does_not_answer() -> None:
    begun_s = time.monotonic()
    assert probe(NOT_SENT, 0.2) is False
    assert time.monotonic() - begun_s < LIMIT_S


def test_something_that_is_no_address_is_no_silence() -> None:
    with pytest.raises(WorldError) as caught:
        icmp_echo.ping("x" * 64, LIMIT_S)
    assert caught.value.what == f"ping {'x' * 64}"


def test_no_right_to_ping_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(WorldError) as caught:
        icmp_echo.ping("127.0.0.1", LIMIT_S)
    assert "CAP_NET_RAW" in caught.value.why


class Wire:
    """The one thing of a socket that tells what its packets look like."""

    def __init__(self, kind: int) -> None:
        self.type = kind


TOKEN = bytes(range(16))
REPLY = b"\0" + bytes(7) + TOKEN
REQUEST = b"\x08" + bytes(7) + TOKEN
IP_HEADER = b"\x46" + bytes(23)  # with one option: six words


@pytest.mark.parametrize(
    ("kind", "packets", "answered"),
    [
        (socket.SOCK_DGRAM, [REPLY], True),
        (socket.SOCK_DGRAM, [REQUEST, REPLY], True),
        (socket.SOCK_DGRAM, [REQUEST], False),
        (socket.SOCK_DGRAM, [REPLY[:-1] + b"?"], False),
        (socket.SOCK_DGRAM, [b"", REPLY], True),
        (socket.SOCK_RAW, [IP_HEADER + REPLY], True),
        (socket.SOCK_RAW, [IP_HEADER + REQUEST], False),
        (socket.SOCK_RAW, [REPLY], False),
        (socket.SOCK_RAW, [b"\x4f", b"", IP_HEADER + REPLY], True),
    ],
)
def test_only_our_own_echo_counts(kind: int, packets: list[bytes], answered: bool) -> None:
    wire = Wire(kind)
    found = [icmp_echo._is_reply(wire, socket.AF_INET, each, TOKEN) for each in packets]  # type: ignore[arg-type]
    assert any(found) is answered


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[str]], None]]:
    """Let every name stand for these addresses."""

    def stand_for(addresses: list[str]) -> None:
        found = [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, 2, 0, "", (each, 0))
            for each in addresses
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    yield stand_for
    monkeypatch.undo()


@pytest.mark.parametrize(
    "addresses",
    [
        [NOT_SENT, "127.0.0.1"],
        ["127.0.0.1", NOT_SENT],
        ["::ffff:255.255.255.255", NOT_SENT, "127.0.0.3"],
    ],
)
def test_one_address_that_answers_is_enough(
    several: Callable[[list[str]], None], addresses: list[str]
) -> None:
    several(addresses)
    assert probe("gateway.example.org") is True


class Swallowing(socket.socket):
    """Sends nothing of what is for 127.0.0.1, as if it were lost on the way.

    What is for NOT_SENT is refused in the same words with and without a default route.
    """

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:  # type: ignore[override]
        if address[0] == NOT_SENT:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return len(data) if address[0] == "127.0.0.1" else super().sendto(data, address)


def test_an_address_that_swallows_costs_nothing(
    several: Callable[[list[str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    several(["127.0.0.1", "127.0.0.2"])
    assert probe("gateway.example.org") is True
    monkeypatch.setattr(socket, "socket", Swallowing)
    reading = icmp_echo.ping("gateway.example.org", LIMIT_S)
    assert reading == ProbeReading(True, "127.0.0.2 answers")
    several(["127.0.0.1", NOT_SENT])
    reading = icmp_echo.ping("gateway.example.org", 0.2)
    why = f"127.0.0.1: no answer within 0.2 s; {NOT_SENT}: Permission denied"
    assert reading == ProbeReading(False, why)


def test_the_checksum_is_the_internets() -> None:
    packet = icmp_echo._echo(socket.AF_INET, TOKEN)
    words = struct.unpack(f"!{len(packet) // 2}H", packet)
    folded = sum(words)
    while folded > 0xFFFF:
        folded = (folded >> 16) + (folded & 0xFFFF)
    assert folded == 0xFFFF
