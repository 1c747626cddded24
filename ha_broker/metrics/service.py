# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Keeps the metrics' server alive, apart from the cycle."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Callable, Optional

from ha_broker.server.http_server import TextAnswer
from metadata.error_words import reason_with_file
from metadata.settings.metrics import MetricsSettings

if TYPE_CHECKING:
    from ha_broker.metrics.tcp_server import MetricsServer

PAUSE_S = 30.0
STOP_ALLOWED_S = 1.0

log = logging.getLogger(__name__)


class MetricsService:
    """Serves over TCP as the settings say, on a thread of its own.

    The engine does not depend on metrics: what keeps them from being served (an address that
    is in use or not there yet, a file that can't be read) is told to `on_trouble`, and tried
    again every `pause_s`. `on_trouble` is called from that thread, with "" when all is well.
    """

    def __init__(
        self,
        settings: MetricsSettings,
        answer: Callable[[], TextAnswer],
        on_trouble: Callable[[str], None],
        pause_s: float = PAUSE_S,
    ) -> None:
        self._settings = settings
        self._answer = answer
        self._on_trouble = on_trouble
        self._pause_s = pause_s
        self._trouble = ""
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._server: Optional[MetricsServer] = None
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Begin, unless the settings name no address."""
        if self._settings.listen:
            self._thread.start()

    def stop(self) -> None:
        """End it; a connection that is being served is not waited for."""
        with self._lock:
            self._stopping.set()
            server = self._server
        if server is not None:
            server.stop_serving(self._thread)
        if self._thread.is_alive():  # it may be asking for a name's address, which takes a while
            self._thread.join(STOP_ALLOWED_S)

    def _run(self) -> None:
        # A web server and TLS, which a host that serves no metrics has no use for.
        from ha_broker.metrics.certificate import CertificateError  # noqa: PLC0415
        from ha_broker.metrics.tcp_server import MetricsServer  # noqa: PLC0415

        while not self._stopping.is_set():
            try:
                server = MetricsServer(self._settings, self._answer)
            except (OSError, UnicodeError, CertificateError) as error:
                self._tell(f"not served at {self._settings.listen}: {reason_with_file(error)}")
                self._stopping.wait(self._pause_s)
            else:
                self._tell("")
                self._serve(server)

    def _serve(self, server: MetricsServer) -> None:
        with server:
            with self._lock:
                self._server = server
                if self._stopping.is_set():
                    return
            log.info("metrics are served at %s", self._settings.listen)
            server.serve_forever(poll_interval=3600)

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.error("metrics: %s (tried again every %g s)", trouble, self._pause_s)
        self._trouble = trouble
        self._on_trouble(trouble)
