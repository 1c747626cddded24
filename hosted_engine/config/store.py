# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Reading the shared configuration for a change, and writing a new version of it.

A disk has no compare-and-swap. So a writer takes sanlock's second lease for the moment in which
it reads once more, compares with the version that the change began with, writes and reads back
(ADR 19). All of that can hang with the storage, so it is done by a process of its own, which
holds the lock for as long as its write may still arrive.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

from ha_broker.api import paths
from hosted_engine.config.change_rules import (
    Situation,
    fixed_problems,
    is_renamed,
    refusals,
    secret_problems,
)
from hosted_engine.config.keys import MISSING, changed_keys, find
from hosted_engine.config.lock import locked
from hosted_engine.errors import NOTHING_WRITTEN, CommandError
from hosted_engine.host.environment import DeployedHost
from metadata.errors import ConfigTooLargeError
from metadata.layout import CONFIG_SIZE
from metadata.records import VolumeAddress
from metadata.settings.parse import (
    SettingsError,
    Timing,
    cluster_settings_to_data,
    parse_cluster_settings,
)
from metadata.settings.timing import lease_floor_s
from metadata.shared_config import (
    SharedConfig,
    StoredConfig,
    copy_offset,
    decode_stored,
    describe_config_error,
    encode_stored,
    history_room,
)
from metadata.shared_history import (
    ChangeNote,
    ConfigHistory,
    OldVersion,
    decode_history,
    encode_history,
    shortened,
)
from world.ports.errors import StorageError

READ_DEADLINE_S = 10.0
WRITE_DEADLINE_S = 30.0


# --- reading --------------------------------------------------------------------------------


def read(world: DeployedHost, deadline_s: float = READ_DEADLINE_S) -> StoredConfig:
    """The version in use; raises CommandError."""
    whom = f"the storage {world.parts.shared_config.path}"
    return world.in_copy(lambda: _read(world), whom, deadline_s)


def _read(world: DeployedHost) -> StoredConfig:
    place = world.parts.shared_config
    found = decode_stored(world.store.read(place, CONFIG_SIZE))
    if not isinstance(found, StoredConfig):
        raise CommandError(f"{place.path}: {describe_config_error(found)}")
    return found


# --- a change -------------------------------------------------------------------------------


def changed(
    before: StoredConfig,
    settings: Optional[Mapping[str, Any]] = None,
    domain_xml: Optional[str] = None,
) -> StoredConfig:
    """The next version, with other settings or another XML; raises CommandError naming all
    problems of the settings."""
    data = before.settings if settings is None else settings
    xml = before.config.domain_xml if domain_xml is None else domain_xml
    # Before all else: nobody shall be led to make other settings fit first.
    given = find(data, ("timing", "io_timeout_s"))
    problems = fixed_problems(
        before.config.settings, Timing().io_timeout_s if given is MISSING else given
    )
    if problems:
        raise CommandError(f"{'; '.join(problems)}; {NOTHING_WRITTEN}")
    try:
        parsed = parse_cluster_settings(data, "")
    except SettingsError as error:
        raise CommandError(f"{'; '.join(error.problems)}; {NOTHING_WRITTEN}") from error
    return StoredConfig(SharedConfig(before.config.sequence + 1, parsed, xml), data)


def describe_change(before: SharedConfig, after: SharedConfig) -> str:
    """What differs, for people; empty: nothing."""
    data = [cluster_settings_to_data(config.settings) for config in (before, after)]
    found = changed_keys(data[0], data[1])
    if before.domain_xml != after.domain_xml:
        found.append(f"vm_conf: {_lines_text(before.domain_xml, after.domain_xml)}")
    return "; ".join(found)


def _lines_text(before: str, after: str) -> str:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))
    added = sum(line.startswith("+") for line in lines[2:])
    removed = sum(line.startswith("-") for line in lines[2:])
    return f"+{added} -{removed} lines"


def check(world: DeployedHost, before: StoredConfig, after: StoredConfig) -> Situation:
    """Raise CommandError when the change is not allowed now; `write` looks once more."""
    whom = f"the storage {world.parts.shared_config.path}"
    return world.in_copy(lambda: _check(world, before, after), whom, READ_DEADLINE_S)


def _check(world: DeployedHost, before: StoredConfig, after: StoredConfig) -> Situation:
    now = _situation(world, before.config, after.config)
    old, new = before.config.settings, after.config.settings
    problems = [
        *refusals(before.config, after.config, world.parts, now),
        *secret_problems(old, new, paths.secrets_dir()),
    ]
    if problems:
        raise CommandError(f"{'; '.join(problems)}; {NOTHING_WRITTEN}")
    return now


def _situation(world: DeployedHost, before: SharedConfig, after: SharedConfig) -> Situation:
    maintenance = world.global_maintenance(world.store)
    fire_timeout_s = world.lockspace.fire_timeout_s()
    if not is_renamed(before, after):
        return Situation(maintenance, fire_timeout_s=fire_timeout_s)
    owner = world.lockspace.lease_owner()
    held_by = world.host_text(owner.host_id) if owner else ""
    return Situation(maintenance, held_by, fire_timeout_s)


# --- writing --------------------------------------------------------------------------------


def write(
    world: DeployedHost, before: StoredConfig, after: StoredConfig, user: str, what: str
) -> StoredConfig:
    """Write the version `after` if `before` is still the one in use; returns what stands there.

    Raises CommandError: somebody else writes or has written meanwhile, the change is not
    allowed now, it does not fit, or the storage or sanlock fail.
    """
    note = ChangeNote(user, world.settings.host_name, world.clock.wall_s(), shortened(what))
    io_timeout_s = before.config.settings.timing.io_timeout_s
    fire_timeout_s = world.in_copy(world.lockspace.fire_timeout_s, "sanlock", READ_DEADLINE_S)
    floor_s = lease_floor_s(io_timeout_s, fire_timeout_s)
    whom = (
        "writing the shared configuration (see --shared-config-history whether it was written): "
        f"the storage {world.parts.shared_config.path}, or the lock of a writer whose host fell "
        f"silent and which is free {floor_s:.0f} s after that,"
    )
    return world.in_copy(lambda: _write(world, before, after, note), whom, WRITE_DEADLINE_S)


def _write(
    world: DeployedHost, before: StoredConfig, after: StoredConfig, note: ChangeNote
) -> StoredConfig:
    with locked(world):
        found = _read(world)
        if found.config != before.config:
            raise CommandError(_overtaken_text(found))
        _check(world, found, after)
        # A damaged history is begun anew from what of it can be read.
        history = decode_history(found.history)
        old = OldVersion(
            found.config.sequence, found.settings, found.config.domain_xml, history.note
        )
        text = encode_history(ConfigHistory(note, (old, *history.versions)), history_room(after))
        written = replace(after, history=text)
        _put(world, written)
        return written


def _overtaken_text(found: StoredConfig) -> str:
    note = decode_history(found.history).note
    who = f" by {note.user} on {note.host} ({note.what})" if note else ""
    return (
        f"version {found.config.sequence} of the shared configuration was written meanwhile{who}; "
        f"{NOTHING_WRITTEN}; look at it and do it again"
    )


def _put(world: DeployedHost, written: StoredConfig) -> None:
    place, sequence = world.parts.shared_config, written.config.sequence
    try:
        data = encode_stored(written)
    except ConfigTooLargeError as error:
        raise CommandError(f"{error}; {NOTHING_WRITTEN}") from error
    try:
        world.store.write(VolumeAddress(place.path, place.offset + copy_offset(sequence)), data)
        back = _read(world)
    except StorageError as error:
        raise CommandError(
            f"{error}; whether version {sequence} was written is not known, see "
            "--shared-config-history"
        ) from error
    if back != written:
        raise CommandError(f"{place.path}: version {sequence} does not read back as it was written")
