# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""systemd's journal by its own protocol, which takes fields beside the text.

Each entry is one datagram of ``NAME=value`` lines (systemd's "Native Journal Protocol"). Unit,
process and user are the journal's own word, from the kernel; who sends can't claim them.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
from collections.abc import Mapping
from typing import Optional, TextIO

PATH = "/run/systemd/journal/socket"

LONGEST_VALUE_BYTES = 48 * 1024
"""As the journal cuts lines that come on a stream; a datagram has to fit the socket's buffer."""


def entry(values: Mapping[str, str]) -> bytes:
    """The datagram for these fields; a value with line breaks goes with its length."""
    return b"".join(_field(name, value) for name, value in values.items())


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")[:LONGEST_VALUE_BYTES]
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode("ascii"), data)
    return b"%s\n%s%s\n" % (name.encode("ascii"), struct.pack("<Q", len(data)), data)


def leads_to_journal(stream: TextIO) -> bool:
    """Is `stream` the one that systemd has connected to the journal?

    JOURNAL_STREAM names it by device and inode. It is set, too, where only the standard output
    leads there and the standard error, say, into a file.
    """
    named = os.environ.get("JOURNAL_STREAM", "")
    with contextlib.suppress(OSError, io.UnsupportedOperation, AttributeError, ValueError):
        found = os.fstat(stream.fileno())
        return named == f"{found.st_dev}:{found.st_ino}"
    return False


class JournalSocket:
    """Where entries are sent; one thread uses it, which may have to wait for the journal."""

    def __init__(self, path: str = PATH) -> None:
        self._path = path
        self._socket: Optional[socket.socket] = None

    def send(self, data: bytes) -> None:
        """Raises OSError where the journal is not there: it restarts, or there is none."""
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.sendto(data, self._path)
