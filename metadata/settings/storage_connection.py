# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How this host reaches the shared storage: ``storage.connection`` in host.yaml.

Only where ``hosted-engine --connect-storage`` shall connect it; storage that the system itself
brings up (fstab, a Fibre Channel switch) needs none::

    storage:
      path: /srv/engine/leases
      connection:
        type: nfs                  # or nfs4
        server: filer.example.org  # or an address; IPv6: [2001:db8::1]
        export: /export/engine     # or /
        mount_point: /srv/engine   # a folder above storage.path
        options: vers=4.2,soft     # as `mount -o` takes them; may be left out

    {type: glusterfs, server: g1, volume: engine, mount_point: /srv/engine, options: ...}
    {type: posix, device: /dev/vg/engine, vfs_type: ext4, mount_point: /srv/engine, options: ...}
    {type: iscsi, portal: 192.0.2.7:3260, target: iqn.2020-01.org.example:engine, lun: 1,
     user: engine, password_file: /etc/hosted-engine-ha/iscsi.password}
    {type: iscsi, portal: [192.0.2.7, "[2001:db8::7]:3260"], target: ...}  # several ways to it
    {type: fc, device: /dev/mapper/3600a098}

Passwords stand in files of their own, never here. Servers and folders are kept in one form each
(`metadata.settings.remote_places`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Optional, Union

from metadata.error_words import shown
from metadata.settings.remote_places import normal_folder, normal_server
from metadata.settings.schema import Reader, Rule, integer, text
from metadata.value_class import value_class


@value_class(frozen=True)
class NfsConnection:
    """An NFS export; `version` is "nfs" or "nfs4"."""

    version: str
    server: str
    export: str
    mount_point: str
    options: str = ""


@value_class(frozen=True)
class GlusterConnection:
    """A GlusterFS volume."""

    server: str
    volume: str
    mount_point: str
    options: str = ""


@value_class(frozen=True)
class PosixConnection:
    """Anything else that `mount` can mount: `device` by the file system `vfs_type`."""

    device: str
    vfs_type: str
    mount_point: str
    options: str = ""


@value_class(frozen=True)
class IscsiConnection:
    """An iSCSI target, by each of its `portals` (address, with the port where that is not 3260).

    `lun` is the unit that is waited for (None: storage.path itself).
    """

    portals: tuple[str, ...]
    target: str
    lun: Optional[int] = None
    user: str = ""
    password_file: str = ""


@value_class(frozen=True)
class FcConnection:
    """A block device that the host's own adapters bring."""

    device: str


MountedConnection = Union[NfsConnection, GlusterConnection, PosixConnection]
StorageConnection = Union[MountedConnection, IscsiConnection, FcConnection]

MOST_PORTALS = 8
ISCSI_PORT = 3260

_PATH = text(
    r"/[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f/]", "an absolute path without '/' at its end", 1023
)


def _folder(pattern: str, allowed: str) -> Rule:
    plain = text(pattern, allowed, 1023)
    return Rule(plain.allowed, plain.accepts, normal_folder)


_EXPORT = _folder(r"/[^\x00-\x1f\x7f]*", "an absolute path, or /")
_MOUNT_POINT = _folder(r"/[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f/]/*", "an absolute path below /")
# Nothing may look like an option to the tools that get it.
_SERVER = Rule(
    "a host name or an address (IPv6: [2001:db8::1]) and nothing behind it",
    lambda value: isinstance(value, str) and normal_server(value) is not None,
    normal_server,
)
_OPTIONS = text(r"|[^\x00-\x20\x7f-][^\x00-\x20\x7f]*", "mount options, separated by commas")
_MOUNT_RULES: dict[str, Rule] = {"mount_point": _MOUNT_POINT}
_NFS_RULES: dict[str, Rule] = {"server": _SERVER, "export": _EXPORT, **_MOUNT_RULES}
_PORTAL = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])"
    r"(:(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5]))?"
)


def normal_portal(text: str) -> Optional[str]:
    """The portal with its address in its shortest form; None: it is none."""
    match = _PORTAL.fullmatch(text)
    server = normal_server(match.group(1)) if match else None
    return f"{server}{match.group(2) or ''}" if match and server else None


def with_port(portal: str) -> str:
    """The portal with its port, whether that stands there or is the usual one."""
    has_port = "]:" in portal if portal.startswith("[") else ":" in portal
    return portal if has_port else f"{portal}:{ISCSI_PORT}"


def _portals(value: Any) -> tuple[str, ...]:
    """Each once, in the order in which they stand there; empty: one can't be a portal."""
    found: dict[str, str] = {}
    for one in value if isinstance(value, (list, tuple)) else [value]:
        portal = normal_portal(one) if isinstance(one, str) else None
        if portal is None:
            return ()
        found.setdefault(with_port(portal), portal)
    return tuple(found.values()) if len(found) <= MOST_PORTALS else ()


_PORTALS = Rule(
    f"an address (IPv6: [2001:db8::7]), with its port where that is not {ISCSI_PORT}, or a list of "
    f"at most {MOST_PORTALS} of them",
    lambda value: bool(_portals(value)),
    _portals,
)

_REQUIRED: dict[str, dict[str, Rule]] = {
    "nfs": _NFS_RULES,
    "nfs4": _NFS_RULES,
    "glusterfs": {
        "server": _SERVER,
        "volume": text(r"[A-Za-z0-9_][A-Za-z0-9._/-]*", "the name of a volume"),
        **_MOUNT_RULES,
    },
    "posix": {
        "device": text(r"[^\x00-\x20\x7f-][^\x00-\x20\x7f]*", "what is mounted, without blanks"),
        "vfs_type": text(r"[A-Za-z0-9][A-Za-z0-9._-]*", "the name of a file system"),
        **_MOUNT_RULES,
    },
    "iscsi": {
        "portal": _PORTALS,
        "target": text(
            r"(?:iqn|eui|naa)\.[A-Za-z0-9.:_-]+", "the name of a target (iqn…, eui…, naa…)"
        ),
    },
    "fc": {"device": _PATH},
}
_OPTIONAL: dict[str, dict[str, Rule]] = {
    **{kind: {"options": _OPTIONS} for kind in ("nfs", "nfs4", "glusterfs", "posix")},
    "iscsi": {
        "lun": integer(0, 65535),
        "user": text(r"|[^\x00-\x20\x7f-][^\x00-\x20\x7f]{0,222}", "a name without blanks"),
        "password_file": text(r"|/[^\x00-\x1f\x7f]+", "an absolute path, or nothing", 1023),
    },
    "fc": {},
}


def _iscsi(portal: tuple[str, ...], **fields: Any) -> IscsiConnection:
    """The key of the portals is in the singular, as one of them is the usual case."""
    return IscsiConnection(portal, **fields)


_MAKERS: dict[str, Any] = {
    "nfs": lambda **fields: NfsConnection("nfs", **fields),
    "nfs4": lambda **fields: NfsConnection("nfs4", **fields),
    "glusterfs": GlusterConnection,
    "posix": PosixConnection,
    "iscsi": _iscsi,
    "fc": FcConnection,
}


def read_connection(
    reader: Reader, data: object, key: str, storage_path: object
) -> Optional[StorageConnection]:
    """The mapping as a value; problems go to `reader`. None: not usable."""
    section = reader.mapping(data, key)
    kind = _kind(reader, section, key) if section is not None else None
    if section is None or kind is None:
        return None
    before = len(reader.problems)
    connection = _fields(reader, section, kind, key)
    if len(reader.problems) > before:  # combinations of refused values would only confuse
        return None
    for why in _impossible(connection, storage_path):
        reader.problem(key, why)
    return connection if len(reader.problems) == before else None


def connection_to_data(connection: StorageConnection) -> dict[str, Any]:
    """Plain data that `read_connection` reads back."""
    fields = asdict(connection)
    if isinstance(connection, IscsiConnection):
        del fields["portals"]
        portals = connection.portals
        fields = {"portal": portals[0] if len(portals) == 1 else list(portals), **fields}
    kind = fields.pop("version", None) or _KINDS[type(connection)]
    return {
        "type": kind,
        **{key: value for key, value in fields.items() if value not in (None, "")},
    }


_KINDS: dict[type, str] = {
    GlusterConnection: "glusterfs",
    PosixConnection: "posix",
    IscsiConnection: "iscsi",
    FcConnection: "fc",
}


def _kind(reader: Reader, section: Mapping[Any, Any], key: str) -> Optional[str]:
    allowed = ", ".join(_REQUIRED)
    if "type" not in section:
        reader.problem(f"{key}.type", f"is missing; allowed: {allowed}")
        return None
    kind = section["type"]
    if isinstance(kind, str) and kind in _REQUIRED:
        return kind
    reader.problem(f"{key}.type", f"{shown(kind)} is refused; allowed: {allowed}")
    return None


def _fields(
    reader: Reader, section: Mapping[Any, Any], kind: str, key: str
) -> Optional[StorageConnection]:
    rules = {**_REQUIRED[kind], **_OPTIONAL[kind]}
    before = len(reader.problems)
    reader.unknown_keys(section, ["type", *rules], key)
    reader.required(section, _REQUIRED[kind], key)
    fields = reader.fields(section, rules, key)
    if len(reader.problems) > before:
        return None
    made: StorageConnection = _MAKERS[kind](**fields)
    return made


def _impossible(connection: Optional[StorageConnection], storage_path: object) -> list[str]:
    if isinstance(connection, IscsiConnection):
        if bool(connection.user) != bool(connection.password_file):
            return ["user and password_file belong together; allowed: both, or neither"]
        return []
    if connection is None or isinstance(connection, FcConnection):
        return []
    point = connection.mount_point
    if isinstance(storage_path, str) and normal_folder(storage_path).startswith(f"{point}/"):
        return []
    return [
        f"mount_point: {shown(point)} is refused; allowed: a folder above storage.path "
        f"({shown(storage_path)})"
    ]
