# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--shared-config-history`` and ``--shared-config-rollback VERSION``."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any, Optional

from hosted_engine.cli.wait import wait_s
from hosted_engine.config.apply import (
    WAIT_S,
    ChangeContext,
    Telling,
    carry_out,
    change_context,
    examine,
    tell_unchanged,
)
from hosted_engine.config.store import changed, describe_change, read
from hosted_engine.errors import EXIT_OK, NOTHING_WRITTEN, CommandError, UsageError
from hosted_engine.host.environment import deployed_host
from hosted_engine.host.local_host import host_settings
from metadata.error_words import shown
from metadata.shared_config import StoredConfig
from metadata.shared_history import ChangeNote, OldVersion, decode_history, shortened


def run_history(options: argparse.Namespace) -> int:
    """``--shared-config-history``."""
    stored = read(deployed_host(host_settings()))
    if options.json:
        print(json.dumps(history_data(stored)))
    else:
        print("\n".join(history_lines(stored)))
    return EXIT_OK


def run_rollback(options: argparse.Namespace) -> int:
    """``--shared-config-rollback``."""
    (text,) = options.arguments
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise UsageError(
            f"{shown(text)} is refused; allowed: the number of a version, as "
            "--shared-config-history shows it"
        )
    version = int(text)
    telling = Telling(options.json, wait_s(options, WAIT_S))
    settings = host_settings()
    context = change_context(deployed_host(settings), settings)
    try:
        return roll_back(context, version, telling)
    finally:
        context.client.close()


# --- looking --------------------------------------------------------------------------------


def history_data(stored: StoredConfig) -> dict[str, Any]:
    """All versions that can be had, the newest first, as JSON."""
    history = decode_history(stored.history)
    current = _version_data(stored.config.sequence, history.note, True)
    older = [_version_data(one.sequence, one.note, False) for one in history.versions]
    return {"versions": [current, *older], "damage": history.damage}


def _version_data(version: int, note: Optional[ChangeNote], current: bool) -> dict[str, Any]:
    return {
        "version": version,
        "current": current,
        "at_s": note and note.at_wall_s,
        "at": note and _time_text(note),
        "user": note and note.user,
        "host": note and note.host,
        "changes": note and note.what,
    }


def history_lines(stored: StoredConfig) -> list[str]:
    """The same for people."""
    history = decode_history(stored.history)
    lines = [_line(stored.config.sequence, history.note, " (in use)")]
    lines += [_line(version.sequence, version.note) for version in history.versions]
    if history.damage:
        lines.append(f"The history is damaged: {history.damage}. The configuration is not.")
    return lines


def _line(version: int, note: Optional[ChangeNote], mark: str = "") -> str:
    who = "written without a note, as --deploy does"
    if note is not None:
        who = f"{_time_text(note)}, {note.user} on {note.host}: {note.what}"
    return f"Version {version}{mark}: {who}"


def _time_text(note: ChangeNote) -> str:
    """This host's time zone; a time that no calendar has is told as it is."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(note.at_wall_s))
    except (OverflowError, ValueError, OSError):
        return f"second {note.at_wall_s:g}"


# --- going back -----------------------------------------------------------------------------


def roll_back(context: ChangeContext, version: int, telling: Telling) -> int:
    """Write an earlier version as a new one; raises CommandError."""
    before = read(context.world)
    old = _find(before, version)
    after = changed(before, settings=old.settings, domain_xml=old.domain_xml)
    what = describe_change(before.config, after.config)
    if not what:
        current = before.config.sequence
        said = f"Version {current}, the one in use, says the same as version {version}"
        tell_unchanged(current, said, telling.as_json)
        return EXIT_OK
    examine(context, before, after)
    carry_out(context, before, after, shortened(f"back to version {version}: {what}"), telling)
    return EXIT_OK


def _find(stored: StoredConfig, version: int) -> OldVersion:
    current = stored.config.sequence
    if version == current:
        return OldVersion(current, stored.settings, stored.config.domain_xml)
    versions = decode_history(stored.history).versions
    found = [one for one in versions if one.sequence == version]
    if found:
        return found[0]
    kept = ", ".join(str(one.sequence) for one in versions) or "none"
    raise CommandError(
        f"there is no version {version} to go back to; kept are: {kept} (version {current} is in "
        f"use); {NOTHING_WRITTEN}"
    )
