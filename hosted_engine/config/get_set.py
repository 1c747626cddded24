# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--get-shared-config KEY`` and ``--set-shared-config KEY VALUE``: a setting, or a section."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, Callable

from ha_broker.api.client import BrokerClient, BrokerDeniedError, BrokerError
from hosted_engine.cli.terminal import print_raw
from hosted_engine.cli.wait import wait_s
from hosted_engine.config import keys as config_keys
from hosted_engine.config import local_settings as config_local
from hosted_engine.config.apply import (
    WAIT_S,
    ChangeContext,
    Telling,
    carry_out,
    change_context,
    examine,
    tell_unchanged,
)
from hosted_engine.config.key_types import (
    HE_LOCAL,
    HE_SHARED,
    is_vm_conf,
    older_key,
    shared_path,
)
from hosted_engine.config.keys import ALL, MISSING, VM_CONF
from hosted_engine.config.store import changed, describe_change, read
from hosted_engine.errors import EXIT_OK, NOTHING_WRITTEN, CommandError, UsageError
from hosted_engine.host.environment import DeployedHost, deployed_host
from hosted_engine.host.local_host import host_settings
from metadata.error_words import reason
from metadata.plain_json import parse_json
from metadata.settings.parse import cluster_settings_to_data
from metadata.shared_config import SharedConfig, StoredConfig
from world.way_in import AS_ROOT

LOOK_DEADLINE_S = 5.0


def run_get(options: argparse.Namespace) -> int:
    """``--get-shared-config``."""
    (key,) = options.arguments
    kind = options.type or HE_SHARED
    value = get(key, kind)
    if options.json:
        print(json.dumps({"key": key, "type": kind, "value": value}))
    elif options.type and key != VM_CONF and not _is_composed(value):
        print_raw(f"{key} : {plain_text(value)}, type : {kind}")  # as people's scripts cut it
    else:
        print_raw(plain_text(value))
    return EXIT_OK


def run_set(options: argparse.Namespace) -> int:
    """``--set-shared-config``."""
    key, text = options.arguments
    kind = options.type or HE_SHARED
    telling = Telling(options.json, wait_s(options, WAIT_S))
    if kind == HE_LOCAL:
        return config_local.set_value(key, text, options.json)
    settings = host_settings()
    context = change_context(deployed_host(settings), settings)
    try:
        return set_value(context, key, kind, text, telling)
    finally:
        context.client.close()


# --- reading --------------------------------------------------------------------------------


def get(key: str, kind: str) -> Any:
    """The value of `key`; raises CommandError, UsageError for a key that there can't be."""
    if kind == HE_LOCAL:
        return config_local.get_value(key)
    reader = _reader(key, kind)
    value = reader(latest(deployed_host(host_settings())))
    if value is MISSING:
        raise CommandError(f"{key} is not set")
    return value


def _reader(key: str, kind: str) -> Callable[[SharedConfig], Any]:
    """Takes the value out of a version; wrong words are refused before any I/O."""
    if key == ALL:
        return lambda config: cluster_settings_to_data(config.settings)
    if is_vm_conf(key, kind):
        return _domain_xml
    older = older_key(key, kind)
    if older is not None:
        read_older = older.read
        return lambda config: read_older(cluster_settings_to_data(config.settings))
    path = shared_path(key, kind)
    return lambda config: config_keys.find(cluster_settings_to_data(config.settings), path)


def _domain_xml(config: SharedConfig) -> str:
    if not config.domain_xml:  # the broker's answer for those who may read only
        raise CommandError(f"{VM_CONF}: permission denied: {AS_ROOT}; it may hold passwords")
    return config.domain_xml


def latest(world: DeployedHost) -> SharedConfig:
    """The version that stands on the storage; where that can't be read, what the broker read."""
    try:
        return read(world, LOOK_DEADLINE_S).config
    except CommandError as error:
        client = BrokerClient()
        try:
            return client.shared_config()
        except BrokerDeniedError as denied:
            raise CommandError(str(denied)) from denied
        except BrokerError:
            raise error from None
        finally:
            client.close()


def plain_text(value: Any) -> str:
    """A text, number or switch alone, as it is; more of them as YAML."""
    if isinstance(value, str):
        return value
    if _is_composed(value):
        from world.plain_yaml import yaml_text

        plain = parse_json(json.dumps(value))  # tuples become lists
        return yaml_text(plain, allow_unicode=True).rstrip("\n")
    return json.dumps(value)


def _is_composed(value: Any) -> bool:
    return isinstance(value, (dict, list, tuple))


# --- writing --------------------------------------------------------------------------------


def set_value(context: ChangeContext, key: str, kind: str, text: str, telling: Telling) -> int:
    """Write a version with another value; raises CommandError."""
    maker = _maker(key, kind, text)
    before = read(context.world)
    after = maker(before)
    what = describe_change(before.config, after.config)
    if not what:
        version = before.config.sequence
        said = f"Version {version} of the shared configuration says so already"
        tell_unchanged(version, said, telling.as_json)
        return EXIT_OK
    examine(context, before, after)
    carry_out(context, before, after, what, telling)
    return EXIT_OK


def _maker(key: str, kind: str, text: str) -> Callable[[StoredConfig], StoredConfig]:
    """Turns the version in use into the wanted one; wrong words are refused before any I/O."""
    if is_vm_conf(key, kind):
        if not text.startswith("@"):
            raise UsageError(
                f"{VM_CONF} takes @FILE, a file with the domain XML; or --edit-vm-conf"
            )
        xml = read_xml_file(text[1:])
        return lambda before: changed(before, domain_xml=xml)
    older = older_key(key, kind)
    if older is not None:
        change = older.change
        return lambda before: changed(before, settings=change(before.settings, text))
    path = shared_path(key, kind)
    value = config_keys.parse_value(text, path)

    return lambda before: changed(before, settings=with_values(before.settings, path, value))


def with_values(
    settings: Mapping[str, Any], path: config_keys.Path, value: Any
) -> Mapping[str, Any]:
    """With `value` at `path`; a mapping for a whole section sets the keys that are in it."""
    if len(path) > 1 or not isinstance(value, dict):
        return config_keys.with_value(settings, path, value)
    for key, one in value.items():
        settings = config_keys.with_value(settings, (*path, key), one)
    return settings


def read_xml_file(path: str) -> str:
    """Raises CommandError."""
    try:
        return FilePath(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CommandError(f"{path}: can't be read: {reason(error)}; {NOTHING_WRITTEN}") from error
