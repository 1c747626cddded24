# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Does a display let a viewer with this password in? As far as VNC and SPICE take for an answer."""

from __future__ import annotations

import socket
import struct
import subprocess
import tempfile
from pathlib import Path

LIMIT_S = 10
VNC_VERSION = b"RFB 003.008\n"
VNC_PASSWORD = 2
SPICE_MAGIC = b"REDQ"
SPICE_MAIN = 1
SPICE_KEY = slice(4, 4 + 162)


def vnc_lets_in(port: int, password: str) -> bool:
    """RFC 6143: the server's challenge comes back encrypted with the password."""
    with _connected(port) as line:
        assert _read(line, 12) == VNC_VERSION
        line.sendall(VNC_VERSION)
        offered = _read(line, _read(line, 1)[0])
        assert VNC_PASSWORD in offered, offered
        line.sendall(bytes([VNC_PASSWORD]))
        line.sendall(_des(password, _read(line, 16)))
        return _read(line, 4) == bytes(4)


def spice_lets_in(port: int, password: str) -> bool:
    """The ticket goes to the server encrypted with the key that it has sent."""
    hello = struct.pack("<IBBIII", 0, SPICE_MAIN, 0, 0, 0, 18)
    with _connected(port) as line:
        line.sendall(SPICE_MAGIC + struct.pack("<III", 2, 2, len(hello)) + hello)
        head = _read(line, 16)
        assert head[:4] == SPICE_MAGIC
        reply = _read(line, struct.unpack("<I", head[12:])[0])
        line.sendall(_rsa(password, reply[SPICE_KEY]))
        return _read(line, 4) == bytes(4)


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), LIMIT_S)


def _read(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = line.recv(size - len(data))
        assert part, f"hung up after {len(data)} of {size} bytes"
        data += part
    return data


def _des(password: str, challenge: bytes) -> bytes:
    """VNC takes each byte of the key the other way round."""
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode().ljust(8, b"\0"))
    legacy = ("-provider", "legacy", "-provider", "default")
    return _openssl(challenge, "enc", "-des-ecb", "-K", key.hex(), "-nopad", *legacy)


def _rsa(password: str, key: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "key")
        path.write_bytes(key)
        how = ("-pubin", "-keyform", "DER", "-inkey", str(path))
        padding = ("-pkeyopt", "rsa_padding_mode:oaep")
        return _openssl(password.encode() + b"\0", "pkeyutl", "-encrypt", *how, *padding)


def _openssl(data: bytes, *words: str) -> bytes:
    return subprocess.run(["openssl", *words], input=data, capture_output=True, check=True).stdout
