# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A socket on which a whole conversation has one deadline.

A plain socket time-out counts anew with each byte that arrives, so a peer that trickles
holds its caller for ever.
"""

from __future__ import annotations

import socket
import time
from typing import Any, Optional

_BACKLOG_PAUSE_S = 0.02


class DeadlineSocket(socket.socket):
    """A stream socket whose reads and writes end at `deadline_s` with `socket.timeout`."""

    _deadline_s: Optional[float] = None

    def allow(self, seconds: float) -> None:
        """Everything until the next call of this must be done within `seconds`."""
        self._deadline_s = time.monotonic() + seconds

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """As `socket.recv_into`; http.client and http.server read through it alone."""
        self.arm()
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """As `socket.sendall`, whose time-out covers all of the data."""
        self.arm()
        super().sendall(*args, **kwargs)

    def connect(self, address: Any) -> None:
        """As `socket.connect`."""
        while True:
            self.arm()
            try:
                super().connect(address)
                return
            except BlockingIOError:  # a unix socket's backlog is full, which no wait ends
                time.sleep(_BACKLOG_PAUSE_S)

    def arm(self) -> None:
        """Wait for the next read or write no longer than is left."""
        if self._deadline_s is None:
            return
        remaining_s = self._deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise socket.timeout("the deadline has passed")
        self.settimeout(remaining_s)
