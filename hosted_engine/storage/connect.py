# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --connect-storage`` and ``--disconnect-storage``.

host.yaml says how the storage is reached (`metadata.settings.storage_connection`),
`connection_plan` which command lines that takes; here they are run, each with a deadline, and
their words passed on.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Callable, Optional

from hosted_engine.errors import EXIT_OK, CommandError
from hosted_engine.host.anew import within_deadline_anew
from hosted_engine.host.local_host import host_settings
from hosted_engine.host.mounts import MOUNTINFO, Mount, mounted_at
from hosted_engine.host.tools import run_tool, shown
from hosted_engine.storage.connection_plan import (
    ISCSI_NOTHING_FOUND,
    ConnectStep,
    PasswordStep,
    Step,
    connect_steps,
    connected_portals,
    disconnect_steps,
    login_steps,
    mount_source,
    mount_type,
    password_problem,
    record_patterns,
    settle_step,
    with_password,
)
from metadata.error_words import reason, reason_with_file
from metadata.settings.parse import HostSettings
from metadata.settings.remote_places import same_remote
from metadata.settings.storage_connection import (
    FcConnection,
    IscsiConnection,
    StorageConnection,
)
from world.durable import replace_file
from world.secret_file import read_secret

TOOL_DEADLINE_S = 60.0
SETTLE_S = 30.0
LOOK_DEADLINE_S = 10.0
NO_CONNECTION = (
    "host.yaml does not say how the storage is reached (storage.connection), so this host's own "
    "system connects it (fstab, for one)"
)


@dataclass(frozen=True)
class ConnectSite:
    """Where the steps are taken; tests have other places and a shorter patience."""

    say: Callable[[str], None] = field(default=lambda line: print(line, flush=True))
    deadline_s: float = TOOL_DEADLINE_S
    mountinfo: Path = MOUNTINFO
    disks: Path = Path("/dev/disk/by-path")
    blocks: Path = Path("/sys/class/block")
    # Debian's and Red Hat's open-iscsi keep their records in different places.
    iscsi_nodes: tuple[Path, ...] = (Path("/etc/iscsi/nodes"), Path("/var/lib/iscsi/nodes"))


def run_connect_command(options: argparse.Namespace) -> int:
    """``--connect-storage``; raises CommandError."""
    settings = host_settings()
    connect(settings, needed(settings), _site(options))
    return EXIT_OK


def run_disconnect_command(options: argparse.Namespace) -> int:
    """``--disconnect-storage``; raises CommandError while the storage is in use here."""
    from hosted_engine.host.environment import deployed_host
    from hosted_engine.storage.in_use import refuse_while_used

    settings = host_settings()
    connection = needed(settings)
    refuse_while_used(deployed_host(settings))
    disconnect(settings, connection, _site(options))
    return EXIT_OK


def needed(settings: HostSettings) -> StorageConnection:
    """How the storage is reached; raises CommandError when the settings do not say it."""
    if settings.connection is None:
        raise CommandError(f"{NO_CONNECTION}; nothing was done")
    return settings.connection


def _site(options: argparse.Namespace) -> ConnectSite:
    return ConnectSite() if options.timeout is None else ConnectSite(deadline_s=options.timeout)


# --- connecting -----------------------------------------------------------------------------


def connect(settings: HostSettings, connection: StorageConnection, site: ConnectSite) -> None:
    """Connect it unless it is; raises CommandError, also when the storage is not there then."""
    path = settings.storage.lockspace.path
    if isinstance(connection, IscsiConnection):
        _connect_portals(connection, path, site)
    elif is_connected(connection, site):
        _say_connected_already(connection, site)
    else:
        _prepare(connection)
        _take(connect_steps(connection, path, _settle_s(site)), "", site)
        site.say(f"[ ok ] connected: {describe(connection)}")
    _check_there(connection, path, site)


def _connect_portals(connection: IscsiConnection, path: str, site: ConnectSite) -> None:
    """Log in wherever there is no session yet; raises CommandError when none can be had.

    One portal is enough to reach the storage, and the others may be down for now.
    """
    there = _portals_with_session(connection, site)
    missing = [portal for portal in connection.portals if portal not in there]
    if not missing:
        _say_connected_already(connection, site)
        return
    password = _password(connection)
    failures = []
    for portal in missing:
        try:
            _take(login_steps(connection, portal), password, site)
        except CommandError as error:
            failures.append(error.message)
    if len(failures) == len(connection.portals):
        raise CommandError("; ".join(failures))
    for why in failures:
        site.say(f"[warn] one way to the storage is missing: {why}")
    _run(settle_step(path, _settle_s(site)), site)
    site.say(f"[ ok ] connected: {describe(connection)}")


def _take(steps: Iterable[ConnectStep], password: str, site: ConnectSite) -> None:
    for step in steps:
        if isinstance(step, PasswordStep):
            _keep_password(step, password, site)
        else:
            _run(step, site)


def _settle_s(site: ConnectSite) -> float:
    return min(SETTLE_S, site.deadline_s)


def _say_connected_already(connection: StorageConnection, site: ConnectSite) -> None:
    site.say(f"[ ok ] connected already: {describe(connection)}")


def describe(connection: StorageConnection) -> str:
    """In words."""
    if isinstance(connection, FcConnection):
        return connection.device
    if isinstance(connection, IscsiConnection):
        return f"iSCSI target {connection.target} at {', '.join(connection.portals)}"
    return f"{mount_source(connection)} at {connection.mount_point}"


def is_connected(connection: StorageConnection, site: ConnectSite) -> bool:
    """Without touching the storage; raises CommandError when something else is in its place.

    An iSCSI target is where any of its portals has a session.
    """
    if isinstance(connection, FcConnection):
        return _exists(connection.device)
    if isinstance(connection, IscsiConnection):
        return bool(_portals_with_session(connection, site))
    mount = _mount_on(connection.mount_point, site)
    if mount is not None:
        # A file system that is named by its server can be told from another one by its source.
        source = mount_source(connection)
        if ":" in source and not same_remote(source, mount.source):
            raise CommandError(
                f"{mount.source} ({mount.kind}) is mounted at {connection.mount_point}, and not "
                f"{source} ({mount_type(connection)}); umount {connection.mount_point} first, or "
                "mend storage.connection in host.yaml"
            )
    return mount is not None


def _mount_on(point: str, site: ConnectSite) -> Optional[Mount]:
    """By the kernel's list, which has the folder itself where `point` leads through a link."""
    found = mounted_at(point, site.mountinfo)
    if found is not None:
        return found
    resolve = partial(os.path.realpath, point)
    real = within_deadline_anew(resolve, f"the folder {point}", LOOK_DEADLINE_S)
    return mounted_at(real, site.mountinfo)


def _portals_with_session(connection: IscsiConnection, site: ConnectSite) -> tuple[str, ...]:
    command = ("iscsiadm", "-m", "session")
    done = run_tool(command, site.deadline_s)
    if done.code not in (0, ISCSI_NOTHING_FOUND):
        raise CommandError(f"{shown(command)}: {done.words}")
    return connected_portals(done.output, connection) if done.code == 0 else ()


def _prepare(connection: StorageConnection) -> None:
    if isinstance(connection, (FcConnection, IscsiConnection)):
        return
    try:
        Path(connection.mount_point).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{connection.mount_point}: can't be made: {reason(error)}") from error


def _password(connection: IscsiConnection) -> str:
    if not connection.password_file:
        return ""
    key = "storage.connection.password_file"
    try:
        password = read_secret(connection.password_file).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{key}: {reason_with_file(error)}") from error
    problem = password_problem(password)
    if problem:
        raise CommandError(f"{key}: the password in {connection.password_file} {problem}")
    return password


def _keep_password(step: PasswordStep, password: str, site: ConnectSite) -> None:
    """Write it into the record that ``iscsiadm -o new`` has made."""
    connection = step.connection
    records = [
        path
        for nodes in site.iscsi_nodes
        for pattern in record_patterns(connection.target, step.portal)
        for path in nodes.glob(pattern)
        if path.is_file()
    ]
    if not records:
        places = " or ".join(str(nodes) for nodes in site.iscsi_nodes)
        raise CommandError(
            f"iscsiadm keeps no record of {connection.target} at {step.portal} below "
            f"{places}, so the password can't be given to it; log in by iscsiadm's own means"
        )
    for path in records:
        site.say(f"[ .. ] the password of {connection.user} into {path}")
        try:
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
            data = with_password(text, password).encode("utf-8", "surrogateescape")
            replace_file(path, data, mode=0o600)
        except OSError as error:
            raise CommandError(f"{path}: can't be changed: {reason(error)}") from error


def _run(step: Step, site: ConnectSite) -> None:
    site.say(f"[ .. ] {shown(step.command)}")
    done = run_tool(step.command, site.deadline_s)
    if done.code not in (0, *step.fine):
        raise CommandError(f"{shown(step.command)}: {done.words}")


def _check_there(connection: StorageConnection, path: str, site: ConnectSite) -> None:
    if isinstance(connection, IscsiConnection) and connection.lun is not None:
        units = sorted(site.disks.glob(f"ip-*-iscsi-{connection.target}-lun-{connection.lun}"))
        if not units:
            raise CommandError(
                f"{describe(connection)} shows no unit (lun) {connection.lun}; is it mapped to "
                "this host?"
            )
    if not _exists(path):
        raise CommandError(
            f"{describe(connection)} is connected, but there is no {path}; is storage.path in "
            "host.yaml right?"
        )


def _exists(path: str) -> bool:
    """Looking for a name may hang with the storage."""
    return within_deadline_anew(Path(path).exists, f"the storage {path}", LOOK_DEADLINE_S)


# --- disconnecting --------------------------------------------------------------------------


def disconnect(settings: HostSettings, connection: StorageConnection, site: ConnectSite) -> None:
    """Disconnect it unless it is; who uses it must have been asked about before."""
    if isinstance(connection, FcConnection):
        site.say(f"[skip] {connection.device} is there through this host's own adapters")
        return
    if not is_connected(connection, site):
        site.say(f"[ ok ] not connected: {describe(connection)}")
        return
    if isinstance(connection, IscsiConnection):
        _refuse_other_units(settings, connection, site)
    for step in disconnect_steps(connection):
        _run(step, site)
    site.say(f"[ ok ] disconnected: {describe(connection)}")


def _refuse_other_units(
    settings: HostSettings, connection: IscsiConnection, site: ConnectSite
) -> None:
    """Logging out takes every unit of the target away, also those that others use."""
    ours = {Path(settings.storage.lockspace.path).resolve()}
    ours |= {
        unit.resolve()
        for unit in site.disks.glob(f"ip-*-iscsi-{connection.target}-lun-{connection.lun}")
    }
    used = [
        unit.name
        for unit in sorted(site.disks.glob(f"ip-*-iscsi-{connection.target}-lun-*"))
        if unit.resolve() not in ours and _is_used(unit, site)
    ]
    if used:
        raise CommandError(
            f"{describe(connection)} stays connected: this host uses other units of it, too "
            f"({', '.join(used)}); to log out all the same: "
            f"{shown(disconnect_steps(connection)[0].command)}"
        )


def _is_used(unit: Path, site: ConnectSite) -> bool:
    """Mounted, or part of something (multipath, LVM, RAID)."""
    device = unit.resolve()
    holders = site.blocks / device.name / "holders"
    if holders.is_dir() and any(holders.iterdir()):
        return True
    text = site.mountinfo.read_text(encoding="utf-8", errors="surrogateescape")
    return any(f" {device} " in line for line in text.splitlines())
