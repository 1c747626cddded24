# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Every key of the settings with its default and what is allowed, as their readers tell it.

The readers name what they allow when a value, or a key, is refused. So they are asked: nothing
else can be told here than what people are told.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from metadata.settings.parse import (
    SettingsError,
    cluster_settings_to_data,
    host_settings_to_data,
    parse_cluster_settings,
    parse_host_settings,
)

_ALLOWED = "; allowed: "
_SECTION = "a mapping of keys to values"
_NO_VALUE = 1j  # nothing that a file can hold, so every rule refuses it
_NO_KEY = "no key"
_Path = tuple[Any, ...]


class Key(NamedTuple):
    """One key. `default` is YAML's, or None: there is none; `must`: it has to be given."""

    name: str
    default: Any
    allowed: str
    must: bool = False


class _Kind(NamedTuple):
    """A kind of settings: an example in which each section stands, and how it is read."""

    example: Mapping[str, Any]
    read: Callable[[object], Any]
    to_data: Callable[[Any], Mapping[str, Any]]
    least: Mapping[str, Any]  # what has to be given
    kept: frozenset[str]  # mappings whose keys are told elsewhere, or that people name themselves


_CLUSTER = _Kind(
    {
        "monitors": {"plugins": {"NAME": {}}},
        "notifications": {
            "smtp": {"server": "mail.example.org", "from": "ha@example.org", "to": ["a@b.org"]},
            "webhooks": [{"url": "https://hooks.example.org/ha"}],
        },
    },
    lambda data: parse_cluster_settings(data, ""),
    cluster_settings_to_data,
    {},
    frozenset({"monitors.plugins.NAME.options"}),
)
_STORAGE = {"path": "/srv/san/leases"}
_HOST = {"host_id": 1, "host_name": "h1", "storage": _STORAGE}
_MOUNTED = {"mount_point": "/srv/san"}
_CONNECTIONS: tuple[Mapping[str, Any], ...] = (
    {"type": "nfs", "server": "filer.example.org", "export": "/san", **_MOUNTED},
    {"type": "glusterfs", "server": "filer.example.org", "volume": "san", **_MOUNTED},
    {"type": "posix", "device": "/dev/vg/san", "vfs_type": "ext4", **_MOUNTED},
    {"type": "iscsi", "portal": "192.0.2.7", "target": "iqn.2020-01.org.example:san"},
    {"type": "fc", "device": "/dev/mapper/san"},
)


def cluster_keys() -> list[Key]:
    """Those of the shared settings."""
    return list(_keys(_CLUSTER, ()))


def host_keys() -> list[Key]:
    """Those of host.yaml but `storage.connection`."""
    kind = _host(_STORAGE, frozenset({"storage.connection"}))
    return [key for key in _keys(kind, ()) if key.name not in kind.kept]


def connection_keys() -> dict[str, list[Key]]:
    """Those of `storage.connection`, by its type."""
    found = {}
    for one in _CONNECTIONS:
        kind = _host({**_STORAGE, "connection": one})
        keys = _keys(kind, ("storage", "connection"))
        found[str(one["type"])] = [key for key in keys if not key.name.endswith(".type")]
    return found


def _host(storage: Mapping[str, Any], kept: frozenset[str] = frozenset()) -> _Kind:
    return _Kind(
        {**_HOST, "storage": storage},
        lambda data: parse_host_settings(data, ""),
        host_settings_to_data,
        _HOST,
        kept,
    )


def _keys(kind: _Kind, section: _Path) -> Iterator[Key]:
    """Those below `section`, in the order in which the reader names them."""
    for name in _told(kind, (*section, _NO_KEY), 0).split(", "):
        path = (*section, name)
        allowed = _told(kind, path, _NO_VALUE)
        if allowed != _SECTION or _dotted(path) in kind.kept:
            yield Key(_dotted(path), _default(kind, path), allowed, _must_be_given(kind, path))
        yield from _below(kind, path, allowed)


def _below(kind: _Kind, path: _Path, allowed: str) -> Iterator[Key]:
    """The keys of a section, of one of several that people name, and of one of a list."""
    found = _find(kind.example, path)
    if isinstance(found, list) and isinstance(found[0], Mapping):
        yield from _keys(kind, (*path, 0))
    elif isinstance(found, Mapping) and "NAME" in found:
        yield from _keys(kind, (*path, "NAME"))
    elif allowed == _SECTION and _dotted(path) not in kind.kept:
        yield from _keys(kind, path)


def _told(kind: _Kind, path: _Path, value: object) -> str:
    """What is allowed where `value` stands at `path`."""
    data = copy.deepcopy(dict(kind.example))
    _put(data, path, value)
    for problem in _problems(kind, data):
        key, refused, allowed = problem.partition(_ALLOWED)
        if refused and key.startswith(f"{_dotted(path)}: "):
            return allowed
    raise ValueError(f"{_dotted(path)}: its reader refuses nothing")


def _must_be_given(kind: _Kind, path: _Path) -> bool:
    data = copy.deepcopy(dict(kind.example))
    section = _find(data, path[:-1])
    if isinstance(section, dict):
        section.pop(path[-1], None)
    return any(one.startswith(f"{_dotted(path)}: is missing") for one in _problems(kind, data))


def _problems(kind: _Kind, data: object) -> list[str]:
    try:
        kind.read(data)
    except SettingsError as error:
        return error.problems
    return []


def _default(kind: _Kind, path: _Path) -> Any:
    """Where a section is there only when it is given: in the example."""
    usual = _find(kind.to_data(kind.read(kind.least)), path)
    return _find(kind.to_data(kind.read(kind.example)), path) if usual is None else usual


def _find(data: Any, path: _Path) -> Any:
    for name in path:
        if isinstance(data, Mapping):
            data = data.get(name)
        elif isinstance(data, list) and isinstance(name, int) and name < len(data):
            data = data[name]
        else:
            return None
    return data


def _put(data: dict[str, Any], path: _Path, value: object) -> None:
    section: Any = data
    for name in path[:-1]:
        section = section[name] if isinstance(name, int) else section.setdefault(name, {})
    section[path[-1]] = value


def _dotted(path: _Path) -> str:
    text = ""
    for name in path:
        text += f"[{name}]" if isinstance(name, int) else f".{name}" if text else name
    return text
