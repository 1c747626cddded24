# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""By which name this host introduces itself to a mail server (RFC 5321 4.1.1.1)."""

from __future__ import annotations

import ipaddress
import re
import socket

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_FULL_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)+(?!\d+\Z){_LABEL}")
_NOBODYS = (".localdomain", ".localhost")


def hello_name(chosen: str, sock: socket.socket) -> str:
    """The chosen one; else this host's full name; else its address on that connection.

    A short name is refused by many servers (504); an address in brackets is what a host without
    a full name is to give (RFC 5321 4.1.3). Always ASCII.
    """
    return _ascii_form(chosen) or _own_full_name() or _address_literal(sock)


def _own_full_name() -> str:
    name = socket.gethostname()
    own = _ascii_form(name)
    if is_full_name(own):
        return own
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    except (OSError, ValueError):
        return ""
    full = _ascii_form(found[0][3]) if found else ""
    return full if is_full_name(full) else ""


def is_full_name(name: str) -> bool:
    """Has it a domain, and is it one that others may know?"""
    return bool(_FULL_NAME.fullmatch(name)) and not name.lower().endswith(_NOBODYS)


def _ascii_form(name: str) -> str:
    """Beyond ASCII, as it stands in the DNS (``xn--…``); empty where it has no such form."""
    name = name.rstrip(".")
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return ""


def _address_literal(sock: socket.socket) -> str:
    address = ipaddress.ip_address(str(sock.getsockname()[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None or address.version == 4:
        return f"[{mapped or address}]"
    return f"[IPv6:{address}]"
