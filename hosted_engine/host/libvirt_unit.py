# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which of libvirt's two services works on this host: hints must name the one that is there.

Debian runs one daemon for everything, libvirtd; EL 9 and later one for each kind of thing, of
which virtqemud has the VMs. They exclude each other, and where both are enabled systemd prefers
virtqemud, by the conflict that its unit declares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MODULAR, MONOLITHIC = "virtqemud", "libvirtd"
UNITS = (MODULAR, MONOLITHIC)  # in the order of preference

_ENABLED_BELOW = "etc/systemd/system"
_INSTALLED_BELOW = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
_KINDS = ("service", "socket")
_SOCKETS = {MODULAR: "run/libvirt/virtqemud-sock", MONOLITHIC: "run/libvirt/libvirt-sock"}


def libvirt_unit(root: str = "/") -> str:
    """The unit without its ending; empty where neither is installed.

    What is enabled goes before what has a socket, which systemd leaves behind when it stops, and
    that before what is only installed. Files alone are looked at: this is asked when libvirt, or
    more, hangs.
    """
    return next(_found(Path(root)), "")


def libvirt_hint(root: str = "/") -> str:
    """libvirt as the one that has not answered, with where to look."""
    unit = libvirt_unit(root) or f"{MONOLITHIC} {MODULAR}"
    return f"libvirt (see 'systemctl status {unit}')"


def _found(root: Path) -> Iterator[str]:
    for unit in UNITS:
        if _is_enabled(root / _ENABLED_BELOW, unit):
            yield unit
    for unit in UNITS:
        if (root / _SOCKETS[unit]).exists():
            yield unit
    for unit in UNITS:
        if any((root / folder / f"{unit}.service").exists() for folder in _INSTALLED_BELOW):
            yield unit


def _is_enabled(folder: Path, unit: str) -> bool:
    """By its service, or by the socket that starts it; the link is enough."""
    wants = [wants / f"{unit}.{kind}" for wants in folder.glob("*.wants") for kind in _KINDS]
    return any(one.is_symlink() or one.exists() for one in wants)
