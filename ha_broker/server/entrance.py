# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The broker's socket, for as long as the broker lives."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Optional

from ha_broker.server.access import Access
from ha_broker.server.http_server import Answer, ApiServer, SocketError
from metadata.error_words import reason_with_file

NAMES_WAIT_S = 3.0
"""How long the first connections wait for the names of `Access`; they may be found later, too."""

DIRECTORY_MODE = 0o755  # whoever may connect must get there; each file in it has its own mode

log = logging.getLogger(__name__)


class Entrance:
    """Serves `answer` at `path` until it is closed; raises SocketError when it can't begin.

    Somebody who tidies up may remove the socket's file while the broker lives. Nobody would
    reach it any more, so the file is made again. The members of the group of `access` may
    connect, too, once it is known.
    """

    def __init__(self, path: str, answer: Answer, access: Optional[Access] = None) -> None:
        self._path = path
        self._answer = answer
        self._access = access or Access()
        self._trouble = ""
        self._server = ApiServer(path, answer)

    def open(self) -> None:
        """Take connections."""
        self._access.look()
        self._access.wait(NAMES_WAIT_S)
        self._admit_group()
        self._server.start()

    def _admit_group(self) -> None:
        if self._access.gid is not None:
            self._server.admit(self._access.gid)

    def keep_open(self) -> None:
        """To be called now and then."""
        self._access.look()
        self._admit_group()
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
            self._make_directory()
            return ApiServer(self._path, self._answer, gid=self._access.gid)
        except (SocketError, OSError) as error:
            trouble = reason_with_file(error)
            if trouble != self._trouble:
                log.error("%s is gone: %s (tried again)", self._path, trouble)
            self._trouble = trouble
            return None

    def _make_directory(self) -> None:
        """Where it is gone, with its mode whatever the umask says."""
        directory = Path(self._path).parent
        with suppress(OSError):
            directory.mkdir(mode=0o700)
            directory.chmod(DIRECTORY_MODE)

    def close(self) -> None:
        """Take no more connections and remove the socket's file."""
        self._server.stop()
