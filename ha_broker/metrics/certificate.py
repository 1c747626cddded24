# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The certificate of the metrics' server."""

from __future__ import annotations

import logging
import socket
import ssl
from typing import Any

from ha_broker.metrics.access import Identity, file_identity
from metadata.error_words import reason
from metadata.settings.metrics import MetricsSettings
from world.network.deadline_socket import DeadlineSocket

log = logging.getLogger(__name__)


class DeadlineTlsSocket(DeadlineSocket, ssl.SSLSocket):
    """A `DeadlineSocket` over TLS, its handshake included; an `SSLContext` makes it."""

    def do_handshake(self, block: bool = False) -> None:
        """As `SSLSocket.do_handshake`."""
        self.arm()
        super().do_handshake(block)

    def send(self, *args: Any, **kwargs: Any) -> int:
        """As `SSLSocket.send`, of which its `sendall` makes one for each piece."""
        self.arm()
        return super().send(*args, **kwargs)


class CertificateError(Exception):
    """The certificate can't be used; the text says which and why."""


class Certificate:
    """Read again when its files have changed: one that was renewed needs no restart.

    A new one that can't be used does not take the place of the old one.
    """

    def __init__(self, settings: MetricsSettings) -> None:
        self._certificate = settings.certificate_file
        self._key = settings.key_file or settings.certificate_file
        self._identities = self._look()
        self._context = self._load()

    def wrapped(self, connection: socket.socket) -> ssl.SSLSocket:
        """The connection with TLS; its handshake was not made yet."""
        self._renew()
        return self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )

    def _renew(self) -> None:
        try:
            identities = self._look()
            if identities == self._identities:
                return
            self._identities = identities
            self._context = self._load()
        except CertificateError as error:
            log.warning("metrics: the certificate in use stays: %s", error)

    def _look(self) -> tuple[Identity, Identity]:
        try:
            return file_identity(self._certificate), file_identity(self._key)
        except OSError as error:
            raise CertificateError(f"{error.filename}: can't be read: {reason(error)}") from None

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = DeadlineTlsSocket
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            raise CertificateError(
                f"{self._certificate}, {self._key}: no certificate with its key: {reason(error)}"
            ) from None
        return context


def _no_password() -> str:
    """Else OpenSSL asks for one on the terminal and waits."""
    raise ValueError("the key is encrypted; it must not be")
