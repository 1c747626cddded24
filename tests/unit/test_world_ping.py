"""The ping, of the loopback address and by the bytes."""

from __future__ import annotations

import os
import socket
import struct
import time

import pytest

from world.network import icmp_echo
from world.ports.errors import WorldError

LIMIT_S = 5 * float(os.environ.get("HE_TIME_FACTOR", "1"))


def probe(address: str, timeout_s: float = LIMIT_S) -> bool:
    try:
        return icmp_echo.ping(address, timeout_s)
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
    assert probe("240.0.0.1", 0.2) is False
    assert time.monotonic() - begun_s < LIMIT_S


def test_something_that_is_no_address_is_no_silence() -> None:
    with pytest.raises(WorldError) as caught:
        icmp_echo.ping("256.1.1.1.", LIMIT_S)
    assert "256.1.1.1." in caught.value.what


def test_no_right_to_ping_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(WorldError) as caught:
        icmp_echo.ping("127.0.0.1", LIMIT_S)
    assert "CAP_NET_RAW" in caught.value.why


class Wire:
    """A socket that hands over prepared packets, then is silent until the time is over."""

    def __init__(self, kind: int, packets: list[bytes]) -> None:
        self.type = kind
        self._packets = packets

    def settimeout(self, _seconds: float) -> None:
        pass

    def recv(self, _size: int) -> bytes:
        if self._packets:
            return self._packets.pop(0)
        raise TimeoutError


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
    deadline_s = time.monotonic() + LIMIT_S
    wire = Wire(kind, list(packets))
    try:
        got = icmp_echo._await_reply(wire, socket.AF_INET, TOKEN, deadline_s)  # type: ignore[arg-type]
    except TimeoutError:
        got = False
    assert got is answered


def test_the_checksum_is_the_internets() -> None:
    packet = icmp_echo._echo(socket.AF_INET, TOKEN)
    words = struct.unpack(f"!{len(packet) // 2}H", packet)
    folded = sum(words)
    while folded > 0xFFFF:
        folded = (folded >> 16) + (folded & 0xFFFF)
    assert folded == 0xFFFF
