# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The dotted keys of the settings: which there are, what stands there, and setting one. Pure.

A key leads through mappings: ``timing.tick_s``, ``notifications.smtp.server``; it may end early
and then means a whole section. Lists (``notifications.rules``) are taken as a whole. Only the
names of plug-ins, and of their options, are people's own: ``monitors.plugins.NAME.points``.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping
from typing import Any

from hosted_engine.errors import UsageError
from metadata.error_words import shown
from metadata.secret_names import without_paths
from metadata.settings.monitors import MonitorSettings, PluginSettings
from metadata.settings.notifications import NotificationSettings, SmtpSettings
from metadata.settings.parse import ClusterSettings, cluster_settings_to_data
from world.plain_yaml import PlainYamlError, parse_yaml

VM_CONF = "vm_conf"
ALL = "all"

MISSING = object()
"""What `find` returns where nothing stands."""

_PLUGINS = ("monitors", "plugins")
_ANY_NAME = "NAME"
_PLUGIN_FIELDS = ("points", "interval_s", "timeout_s", "options")

Path = tuple[str, ...]


def _shape() -> dict[str, Any]:
    """All keys that there can be, with a value of the right kind."""
    every = ClusterSettings(
        monitors=MonitorSettings(plugins=(PluginSettings(_ANY_NAME),)),
        notifications=NotificationSettings(smtp=SmtpSettings("", "", ())),
    )
    return cluster_settings_to_data(every)


def split_key(key: str) -> Path:
    """``a.b.c`` in its parts; the name of a plug-in may have dots itself."""
    prefix = ".".join(_PLUGINS) + "."
    if not key.startswith(prefix):
        return tuple(key.split("."))
    name, found, option = key[len(prefix) :].partition(".options.")
    if found:
        return (*_PLUGINS, name, "options", option)
    first, dot, last = name.rpartition(".")
    return (*_PLUGINS, first, last) if dot and last in _PLUGIN_FIELDS else (*_PLUGINS, name)


def check_key(key: str, sections: tuple[str, ...] = ()) -> Path:
    """The parts of a key that there can be, in one of `sections` where any are named.

    Raises UsageError naming near ones and all that are allowed.
    """
    path, shape = split_key(key), _shape()
    known = find(shape, _in_shape(path)) is not MISSING
    if known and (not sections or path[0] in sections):
        return path
    allowed = [leaf for leaf in leaves(shape) if not sections or split_key(leaf)[0] in sections]
    allowed += [] if sections else [VM_CONF]
    near = _near(key, allowed)
    hint = f"near ones: {', '.join(near)}; " if near else ""
    raise UsageError(
        f"{shown(key)} is no key; {hint}allowed: {', '.join(allowed)}, or a section of these"
    )


def _near(key: str, allowed: list[str]) -> list[str]:
    """Keys that people may have meant, also when they left the section out."""
    last_parts = {leaf.rpartition(".")[2]: leaf for leaf in reversed(allowed)}
    found = difflib.get_close_matches(key, [*allowed, *last_parts], 3, 0.6)
    return list(dict.fromkeys(last_parts.get(name, name) for name in found))


def _in_shape(path: Path) -> Path:
    """The same key for a plug-in whose name the shape knows; its options may have any name."""
    if path[:2] != _PLUGINS or len(path) < 3:
        return path
    if path[3:4] == ("options",):
        return (*_PLUGINS, _ANY_NAME, "options")
    return (*_PLUGINS, _ANY_NAME, *path[3:])


def leaves(data: Any, before: str = "") -> list[str]:
    """The keys at which no mapping with keys of its own stands."""
    if not isinstance(data, Mapping) or not data:
        return [before]
    prefix = f"{before}." if before else ""
    return [leaf for name in data for leaf in leaves(data[name], f"{prefix}{name}")]


def all_leaves() -> list[str]:
    """Every key of the shared settings at which a value stands, NAME for that of a plug-in."""
    return leaves(_shape())


def find(data: Any, path: Path) -> Any:
    """What stands at `path`, or `MISSING`."""
    for name in path:
        if not isinstance(data, Mapping) or name not in data:
            return MISSING
        data = data[name]
    return data


def with_value(data: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy with `value` at `path`; None takes the key away, so that its default holds."""
    changed: dict[str, Any] = copy.deepcopy(dict(data))
    section = changed
    for name in path[:-1]:
        if not isinstance(section.get(name), dict):
            section[name] = {}
        section = section[name]
    if value is None:
        section.pop(path[-1], None)
    else:
        section[path[-1]] = value
    return changed


def parse_value(text: str, path: Path) -> Any:
    """A value as people type it: YAML (or JSON), but for keys whose values are texts the text.

    Raises UsageError.
    """
    wants_text = isinstance(find(_shape(), _in_shape(path)), str) or path[3:4] == ("options",)
    if wants_text and not text:
        return text
    try:
        value = parse_yaml(text)
    except PlainYamlError as error:
        if wants_text:
            return text
        hint = f"; only {VM_CONF} takes @FILE" if text.startswith("@") else ""
        raise UsageError(f"{shown(text)} is refused: it is no YAML ({error}){hint}") from error
    return value if value is None or not wants_text or isinstance(value, str) else text


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ, each as ``key: old -> new``."""
    keys = dict.fromkeys([*leaves(before), *leaves(after)])
    pairs = [(key, find(before, split_key(key)), find(after, split_key(key))) for key in keys]
    return [
        _change_text(key, value_text(old), value_text(new))
        for key, old, new in pairs
        if old != new and not (isinstance(old, Mapping) or isinstance(new, Mapping))
    ]


def value_text(value: Any) -> str:
    """For people, and for the history: of a webhook its scheme and host alone."""
    if value is MISSING:
        return "nothing"
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
        return f"[{', '.join(shown(without_paths(str(one.get('url')))) for one in value)}]"
    return shown(value)


def _change_text(key: str, old: str, new: str) -> str:
    return f"{key}: {old} -> {new}" if old != new else f"{key}: {new}, changed"
