# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One ICMP echo, without a process of its own.

A datagram ICMP socket needs no privilege where net.ipv4.ping_group_range allows it; else a
raw socket needs CAP_NET_RAW. The datagram socket gets only its own answers and no IP header;
the raw one gets every ICMP packet of the host. A random payload tells ours in both.
"""

from __future__ import annotations

import errno as errno_module
import os
import selectors
import socket
import struct
from contextlib import ExitStack
from typing import Optional, cast

from metadata.error_words import reason
from metadata.value_class import value_class
from world.network import dial
from world.network.deadline import Deadline
from world.ports.errors import WorldError
from world.ports.network import ProbeReading

_TOKEN_SIZE = 16
_HEADER = struct.Struct("!BBHHH")
_SMALLEST_IPV4_HEADER = 20


@value_class(frozen=True)
class _Family:
    """What differs between ICMP and ICMPv6."""

    protocol: int
    request: int
    reply: int


_FAMILIES = {
    socket.AF_INET: _Family(socket.IPPROTO_ICMP, 8, 0),
    socket.AF_INET6: _Family(socket.IPPROTO_ICMPV6, 128, 129),
}


def ping(address: str, timeout_s: float) -> ProbeReading:
    """Does an address of that name answer one echo in time? Each gets one.

    Raises WorldError when no probe could be made: no right to, or no such address.
    """
    what = f"ping {address}"
    deadline = Deadline(timeout_s)
    try:
        targets = dial.resolve(address, None, deadline, socket.SOCK_DGRAM)
    except dial.UnresolvedError as error:
        raise WorldError(what, str(error)) from error
    with ExitStack() as stack:
        sockets = _open_all(what, targets, stack)
        return _Echo(targets, sockets).ask(deadline)


def _open_all(
    what: str, targets: list[dial.ResolvedAddress], stack: ExitStack
) -> dict[socket.AddressFamily, socket.socket]:
    """A socket for each family; raises WorldError when there is none for any."""
    sockets: dict[socket.AddressFamily, socket.socket] = {}
    failure: Optional[WorldError] = None
    for family in dict.fromkeys(target.family for target in targets):
        try:
            sockets[family] = stack.enter_context(_open(what, family))
        except WorldError as error:  # this host may know one of the families only
            failure = failure or error
    if not sockets and failure is not None:
        raise failure
    return sockets


class _Echo:
    """One echo to each of several addresses, until one of them answers."""

    def __init__(
        self,
        targets: list[dial.ResolvedAddress],
        sockets: dict[socket.AddressFamily, socket.socket],
    ) -> None:
        self._targets = targets
        self._sockets = sockets
        self._token = os.urandom(_TOKEN_SIZE)
        self._failures: dict[dial.ResolvedAddress, str] = {}

    def ask(self, deadline: Deadline) -> ProbeReading:
        """Send all, and wait for the first answer."""
        for target in self._targets:
            self._send(target)
        with selectors.PollSelector() as selector:
            for family, sock in self._sockets.items():
                sock.setblocking(False)
                selector.register(sock, selectors.EVENT_READ, family)
            by = self._await_reply(selector, deadline)
        if by:
            return ProbeReading(True, f"{by} answers")
        late = dial.late(deadline.timeout_s)
        reasons = [(each.text, self._failures.get(each, late)) for each in self._targets]
        return ProbeReading(False, dial.by_reason(reasons))

    def _send(self, target: dial.ResolvedAddress) -> None:
        sock = self._sockets.get(target.family)
        if sock is None:
            self._failures[target] = os.strerror(errno_module.EAFNOSUPPORT)
            return
        try:
            sock.sendto(_echo(target.family, self._token), target.address)
        except OSError as error:  # unreachable: that is an answer too
            self._failures[target] = reason(error)

    def _await_reply(self, selector: selectors.BaseSelector, deadline: Deadline) -> str:
        """Who answers; empty: nobody."""
        while len(self._failures) < len(self._targets) and not deadline.is_over():
            for key, _ in selector.select(deadline.left_or_none_s()):
                sock = cast(socket.socket, key.fileobj)
                try:
                    packet, sender = sock.recvfrom(2048)
                except OSError:  # an error that came back for one of the addresses
                    continue
                if _is_reply(sock, key.data, packet, self._token):
                    return str(sender[0])
        return ""


def _open(what: str, family: socket.AddressFamily) -> socket.socket:
    protocol = _FAMILIES[family].protocol
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(family, kind, protocol)
        except PermissionError:
            continue
        except OSError as error:
            raise WorldError(what, reason(error), error.errno or 0) from error
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


def _is_reply(
    sock: socket.socket, family: socket.AddressFamily, packet: bytes, token: bytes
) -> bool:
    # Only a raw IPv4 socket hands the IP header over (raw(7), ipv6(7)).
    if sock.type == socket.SOCK_RAW and family == socket.AF_INET:
        if len(packet) < _SMALLEST_IPV4_HEADER or packet[0] >> 4 != 4:
            return False
        packet = packet[(packet[0] & 0x0F) * 4 :]
    return packet[:1] == bytes([_FAMILIES[family].reply]) and packet.endswith(token)
