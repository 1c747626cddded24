"""The network probes of the real world: ICMP, TCP, and DNS over TCP. Nothing is kept between them.

What can't be tried at all (a name that can't be resolved, no right to ping) is a WorldError and
says nothing about the network; whatever goes wrong on the way is a probe without an answer.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from world.network import dns_probe
from world.network.deadline import Deadline
from world.network.icmp_echo import ping
from world.ports.errors import WorldError


class SocketNetworkProbe:
    """The `NetworkProbe` of the real world; opens a socket for each probe."""

    def __init__(
        self, resolv_conf: Path = dns_probe.RESOLV_CONF, dns_port: int = dns_probe.PORT
    ) -> None:
        self._resolv_conf = resolv_conf
        self._dns_port = dns_port

    def ping(self, address: str, timeout_s: float) -> bool:
        """One ICMP echo; see `NetworkProbe`."""
        return ping(address, timeout_s)

    def tcp(self, host: str, port: int, timeout_s: float) -> bool:
        """One connection; see `NetworkProbe`."""
        deadline = Deadline(timeout_s)
        target = _resolve(f"connect to {host} port {port}", host, port)
        try:
            with _connect(target, deadline):
                return True
        except OSError:  # refused, unreachable or too late: that is an answer too
            return False

    def dns(self, server: str, timeout_s: float) -> bool:
        """One question over TCP; see `NetworkProbe`."""
        deadline = Deadline(timeout_s)
        address = server or dns_probe.first_name_server(self._resolv_conf)
        target = _resolve(f"ask name server {address}", address, self._dns_port)
        try:
            with _connect(target, deadline) as sock:
                return dns_probe.answers(sock, deadline)
        except OSError:
            return False


def _resolve(what: str, host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise WorldError(what, why, getattr(error, "errno", None) or 0) from error
    family, _, _, _, address = found[0]
    return family, address


def _connect(target: tuple[socket.AddressFamily, Any], deadline: Deadline) -> socket.socket:
    family, address = target
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(deadline.left_s())
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock
