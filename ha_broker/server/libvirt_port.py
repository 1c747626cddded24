# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Where the libvirt of an address listens."""

from __future__ import annotations

from typing import NamedTuple, Optional

# libvirt's own, by the transport; without one it is TLS. Which way ssh goes, its own files say.
_PORTS = {"": 16514, "tls": 16514, "tcp": 16509}


class Port(NamedTuple):
    """Where a libvirt listens; `tls`: it speaks TLS there."""

    host: str
    port: int
    tls: bool


def port_at(address: str) -> Optional[Port]:
    """Host and TCP port of the libvirt at `address`; None: it is reached in another way.

    As libvirt's remote driver reads it (https://libvirt.org/uri.html).
    """
    from urllib.parse import urlsplit  # noqa: PLC0415  # some hundred KiB, for a move

    try:
        found = urlsplit(address)
        host, port = found.hostname, found.port
    except ValueError:
        return None
    transport = found.scheme.partition("+")[2]
    usual = _PORTS.get(transport)
    if not host or usual is None:
        return None
    return Port(host, port or usual, transport in ("", "tls"))
