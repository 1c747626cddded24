"""A server's threads: one for each connection, and never more than so many."""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
from typing import Any, Optional

from world.network.deadline_socket import DeadlineSocket

log = logging.getLogger(__name__)


class BoundedServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Base of the servers; its connections' reads and writes have deadlines."""

    daemon_threads = True
    block_on_close = False
    most_connections = 32

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._count_lock = threading.Lock()
        self._connections = 0
        super().__init__(*args, **kwargs)

    def get_request(self) -> tuple[DeadlineSocket, Any]:
        """The next connection."""
        plain, address = self.socket.accept()
        return DeadlineSocket(fileno=plain.detach()), address

    def process_request(self, request: Any, client_address: Any) -> None:
        """One thread for it, or a refusal at once when there are too many."""
        with self._count_lock:
            self._connections += 1
            crowded = self._connections > self.most_connections
        if crowded:
            self._turn_away(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The connection is over, however it ended."""
        with self._count_lock:
            self._connections -= 1
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
        self.shutdown_request(request)

    def stop_serving(self, thread: Optional[threading.Thread]) -> None:
        """End `serve_forever` in `thread`.

        `shutdown` is noticed at the next connection only, for there is no polling: make one.
        """
        if thread is None:
            return
        ender = threading.Thread(target=self.shutdown, daemon=True)
        ender.start()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        # Not the ender: `shutdown` returns a moment before the thread is gone.
        thread.join(5)
