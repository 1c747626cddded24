# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which command lines connect the shared storage and disconnect it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional, Union

from metadata.settings.storage_connection import (
    FcConnection,
    GlusterConnection,
    IscsiConnection,
    MountedConnection,
    NfsConnection,
    StorageConnection,
    normal_portal,
    with_port,
)

# iscsiadm(8): logged in already; no such record, session or portal.
ISCSI_SESSION_EXISTS = 15
ISCSI_NOTHING_FOUND = 21
# open-iscsi's own bound for a CHAP secret.
MOST_PASSWORD_BYTES = 255
_PASSWORD_NAME, _RECORD_END = "node.session.auth.password", "# END RECORD"


@dataclass(frozen=True)
class Step:
    """One command line. `fine` are the exit codes that are as good as 0."""

    command: tuple[str, ...]
    fine: tuple[int, ...] = ()


@dataclass(frozen=True)
class PasswordStep:
    """The password of `connection` is to be written into iscsiadm's record of it at `portal`.

    iscsiadm itself takes it on its command line only, which every user of the host can read.
    """

    connection: IscsiConnection
    portal: str


ConnectStep = Union[Step, PasswordStep]


def mount_source(connection: MountedConnection) -> str:
    """What is mounted, as `mount` takes it."""
    if isinstance(connection, NfsConnection):
        return f"{connection.server}:{connection.export}"
    if isinstance(connection, GlusterConnection):
        # Its mount helper finds the last colon, and knows no brackets.
        return f"{connection.server.strip('[]')}:/{connection.volume}"
    return connection.device


def mount_type(connection: MountedConnection) -> str:
    """The file system, as `mount -t` takes it."""
    if isinstance(connection, NfsConnection):
        return connection.version
    return "glusterfs" if isinstance(connection, GlusterConnection) else connection.vfs_type


def connect_steps(
    connection: StorageConnection, storage_path: str, settle_s: float
) -> tuple[ConnectStep, ...]:
    """What connects it; `settle_s` is how long the kernel's new devices are waited for."""
    settle = settle_step(storage_path, settle_s)
    if isinstance(connection, IscsiConnection):
        logins = [login_steps(connection, portal) for portal in connection.portals]
        return (*(step for steps in logins for step in steps), settle)
    if isinstance(connection, FcConnection):
        is_map = connection.device.startswith("/dev/mapper/")
        return (*((Step(("multipath", "-v1")),) if is_map else ()), settle)
    options = ("-o", connection.options) if connection.options else ()
    source = mount_source(connection)
    words = ("mount", "-t", mount_type(connection), *options, source, connection.mount_point)
    return (Step(words),)


def disconnect_steps(connection: StorageConnection) -> tuple[Step, ...]:
    """What disconnects it; nothing where the host's own adapters bring the device."""
    if isinstance(connection, FcConnection):
        return ()
    if isinstance(connection, IscsiConnection):
        return tuple(
            step for portal in connection.portals for step in _logout_steps(connection, portal)
        )
    return (Step(("umount", connection.mount_point)),)


def settle_step(path: str, settle_s: float) -> Step:
    """Waits for the kernel's new devices, `path` among them."""
    words = ("udevadm", "settle", f"--timeout={settle_s:.0f}", f"--exit-if-exists={path}")
    return Step(words)


def login_steps(connection: IscsiConnection, portal: str) -> tuple[ConnectStep, ...]:
    """What logs in to the target at one of its portals."""
    node = _node(connection, portal)
    chap: tuple[ConnectStep, ...] = (
        _update(node, "node.session.auth.authmethod", "CHAP"),
        _update(node, "node.session.auth.username", connection.user),
        PasswordStep(connection, portal),
    )
    return (
        Step((*node, "-o", "new")),
        *(chap if connection.user else ()),
        # Else the system would log in at boot by itself, also after a host was removed.
        _update(node, "node.startup", "manual"),
        Step((*node, "--login"), fine=(ISCSI_SESSION_EXISTS,)),
    )


def _logout_steps(connection: IscsiConnection, portal: str) -> tuple[Step, ...]:
    """The record goes too, and with it the password that stands there."""
    node = _node(connection, portal)
    return (
        Step((*node, "--logout"), fine=(ISCSI_NOTHING_FOUND,)),
        Step((*node, "-o", "delete"), fine=(ISCSI_NOTHING_FOUND,)),
    )


def _node(connection: IscsiConnection, portal: str) -> tuple[str, ...]:
    return ("iscsiadm", "-m", "node", "-T", connection.target, "-p", portal)


def _update(node: tuple[str, ...], name: str, value: str) -> Step:
    return Step((*node, "-o", "update", "-n", name, "-v", value))


# --- iscsiadm's record of a connection ------------------------------------------------------


def record_patterns(target: str, portal: str) -> tuple[str, str]:
    """Where the record may lie below the folder of all nodes: with the portal group, or without.

    ``TARGET/ADDRESS,PORT`` or ``TARGET/ADDRESS,PORT,GROUP/INTERFACE`` (open-iscsi's idbm).
    """
    address, _, port = with_port(portal).rpartition(":")
    record = f"{target}/{address.strip('[]')},{port}"
    return record, f"{record},*/*"


def password_problem(password: str) -> str:
    """Why the record can't hold it; empty: it can. A line of it is ``name = value``."""
    fits = 0 < len(password.encode()) <= MOST_PASSWORD_BYTES
    if fits and password.strip() == password and password.isprintable():
        return ""
    return (
        f"is refused; allowed: one line of 1 to {MOST_PASSWORD_BYTES} bytes without blanks at its "
        "beginning or end"
    )


def with_password(record: str, password: str) -> str:
    """The record's text with this password instead of any that it has."""
    return "".join(f"{line}\n" for line in _record_lines(record.splitlines(), password))


def _record_lines(lines: list[str], password: str) -> Iterator[str]:
    wanted: Optional[str] = f"{_PASSWORD_NAME} = {password}"
    for line in lines:
        if line.split("=", 1)[0].strip() == _PASSWORD_NAME:
            continue
        if wanted and line.startswith(_RECORD_END):
            yield wanted
            wanted = None
        yield line
    if wanted:
        yield wanted


def connected_portals(sessions: str, connection: IscsiConnection) -> tuple[str, ...]:
    """The portals with a session among the lines of ``iscsiadm -m session``.

    A line is ``tcp: [1] 192.0.2.7:3260,1 iqn.2020-01.org.example:engine (non-flash)``. The lines
    have addresses: to a portal that is given by its name belongs any session of the target
    that no other portal has.
    """
    found = _session_portals(sessions, connection.target)
    wanted = [portal for portal in connection.portals if _is_address(portal)]
    others = len(found - {with_port(portal) for portal in wanted})
    named = [portal for portal in connection.portals if portal not in wanted][:others]
    return tuple(
        portal
        for portal in connection.portals
        if portal in named or (portal in wanted and with_port(portal) in found)
    )


def _session_portals(sessions: str, target: str) -> set[str]:
    lines = [line.split() for line in sessions.splitlines()]
    portals = [line[2].partition(",")[0] for line in lines if len(line) > 3 and line[3] == target]
    return {with_port(normal_portal(portal) or portal) for portal in portals}


def _is_address(portal: str) -> bool:
    host = with_port(portal).rpartition(":")[0]
    return host.startswith("[") or all(part.isdigit() for part in host.split("."))
