# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Certificates of this host, held against the authority that others judge them by."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from metadata.value_class import value_class


class Use(str, Enum):
    """What a certificate is shown for."""

    SERVER = "server"
    CLIENT = "client"


@value_class(frozen=True)
class CertificateFiles:
    """Paths of PEM files: a certificate, its key, and the authority that has signed it."""

    certificate: str
    key: str
    authority: str


@value_class(frozen=True)
class CertificateLook:
    """`problem`: what is wrong with the files, as a sentence that names the file; empty: nothing.

    `ends` is then when the certificate ends, as it says so itself (``Nov 28 20:00:00 2027 GMT``).
    """

    problem: str
    ends: str = ""


class Certificates(Protocol):
    """The look at them; it may hang as long as the files' storage does."""

    def look(self, files: CertificateFiles, use: Use, name: str = "") -> CertificateLook:
        """Would a peer who trusts the authority take the certificate for this `use`?

        `name` is the name or IP address by which a server is asked; empty: any.
        """
