# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The network probes of the real world: ICMP, TCP, and DNS over TCP. Nothing is kept between them.

What can't be tried at all (a name that can't be resolved, no right to ping) is a WorldError and
says nothing about the network; whatever goes wrong on the way is a probe without an answer.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Callable, Optional

from metadata.error_words import reason
from world.network import dial, dns_probe, tls_greeting
from world.network.deadline import Deadline
from world.network.icmp_echo import ping
from world.ports.errors import WorldError
from world.ports.network import ProbeReading


class SocketNetworkProbe:
    """The `NetworkProbe` of the real world; opens a socket for each address that is tried."""

    def __init__(
        self, resolv_conf: Path = dns_probe.RESOLV_CONF, dns_port: int = dns_probe.PORT
    ) -> None:
        self._resolv_conf = resolv_conf
        self._dns_port = dns_port

    def ping(self, address: str, timeout_s: float) -> ProbeReading:
        """One ICMP echo; see `NetworkProbe`."""
        return ping(address, timeout_s)

    def tcp(self, host: str, port: int, timeout_s: float) -> ProbeReading:
        """One connection; see `NetworkProbe`."""
        return _connect(host, port, timeout_s)

    def tls(self, host: str, port: int, timeout_s: float) -> ProbeReading:
        """One connection and one message; see `NetworkProbe`."""
        return _connect(host, port, timeout_s, tls_greeting.is_answered)

    def dns(self, server: str, timeout_s: float) -> ProbeReading:
        """One question over TCP; see `NetworkProbe`."""
        deadline = Deadline(timeout_s)
        servers = (server,) if server else dns_probe.name_servers(self._resolv_conf)
        targets = self._targets(servers, deadline)
        return dns_probe.ask(targets[: dial.MOST_ADDRESSES], deadline)

    def _targets(self, servers: tuple[str, ...], deadline: Deadline) -> list[dial.ResolvedAddress]:
        """Of those that can be asked at all; WorldError where there is none."""
        found: list[dial.ResolvedAddress] = []
        failure: Optional[WorldError] = None
        for server in servers:
            try:
                found += _resolve(f"ask name server {server}", server, self._dns_port, deadline)
            except WorldError as error:  # an address by a device that is not there
                failure = failure or error
        if not found and failure is not None:
            raise failure
        return found


def _connect(
    host: str,
    port: int,
    timeout_s: float,
    is_answered: Callable[[socket.socket, Deadline], bool] = lambda _sock, _deadline: True,
) -> ProbeReading:
    deadline = Deadline(timeout_s)
    targets = _resolve(f"connect to {host} port {port}", host, port, deadline)
    try:
        with dial.connect_any(targets, deadline) as sock:
            peer = dial.peer(sock) or host
            if is_answered(sock, deadline):
                return ProbeReading(True, f"{peer} accepts")
            why = f"{peer} accepts the connection, and says nothing within {timeout_s:g} s"
            return ProbeReading(False, why)
    except OSError as error:  # refused, unreachable or too late: that is an answer too
        return ProbeReading(False, reason(error))


def _resolve(what: str, host: str, port: int, deadline: Deadline) -> list[dial.ResolvedAddress]:
    try:
        return dial.resolve(host, port, deadline)
    except dial.UnresolvedError as error:
        raise WorldError(what, str(error)) from error
