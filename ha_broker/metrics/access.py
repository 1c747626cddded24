"""Who may read the metrics over TCP: everybody, or who knows the password, or has the token."""

from __future__ import annotations

import base64
import hmac
import os
from pathlib import Path
from typing import Optional

from metadata.metrics_settings import MetricsSettings

MOST_SECRET_BYTES = 4096

Identity = tuple[int, int, int, int]


class SecretError(Exception):
    """A file with a secret can't be used; the text says which and why."""


class SecretFile:
    """The first line of a file, read again when the file has changed.

    Raises SecretError, at the beginning and at each reading.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity: Optional[Identity] = None
        self._secret = b""
        self.secret()

    def secret(self) -> bytes:
        """What stands there now."""
        try:
            identity = file_identity(self._path)
            if identity != self._identity:
                self._secret = _first_line(Path(self._path))
                self._identity = identity
        except OSError as error:
            raise SecretError(f"{self._path}: can't be read: {error.strerror}") from None
        if not self._secret:
            raise SecretError(f"{self._path}: its first line, which is the secret, is empty")
        return self._secret

    def is_open_to_all(self) -> bool:
        """May every user of this machine read it?"""
        return bool(Path(self._path).stat().st_mode & 0o004)


class Guard:
    """Compares what a client sends with what it must know."""

    def __init__(self, settings: MetricsSettings) -> None:
        self._user = settings.user.encode()
        path = settings.token_file or settings.password_file
        self.file = SecretFile(path) if path else None
        self.challenge = 'Basic realm="metrics"' if settings.user else "Bearer"

    def admits(self, authorization: str) -> bool:
        """By the value of its header ``Authorization``; raises SecretError."""
        if self.file is None:
            return True
        scheme, _, given = authorization.partition(" ")
        secret = self.file.secret()
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


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline(MOST_SECRET_BYTES).strip()
