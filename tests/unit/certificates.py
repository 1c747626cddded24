# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Certificates for tests, made by the command openssl."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


# What Python 3.13 asks of a certificate authority, beside the mark that it is one.
AUTHORITY_USAGE = "keyUsage=critical,keyCertSign,cRLSign"

# openssl's `ca` is the command that takes any dates; it keeps books. The options that others have
# for dates came with version 3.4, and negative days went with 3.5.
_CA_SETTINGS = """
[ca]
default_ca = here
[here]
database = {directory}/index
new_certs_dir = {directory}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
"""


class Authority:
    """A certificate authority of its own in `directory`; `file` is what its clients trust."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.file = directory / "ca.pem"
        self._key = directory / "ca.key"
        self._directory = directory
        self._settings = directory / "ca.conf"
        self._settings.write_text(_CA_SETTINGS.format(directory=directory))
        (directory / "index").touch()
        self._openssl("req", "-x509", *_KEY, "-subj", "/CN=authority", "-days", "2",
                      "-addext", AUTHORITY_USAGE,
                      "-keyout", self._key, "-out", self.file)  # fmt: skip

    def certificate(self, names: str, days: int = 2) -> Path:
        """A file with key and certificate for `names` ("IP:127.0.0.1,DNS:engine").

        It is valid for as many days from now, or until as many days ago.
        """
        key, request = self._directory / "server.key", self._directory / "server.csr"
        signed, both = self._directory / "server.pem", self._directory / "server-with-key.pem"
        self._openssl("req", *_KEY, "-subj", "/CN=engine", "-keyout", key, "-out", request)
        extensions = self._directory / "extensions"
        extensions.write_text(f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\n")
        now = datetime.now(timezone.utc)
        begin, end = now - timedelta(days=abs(days) + 1), now + timedelta(days=days)
        self._openssl("ca", "-batch", "-notext", "-config", self._settings, "-cert", self.file,
                      "-keyfile", self._key, "-in", request, "-extfile", extensions,
                      "-startdate", f"{begin:%Y%m%d%H%M%SZ}", "-enddate", f"{end:%Y%m%d%H%M%SZ}",
                      "-out", signed)  # fmt: skip
        both.write_text(key.read_text() + signed.read_text())
        return both

    def _openssl(self, *arguments: object) -> None:
        command = ["openssl", *map(str, arguments)]
        try:
            subprocess.run(command, capture_output=True, check=True)
        except FileNotFoundError:
            pytest.skip("no command openssl")
