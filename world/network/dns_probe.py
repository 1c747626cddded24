# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Does a name server answer over TCP? RFC 1035 for the message, RFC 7766 for TCP.

Over TCP, because a datagram that is lost under load would look like a network that is down.
The question is for the name servers of the root: no server needs another one to refuse it, and
whatever it answers, also that it refuses, shows that the way to it and back works.

A name server on this host itself shows nothing of the network by answering: where it can ask
nobody it says so at once (SERVFAIL, REFUSED). Of it only a real answer counts. The one of systemd
keeps answers for hours, so those that it asks are asked instead.
"""

from __future__ import annotations

import ipaddress
import os
import selectors
import struct
from collections.abc import Sequence
from pathlib import Path

from metadata.error_words import reason
from metadata.settings.network_target import is_address
from world.network import dial
from world.network.deadline import Deadline
from world.ports.errors import WorldError
from world.ports.network import ProbeReading

PORT = 53
RESOLV_CONF = Path("/etc/resolv.conf")
# resolved.conf(5): the addresses of systemd's own name server, and the file with those it asks.
RESOLVED_UPLINKS = Path("/run/systemd/resolve/resolv.conf")
_RESOLVED = ("127.0.0.53", "127.0.0.54")

_LENGTH = struct.Struct("!H")
_HEADER = struct.Struct("!HHHHHH")
_IS_ANSWER = 0x8000
_RECURSION_DESIRED = 0x0100
_ROOT_NS_IN = b"\0" + struct.pack("!HH", 2, 1)
_CODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_REAL_ANSWERS = ("NOERROR", "NXDOMAIN")


def name_servers(
    resolv_conf: Path = RESOLV_CONF, uplinks: Path = RESOLVED_UPLINKS
) -> tuple[str, ...]:
    """The addresses of all name servers in the file; WorldError when it has none.

    In place of systemd's own one, those that it asks, as far as they are known.
    """
    what = f"look for a name server in {resolv_conf}"
    try:
        found = _named_in(resolv_conf)
    except OSError as error:
        raise WorldError(what, reason(error), error.errno or 0) from error
    if not found:
        raise WorldError(what, "it names none")
    if not any(address in _RESOLVED for address in found):
        return found
    others = tuple(address for address in found if address not in _RESOLVED)
    return tuple(dict.fromkeys((*others, *_uplinks(uplinks)))) or found


def _uplinks(path: Path) -> tuple[str, ...]:
    try:
        return tuple(address for address in _named_in(path) if address not in _RESOLVED)
    except OSError:
        return ()


def _named_in(path: Path) -> tuple[str, ...]:
    """What is no address in a ``nameserver`` line is passed over, as the system's resolver does."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    words = [line.split() for line in lines]
    named = [each[1] for each in words if each[:1] == ["nameserver"] and len(each) > 1]
    return tuple(dict.fromkeys(address for address in named if is_address(address)))


def ask(targets: Sequence[dial.ResolvedAddress], deadline: Deadline) -> ProbeReading:
    """Ask these name servers side by side; one that answers is enough."""
    try:
        won = dial.race(targets, deadline, _Asking)
    except dial.NoConnectionError as error:
        return ProbeReading(False, str(error))
    won.sock.close()
    return ProbeReading(True, f"{won.target.text} answers {won.code}")


class _Asking(dial.Attempt):
    """One name server: connect, ask, read the answer."""

    def __init__(self, target: dial.ResolvedAddress) -> None:
        super().__init__(target)
        self.code = ""
        self._number = int.from_bytes(os.urandom(2), "big")
        query = _HEADER.pack(self._number, _RECURSION_DESIRED, 1, 0, 0, 0) + _ROOT_NS_IN
        self._to_send = _LENGTH.pack(len(query)) + query
        self._received = b""

    def step(self) -> bool:
        """As `Attempt.step`; done when there is an answer that counts."""
        if self._to_send:
            super().step()
            self._to_send = self._to_send[self.sock.send(self._to_send) :]
            if not self._to_send:
                self.events = selectors.EVENT_READ
            return False
        return self._read()

    def _read(self) -> bool:
        try:
            part = self.sock.recv(4096)
        except BlockingIOError:
            return False
        if not part:
            raise OSError("closed in the midst of an answer")
        self._received += part
        if len(self._received) < _LENGTH.size:
            return False
        (size,) = _LENGTH.unpack_from(self._received)
        if len(self._received) < _LENGTH.size + size:
            return False
        self._take(self._received[_LENGTH.size : _LENGTH.size + size])
        return True

    def _take(self, answer: bytes) -> None:
        """Raise OSError unless it counts."""
        if len(answer) < _HEADER.size:
            raise OSError("no answer to the question")
        number, flags, *_counts = _HEADER.unpack_from(answer)
        if number != self._number or not flags & _IS_ANSWER:
            raise OSError("no answer to the question")
        code = flags & 0x000F
        self.code = _CODES.get(code, f"code {code}")
        if self.code not in _REAL_ANSWERS and self._is_on_this_host():
            raise OSError(f"{self.code}, by a name server on this host itself")

    def _is_on_this_host(self) -> bool:
        ends = self.sock.getsockname(), self.sock.getpeername()
        here, there = (str(end[0]).partition("%")[0] for end in ends)
        return here == there or is_loopback(there)


def is_loopback(address: str) -> bool:
    """Is it an address of the loopback device, also one of IPv4 in the form of IPv6?"""
    found = ipaddress.ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
