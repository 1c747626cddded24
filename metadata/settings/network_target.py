# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the network's test is tried on: which targets make sense for which test. Pure."""

from __future__ import annotations

import ipaddress
import re

_PORT = re.compile(r"[1-9]\d{0,4}", re.ASCII)


def host_and_port(target: str) -> tuple[str, int]:
    """``host:port`` or ``[address]:port`` in its parts; raises ValueError."""
    host, colon, port = target.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address stands in brackets")
    if not colon or not host or not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError("no host with a port")
    return host, int(port)


def target_problem(test: str, target: str) -> str:
    """What `target` should be for `test`; empty: it is fine."""
    if test == "tcp" and not _has_port(target):
        return "host:port, an IPv6 address in brackets, the port from 1 to 65535"
    if test == "dns" and target and not is_address(target):
        return "a name server's IP address, or nothing: those of the host's resolv.conf"
    if test == "ping" and ("[" in target or "]" in target):
        return "an IP address or a host name, or nothing: the host's gateway"
    return ""


def _has_port(target: str) -> bool:
    try:
        host_and_port(target)
    except ValueError:
        return False
    return True


def is_address(target: str) -> bool:
    """Is it a number of IPv4 or IPv6, with or without a zone?"""
    try:
        ipaddress.ip_address(target.partition("%")[0])
    except ValueError:
        return False
    return True
