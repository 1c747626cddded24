# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Servers and folders as people write them, in one form each, so that two can be compared. Pure.

``fd00:0::1``, ``[FD00::1]`` and ``[fd00::1]`` are one server, ``/export//engine/`` and
``/export/engine`` one folder.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Optional

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_SCOPE = re.compile(r"[A-Za-z0-9._-]+")


def normal_server(text: str) -> Optional[str]:
    """A host name or IPv4 address as it is, an IPv6 address in brackets in its shortest form.

    None: it is none of these. Of an IPv6 address the brackets may be left out, and a link-local
    one may have its device behind it (``fe80::1%eth0``).
    """
    if _NAME.fullmatch(text):
        return text
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    address, percent, scope = inner.partition("%")
    if percent and not _SCOPE.fullmatch(scope):
        return None
    try:
        return f"[{ipaddress.IPv6Address(address)}{percent}{scope}]"
    except ValueError:
        return None


def normal_folder(path: str) -> str:
    """One slash where several stand, and none at the end but that of ``/``."""
    return re.sub("/+", "/", path).rstrip("/") or "/"


def same_remote(one: str, other: str) -> bool:
    """Do two sources of mounts (``SERVER:/FOLDER``) name the same place?

    The kernel's list has what somebody typed: another spelling of the address, the name in
    capitals, or, of GlusterFS, the volume without its slash.
    """
    return _normal_remote(one) == _normal_remote(other)


def _normal_remote(source: str) -> tuple[str, str]:
    server, found, folder = source.partition(":/")
    if not found:
        server, _, folder = source.rpartition(":")
    normal = normal_server(server) or server
    return normal.lower().rstrip("."), normal_folder(f"/{folder}")
