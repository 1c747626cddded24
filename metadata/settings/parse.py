# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The settings: what they are called and what they may be.

Two places hold settings. `HostSettings` is local (``host.yaml``); `ClusterSettings` lives on
the shared storage (`metadata.shared_config`), so that every host runs the same. Both come
here as plain data, as a YAML or JSON parser gives it, and go back the same way. Unknown keys,
wrong types, impossible values and impossible timings are refused: the key, the value and what
is allowed, all problems at once in `SettingsError.problems`.

A whole ``host.yaml`` (only host_id, host_name and storage.path must be there)::

    host_id: 1
    host_name: h1
    bridge: ovirtmgmt
    gateway: 192.0.2.1
    libvirt_uri: qemu:///system
    socket_group: kvm              # may ask the broker, but change nothing; default: root alone
    command_users: [vdsm]          # members of that group who may also set maintenance; default: []
    migration_address: 192.0.2.17  # where other hosts' libvirt reaches ours; default: host_name
    storage:
      path: /dev/disk/by-id/shared
      sector_size: 512
      metadata: {path: /dev/disk/by-id/other, offset: 0}
      connection: {type: …}        # how to reach it: `metadata.settings.storage_connection`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Optional

from metadata import layout
from metadata.error_words import shown
from metadata.errors import SettingsError
from metadata.records import VolumeAddress
from metadata.settings import monitors, notifications
from metadata.settings.metrics import metrics_to_data, read_metrics
from metadata.settings.migration import read_migration
from metadata.settings.monitors import monitors_to_data, read_monitors
from metadata.settings.network_target import target_problem
from metadata.settings.notifications import notifications_to_data, read_notifications
from metadata.settings.schema import Reader, Rule, integer, number, one_of, text, without_empty
from metadata.settings.storage_connection import (
    StorageConnection,
    connection_to_data,
    read_connection,
)
from metadata.settings.timing import check_timing, least_isolated_s, migration_limit_problem
from metadata.settings.values import (
    ClusterSettings,
    EngineSettings,
    HostSettings,
    MigrationSettings,
    NetworkSettings,
    ScoreWeights,
    Timing,
)
from metadata.storage_parts import StorageParts

_DAY_S = 86400
_PART_NAMES = ("lockspace", "lease", "metadata", "shared_config", "config_lease")

_BRIDGE = text(
    r"|(?!\.{1,2}$)[^\s/:\x00-\x1f\x7f]{1,15}",
    "the name of a network bridge (at most 15 characters) or nothing",
)
# It is put into libvirt's address, where a zone (%eth0) of another host would mean nothing.
_MIGRATION_ADDRESS = text(
    r"|[A-Za-z0-9][A-Za-z0-9._-]*|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*",
    "a host name or an IP address of at most 200 characters, or nothing: the host's name",
    max_bytes=200,
)
_GATEWAY = text(r"|[A-Za-z0-9:][A-Za-z0-9:._%-]{0,252}", "an IP address or a host name, or nothing")
# sanlock keeps names in 48 bytes, puts them into a blank-separated status text, and takes
# ':' for a separator on its command line; the metadata record takes '|' for one.
_HOST_NAME = text(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}",
    "1 to 48 of the characters A-Z a-z 0-9 . _ -, the first one a letter or digit",
)
# sanlock keeps paths in 1024 bytes.
_PATH = text(
    r"/[^\x00-\x1f\x7f]+",
    "an absolute path of at most 1023 bytes without control characters",
    max_bytes=1023,
)

# An address that can't be asked at all would look like an engine that does not answer, which
# is stopped in the end.
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_PORT = r"(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])"
_HEALTH_URL = text(
    r"|(?=[!-~]+\Z)https?://(?:[^/?#@]*@)?"
    rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\])"
    rf"(?::{_PORT})?(?:[/?#][!-~]*)?",
    "an http:// or https:// address with a host and, if any, a port from 1 to 65535, or nothing",
)

_HOST_REQUIRED: dict[str, Rule] = {
    "host_id": integer(1, layout.MAX_HOSTS),
    "host_name": _HOST_NAME,
}
_ACCOUNT = r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}\$?"
_USER = text(_ACCOUNT, "the name of a user of this host, such as vdsm")
_MOST_USERS = 32
_HOST_OPTIONAL: dict[str, Rule] = {
    "bridge": _BRIDGE,
    "gateway": _GATEWAY,
    "libvirt_uri": text(r"[a-z][a-z0-9+]*://\S*", "a libvirt address such as qemu:///system"),
    "socket_group": text(
        rf"|{_ACCOUNT}",
        "the name of a group of this host, such as kvm, or nothing: root alone",
    ),
    "migration_address": _MIGRATION_ADDRESS,
}
_STORAGE: dict[str, Rule] = {"path": _PATH, "sector_size": one_of(*layout.SECTOR_SIZES)}
_ADDRESS: dict[str, Rule] = {"path": _PATH, "offset": integer(0, 2**63 - 1)}

_ENGINE: dict[str, Rule] = {
    "domain_name": text(
        r"(?![.]{1,2}$)[^/\x00-\x1f\x7f]{1,255}", "a domain name: 1 to 255 characters without '/'"
    ),
    "fqdn": text(
        rf"|{_LABEL}(?:\.{_LABEL})*\.?", "a host name of at most 253 characters, or nothing", 253
    ),
    "health_url": _HEALTH_URL,
    "health_text": text(r"[^\x00-\x1f\x7f]{0,200}", "at most 200 printable characters"),
    "health_timeout_s": number(0.1, 60),
    "health_ca_file": text(r"|/[^\x00-\x1f\x7f]+", "an absolute path, or nothing", max_bytes=1023),
    "guest_agent": Rule("true or false", lambda value: type(value) is bool),
}
_TIMING: dict[str, Rule] = {
    "tick_s": number(0.1, 60),
    "alive_s": number(1, 3600),
    "start_s": number(1, 3600),
    "starting_s": number(1, _DAY_S),
    "bad_health_s": number(1, _DAY_S),
    "stop_s": number(1, _DAY_S),
    "away_s": number(1, 3600),
    "unexpected_down_s": number(1, _DAY_S),
    "retry_window_s": number(1, _DAY_S),
    "turn_s": number(1, 3600),
    "migration_s": number(1, _DAY_S),
    "save_s": number(1, _DAY_S),
    "io_timeout_s": integer(1, 120),
    "isolated_s": number(1, _DAY_S),
}
_POINTS = integer(0, 100_000)
_FRACTION = number(0, 1)
_SCORE: dict[str, Rule] = {
    "base": integer(1, 100_000),
    "network": _POINTS,
    "cpu_load": _POINTS,
    "cpu_load_from": _FRACTION,
    "cpu_load_full": _FRACTION,
    "vm_config_outdated": _POINTS,
    "bridge_down": _POINTS,
    "memory_low": _POINTS,
    "failed_start": _POINTS,
    "failed_starts_to_zero": integer(1, 100),
}
_NETWORK: dict[str, Rule] = {
    "bridge": _BRIDGE,
    "gateway": _GATEWAY,
    "test": text(r"ping|dns|tcp|none", "ping, dns, tcp or none"),
    "target": text(
        r"|[A-Za-z0-9:\[][A-Za-z0-9:._%\[\]-]{0,258}",
        "an address (ping), a name server (dns), host:port (tcp), or nothing",
    ),
    "probes": integer(1, 100),
    "probe_timeout_s": number(0.1, 60),
}
_CLUSTER: dict[str, dict[str, Rule]] = {
    "engine": _ENGINE,
    "timing": _TIMING,
    "score": _SCORE,
    "network": _NETWORK,
}
_MORE = ("monitors", "notifications", "migration")

NESTED_SECTIONS: Mapping[str, tuple[str, ...]] = {
    "storage": (*_PART_NAMES, "connection"),
    "monitors": monitors.SECTIONS,
    "notifications": notifications.SECTIONS,
}
"""The sections within each of the sections."""

HOST_SECTIONS = ("command_users", "metrics")
"""Those of ``host.yaml`` that the answers have below ``host``."""


def parse_host_settings(data: object, source: str) -> HostSettings:
    """The settings of ``host.yaml``; `source` names the file in messages.

    Raises SettingsError.
    """
    reader = Reader(source)
    top = reader.mapping(data, "")
    if top is None:
        raise SettingsError(reader.problems)
    top = without_empty(top, ("storage", *HOST_SECTIONS))
    reader.unknown_keys(top, [*_HOST_REQUIRED, "storage", *_HOST_OPTIONAL, *HOST_SECTIONS])
    reader.required(top, _HOST_REQUIRED)
    fields = reader.fields(top, {**_HOST_REQUIRED, **_HOST_OPTIONAL})
    parts = _read_storage(reader, top)
    connection = _read_connection(reader, top)
    users = reader.items(_USER, top.get("command_users", []), "command_users", most=_MOST_USERS)
    metrics = read_metrics(reader, top.get("metrics", {}), "metrics")
    if reader.problems or parts is None:
        raise SettingsError(reader.problems)
    return HostSettings(
        storage=parts,
        connection=connection,
        command_users=tuple(sorted(set(users))),
        metrics=metrics,
        **fields,
    )


def parse_cluster_settings(data: object, source: str) -> ClusterSettings:
    """The cluster-wide settings; every key may be left out and has its default then.

    Raises SettingsError, also for timings that `check_timing` refuses.
    """
    reader = Reader(source)
    top = reader.mapping(data, "")
    if top is None:
        raise SettingsError(reader.problems)
    top = without_empty(top, [*_CLUSTER, *_MORE])
    reader.unknown_keys(top, [*_CLUSTER, *_MORE])
    sections = {
        name: reader.section(top[name], rules, name) if name in top else {}
        for name, rules in _CLUSTER.items()
    }
    timing = _timing(sections["timing"])
    settings = ClusterSettings(
        engine=EngineSettings(**sections["engine"]),
        timing=timing,
        score=ScoreWeights(**sections["score"]),
        network=NetworkSettings(**sections["network"]),
        monitors=read_monitors(reader, top.get("monitors", {}), "monitors"),
        notifications=read_notifications(reader, top.get("notifications", {}), "notifications"),
        migration=read_migration(reader, top.get("migration", {}), "migration", timing),
    )
    if not reader.problems:  # combinations of refused values would only confuse
        _check_combinations(reader, settings)
    if reader.problems:
        raise SettingsError(reader.problems)
    return settings


def _timing(given: dict[str, Any]) -> Timing:
    """Settings made before there was `isolated_s` stay good, however slow their storage is."""
    timing = Timing(**given)
    if "isolated_s" in given:
        return timing
    return replace(timing, isolated_s=max(timing.isolated_s, least_isolated_s(timing)))


def host_settings_to_data(settings: HostSettings) -> dict[str, Any]:
    """Plain data that `parse_host_settings` reads back to the same settings."""
    return {
        "host_id": settings.host_id,
        "host_name": settings.host_name,
        "storage": {**_storage_to_data(settings.storage), **_connection_to_data(settings)},
        "bridge": settings.bridge,
        "gateway": settings.gateway,
        "libvirt_uri": settings.libvirt_uri,
        "socket_group": settings.socket_group,
        "command_users": list(settings.command_users),
        "metrics": metrics_to_data(settings.metrics),
        "migration_address": settings.migration_address,
    }


def cluster_settings_to_data(settings: ClusterSettings) -> dict[str, Any]:
    """Plain data that `parse_cluster_settings` reads back to the same settings."""
    data = asdict(settings)
    data["monitors"] = monitors_to_data(settings.monitors)
    data["notifications"] = notifications_to_data(settings.notifications)
    return data


def _check_combinations(reader: Reader, settings: ClusterSettings) -> None:
    for why in check_timing(settings.timing, settings.score.failed_starts_to_zero):
        reader.problem("timing", why)
    limit_why = migration_limit_problem(settings.timing, settings.migration.limit_s)
    if limit_why:
        reader.problem("migration", limit_why)
    engine = settings.engine
    if engine.health_ca_file and not engine.page_url.startswith("https://"):
        why = f"{shown(engine.health_ca_file)} is refused; allowed: with a health_url of https://"
        reader.problem("engine.health_ca_file", why)
    network = settings.network
    allowed = target_problem(network.test, network.target)
    if allowed:
        why = f"{shown(network.target)} is refused; allowed for the test {network.test}: {allowed}"
        reader.problem("network.target", why)
    low, high = settings.score.cpu_load_from, settings.score.cpu_load_full
    if low >= high:
        reader.problem("score", f"cpu_load_from ({low:g}) must be below cpu_load_full ({high:g})")


def _read_storage(reader: Reader, top: Mapping[Any, Any]) -> Optional[StorageParts]:
    if "storage" not in top:
        reader.problem("storage", "is missing; allowed: a mapping with at least path")
        return None
    data = reader.mapping(top["storage"], "storage")
    if data is None:
        return None
    data = without_empty(data, NESTED_SECTIONS["storage"])
    before = len(reader.problems)
    reader.unknown_keys(data, [*_STORAGE, *_PART_NAMES, "connection"], "storage")
    reader.required(data, {"path": _PATH}, "storage")
    fields = reader.fields(data, _STORAGE, "storage")
    # ``{}`` is the usual place, too, and not the volume's beginning.
    given = [name for name in _PART_NAMES if name in data and data[name] != {}]
    places = {name: reader.section(data[name], _ADDRESS, f"storage.{name}") for name in given}
    if len(reader.problems) > before:
        return None
    return _place_parts(reader, fields, places)


def _read_connection(reader: Reader, top: Mapping[Any, Any]) -> Optional[StorageConnection]:
    storage = top.get("storage")
    if not isinstance(storage, Mapping) or storage.get("connection") is None:
        return None
    key = "storage.connection"
    return read_connection(reader, storage["connection"], key, storage.get("path"))


def _connection_to_data(settings: HostSettings) -> dict[str, Any]:
    connection = settings.connection
    return {"connection": connection_to_data(connection)} if connection else {}


def _place_parts(
    reader: Reader, fields: Mapping[str, Any], places: Mapping[str, dict[str, Any]]
) -> StorageParts:
    usual = layout.storage_parts(**fields)
    moved = {
        name: VolumeAddress(place.get("path", fields["path"]), place.get("offset", 0))
        for name, place in places.items()
    }
    parts = replace(usual, **moved)  # type: ignore[arg-type]
    for why in layout.placement_problems(parts):
        reader.problem("", f"storage.{why}")
    return parts


def _storage_to_data(parts: StorageParts) -> dict[str, Any]:
    usual = layout.storage_parts(parts.lockspace.path, parts.sector_size)
    moved = {
        name: asdict(getattr(parts, name))
        for name in _PART_NAMES
        if getattr(parts, name) != getattr(usual, name)
    }
    return {"path": parts.lockspace.path, "sector_size": parts.sector_size, **moved}


__all__ = [
    "ClusterSettings",
    "EngineSettings",
    "HostSettings",
    "MigrationSettings",
    "NetworkSettings",
    "ScoreWeights",
    "SettingsError",
    "StorageParts",
    "Timing",
    "check_timing",
    "cluster_settings_to_data",
    "host_settings_to_data",
    "parse_cluster_settings",
    "parse_host_settings",
]
