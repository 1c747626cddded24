"""Sockets on which a whole conversation has one deadline.

A plain socket time-out counts anew with each byte that arrives, so a peer that trickles
holds its caller for ever.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any, Optional


class DeadlineSocket(socket.socket):
    """A stream socket whose reads and writes end at `deadline_s` with `socket.timeout`."""

    _deadline_s: Optional[float] = None

    def allow(self, seconds: float) -> None:
        """Everything until the next call of this must be done within `seconds`."""
        self._deadline_s = time.monotonic() + seconds

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """As `socket.recv_into`; http.client and http.server read through it alone."""
        self._arm()
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """As `socket.sendall`, whose time-out covers all of the data."""
        self._arm()
        super().sendall(*args, **kwargs)

    def connect(self, address: Any) -> None:
        """As `socket.connect`."""
        self._arm()
        super().connect(address)

    def _arm(self) -> None:
        if self._deadline_s is None:
            return
        remaining_s = self._deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise socket.timeout("the deadline has passed")
        self.settimeout(remaining_s)


class DeadlineTlsSocket(DeadlineSocket, ssl.SSLSocket):
    """The same over TLS, its handshake included; an `SSLContext` makes it."""

    def do_handshake(self, block: bool = False) -> None:
        """As `SSLSocket.do_handshake`."""
        self._arm()
        super().do_handshake(block)

    def send(self, *args: Any, **kwargs: Any) -> int:
        """As `SSLSocket.send`, of which its `sendall` makes one for each piece."""
        self._arm()
        return super().send(*args, **kwargs)
