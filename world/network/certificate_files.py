# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Are the files of a certificate good? Told by a TLS handshake with oneself, in memory.

So nothing here reads a certificate: OpenSSL judges it as a peer would, its dates, its authority,
its purpose and its name. libvirt and qemu use another library (GnuTLS), so in the end it is theirs
to say; what this adds is the file's name.
"""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Any

from metadata.error_words import reason
from world.ports.certificates import CertificateFiles, CertificateLook, Use

_ROUNDS = 10  # a handshake has two or three

# OpenSSL's numbers (x509_vfy.h).
_NOT_YET, _EXPIRED, _PURPOSE = 9, 10, 26
_NOT_SIGNED = (2, 7, 18, 19, 20, 21, 30)
_OTHER_NAME = (62, 64)


class PemCertificates:
    """The `Certificates` of the real world."""

    def look(self, files: CertificateFiles, use: Use, name: str = "") -> CertificateLook:
        """See `Certificates`."""
        for path in (files.authority, files.certificate, files.key):
            try:
                Path(path).read_bytes()
            except OSError as error:
                return CertificateLook(f"{path} can't be read: {reason(error)}")
        try:
            return CertificateLook("", _ends(files, use, name))
        except _UnusableError as error:
            return CertificateLook(str(error))
        except ssl.SSLCertVerificationError as error:
            return CertificateLook(_refusal(files, use, name, error))
        except ssl.SSLError as error:
            why = f"{files.certificate} can't be used: {error.reason or error}"
            return CertificateLook(why)
        except ValueError:  # Python knows no such host name; it can stand in no certificate
            return CertificateLook(f"{files.certificate} can't be for the name {name}")


class _UnusableError(Exception):
    """A file has not in it what it should; the text is for people."""


def _ends(files: CertificateFiles, use: Use, name: str) -> str:
    """When the certificate ends; raises _UnusableError and what the handshake does."""
    server = _context(files, ssl.PROTOCOL_TLS_SERVER)
    client = _context(files, ssl.PROTOCOL_TLS_CLIENT)
    judge = client if use is Use.SERVER else server
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    judge.verify_mode = ssl.CERT_REQUIRED
    client.check_hostname = use is Use.SERVER and bool(name)
    shown = _shown_certificate(server, client, use, name)
    return str(shown.get("notAfter", ""))


def _context(files: CertificateFiles, protocol: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    try:
        context.load_verify_locations(files.authority)
    except ssl.SSLError as error:
        raise _UnusableError(f"{files.authority} holds no certificate of an authority") from error
    try:
        # A key with a password is no use to a daemon; without one here OpenSSL would ask for it.
        context.load_cert_chain(files.certificate, files.key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _UnusableError(f"{files.key} is not the key of {files.certificate}") from error
        why = f"{files.certificate} and {files.key} are no certificate and key without a password"
        raise _UnusableError(why) from error
    return context


def _shown_certificate(
    server: ssl.SSLContext, client: ssl.SSLContext, use: Use, name: str
) -> dict[str, Any]:
    """What the one side has seen of the other; raises what it makes of it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=name or None)
    asked = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_ROUNDS):
        for side in (asking, asked):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    judge = asking if use is Use.SERVER else asked
    return dict(judge.getpeercert() or {})


def _refusal(
    files: CertificateFiles, use: Use, name: str, error: ssl.SSLCertVerificationError
) -> str:
    what, code = files.certificate, error.verify_code
    if code in _OTHER_NAME:
        return f"{what} is not for the name {name}"
    if code == _EXPIRED:
        return f"{what}, or its authority's {files.authority}, has expired"
    if code == _NOT_YET:
        return f"{what}, or its authority's {files.authority}, is not valid yet: look at the clock"
    if code == _PURPOSE:
        return f"{what} is not for a {use.value}"
    if code in _NOT_SIGNED:
        return f"{what} is not signed by the authority in {files.authority}"
    return f"{what} is refused by the authority in {files.authority}: {error.verify_message}"
