# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A server's threads: one for each connection, and never more than so many.

When there are as many as may be, the connection that has waited longest for its client gives
way to the new one; only when all of them are being answered is the new one turned away. One
peer (an address, or a user) has less room than there is, so that it can't take all of it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Optional

from metadata.error_words import reason
from world.network.deadline_socket import DeadlineSocket

OUT_OF_FILES_PAUSE_S = 0.5
"""How long no connection is taken while this process, or the system, can open no more files."""

_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)


@dataclass
class _Place:
    """One connection; `waiting_since_s` is None while it is being answered."""

    connection: socket.socket
    peer: Hashable
    waiting_since_s: Optional[float]
    given_away: bool = False


class BoundedServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Base of the servers; its connections' reads and writes have deadlines."""

    daemon_threads = True
    block_on_close = False
    most_connections = 32
    most_of_one_peer = 32

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock = threading.Lock()
        self._places: dict[int, _Place] = {}  # by the identity of the accepted connection
        self._mine = threading.local()
        self._ending = threading.Event()
        self._out_of_files = False
        super().__init__(*args, **kwargs)

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._places)

    @property
    def answering(self) -> int:
        """How many of them are being answered."""
        with self._lock:
            return sum(place.waiting_since_s is None for place in self._places.values())

    def get_request(self) -> tuple[DeadlineSocket, Any]:
        """The next connection; without a file for it, a pause."""
        try:
            plain, address = self.socket.accept()
        except OSError as error:
            if error.errno in _OUT_OF_FILES:
                self._pause(error)
            raise
        self._out_of_files = False
        return DeadlineSocket(fileno=plain.detach()), address

    def _pause(self, error: OSError) -> None:
        """Who asks stays in the backlog, and without a pause this loop would take a whole CPU."""
        if not self._out_of_files:
            log.error("no connection can be taken: %s (tried again)", reason(error))
        self._out_of_files = True
        with self._lock:
            self._give_away(self._longest_waiting(None))
        self._ending.wait(OUT_OF_FILES_PAUSE_S)

    def process_request(self, request: Any, client_address: Any) -> None:
        """One thread for it, or a refusal at once when there is no place."""
        if self._take_place(request, self.peer_of(request, client_address)):
            super().process_request(request, client_address)
        else:
            self._turn_away(request)

    def peer_of(self, request: socket.socket, client_address: Any) -> Hashable:
        """Who it is that shares the room of one peer; None: nobody does."""
        return None

    def _take_place(self, request: socket.socket, peer: Hashable) -> bool:
        with self._lock:
            of_peer = sum(place.peer == peer for place in self._places.values())
            if peer is not None and of_peer >= self.most_of_one_peer:
                found = self._give_away(self._longest_waiting(peer))
            elif len(self._places) >= self.most_connections:
                found = self._give_away(self._longest_waiting(None))
            else:
                found = True
            if found:
                self._places[id(request)] = _Place(request, peer, time.monotonic())
            return found

    def _longest_waiting(self, peer: Hashable) -> Optional[int]:
        waiting = [
            (place.waiting_since_s, key)
            for key, place in self._places.items()
            if place.waiting_since_s is not None and peer in (None, place.peer)
        ]
        return min(waiting)[1] if waiting else None

    def _give_away(self, key: Optional[int]) -> bool:
        if key is None:
            return False
        place = self._places.pop(key)
        place.given_away = True
        with contextlib.suppress(OSError):
            # Not the method of a TLS socket, which another thread is reading from.
            socket.socket.shutdown(place.connection, socket.SHUT_RDWR)
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The life of a connection, on its own thread."""
        with self._lock:
            self._mine.place = self._places.get(id(request))
        super().process_request_thread(request, client_address)

    def waits(self, connection: socket.socket) -> None:
        """This thread's connection (with TLS another socket than at first) waits for its client."""
        place: Optional[_Place] = self._mine.place
        if place is not None:
            with self._lock:
                place.connection, place.waiting_since_s = connection, time.monotonic()

    def answers(self) -> None:
        """The client of this thread's connection has asked; raises ConnectionError: too late."""
        place: Optional[_Place] = self._mine.place
        with self._lock:
            if place is None or place.given_away:
                raise ConnectionAbortedError("its place was given to another one")
            place.waiting_since_s = None

    def shutdown_request(self, request: Any) -> None:
        """The connection is over, however it ended."""
        with self._lock:
            self._places.pop(id(request), None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that broke off is no error of ours; anything else is worth a look."""
        log.warning("a connection ended badly", exc_info=log.isEnabledFor(logging.DEBUG))

    def turned_away(self) -> bytes:
        """What one connection too many is sent."""
        return b""

    def _turn_away(self, request: DeadlineSocket) -> None:
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(self.turned_away())
        super().shutdown_request(request)

    def stop_serving(self, thread: Optional[threading.Thread]) -> None:
        """End `serve_forever` in `thread`.

        `shutdown` is noticed at the next connection only, for there is no polling: make one.
        """
        self._ending.set()
        if thread is None:
            return
        ender = threading.Thread(target=self.shutdown, daemon=True)
        ender.start()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        # Not the ender: `shutdown` returns a moment before the thread is gone.
        thread.join(5)
