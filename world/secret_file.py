"""Passwords and keys that stand in files on this host."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

MOST_BYTES = 4096

log = logging.getLogger(__name__)

_warned: set[str] = set()


def read_secret(path: str) -> bytes:
    """The file's content without the line end behind it; raises OSError.

    A file that others than its owner may read is used all the same, and told once.
    """
    with Path(path).open("rb") as file:
        _warn_if_open(path, os.fstat(file.fileno()).st_mode)
        secret = file.read(MOST_BYTES + 1).rstrip(b"\r\n")
    if not secret or len(secret) > MOST_BYTES:
        raise OSError(f"{path}: a secret has 1 to {MOST_BYTES} bytes")
    return secret


def _warn_if_open(path: str, mode: int) -> None:
    shared = stat.S_IMODE(mode) & 0o077
    if not shared:
        _warned.discard(path)
    elif path not in _warned:
        _warned.add(path)
        log.warning("%s: others than its owner may use it (mode %04o)", path, stat.S_IMODE(mode))
