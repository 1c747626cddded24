# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Who may read the metrics over TCP: everybody, or who knows the password, or has the token."""

from __future__ import annotations

import base64
import hmac
import os

from metadata.settings.metrics import MetricsSettings
from world.secret_file import read_secret

Identity = tuple[int, int, int, int]


class AccessGuard:
    """Compares what a client sends with what it must know.

    The file is read each time, so a new password counts at once; raises OSError where it can't
    be, from its making on.
    """

    def __init__(self, settings: MetricsSettings) -> None:
        self._user = settings.user.encode()
        self._path = settings.token_file or settings.password_file
        self.challenge = 'Basic realm="metrics"' if settings.user else "Bearer"
        if self.asks:
            read_secret(self._path)

    @property
    def asks(self) -> bool:
        """Does it let in only who knows something?"""
        return bool(self._path)

    def admits(self, authorization: str) -> bool:
        """By the value of its header ``Authorization``; raises OSError."""
        if not self.asks:
            return True
        scheme, _, given = authorization.partition(" ")
        secret = read_secret(self._path)
        if self._user:
            wanted = base64.b64encode(self._user + b":" + secret)
            return _is_same(scheme, "basic", given, wanted)
        return _is_same(scheme, "bearer", given, secret)


def file_identity(path: str) -> Identity:
    """Differs when the file has changed; raises OSError."""
    found = os.stat(path)  # noqa: PTH116
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _is_same(scheme: str, wanted_scheme: str, given: str, wanted: bytes) -> bool:
    """In a time that does not tell how much of it was right."""
    same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), wanted)
    return same and scheme.lower() == wanted_scheme
