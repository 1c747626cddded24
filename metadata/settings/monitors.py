# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How the monitors measure: the section ``monitors`` of the cluster's settings.

::

    monitors:
      interval_s: 10
      timeout_s: 10
      memory_needed_mib: 0      # 0: what the domain XML says
      plugins:
        raid: {points: 200, interval_s: 60, timeout_s: 20, options: {array: md0}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from metadata.error_words import shown
from metadata.settings.schema import Reader, Rule, integer, number, text, without_empty
from metadata.value_class import value_class


@value_class(frozen=True)
class PluginSettings:
    """One plug-in: what it weighs in the score, when it is asked, and what is handed to it."""

    name: str
    points: int = 0
    interval_s: float = 30.0
    timeout_s: float = 10.0
    options: tuple[tuple[str, str], ...] = ()


@value_class(frozen=True)
class MonitorSettings:
    """For the monitors of the host itself; the engine's and the network's go by the tick."""

    interval_s: float = 10.0
    timeout_s: float = 10.0
    memory_needed_mib: int = 0
    plugins: tuple[PluginSettings, ...] = ()


SECTIONS = ("plugins",)
_RULES: dict[str, Rule] = {
    "interval_s": number(0.1, 3600),
    "timeout_s": number(0.1, 600),
    "memory_needed_mib": integer(0, 2**40),
}
_PLUGIN: dict[str, Rule] = {
    "points": integer(0, 100_000),
    "interval_s": number(0.1, 86_400),
    "timeout_s": number(0.1, 600),
}
_NAME = text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "letters, digits, '.', '_' and '-', at most 64")
_OPTION = text(r"[^\x00-\x1f\x7f]{0,1000}", "at most 1000 printable characters")


def read_monitors(reader: Reader, data: object, key: str) -> MonitorSettings:
    """The section as a value; problems go to `reader`."""
    top = reader.mapping(data, key)
    if top is None:
        return MonitorSettings()
    top = without_empty(top, SECTIONS)
    reader.unknown_keys(top, [*_RULES, *SECTIONS], key)
    fields = reader.fields(top, _RULES, key)
    plugins = _read_plugins(reader, top.get("plugins", {}), f"{key}.plugins")
    return MonitorSettings(plugins=plugins, **fields)


def monitors_to_data(settings: MonitorSettings) -> dict[str, Any]:
    """Plain data that `read_monitors` reads back."""
    data = asdict(settings)
    data["plugins"] = {plugin.name: _plugin_to_data(plugin) for plugin in settings.plugins}
    return data


def _read_plugins(reader: Reader, data: object, key: str) -> tuple[PluginSettings, ...]:
    found = reader.mapping(data, key)
    if found is None:
        return ()
    return tuple(_read_plugin(reader, name, found[name], key) for name in sorted(found, key=str))


def _read_plugin(reader: Reader, name: object, data: object, key: str) -> PluginSettings:
    if not _NAME.accepts(name):
        reader.problem(key, f"{shown(name)} is refused as a name; allowed: {_NAME.allowed}")
        return PluginSettings("")
    checked = reader.mapping({} if data is None else data, f"{key}.{name}")
    if checked is None:
        return PluginSettings(str(name))
    checked = without_empty(checked, ("options",))
    reader.unknown_keys(checked, [*_PLUGIN, "options"], f"{key}.{name}")
    fields = reader.fields(checked, _PLUGIN, f"{key}.{name}")
    options = _read_options(reader, checked.get("options", {}), f"{key}.{name}.options")
    return PluginSettings(str(name), options=options, **fields)


def _read_options(reader: Reader, data: object, key: str) -> tuple[tuple[str, str], ...]:
    found = reader.mapping(data, key)
    options: Mapping[Any, Any] = {} if found is None else found
    named = {name: value for name, value in options.items() if _NAME.accepts(name)}
    for name in options:
        if name not in named:
            reader.problem(key, f"{shown(name)} is refused as a name; allowed: {_NAME.allowed}")
    values = reader.fields(named, dict.fromkeys(named, _OPTION), key)
    return tuple(sorted(values.items()))


def _plugin_to_data(plugin: PluginSettings) -> dict[str, Any]:
    data = asdict(plugin)
    del data["name"]
    data["options"] = dict(plugin.options)
    return data
