# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --add-console-password``: a password for the engine's display, for a while.

It is given to the running VM alone: no configuration holds it, and it ends with the VM. What
an administrator types never stands on a command line unless he put it there himself.
"""

from __future__ import annotations

import argparse
import getpass
import os
import secrets
import string
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Optional
from xml.etree import ElementTree

from hosted_engine.errors import EXIT_OK, CommandError, UsageError
from hosted_engine.vm.engine_access import (
    EngineAccess,
    ask_libvirt,
    domain_here,
    engine_here,
    order,
)
from world.ports.errors import WorldError

PASSWORD_VARIABLE = "HE_CONSOLE_PASSWORD"
OLDER_VARIABLE = "OVIRT_HOSTED_ENGINE_CONSOLE_PASSWORD"
"""That of oVirt's own tools, whose empty value counts as none."""

VALID_S = 120.0
ORDER_LIMIT_S = 30.0

VNC, SPICE = "vnc", "spice"
# The protocol's own: VNC encrypts with so many characters and leaves the rest out.
LONGEST = {VNC: 8, SPICE: 60}

# A password that never was good: the display asks for one, and lets nobody in until it has one.
_LOCKED = "passwd='*' passwdValidTo='1970-01-01T00:00:01'"
ADD_ONE = (
    f"add <graphics type='vnc' port='-1' autoport='yes' {_LOCKED}/> to the domain XML of the "
    "shared configuration; it counts from the VM's next start"
)
NEEDS_ONE_FROM_THE_START = (
    f"a display takes a password only if its <graphics> had one at the VM's start: {_LOCKED}"
)
_EVERYWHERE = ("0.0.0.0", "::")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Display:
    """A display of the VM, and where it listens: an address and ports, or a socket's path."""

    kind: str
    address: str = ""
    port: Optional[int] = None
    tls_port: Optional[int] = None
    socket: str = ""


def run_command(options: argparse.Namespace) -> int:
    """Set it and say where to connect to; raises CommandError."""
    valid_s = VALID_S if options.valid_for is None else options.valid_for
    if options.generate and options.password is not None:
        raise UsageError("--generate and --password exclude each other")
    engine = engine_here()
    shown = displays_here(engine)
    password = _generated() if options.generate else chosen(options.password)
    check(password, shown)
    set_password(engine, password, valid_s)
    if options.generate:
        print(f"The password: {password}")
    print(f"It lets new viewers in for {valid_s:.0f} s; who is in then stays in.")
    for display in shown:
        print(f"Connect to {where(display, engine.host_name)}")
    return EXIT_OK


# --- the password ---------------------------------------------------------------------------


def chosen(given: Optional[str]) -> str:
    """From the command line, the environment, or typed twice; raises CommandError."""
    if given is not None:
        return given
    from_environment = os.environ.get(PASSWORD_VARIABLE)
    if from_environment is not None:
        return from_environment
    older = os.environ.get(OLDER_VARIABLE)
    if older:
        return older
    if not sys.stdin.isatty():
        raise CommandError(
            "there is no terminal to type the password at: put it into the environment variable "
            f"{PASSWORD_VARIABLE}, or let one be made with --generate"
        )
    try:
        first = getpass.getpass("Password of the engine's display: ")
        again = getpass.getpass("The same again: ")
    except EOFError as error:
        raise CommandError("no password was typed; nothing was done") from error
    if first != again:
        raise CommandError("the two passwords differ; nothing was done")
    return first


def _generated() -> str:
    """As long as every display takes."""
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(min(LONGEST.values())))


def check(password: str, displays: list[Display]) -> None:
    """Raises CommandError, which never tells the password itself."""
    if not password:
        raise CommandError("the password is empty; nothing was done")
    if not (password.isascii() and password.isprintable()):
        raise CommandError("the password may have printable ASCII characters only")
    for display in displays:
        longest = LONGEST[display.kind]
        if len(password) > longest:
            raise CommandError(
                f"the password has {len(password)} characters; {display.kind.upper()} takes "
                f"{longest} at most"
            )


# --- the displays ---------------------------------------------------------------------------


def displays_here(engine: EngineAccess) -> list[Display]:
    """Those of the VM on this host; raises CommandError when it is not here or has none."""
    domain_here(engine)
    found = displays(ask_libvirt(engine.hypervisor.live_xml))
    if not found:
        raise CommandError(f"the engine's VM has no VNC or SPICE display; {ADD_ONE}")
    return found


def displays(xml: str) -> list[Display]:
    """The VNC and SPICE displays in libvirt's words on a running domain."""
    found = ElementTree.fromstring(xml).findall("devices/graphics")
    return [_display(one) for one in found if one.get("type") in LONGEST]


def _display(graphics: ElementTree.Element) -> Display:
    listen = getattr(graphics.find("listen"), "attrib", {})
    return Display(
        kind=graphics.get("type", ""),
        address=graphics.get("listen", ""),
        port=_port(graphics.get("port")),
        tls_port=_port(graphics.get("tlsPort")),
        socket=graphics.get("socket", "") or listen.get("socket", ""),
    )


def _port(text: Optional[str]) -> Optional[int]:
    """libvirt says -1 of one that is not there."""
    return int(text) if text is not None and text.isdigit() else None


def where(display: Display, host_name: str) -> str:
    """What to tell a viewer, and what else it takes."""
    if display.socket:
        return f"{display.kind} at the socket {display.socket} of this host"
    if display.port is None and display.tls_port is None:
        return f"{display.kind}, which listens nowhere"
    ports = [f"port {display.port}"] if display.port is not None else []
    ports += [f"TLS port {display.tls_port}"] if display.tls_port is not None else []
    place = host_name if display.address in _EVERYWHERE else display.address
    tunnel = ""
    if display.address in _LOOPBACK:
        port = display.port if display.port is not None else display.tls_port
        tunnel = f" (from elsewhere: ssh -L {port}:{display.address}:{port} {host_name})"
    return f"{display.kind} at {place}, {', '.join(ports)}{tunnel}"


# --- setting --------------------------------------------------------------------------------


def set_password(engine: EngineAccess, password: str, valid_s: float) -> None:
    """On every display of the VM; raises CommandError."""
    ends_at_s = time.time() + valid_s
    xml = ask_libvirt(engine.hypervisor.live_xml)
    for graphics in ElementTree.fromstring(xml).findall("devices/graphics"):
        if graphics.get("type") in LONGEST:
            _update(engine, with_password(graphics, password, ends_at_s))


def _update(engine: EngineAccess, device_xml: str) -> None:
    try:
        order(partial(engine.hypervisor.update_device, device_xml), ORDER_LIMIT_S)
    except WorldError as error:
        raise CommandError(f"{error} ({NEEDS_ONE_FROM_THE_START})") from error


def with_password(graphics: ElementTree.Element, password: str, ends_at_s: float) -> str:
    """The device as it is, but with this password; libvirt wants the end in UTC."""
    graphics.set("passwd", password)
    graphics.set("passwdValidTo", time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ends_at_s)))
    return ElementTree.tostring(graphics, encoding="unicode")
