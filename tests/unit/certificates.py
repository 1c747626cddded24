"""Certificates for tests, made by the command openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """A certificate authority of its own in `directory`; `file` is what its clients trust."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.file = directory / "ca.pem"
        self._key = directory / "ca.key"
        self._directory = directory
        self._openssl("req", "-x509", *_KEY, "-subj", "/CN=authority", "-days", "2",
                      "-keyout", self._key, "-out", self.file)  # fmt: skip

    def certificate(self, names: str, days: int = 2) -> Path:
        """A file with key and certificate for `names` ("IP:127.0.0.1,DNS:engine")."""
        key, request = self._directory / "server.key", self._directory / "server.csr"
        signed, both = self._directory / "server.pem", self._directory / "server-with-key.pem"
        self._openssl("req", *_KEY, "-subj", "/CN=engine", "-keyout", key, "-out", request)
        extensions = self._directory / "extensions"
        extensions.write_text(f"subjectAltName={names}\n")
        self._openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self._key,
                      "-CAcreateserial", "-days", days, "-extfile", extensions,
                      "-out", signed)  # fmt: skip
        both.write_text(key.read_text() + signed.read_text())
        return both

    def _openssl(self, *arguments: object) -> None:
        command = ["openssl", *map(str, arguments)]
        try:
            subprocess.run(command, capture_output=True, check=True)
        except FileNotFoundError:
            pytest.skip("no command openssl")
