# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The beginning of TLS: does the program behind a connection do anything at all?

The kernel takes connections for a program that is frozen. One that lives answers the first message
of a handshake, or hangs up; the handshake is not finished, so no certificate is needed.
"""

from __future__ import annotations

import contextlib
import socket

from world.network.deadline import Deadline


def is_answered(sock: socket.socket, deadline: Deadline) -> bool:
    """Does something come back, or end the connection? Raises OSError but for being late."""
    sock.settimeout(deadline.left_s())
    sock.sendall(_client_hello())
    try:
        sock.settimeout(deadline.left_s())
        sock.recv(1)
    except (socket.timeout, TimeoutError):
        return False
    except ConnectionResetError:
        return True
    return True


def _client_hello() -> bytes:
    import ssl  # noqa: PLC0415  # some MiB, for a move

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(heard, said).do_handshake()
    return said.read()
