"""Which command lines connect the shared storage and disconnect it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from metadata.settings.storage_connection import (
    FcConnection,
    GlusterConnection,
    IscsiConnection,
    MountedConnection,
    NfsConnection,
    StorageConnection,
)

# iscsiadm(8): logged in already; no such record, session or portal.
ISCSI_SESSION_EXISTS = 15
ISCSI_NOTHING_FOUND = 21


@dataclass(frozen=True)
class Step:
    """One command line. `fine` are the exit codes that are as good as 0.

    The last word of a `secret` one is shown to nobody.
    """

    command: tuple[str, ...]
    fine: tuple[int, ...] = ()
    secret: bool = False

    @property
    def shown(self) -> tuple[str, ...]:
        """The command as people may see it."""
        return (*self.command[:-1], "********") if self.secret else self.command


def mount_source(connection: MountedConnection) -> str:
    """What is mounted, as `mount` takes it."""
    if isinstance(connection, NfsConnection):
        return f"{connection.server}:{connection.export}"
    if isinstance(connection, GlusterConnection):
        return f"{connection.server}:/{connection.volume}"
    return connection.device


def mount_type(connection: MountedConnection) -> str:
    """The file system, as `mount -t` takes it."""
    if isinstance(connection, NfsConnection):
        return connection.version
    return "glusterfs" if isinstance(connection, GlusterConnection) else connection.vfs_type


def connect_steps(
    connection: StorageConnection, storage_path: str, settle_s: float, password: str = ""
) -> tuple[Step, ...]:
    """What connects it; `settle_s` is how long the kernel's new devices are waited for."""
    settle = Step(_settle(storage_path, settle_s))
    if isinstance(connection, IscsiConnection):
        return (*_login(connection, password), settle)
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
        node = _node(connection)
        # The record goes too, and with it the password that stands there.
        return (
            Step((*node, "--logout"), fine=(ISCSI_NOTHING_FOUND,)),
            Step((*node, "-o", "delete"), fine=(ISCSI_NOTHING_FOUND,)),
        )
    return (Step(("umount", connection.mount_point)),)


def _settle(path: str, settle_s: float) -> tuple[str, ...]:
    return ("udevadm", "settle", f"--timeout={settle_s:.0f}", f"--exit-if-exists={path}")


def _login(connection: IscsiConnection, password: str) -> tuple[Step, ...]:
    node = _node(connection)
    chap = (
        _update(node, "node.session.auth.authmethod", "CHAP"),
        _update(node, "node.session.auth.username", connection.user),
        _update(node, "node.session.auth.password", password, secret=True),
    )
    return (
        Step((*node, "-o", "new")),
        *(chap if connection.user else ()),
        # Else the system would log in at boot by itself, also after a host was removed.
        _update(node, "node.startup", "manual"),
        Step((*node, "--login"), fine=(ISCSI_SESSION_EXISTS,)),
    )


def _node(connection: IscsiConnection) -> tuple[str, ...]:
    return ("iscsiadm", "-m", "node", "-T", connection.target, "-p", connection.portal)


def _update(node: tuple[str, ...], name: str, value: str, secret: bool = False) -> Step:
    return Step((*node, "-o", "update", "-n", name, "-v", value), secret=secret)


def lists_session(sessions: str, connection: IscsiConnection) -> bool:
    """Is it among the lines of ``iscsiadm -m session``?

    A line is ``tcp: [1] 192.0.2.7:3260,1 iqn.2020-01.org.example:engine (non-flash)``. Where the
    portal is given by name the target alone counts: the lines have addresses.
    """
    for line in sessions.splitlines():
        words = line.split()
        if len(words) >= 4 and words[3] == connection.target:
            address = words[2].partition(",")[0]
            if not _is_address(connection.portal) or address == _with_port(connection.portal):
                return True
    return False


def _is_address(portal: str) -> bool:
    return portal.startswith("[") or all(part.isdigit() for part in _host(portal).split("."))


def _host(portal: str) -> str:
    return portal.partition(":")[0]


def _with_port(portal: str) -> str:
    has_port = "]:" in portal if portal.startswith("[") else ":" in portal
    return portal if has_port else f"{portal}:3260"
