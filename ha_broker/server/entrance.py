"""The broker's socket, for as long as the broker lives."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Optional

from ha_broker.server.http_server import Answer, ApiServer, SocketError

log = logging.getLogger(__name__)


class Entrance:
    """Serves `answer` at `path` until it is closed; raises SocketError when it can't begin.

    Somebody who tidies up may remove the socket's file while the broker lives. Nobody would
    reach it any more, so the file is made again.
    """

    def __init__(self, path: str, answer: Answer) -> None:
        self._path = path
        self._answer = answer
        self._trouble = ""
        self._server = ApiServer(path, answer)

    def open(self) -> None:
        """Take connections."""
        self._server.start()

    def keep_open(self) -> None:
        """To be called now and then."""
        if self._server.is_in_place():
            self._trouble = ""
            return
        fresh = self._anew()
        if fresh is None:
            return
        gone, self._server = self._server, fresh
        fresh.start()
        gone.stop()  # who is connected to it goes on
        log.warning("%s was gone, and is there again", self._path)

    def _anew(self) -> Optional[ApiServer]:
        try:
            with suppress(OSError):
                Path(self._path).parent.mkdir(mode=0o755)
            return ApiServer(self._path, self._answer)
        except (SocketError, OSError) as error:
            if str(error) != self._trouble:
                log.error("%s is gone: %s (tried again)", self._path, error)
            self._trouble = str(error)
            return None

    def close(self) -> None:
        """Take no more connections and remove the socket's file."""
        self._server.stop()
