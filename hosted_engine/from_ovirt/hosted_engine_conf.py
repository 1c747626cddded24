# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""oVirt's hosted-engine.conf as answers for ``--deploy``. Pure.

Every key has its fate here. What is written into the answers is checked by their own rules
afterwards; here is refused only what could not even be written down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from hosted_engine.errors import CommandError
from hosted_engine.from_ovirt.items import Item, changed, dropped, kept, to_do
from metadata.error_words import shown
from metadata.layout import MAX_HOSTS
from metadata.settings.remote_places import normal_server

MOUNTED_TYPES = ("nfs", "nfs3", "nfs4", "glusterfs")
BLOCK_TYPES = ("iscsi", "fc")
PASSWORD_FILE = "/etc/hosted-engine-ha/iscsi.password"

_TESTS = ("ping", "dns", "tcp", "none")
_NFS_VERSIONS = {"v3": "3", "v4": "4", "v4_0": "4.0", "v4_1": "4.1", "v4_2": "4.2"}
_NFS = re.compile(r"(\[[^\]]+\]|[^:/\[\]]+):(/.*)")
_GLUSTER = re.compile(r"(\[[^\]]+\]|[^:/\[\]]+):/*([^/].*)")

_KEPT = {"fqdn": ("engine", "fqdn"), "bridge": ("host", "bridge"), "gateway": ("host", "gateway")}
_OWN_VOLUMES = "oVirt's own volume, which must not be used here: the leases differ"
_DISK = "the domain XML says where the engine's disk is"
_DROPPED = {
    **dict.fromkeys(("vm_disk_id", "vm_disk_vol_id", "sdUUID"), _DISK),
    "vmid": "the domain XML has its <uuid>",
    "spUUID": "vdsm's own name of its storage pool",
    **{
        f"{volume}_{kind}_UUID": _OWN_VOLUMES
        for volume in ("metadata", "lockspace", "conf")
        for kind in ("volume", "image")
    },
    **dict.fromkeys(
        ("vdsm_use_ssl", "ca_cert", "ca_subject"), "it is for talking to vdsm, which nothing does"
    ),
    "console": "the domain XML says which display there is",
    "conf": "the engine's definition lies on the shared storage (--edit-vm-conf)",
    "connectionUUID": "vdsm's own name of the connection",
    "service_start_time": "oVirt's agent wrote it down for itself",
    "configured": "host.yaml is there once a host is deployed",
    "iscsi_paths_blacklist": "the portals of storage.connection are those that are used",
}
# These belong together; `_storage` and `_network_test` say what becomes of them.
_STORAGE = ("storage", "domainType", "mnt_options", "nfs_version", "iqn", "portal", "port")
_STORAGE_KEYS = (*_STORAGE, "user", "password")
_NETWORK_KEYS = ("network_test", "tcp_t_address", "tcp_t_port")


@dataclass(frozen=True)
class ImportPlaces:
    """What only the administrator knows.

    storage_path  the blank volume, for ``storage.path``
    mount_point   where oVirt's export is to be mounted without vdsm; None: not by us
    xml_file      where the domain XML is written
    """

    storage_path: str
    mount_point: Optional[str]
    xml_file: str


def answers_of(
    values: Mapping[str, str], places: ImportPlaces
) -> tuple[dict[str, Any], list[Item]]:
    """Plain data for the answers file, and what became of each key; raises CommandError."""
    data: dict[str, Any] = {
        "storage": {"path": places.storage_path},
        "host": {},
        "engine": {"domain_xml_file": places.xml_file},
        "network": {},
    }
    items = _plain(values, data)
    items += _host_id(values, data)
    items += _network_test(values, data)
    items += _storage(values, data, places)
    items += _others(values)
    return {name: section for name, section in data.items() if section}, items


def domain_type(values: Mapping[str, str]) -> str:
    """``nfs``, ``glusterfs``, ``iscsi``, … in small letters; empty: it is not said."""
    return values.get("domainType", "").lower()


def _plain(values: Mapping[str, str], data: dict[str, Any]) -> list[Item]:
    items = []
    for key, (section, name) in _KEPT.items():
        if values.get(key):
            data[section][name] = values[key]
            items.append(kept(f"{key}={values[key]}", f"{section}.{name}"))
    return items


def _host_id(values: Mapping[str, str], data: dict[str, Any]) -> list[Item]:
    text = values.get("host_id", "")
    if not text:
        return []
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_HOSTS):
        raise CommandError(f"host_id={shown(text)} is refused; allowed: 1 to {MAX_HOSTS}")
    data["host"]["host_id"] = int(text)
    return [kept(f"host_id={text}", "host.host_id, so that this host keeps its number")]


def _network_test(values: Mapping[str, str], data: dict[str, Any]) -> list[Item]:
    """Both programs try ``ping`` where nothing is said."""
    test = values.get("network_test", "")
    address, port = values.get("tcp_t_address", ""), values.get("tcp_t_port", "")
    if test and test not in _TESTS:
        raise CommandError(f"network_test={shown(test)} is refused; allowed: {', '.join(_TESTS)}")
    items = []
    if test:
        data["network"]["test"] = test
        items.append(kept(f"network_test={test}", "network.test, of all hosts"))
    if test == "tcp":
        data["network"]["target"] = f"{normal_server(address) or address}:{port}"
        what = f"tcp_t_address={address}, tcp_t_port={port}"
        return [*items, changed(what, f"network.target is {data['network']['target']}")]
    given = [f"{key}={values[key]}" for key in _NETWORK_KEYS[1:] if values.get(key)]
    return [*items, *(dropped(one, "it is for network_test=tcp only") for one in given)]


# --- storage --------------------------------------------------------------------------------


def _storage(values: Mapping[str, str], data: dict[str, Any], places: ImportPlaces) -> list[Item]:
    kind = domain_type(values)
    if places.mount_point is not None and kind not in MOUNTED_TYPES:
        raise CommandError(
            f"--mount-point is refused for domainType={shown(kind)}; allowed with "
            f"{', '.join(MOUNTED_TYPES)}"
        )
    if kind in MOUNTED_TYPES:
        return _mounted(values, data, places, kind)
    if kind == "iscsi":
        return _iscsi(values, data, places)
    why = "the adapters bring it" if kind == "fc" else "nothing here knows this kind of storage"
    return [dropped(what, why) for what in _given(values, _STORAGE_KEYS)]


def _given(values: Mapping[str, str], keys: tuple[str, ...]) -> list[str]:
    """Those that say something, without what they say where that is secret."""
    return [key if key == "password" else f"{key}={values[key]}" for key in keys if values.get(key)]


def _mounted(
    values: Mapping[str, str], data: dict[str, Any], places: ImportPlaces, kind: str
) -> list[Item]:
    what = ", ".join(_given(values, ("storage", "domainType", "mnt_options", "nfs_version")))
    others = [dropped(one, "it is for iSCSI only") for one in _given(values, _STORAGE_KEYS[4:])]
    if places.mount_point is None:
        why = (
            "no storage.connection: the system is to mount the storage (fstab), or give "
            "--mount-point, and hosted-engine does"
        )
        return [dropped(what, why), *others]
    connection = {"type": "nfs" if kind == "nfs3" else kind, **_remote(values, kind)}
    connection["mount_point"] = places.mount_point
    options = ",".join(filter(None, (_version(values, kind), values.get("mnt_options", ""))))
    if options:
        connection["options"] = options
    data["storage"]["connection"] = connection
    why = f"storage.connection, mounted on {places.mount_point} where vdsm had a place of its own"
    return [changed(what, why), *others]


def _remote(values: Mapping[str, str], kind: str) -> dict[str, str]:
    text = values.get("storage", "")
    pattern, name = (_GLUSTER, "volume") if kind == "glusterfs" else (_NFS, "export")
    match = pattern.fullmatch(text)
    if match is None:
        form = "SERVER:/VOLUME" if kind == "glusterfs" else "SERVER:/EXPORT"
        raise CommandError(f"storage={shown(text)} is refused; allowed: {form}")
    return {"server": match.group(1), name: match.group(2)}


def _version(values: Mapping[str, str], kind: str) -> str:
    if kind in ("glusterfs", "nfs4"):
        return ""
    text = "v3" if kind == "nfs3" else values.get("nfs_version", "").lower()
    if text in ("", "auto"):
        return ""
    if text not in _NFS_VERSIONS:
        allowed = ", ".join(("auto", *_NFS_VERSIONS))
        raise CommandError(f"nfs_version={shown(text)} is refused; allowed: {allowed}")
    return f"vers={_NFS_VERSIONS[text]}"


def _iscsi(values: Mapping[str, str], data: dict[str, Any], places: ImportPlaces) -> list[Item]:
    """There `storage` and `port` are lists that belong together, and `portal` is a group's tag."""
    what = ", ".join(_given(values, ("storage", "port", "iqn", "user")))
    rest = [dropped(one, "it is for NFS only") for one in _given(values, _STORAGE[2:4])]
    if values.get("portal"):
        rest.append(dropped(f"portal={values['portal']}", "the target says its group itself"))
    if not places.storage_path.startswith("/dev/"):
        return [dropped(what, "storage.path is no device, so no target brings it"), *rest]
    if "," in values.get("iqn", ""):
        why = "storage.connection has one target: have the system log in to these (iscsiadm)"
        return [to_do(what, why), *rest]
    ports = values.get("port", "").split(",")
    addresses = values.get("storage", "").split(",")
    portals = [_portal(*pair) for pair in zip(addresses, ports + [""] * len(addresses))]
    connection: dict[str, Any] = {"type": "iscsi", "target": values.get("iqn", "")}
    connection["portal"] = portals[0] if len(portals) == 1 else portals
    data["storage"]["connection"] = connection
    rest.append(changed(what, "storage.connection"))
    if values.get("user"):
        connection["user"], connection["password_file"] = values["user"], PASSWORD_FILE
        why = f"write it into {PASSWORD_FILE}, mode 0600, on each host: it is not copied"
        rest.append(to_do("password", why))
    return rest


def _portal(address: str, port: str) -> str:
    server = normal_server(address.strip()) or address.strip()
    return f"{server}:{port.strip()}" if port.strip() else server


# --- the rest -------------------------------------------------------------------------------


def _others(values: Mapping[str, str]) -> list[Item]:
    told = (*_KEPT, "host_id", *_NETWORK_KEYS, *_STORAGE_KEYS)
    return [
        dropped(key, _DROPPED.get(key, "nothing here knows this key"))
        for key, value in values.items()
        if key not in told and value
    ]
