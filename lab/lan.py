# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The LAN: one Linux bridge of this machine, with the gateway's address on it.

Every host has a cable (veth) into it. Hosts and guest have no default route, so nothing of
the lab leaves the machine.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import Any

from lab.errors import LabError
from lab.processes import run
from lab.settings import (
    BRIDGE,
    ENGINE_ADDRESS,
    GATEWAY_ADDRESS,
    HEALTH_PATH,
    HEALTH_TEXT,
    LAB_ADDRESS,
    NETWORK,
    PREFIX_LENGTH,
    Places,
)

# Its own, or the bridge takes the lowest of its ports': each host that goes or comes could change
# the gateway's, and the others' probes would miss it until they asked for it anew.
GATEWAY_MAC = "52:54:00:00:00:01"


def exists() -> bool:
    """Whether the lab's bridge is there."""
    return BRIDGE in _interfaces()


def refuse_if_used() -> None:
    """Refuse to disturb this machine's network: another lab's, or what is there otherwise."""
    if exists():
        of_lab = f" and belongs to the lab of HE_LAB_STATE={_owner()}" if _owner() else ""
        raise LabError(f"network interface {BRIDGE} exists already{of_lab}")
    _refuse_used_network()


def create(places: Places) -> None:
    """Make the bridge and its addresses."""
    run(["ip", "link", "add", BRIDGE, "address", GATEWAY_MAC, "type", "bridge"])
    run(["ip", "link", "set", BRIDGE, "alias", str(places.state)])
    # No IPv6 address on the machine's end: the lab has no use for it. A kernel without IPv6
    # refuses this, and needs it not.
    with contextlib.suppress(LabError):
        run(["ip", "link", "set", BRIDGE, "addrgenmode", "none"])
    run(["ip", "link", "set", BRIDGE, "up"])
    # The first address is the primary one: removing the gateway's later leaves it alone.
    run(["ip", "address", "add", f"{LAB_ADDRESS}/{PREFIX_LENGTH}", "dev", BRIDGE])
    gateway_up()


def remove(places: Places) -> None:
    """Remove this lab's bridge; the hosts' cables go with the hosts."""
    if exists() and _owner() == str(places.state):
        run(["ip", "link", "delete", BRIDGE])


def gateway_is_up() -> bool:
    """Whether the gateway has its address."""
    return exists() and GATEWAY_ADDRESS in run(["ip", "-o", "address", "show", "dev", BRIDGE])


def gateway_up() -> None:
    """Give the gateway its address."""
    run(["ip", "address", "add", f"{GATEWAY_ADDRESS}/{PREFIX_LENGTH}", "dev", BRIDGE])


def gateway_down() -> None:
    """Take the gateway's address away: nobody answers there any more."""
    run(["ip", "address", "delete", f"{GATEWAY_ADDRESS}/{PREFIX_LENGTH}", "dev", BRIDGE])


# Of a bridge's port, by the kernel's numbers (BR_STATE_* in linux/if_bridge.h).
_DISABLED, _FORWARDING = "0", "3"


def cable(host: str) -> str:
    """The machine's end of a host's cable; systemd-nspawn makes and names it."""
    return f"vb-{host}"


def cable_exists(host: str) -> bool:
    """Whether the host's cable is there, which it is while the host has power."""
    return cable(host) in _interfaces()


def set_cable(host: str, way: str) -> None:
    """Pull a host's cable ("cut"): it sees its carrier go. Or have the switch lose all that comes
    through it ("drop"), or "heal" both."""
    run(["ip", "link", "set", cable(host), "down" if way == "cut" else "up"])
    if way != "cut":
        port = _DISABLED if way == "drop" else _FORWARDING
        run(["bridge", "link", "set", "dev", cable(host), "state", port])


def remove_cable(host: str) -> None:
    """Take away the cable of a host that is off.

    The kernel does so itself, but only when the last TCP connection of the dead network
    namespace has timed out, which can take minutes.
    """
    # It may vanish by itself at any moment.
    with contextlib.suppress(LabError):
        run(["ip", "link", "delete", cable(host)])
    if cable_exists(host):
        raise LabError(f"network interface {cable(host)}: cannot be removed")


def engine_is_healthy(timeout_s: float = 1.0) -> bool:
    """Ask the engine's health page as a user in the LAN does."""
    try:
        return HEALTH_TEXT in _ask_health_page(timeout_s)
    except (OSError, http.client.HTTPException):
        return False


def _ask_health_page(timeout_s: float) -> str:
    connection = http.client.HTTPConnection(ENGINE_ADDRESS, timeout=timeout_s)
    connection.sock = _lan_socket(timeout_s)
    try:
        connection.sock.connect((ENGINE_ADDRESS, 80))
        connection.request("GET", HEALTH_PATH)
        answer = connection.getresponse()
        return answer.read(4096).decode(errors="replace") if answer.status == 200 else ""
    finally:
        connection.close()


def _lan_socket(timeout_s: float) -> socket.socket:
    """A socket tied to the lab's bridge.

    Without the bridge it fails: a probe must never leave by the machine's default route.
    """
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        probe.settimeout(timeout_s)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, BRIDGE.encode() + b"\0")
        probe.bind((LAB_ADDRESS, 0))
    except OSError:
        probe.close()
        raise
    return probe


def _interfaces() -> list[str]:
    """Those of this process's own network; /sys may show another one's."""
    return [name for _, name in socket.if_nameindex()]


def _owner() -> str:
    """Whose lab's bridge it is: that lab's folder."""
    shown: list[dict[str, Any]] = json.loads(run(["ip", "-json", "link", "show", "dev", BRIDGE]))
    return str(shown[0].get("ifalias", ""))


def _refuse_used_network() -> None:
    prefix = NETWORK.rpartition(".")[0] + "."
    routes: list[dict[str, Any]] = json.loads(run(["ip", "-json", "route", "show"]))
    for route in routes:
        if str(route["dst"]).startswith(prefix):
            raise LabError(f"{NETWORK}: used by this machine already ({route['dst']})")
