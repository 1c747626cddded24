"""Does a name server answer over TCP? RFC 1035 for the message, RFC 7766 for TCP.

Over TCP, because a datagram that is lost under load would look like a network that is down.
The question is for the name servers of the root: no server needs another one to refuse it, and
whatever it answers, also that it refuses, shows that the way to it and back works.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

from world.network.deadline import Deadline
from world.ports.errors import WorldError

PORT = 53
RESOLV_CONF = Path("/etc/resolv.conf")

_LENGTH = struct.Struct("!H")
_HEADER = struct.Struct("!HHHHHH")
_IS_ANSWER = 0x8000
_RECURSION_DESIRED = 0x0100
_ROOT_NS_IN = b"\0" + struct.pack("!HH", 2, 1)


def first_name_server(resolv_conf: Path = RESOLV_CONF) -> str:
    """The address in the file's first ``nameserver`` line; WorldError when it has none."""
    what = f"look for a name server in {resolv_conf}"
    try:
        lines = resolv_conf.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise WorldError(what, error.strerror or str(error), error.errno or 0) from error
    for words in map(str.split, lines):
        if words[:1] == ["nameserver"] and len(words) > 1:
            return words[1]
    raise WorldError(what, "it names none")


def answers(sock: socket.socket, deadline: Deadline) -> bool:
    """Ask the name server at the other end; any answer to this very question counts.

    Raises OSError (a time-out too) when there is none.
    """
    number = int.from_bytes(os.urandom(2), "big")
    query = _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, 0) + _ROOT_NS_IN
    sock.settimeout(deadline.left_s())
    sock.sendall(_LENGTH.pack(len(query)) + query)
    (size,) = _LENGTH.unpack(_receive(sock, _LENGTH.size, deadline))
    answer = _receive(sock, size, deadline)
    return len(answer) >= _HEADER.size and _is_answer_to(number, answer)


def _is_answer_to(number: int, answer: bytes) -> bool:
    found, flags, *_counts = _HEADER.unpack_from(answer)
    return bool(found == number and flags & _IS_ANSWER)


def _receive(sock: socket.socket, size: int, deadline: Deadline) -> bytes:
    """Exactly `size` bytes."""
    received = b""
    while len(received) < size:
        sock.settimeout(deadline.left_s())
        part = sock.recv(size - len(received))
        if not part:
            raise ConnectionError("closed in the midst of an answer")
        received += part
    return received
