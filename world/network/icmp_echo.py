"""One ICMP echo, without a process of its own.

A datagram ICMP socket needs no privilege where net.ipv4.ping_group_range allows it; else a
raw socket needs CAP_NET_RAW. The datagram socket gets only its own answers and no IP header;
the raw one gets every ICMP packet of the host. A random payload tells ours in both.
"""

from __future__ import annotations

import errno as errno_module
import os
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

from world.ports.errors import WorldError

_TOKEN_SIZE = 16
_HEADER = struct.Struct("!BBHHH")
_SMALLEST_IPV4_HEADER = 20


@dataclass(frozen=True)
class _Family:
    """What differs between ICMP and ICMPv6."""

    protocol: int
    request: int
    reply: int


_FAMILIES = {
    socket.AF_INET: _Family(socket.IPPROTO_ICMP, 8, 0),
    socket.AF_INET6: _Family(socket.IPPROTO_ICMPV6, 128, 129),
}


def ping(address: str, timeout_s: float) -> bool:
    """Did `address` answer one echo in time?

    Raises WorldError when no probe could be made: no right to, or no such address.
    """
    what = f"ping {address}"
    deadline_s = time.monotonic() + timeout_s
    family, target = _resolve(what, address)
    token = os.urandom(_TOKEN_SIZE)
    with _open(what, family) as sock:
        try:
            sock.sendto(_echo(family, token), target)
            return _await_reply(sock, family, token, deadline_s)
        except OSError:  # unreachable, or too late: that is an answer too
            return False


def _resolve(what: str, address: str) -> tuple[socket.AddressFamily, Any]:
    try:
        found = socket.getaddrinfo(address, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise WorldError(what, why, getattr(error, "errno", None) or 0) from error
    family, _, _, _, target = found[0]
    return family, target


def _open(what: str, family: socket.AddressFamily) -> socket.socket:
    protocol = _FAMILIES[family].protocol
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(family, kind, protocol)
        except PermissionError:
            continue
        except OSError as error:
            raise WorldError(what, error.strerror or str(error), error.errno or 0) from error
    why = "not permitted: needs CAP_NET_RAW, or this group within net.ipv4.ping_group_range"
    raise WorldError(what, why, errno_module.EPERM)


def _echo(family: socket.AddressFamily, token: bytes) -> bytes:
    """An echo request; the kernel fills in the identifier (datagram) and ICMPv6 checksums."""
    request = _FAMILIES[family].request
    identifier = os.getpid() & 0xFFFF
    unsigned = _HEADER.pack(request, 0, 0, identifier, 1) + token
    return _HEADER.pack(request, 0, _checksum(unsigned), identifier, 1) + token


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _await_reply(
    sock: socket.socket, family: socket.AddressFamily, token: bytes, deadline_s: float
) -> bool:
    while True:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            return False
        sock.settimeout(left_s)
        if _is_reply(sock, family, sock.recv(2048), token):
            return True


def _is_reply(
    sock: socket.socket, family: socket.AddressFamily, packet: bytes, token: bytes
) -> bool:
    message = _without_ip_header(packet) if _has_ip_header(sock, family) else packet
    return message[:1] == bytes([_FAMILIES[family].reply]) and message.endswith(token)


def _has_ip_header(sock: socket.socket, family: socket.AddressFamily) -> bool:
    """Only a raw IPv4 socket hands the IP header over (raw(7), ipv6(7))."""
    return sock.type == socket.SOCK_RAW and family == socket.AF_INET


def _without_ip_header(packet: bytes) -> bytes:
    if len(packet) < _SMALLEST_IPV4_HEADER or packet[0] >> 4 != 4:
        return b""
    return packet[(packet[0] & 0x0F) * 4 :]
