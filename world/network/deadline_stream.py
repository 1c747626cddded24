# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Connections on which everything together has one deadline and one budget, encrypted or not.

A socket's own time-out counts anew with each byte, so a server that trickles would hold its
caller for ever; and one that does not stop fills its memory.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any, Optional

from world.network import dial
from world.network.deadline import Deadline
from world.regular_file import stable_name


class _Timed(socket.socket):
    """Each read and write may take what is left of the time."""

    deadline: Optional[Deadline] = None

    def _arm(self) -> None:
        if self.deadline is not None:
            self.settimeout(self.deadline.left_s())

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self._arm()
        count = super().recv_into(*args, **kwargs)
        return count if self.deadline is None else self.deadline.heard(count)

    def send(self, *args: Any, **kwargs: Any) -> int:
        self._arm()
        return super().send(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self._arm()
        super().sendall(*args, **kwargs)


class _TimedTls(_Timed, ssl.SSLSocket):
    """The same over TLS."""


class TimedContext(ssl.SSLContext):
    """Verifies certificate and name; its sockets go on with the deadline of those they wrap."""

    sslsocket_class = _TimedTls

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """As `SSLContext.wrap_socket`; the handshake has what is left of the time."""
        deadline = sock.deadline if isinstance(sock, _Timed) else None
        if deadline is not None:
            sock.settimeout(deadline.left_s())
        wrapped = super().wrap_socket(sock, *args, **kwargs)
        if isinstance(wrapped, _TimedTls):
            wrapped.deadline = deadline
        return wrapped


def verifying_context(ca_file: str) -> TimedContext:
    """For authorities in `ca_file`, or the system's; raises OSError when it can't be read."""
    context = TimedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        with stable_name(ca_file) as name:
            context.load_verify_locations(name)
    else:
        context.load_default_certs()
    return context


def connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    """To whichever address of `host` accepts first (see `dial`); raises OSError."""

    def make(family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        sock = _Timed(family, kind)
        sock.deadline = deadline
        return sock

    return dial.connect(host, port, deadline, make)
