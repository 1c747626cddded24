# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Connecting to a libvirt that asks for a name and a password (SASL), as vdsm sets it up.

Both stand in a file that the address names: ``qemu:///system?authfile=FILE`` (libvirt's own
parameter; docs/install.md shows the file). libvirt looks into it only for a client that says that
it can be asked. So that is said here; who is really asked has no such file, or one for others.
"""

from __future__ import annotations

from typing import Any, Optional
from urllib.parse import parse_qs, urlsplit

from world.secret_file import read_secret

NAME_A_FILE = (
    "libvirt asks for a name and a password: name a file that has them in host.yaml, "
    "libvirt_uri: qemu:///system?authfile=/etc/hosted-engine-ha/libvirt-auth.conf"
)
NOT_IN_FILE = "{path} has no name and password for this libvirt ([auth-libvirt-localhost])"


def auth_file(uri: str) -> Optional[str]:
    """The file with name and password that `uri` names; None: there is none in it."""
    found = parse_qs(urlsplit(uri).query).get("authfile")
    return found[-1] if found else None


def without_auth_file(uri: str) -> str:
    """Which libvirt it is: `uri` without its parameters."""
    return uri.partition("?")[0]


class Login:
    """How `uri` is connected to; `asked_why` says what is missing where libvirt asked in vain."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self.asked_why = ""

    def open(self, libvirt: Any) -> Any:
        """A connection. Raises libvirt's error, and OSError for a file that is no secret: one that
        this process may not read, or that others may."""
        path = auth_file(self._uri)
        if path is not None:
            read_secret(path)
        self.asked_why = ""

        def ask(_wanted: object, _opaque: object) -> int:
            self.asked_why = NAME_A_FILE if path is None else NOT_IN_FILE.format(path=path)
            return -1

        kinds = [libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_PASSPHRASE]
        return libvirt.openAuth(self._uri, [kinds, ask, None], 0)
